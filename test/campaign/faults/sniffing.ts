/** The sniffer at the switch, seen from the campaign: who acted as the owner of the virtual address, and when. */
import { fileURLToPath } from 'node:url';
import type { Lab } from '../../lab/lab.js';
import type { RunningCommand } from '../../lab/running-command.js';
import { findInterleaved } from './judge.js';

const PROGRAM = fileURLToPath(new URL('./sniffer.js', import.meta.url));
const START_MS = 10_000;
/** What is older has been judged. */
const KEPT_MS = 120_000;
/** Claims are rare: a few when the address is taken, some more when it is defended. */
const CLAIMS_WITHIN_MS = 1000;

interface Seen {
  readonly kind: string;
  readonly node: string;
  readonly sentMs: number;
  readonly atMs: number;
}

/** Periods in which both nodes acted as the owner, each within the other's. */
export interface Owners {
  /** Both answered requests. */
  readonly acknowledged: readonly string[];
  /** Both claimed the address or accepted connections to it. */
  readonly claims: number;
}

export class Sniffing {
  readonly #command: RunningCommand;
  #seen: Seen[] = [];
  #frames = 0;

  private constructor(command: RunningCommand) {
    this.#command = command;
    command.onLine(({ stream, text }) => {
      if (stream !== 'stdout') return;
      const [kind = '', time = '', node = ''] = text.split(' ');
      if (node === '') return;
      this.#frames += 1;
      this.#seen.push({ kind, node, sentMs: Number(time), atMs: Number(time) });
    });
  }

  static async start(lab: Lab, address: string, address6: string, port: number): Promise<Sniffing> {
    const nodes = lab.nodes.map(({ name, addresses }) => `${name}=${(addresses[0]?.mac ?? '').replaceAll(':', '')}`);
    const command = lab.spawnAtSwitch([process.execPath, PROGRAM, 'br1', address, address6, String(port), ...nodes]);
    const sniffing = new Sniffing(command);
    await command.waitForLine(/^ready$/, START_MS);
    return sniffing;
  }

  get running(): boolean {
    return this.#command.running;
  }

  /** Frames that said something about the address. */
  get frames(): number {
    return this.#frames;
  }

  /** Judges what was seen since the last call. */
  take(): Owners {
    const seen = this.#seen;
    const lastMs = seen.at(-1)?.atMs ?? 0;
    this.#seen = [];
    const acknowledged = findInterleaved(seen.filter(({ kind }) => kind === 'acknowledge'));
    const owning = seen.filter(({ kind, atMs }) => kind !== 'acknowledge' && atMs > lastMs - KEPT_MS);
    const claims = findInterleaved(owning, CLAIMS_WITHIN_MS);
    return {
      acknowledged: acknowledged.map(
        ({ first, between }) => `on the wire: ${between.node} answered at ${between.atMs.toFixed(1)} ms, among answers of ${first.node}`,
      ),
      claims: claims.length,
    };
  }
}
