/** What the terminal shows: colours that never carry meaning alone, tables, bars and sizes for people. All pure but the colour choice. */
import Table from 'cli-table3';
import type { ModuleView, VerificationView } from './core.js';

export type Colour = 'red' | 'orange' | 'green' | 'dim' | 'bold';

const CODES: Readonly<Record<Colour, readonly [string, string]>> = {
  red: ['\x1b[31m', '\x1b[39m'],
  orange: ['\x1b[33m', '\x1b[39m'],
  green: ['\x1b[32m', '\x1b[39m'],
  dim: ['\x1b[2m', '\x1b[22m'],
  bold: ['\x1b[1m', '\x1b[22m'],
};

/** NO_COLOR and FORCE_COLOR as everywhere; else colours on a terminal only. */
export function wantsColour(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '0') return true;
  return stream.isTTY && TERM !== 'dumb';
}

export class Paint {
  constructor(private readonly enabled: boolean) {}

  as(colour: Colour, text: string): string {
    const [on, off] = CODES[colour];
    return this.enabled ? `${on}${text}${off}` : text;
  }

  /** `PRIM (Ready)` in the colour of its quality; the words say it all without it. */
  state(view: Pick<ModuleView, 'phase' | 'quality'>): string {
    if (view.phase === 'NOT CONFIGURED') return this.as('dim', view.phase);
    const words = `${view.phase} (${view.quality})`;
    switch (view.quality) {
      case 'NotReady':
        return this.as('red', words);
      case 'Transient':
        return this.as('orange', words);
      case 'Ready':
        return this.as('green', words);
    }
  }

  table(head: readonly string[], rows: readonly (readonly string[])[]): string {
    if (rows.length === 0) return '';
    const table = new Table({
      head: head.map((title) => this.as('bold', title)),
      chars: BORDERLESS,
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    });
    for (const row of rows) table.push([...row]);
    return table
      .toString()
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n');
  }
}

const BORDERLESS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};

/** Texts of logs and other nodes may hold control characters, which would command the terminal: shown as their code. */
export function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, (character) => {
    const code = character.charCodeAt(0);
    return character === '\n' ? ' ' : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${Math.floor((whole % 3_600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`;
}

const BAR_WIDTH = 24;

/** `[########----------------]  33 %  1.0 GiB of 3.0 GiB, 12 of 40 objects (compare), 85.0 MiB/s, 21 s left` */
export function resyncText(progress: NonNullable<NonNullable<ModuleView['replication']>['progress']>): string {
  const { bytesDone, bytesTotal, objectsDone, objectsTotal, bytesPerSecond, secondsLeft, mode } = progress;
  const left = secondsLeft === undefined ? '' : `, ${durationText(secondsLeft)} left`;
  const amount = `${bytesText(bytesDone)} of ${bytesText(bytesTotal)}, ${objectsDone} of ${objectsTotal} objects`;
  return `${barText(bytesDone, bytesTotal)}  ${amount} (${mode}), ${bytesText(bytesPerSecond)}/s${left}`;
}

function barText(done: number, total: number): string {
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const filled = Math.floor(share * BAR_WIDTH);
  const percent = Math.floor(share * 100)
    .toString()
    .padStart(3);
  return `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] ${percent} %`;
}

/** As `resyncText`, of a comparison of both copies; without a bar while the size of the tree is not known. */
export function verificationText(progress: NonNullable<VerificationView['progress']>): string {
  const { phase, bytesDone, bytesTotal, objectsDone, bytesPerSecond, secondsLeft, differences } = progress;
  if (phase === 'repairing') return `repairing ${differences} objects`;
  const bar = bytesTotal === undefined ? '' : `${barText(bytesDone, bytesTotal)}  `;
  const of = bytesTotal === undefined ? '' : ` of ${bytesText(bytesTotal)}`;
  const left = secondsLeft === undefined ? '' : `, ${durationText(secondsLeft)} left`;
  const rate = `${objectsDone} objects, ${bytesText(bytesDone)}${of}, ${bytesText(bytesPerSecond)}/s`;
  return `${bar}${rate}${left}, ${differences === 0 ? 'no difference' : `${differences} different`}`;
}

/** One sentence about a finished comparison. */
export function verifiedText(last: NonNullable<VerificationView['last']>): string {
  const { outcome, differences, repaired, objects, bytes, durationMs, at, node } = last;
  const what = outcome === 'identical' ? 'identical' : `${differences} ${differences === 1 ? 'object differs' : 'objects differ'}`;
  const before = repaired === 0 ? '' : ` after ${repaired} repaired`;
  return `${what}${before} at ${at} on ${node} (${objects} objects, ${bytesText(bytes)}, in ${durationText(durationMs / 1_000)})`;
}

/** A line each for what differs. */
export function differencesText(last: NonNullable<VerificationView['last']>): readonly string[] {
  const lines = last.listed.map(({ directory, path, detail }) => `${path === '' ? directory : `${directory}/${path}`}: ${detail}`);
  return last.differences > lines.length ? [...lines, `and ${last.differences - lines.length} more`] : lines;
}
