/** The demo on a terminal: a line whenever a node changes its state, words as well as colours, and the table at the end. */
import Table from 'cli-table3';
import type { ModuleView } from '@holdfast/core';
import type { Observation } from '../lab/cluster.js';
import type { ActResult } from './acts.js';

const COLOURS = { NotReady: '31', Transient: '33', Ready: '32' } as const;
const MIB = 1024 * 1024;

export class Timeline {
  private readonly beganMs = performance.now();
  private readonly shown = new Map<string, string>();
  private progressWidth = 0;

  constructor(
    private readonly out: NodeJS.WritableStream,
    private readonly colours: boolean,
  ) {}

  private paint(code: string, text: string): string {
    return this.colours ? `\u001b[${code}m${text}\u001b[0m` : text;
  }

  private line(who: string, text: string): void {
    const at = ((performance.now() - this.beganMs) / 1000).toFixed(2).padStart(7);
    this.clearProgress();
    this.out.write(`${this.paint('2', at)}  ${who.padEnd(6)}  ${text}\n`);
  }

  /** One line that is overwritten: how many writes are safe so far. */
  progress(text: string): void {
    if (!this.colours) return;
    this.clearProgress();
    this.out.write(this.paint('2', text));
    this.progressWidth = text.length;
  }

  private clearProgress(): void {
    if (this.progressWidth > 0) this.out.write(`\r${' '.repeat(this.progressWidth)}\r`);
    this.progressWidth = 0;
  }

  announce(text: string): void {
    this.line('', this.paint('1', text));
  }

  observe({ node, view }: Observation): void {
    const state = view === undefined ? 'off' : `${view.phase} (${view.quality})`;
    if (this.shown.get(node) === state) return;
    this.shown.set(node, state);
    const colour = view === undefined ? '90' : COLOURS[view.quality];
    this.line(node, `${this.paint(colour, state.padEnd(18))}  ${view === undefined ? '' : why(view)}`);
  }

  table(acts: readonly ActResult[]): void {
    const table = new Table({ head: ['act', 'outage seen by the client', 'resynchronised', 'of'], style: { head: [], border: [] } });
    for (const { name, outageMs, resync } of acts) {
      const copied = resync === undefined ? '' : `${size(resync.bytesSent)} (${resync.mode}, ${resync.durationMs.toFixed(0)} ms)`;
      table.push([name, outageMs === 0 ? 'none' : `${outageMs} ms`, copied, resync === undefined ? '' : size(resync.bytesInTree)]);
    }
    this.clearProgress();
    this.out.write(`\n${table.toString()}\n`);
  }

  say(text: string): void {
    this.clearProgress();
    this.out.write(`${text}\n`);
  }
}

function why(view: ModuleView): string {
  return view.reason.text;
}

function size(bytes: number): string {
  return bytes < MIB ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / MIB).toFixed(1)} MiB`;
}
