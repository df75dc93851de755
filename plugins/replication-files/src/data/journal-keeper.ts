/**
 * The journal of a primary and what goes with it: the activity log, which completes it after a power cut and never says less than the
 * journal needs, its way to the disk, and what happens when that disk has no room.
 */
import { messageOf } from '@holdfast/sdk';
import type { DirtySet } from '../journal/dirty-set.js';
import { Journal } from '../journal/journal.js';
import type { Handle } from '../store/handle.js';
import { errnoName } from '../system/errno.js';
import type { ActivityKeeper } from './activity-keeper.js';
import { Untracked, type History } from './history.js';
import type { RoleSurroundings } from './surroundings.js';

const RESTORE_INTERVAL_MS = 5000;

export class JournalKeeper {
  readonly #around: RoleSurroundings;
  readonly #activity: ActivityKeeper;
  readonly #refuse: () => void;
  #current: Journal | Untracked = new Untracked();
  #isUnsynced = false;
  #fileLostMs = 0;

  /** @param refuse nothing more may be modified */
  constructor(around: RoleSurroundings, activity: ActivityKeeper, refuse: () => void) {
    this.#around = around;
    this.#activity = activity;
    this.#refuse = refuse;
  }

  /** What records, whether or not there is a base to count from. */
  get recorder(): Journal | Untracked {
    return this.#current;
  }

  get journal(): Journal | undefined {
    return this.#current instanceof Journal ? this.#current : undefined;
  }

  /** @throws HoldfastError HF_REPLICATION_JOURNAL: an old file could neither be replaced nor removed */
  begin(base: string, set: DirtySet): void {
    const journal = new Journal(this.#around.settings.stateDirectory, base, set, undefined, (reason) => {
      this.#fileLostMs = this.#around.nowMs();
      // What it said of the time before the last flush is said nowhere else.
      this.#activity.remove();
      const message = `the journal cannot be written and is kept in memory; if this node fails the trees are compared: ${reason}`;
      this.#around.log('error', message);
    });
    this.#current = journal;
    // After the journal, which has all that the log of an earlier process named.
    if (journal.hasFile && this.#activity.log === undefined) this.#activity.start(base);
  }

  /** Both nodes are identical, or nothing is known. */
  end(): void {
    this.journal?.abandon();
    this.#current = new Untracked();
  }

  /** Its news reach the file. */
  flush(): void {
    if (this.journal?.isPending !== true) return;
    this.#isUnsynced = true;
    this.#orRefuse(this.journal, (journal) => {
      journal.flush();
    });
  }

  /** fsync or fdatasync of an object on a pool thread, and of the journal if it has news. @param isNeeded the journal counts now */
  sync(handle: Handle, isDatasync: boolean, isNeeded: boolean, done: (outcome: number) => void): void {
    const { store, pool } = this.#around;
    const fd = store.pin(handle);
    if (fd < 0) {
      done(fd);
      return;
    }
    const journal = this.#isUnsynced && isNeeded && this.journal?.hasFile === true ? this.journal : undefined;
    let left = journal === undefined ? 1 : 2;
    let failure = 0;
    const step = (outcome: number): void => {
      if (outcome < 0) failure = outcome;
      left -= 1;
      if (left === 0) done(failure);
    };
    pool.run({ call: isDatasync ? 'fdatasync' : 'fsync', fd }, (outcome) => {
      store.unpin(handle);
      step(outcome);
    });
    if (journal === undefined) return;
    const journalFd = journal.fd;
    this.#isUnsynced = false;
    pool.run({ call: 'fdatasync', fd: journalFd }, (outcome) => {
      // A file that was rewritten meanwhile was durable before the old one was closed; one that was removed is durably gone.
      if (outcome < 0 && journal.fd === journalFd) {
        this.#orRefuse(journal, () => {
          journal.loseFile(errnoName(outcome));
        });
      }
      step(0);
    });
  }

  /** There may be room on the disk again. */
  restoreFile(): void {
    const { nowMs, log } = this.#around;
    if (this.journal === undefined || this.journal.hasFile || nowMs() - this.#fileLostMs < RESTORE_INTERVAL_MS) return;
    this.#fileLostMs = nowMs();
    this.#orRefuse(this.journal, (journal) => {
      if (!journal.restoreFile()) return;
      this.#activity.start(journal.base);
      log('info', 'the journal is on the disk again');
    });
  }

  /** The role ends. @returns what the journal says, if there is one */
  close(): History | undefined {
    if (this.journal === undefined) return undefined;
    const { base, set } = this.journal;
    let isSaved = false;
    this.#orRefuse(this.journal, (journal) => {
      isSaved = journal.close();
    });
    return { base, set, isSaved };
  }

  /** A journal that lacks something and cannot be removed would be believed by the next start: then nothing more may be modified. */
  #orRefuse(journal: Journal, step: (journal: Journal) => void): void {
    try {
      step(journal);
    } catch (error) {
      this.#around.log('error', messageOf(error));
      this.#refuse();
    }
  }
}
