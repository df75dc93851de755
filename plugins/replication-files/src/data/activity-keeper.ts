/** The activity log of a primary: there is one while there is a journal, or a recent set, that it can complete after a power cut. */
import { ActivityLog, deleteActivity } from '../journal/activity-log.js';
import type { Journal } from '../journal/journal.js';
import type { RoleSurroundings } from './surroundings.js';

/** How often a primary that is alone flushes its tree and its journal, so that the log stays short. */
const FLUSH_INTERVAL_MS = 10_000;

export class ActivityKeeper {
  readonly #around: RoleSurroundings;
  readonly #onDurable: () => void;
  #log: ActivityLog | undefined;
  #flushedMs: number;
  #isFlushing = false;

  /** @param onDurable more of the log is durable than before */
  constructor(around: RoleSurroundings, onDurable: () => void) {
    this.#around = around;
    this.#onDurable = onDurable;
    this.#flushedMs = around.nowMs();
  }

  /** Undefined: a power cut is followed by a comparison. */
  get log(): ActivityLog | undefined {
    return this.#log;
  }

  /** Begins anew, when a journal names all that an earlier log said. Durable on return. */
  start(base: string): void {
    const { settings, pool, store, log } = this.#around;
    this.#log?.close();
    this.#log = new ActivityLog({
      stateDirectory: settings.stateDirectory,
      base,
      sync: (fd, done) => {
        pool.run({ call: 'fdatasync', fd }, done);
      },
      onDurable: this.#onDurable,
      onEra: (era) => {
        store.era = era;
      },
      onLost: (reason) => {
        log('error', `the activity log cannot be written; if the power of this node fails the trees are compared: ${reason}`);
      },
    });
  }

  /** Both nodes are identical. Durable on return. */
  restart(base: string): void {
    if (this.#log === undefined) this.start(base);
    else this.#log.restart(base);
  }

  /** A checkpoint of a primary that is alone: what its tree and its journal have on the disk, the log need not say again. */
  flush(journal: Journal): void {
    const { nowMs, store, pool } = this.#around;
    const log = this.#log;
    if (log === undefined || !journal.hasFile || this.#isFlushing || nowMs() - this.#flushedMs < FLUSH_INTERVAL_MS) return;
    this.#isFlushing = true;
    log.cut();
    const journalFd = journal.fd;
    let left = store.roots.length + 1;
    let failure = 0;
    const step = (outcome: number): void => {
      if (outcome < 0) failure = outcome;
      left -= 1;
      if (left > 0) return;
      this.#isFlushing = false;
      this.#flushedMs = nowMs();
      // A journal that was rewritten, or given up, meanwhile says it by another descriptor.
      if (failure === 0 && this.#log === log && journal.fd === journalFd) log.forgetPrevious();
    };
    for (let root = 0; root < store.roots.length; root += 1) pool.run({ call: 'syncfs', fd: store.rootFd(root) }, step);
    pool.run({ call: 'fdatasync', fd: journalFd }, step);
  }

  /** What it says is not known any more. Durable on return. */
  remove(): void {
    if (this.#log === undefined) deleteActivity(this.#around.settings.stateDirectory);
    else this.#log.remove();
    this.#log = undefined;
  }

  /** The role ends; the file stays until what it says is known to be on the disk in better words. */
  close(): void {
    this.#log?.close();
    this.#log = undefined;
    this.#around.store.era = 0;
  }
}
