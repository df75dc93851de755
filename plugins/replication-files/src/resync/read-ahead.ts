/**
 * Content comes from the disk before the data thread wants it: the application must not wait for a resync that waits for a disk. Large
 * files are brought into the page cache by pool threads, a few windows ahead; of small ones the kernel is told which come next.
 */
import type { SyncPool } from '../secondary/applier.js';
import type { Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { ioVector, posixFadvise, preadv2 } from '../system/calls.js';
import { POSIX_FADV_WILLNEED, RWF_NOWAIT, SEEK_DATA } from '../system/constants.js';
import { DATA_BYTES_MAX } from '../wire/limits.js';
import type { Steps } from './flow.js';

/** Loads at once: the pool's other threads are for those who wait for an fsync. */
const WINDOWS = 2;
const WINDOW_BYTES = DATA_BYTES_MAX;

/** The kernel begins to read what is not a hole at its beginning: of a hole it would fill memory with zeros. Best effort. */
export function willNeed(store: Store, file: Handle, offset: number, length: number): void {
  const fd = store.seek(file, offset, SEEK_DATA) === offset ? store.descriptor(file) : -1;
  if (fd >= 0) posixFadvise(fd, offset, length, POSIX_FADV_WILLNEED);
}

export class ReadAhead {
  readonly #store: Store;
  readonly #pool: SyncPool;
  readonly #byte = Buffer.from(new ArrayBuffer(1));
  readonly #vector = ioVector(this.#byte, this.#byte.length);
  #file: Handle | undefined;
  /** Windows of the file that are in the cache, or on their way. */
  #begun = new Set<number>();
  #loading = new Set<number>();

  constructor(store: Store, pool: SyncPool) {
    this.#store = store;
    this.#pool = pool;
  }

  /** Waits until reading at `offset` need not wait for the disk. @param end of the data that will be read one after the other */
  *ready(file: Handle, offset: number, end: number): Steps {
    if (file !== this.#file) {
      this.#file = file;
      this.#begun = new Set();
      this.#loading = new Set();
    }
    const window = Math.floor(offset / WINDOW_BYTES);
    for (let next = window; next < window + WINDOWS && next * WINDOW_BYTES < end; next += 1) {
      if (this.#begun.has(next)) continue;
      this.#begun.add(next);
      this.#load(file, next, Math.max(offset, next * WINDOW_BYTES), Math.min(end, (next + 1) * WINDOW_BYTES));
    }
    while (this.#loading.has(window)) yield 'waiting';
    // It will be looked at again if it is wanted again: as a part of other data.
    this.#begun.delete(window);
  }

  #load(file: Handle, window: number, from: number, to: number): void {
    if (this.#isCached(file, from) && this.#isCached(file, to - 1)) return;
    const fd = this.#store.pin(file);
    if (fd < 0) return;
    const loading = this.#loading;
    loading.add(window);
    this.#pool.run({ call: 'load', fd, offset: from, length: to - from }, () => {
      this.#store.unpin(file);
      loading.delete(window);
    });
  }

  #isCached(file: Handle, at: number): boolean {
    const fd = this.#store.descriptor(file);
    return fd < 0 || preadv2(fd, this.#vector, at, RWF_NOWAIT) >= 0;
  }
}
