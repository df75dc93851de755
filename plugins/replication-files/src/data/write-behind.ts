/**
 * Starts to write large sequential data to the disk while more of it arrives: without this, the kernel keeps most of it until the fsync at
 * its end, and the application then waits for all of it on both nodes. Best effort: it makes nothing durable, and says nothing of errors
 * (fsync still does).
 */
import type { Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import type { Pool } from './pool.js';

/** Smaller writes are not worth looking at: the data of a database are often written again before they must be on the disk. */
const WRITE_BYTES_MIN = 256 << 10;
/** What one job starts. */
const WINDOW_BYTES_MIN = 8 << 20;
const WINDOW_BYTES_MAX = 64 << 20;

export class WriteBehind {
  readonly #store: Store;
  readonly #pool: Pool;
  /** The one sequence that is followed; what is written in between ends it. */
  #handle: Handle | undefined;
  #start = 0;
  #end = 0;
  #isRunning = false;

  constructor(store: Store, pool: Pool) {
    this.#store = store;
    this.#pool = pool;
  }

  /** Hears from now on of everything that is written. */
  follow(): void {
    this.#store.onWritten = (handle, offset, length) => {
      if (length >= WRITE_BYTES_MIN) this.#written(handle, offset, length);
    };
  }

  #written(handle: Handle, offset: number, length: number): void {
    if (handle !== this.#handle || offset !== this.#end) {
      this.#handle = handle;
      this.#start = offset;
    }
    this.#end = offset + length;
    const window = Math.min(this.#end - this.#start, WINDOW_BYTES_MAX);
    if (this.#isRunning || window < WINDOW_BYTES_MIN) return;
    const fd = this.#store.pin(handle);
    if (fd < 0) return;
    this.#isRunning = true;
    this.#pool.run({ call: 'write-back', fd, offset: this.#start, length: window }, () => {
      this.#isRunning = false;
      this.#store.unpin(handle);
    });
    this.#start += window;
  }
}
