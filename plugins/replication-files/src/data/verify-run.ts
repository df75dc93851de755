/**
 * One verification from its request to its result: a comparison, and when a repair was asked for, the resync of what differs and another
 * comparison. A repair that did not help is tried once more by comparing everything.
 */
import { isDirectory } from '../store/handle.js';
import { HoldfastError, type VerifyFailure, type VerifyProgress, type VerifyResult } from '@holdfast/sdk';
import type { DirtySet, RecentSet } from '../journal/dirty-set.js';
import type { NodeTable } from '../primary/node-table.js';
import type { StepOutcome } from '../resync/flow.js';
import { shown, type Difference } from '../verify/differences.js';
import { Pace } from '../verify/pace.js';
import { Verification } from '../verify/verification.js';
import { RESULT_BYTES_MAX } from '../wire/limits.js';
import type { PeerLink } from './peer-link.js';
import type { RoleSurroundings } from './surroundings.js';

const COMPARISONS_MAX = 3;
const PATH_SHOWN_MAX = 600;
const DETAIL_SHOWN_MAX = 300;

export interface VerifyRunOptions {
  readonly id: string;
  readonly repair: boolean;
  readonly bytesPerSecondMax: number | undefined;
  readonly around: RoleSurroundings;
  readonly nodes: NodeTable;
  readonly recent: RecentSet;
  readonly isApplicationActive: () => boolean;
  /** Turns the connected link into one that resynchronises: what is named, or all. `connected` is called when it is over. */
  readonly repairPeer: (what: DirtySet | 'everything', reason: string) => void;
  /** Called once: the run is over. */
  readonly ended: () => void;
}

export class VerifyRun {
  readonly #options: VerifyRunOptions;
  readonly #startMs: number;
  #peer: PeerLink;
  #verification: Verification | undefined;
  #comparisons = 0;
  #comparisonStartMs = 0;
  #differencesBefore = 0;
  #last: VerifyResult | undefined;
  #hasEnded = false;

  constructor(peer: PeerLink, options: VerifyRunOptions) {
    this.#options = options;
    this.#peer = peer;
    this.#startMs = options.around.nowMs();
    this.#compare();
  }

  get progress(): VerifyProgress {
    const verification = this.#verification;
    const objectsDone = verification?.objects ?? this.#last?.objects ?? 0;
    const bytesDone = verification?.bytes ?? this.#last?.bytes ?? 0;
    const seconds = Math.max(0.001, (this.#options.around.nowMs() - this.#comparisonStartMs) / 1000);
    return {
      id: this.#options.id,
      phase: verification === undefined ? 'repairing' : 'comparing',
      objectsDone,
      bytesDone,
      bytesPerSecond: verification === undefined ? 0 : Math.round(bytesDone / seconds),
      differences: verification?.differences.total ?? this.#last?.differences ?? 0,
    };
  }

  get isRepairing(): boolean {
    return this.#verification === undefined;
  }

  /** How long nothing is to be done without an event. */
  get waitMs(): number {
    return this.#verification?.waitMs ?? Infinity;
  }

  step(): StepOutcome {
    return this.#verification?.step() ?? 'waiting';
  }

  /** The repair is over, and both nodes say that they are identical. */
  connected(peer: PeerLink): void {
    this.#peer = peer;
    if (!this.#hasEnded && this.isRepairing) this.#compare();
  }

  /** Ends without a result. */
  interrupt(code: string, message: string): void {
    if (this.#hasEnded) return;
    const failure: VerifyFailure = { id: this.#options.id, at: new Date().toISOString(), code, message };
    this.#hasEnded = true;
    this.#options.around.verified(failure);
    this.#end();
  }

  #compare(): void {
    const { around, nodes, recent, isApplicationActive, bytesPerSecondMax } = this.#options;
    const { store, boundary, pool, nowMs } = around;
    this.#comparisons += 1;
    this.#comparisonStartMs = nowMs();
    const verification = new Verification({
      store,
      boundary,
      pool,
      nowMs,
      ask: (body, answered) => {
        this.#peer.ask(body, answered);
      },
      pace: new Pace(nowMs, isApplicationActive, bytesPerSecondMax),
      // The times of a directory in which something is excluded are each node's own.
      isTouched: (object, directory, name) =>
        recent.isTouched(object, directory, name) || (isDirectory(object) && boundary.applies(object)),
      done: () => {
        this.#compared(verification);
      },
      failed: ({ code, message }) => {
        this.interrupt(code, message.replace(`${code}: `, ''));
      },
    });
    this.#verification = verification;
    nodes.follower = verification;
  }

  #compared(verification: Verification): void {
    const { repair, around, repairPeer } = this.#options;
    const { total, touched, needsCompare, isUnreadableHere } = verification.differences;
    if (this.#comparisons === 1) this.#differencesBefore = total;
    const result = this.#resultOf(verification);
    this.#last = result;
    const isRepairable = repair && total > 0 && this.#comparisons < COMPARISONS_MAX && !isUnreadableHere;
    if (repair && isUnreadableHere) {
      around.log('error', 'nothing is repaired: this node cannot read its own copy; is its disk broken? Swap, and replace the disk');
    }
    // Before the end: who waits for it must find this result, not one before a repair.
    around.verified(result);
    this.#tellPeer(result);
    if (!isRepairable) {
      this.#end();
      return;
    }
    this.#verification = undefined;
    this.#options.nodes.follower = undefined;
    const what = needsCompare || this.#comparisons > 1 ? 'everything' : touched;
    repairPeer(what, `a verification found ${total} different objects`);
  }

  #resultOf(verification: Verification): VerifyResult {
    const { id, around } = this.#options;
    const { total, listed } = verification.differences;
    return {
      id,
      outcome: total === 0 ? 'identical' : 'different',
      node: around.settings.node,
      at: new Date().toISOString(),
      durationMs: Math.round(around.nowMs() - this.#startMs),
      objects: verification.objects,
      bytes: verification.bytes,
      differences: total,
      listed: listed.map((difference) => this.#textOf(difference)),
      repaired: this.#comparisons > 1 ? Math.max(0, this.#differencesBefore - total) : 0,
    };
  }

  #textOf({ root, path, aspects, detail }: Difference): VerifyResult['listed'][number] {
    return {
      directory: this.#options.around.settings.directories[root] ?? '',
      path: cut(shown(path), PATH_SHOWN_MAX),
      differs: aspects,
      detail: cut(detail, DETAIL_SHOWN_MAX),
    };
  }

  /** Whoever is primary next knows it too. Best effort. */
  #tellPeer(result: VerifyResult): void {
    let text = JSON.stringify(result);
    if (Buffer.byteLength(text) > RESULT_BYTES_MAX) text = JSON.stringify({ ...result, listed: result.listed.slice(0, 10) });
    this.#peer.ask({ kind: 'verify-result', text }, () => undefined);
  }

  #end(): void {
    this.#hasEnded = true;
    this.#verification?.stop();
    this.#options.nodes.follower = undefined;
    this.#options.ended();
  }
}

/** A result as the primary told it. @throws HoldfastError */
export function readResult(text: string): VerifyResult {
  const value = JSON.parse(text) as Partial<VerifyResult> | null;
  const isResult =
    value !== null &&
    [value.id, value.outcome, value.node, value.at].every((each) => typeof each === 'string') &&
    [value.durationMs, value.objects, value.bytes, value.differences, value.repaired].every((each) => typeof each === 'number') &&
    Array.isArray(value.listed);
  if (!isResult) throw new HoldfastError('HF_REPLICATION_FRAME', `"${text.slice(0, 100)}" is no result of a verification`);
  return value as VerifyResult;
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
