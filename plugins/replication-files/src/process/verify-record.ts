/**
 * What is remembered of verifications over restarts: the last result, on both nodes, in `verified.json` of the state directory. It also
 * tells when the next one is due. Intervals are counted by the monotonic clock of this process, wall time only bridges its restarts: a
 * clock that was set back delays the next verification by at most one interval.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, type VerifyFailure, type VerifyProgress, type VerifyResult, type VerifyStatus } from '@holdfast/sdk';
import { readResult } from '../data/verify-run.js';
import { syncDirectory } from '../journal/journal.js';

const FILE = 'verified.json';
/** One that ended without a result is tried again after this time, or the interval if that is shorter. */
const RETRY_MS = 3_600_000;

export class VerifyRecord {
  readonly #stateDirectory: string;
  #everyMs: number;
  readonly #warn: (reason: string) => void;
  #last: VerifyResult | undefined;
  #failure: VerifyFailure | undefined;
  #dueMs = Infinity;

  /** @param everyMs undefined: never by itself */
  constructor(stateDirectory: string, everyMs: number | undefined, warn: (reason: string) => void) {
    this.#stateDirectory = stateDirectory;
    this.#everyMs = Infinity;
    this.#warn = warn;
    this.#last = this.#read();
    this.reschedule(everyMs);
  }

  /** Another interval, or none, counted from the last result. */
  reschedule(everyMs: number | undefined): void {
    if (this.#everyMs === (everyMs ?? Infinity)) return;
    this.#everyMs = everyMs ?? Infinity;
    const ageMs = this.#last === undefined ? this.#everyMs : Math.max(0, Date.now() - Date.parse(this.#last.at));
    this.#dueMs = everyMs === undefined ? Infinity : performance.now() + Math.max(0, everyMs - ageMs);
  }

  get isDue(): boolean {
    return performance.now() >= this.#dueMs;
  }

  /** While one runs none is due, and one that ends without a result is tried again. */
  begun(): void {
    if (this.#everyMs < Infinity) this.#dueMs = performance.now() + Math.min(this.#everyMs, RETRY_MS);
  }

  /** Durable when it returns; a disk that is full costs only the memory of it. */
  ended(outcome: VerifyResult | VerifyFailure): void {
    if ('code' in outcome) {
      this.#failure = outcome;
      return;
    }
    this.#last = outcome;
    this.#failure = undefined;
    this.#dueMs = performance.now() + this.#everyMs;
    this.#write(JSON.stringify(outcome));
  }

  /** The process in which one ran is gone. */
  lost(id: string): void {
    const message = 'the replicator has ended before the comparison';
    this.ended({ id, at: new Date().toISOString(), code: 'HF_REPLICATION_PROCESS', message });
    this.begun();
  }

  /** @param bytesInTree size of the tree, when known from elsewhere */
  status(progress: VerifyProgress | undefined, bytesInTree: number | undefined): VerifyStatus | undefined {
    if (progress === undefined && this.#last === undefined && this.#failure === undefined) return undefined;
    return {
      ...(progress === undefined ? {} : { progress: estimated(progress, this.#last?.bytes ?? bytesInTree) }),
      ...(this.#last === undefined ? {} : { last: this.#last }),
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    };
  }

  #read(): VerifyResult | undefined {
    let text: string;
    try {
      text = readFileSync(join(this.#stateDirectory, FILE), 'utf8');
    } catch {
      return undefined;
    }
    try {
      return readResult(text);
    } catch (error) {
      this.#warn(`the result of the last verification is not readable and is forgotten: ${messageOf(error)}`);
      return undefined;
    }
  }

  #write(text: string): void {
    const path = join(this.#stateDirectory, FILE);
    try {
      const fd = openSync(`${path}.new`, 'w', 0o600);
      try {
        writeSync(fd, `${text}\n`);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(`${path}.new`, path);
      syncDirectory(this.#stateDirectory);
    } catch (error) {
      this.#warn(`the result of the verification could not be saved: ${messageOf(error)}`);
    }
  }
}

function estimated(progress: VerifyProgress, bytesTotal: number | undefined): VerifyProgress {
  if (bytesTotal === undefined || bytesTotal === 0) return progress;
  const total = Math.max(bytesTotal, progress.bytesDone);
  const { bytesPerSecond } = progress;
  const secondsLeft = bytesPerSecond > 0 ? Math.round((total - progress.bytesDone) / bytesPerSecond) : undefined;
  return { ...progress, bytesTotal: total, ...(secondsLeft === undefined ? {} : { secondsLeft }) };
}
