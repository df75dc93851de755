/**
 * Digests of content as a verification compares it. A granule of zeros has the digest of a hole, because what the kernel reports as a hole
 * depends on what is in its page cache. What must come from the disk is brought into the page cache by a pool thread first, and is dropped
 * from there afterwards: the application's own data should stay.
 */
import { createHash } from 'node:crypto';
import type { Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { ioVector, posixFadvise, preadv2 } from '../system/calls.js';
import { POSIX_FADV_DONTNEED, RWF_NOWAIT, SEEK_DATA } from '../system/constants.js';
import { ENXIO } from '../system/errno.js';
import { DIGEST_BYTES, GRANULE_BYTES } from '../wire/limits.js';

/** Content that is compared in one step of a data thread. */
export const PIECE_BYTES = 8 * GRANULE_BYTES;
export const ZERO_DIGEST = Buffer.alloc(DIGEST_BYTES);
const ZEROS = Buffer.alloc(GRANULE_BYTES);

/** The pool, as far as it brings content into the page cache. */
export interface Loader {
  run(job: { readonly call: 'load'; readonly fd: number; readonly offset: number; readonly length: number }, done: () => void): void;
}

/** Loads at once: the pool's other threads are for those who wait for an fsync. */
const LOADS_MAX = 2;

export interface Span {
  readonly offset: number;
  readonly length: number;
}

export class Granules {
  readonly #store: Store;
  readonly #pool: Loader;
  readonly #bytes = Buffer.from(new ArrayBuffer(PIECE_BYTES));
  readonly #vector = ioVector(this.#bytes, PIECE_BYTES);
  readonly #waiting: (() => void)[] = [];
  #loads = 0;

  constructor(store: Store, pool: Loader) {
    this.#store = store;
    this.#pool = pool;
  }

  /** The granule of the next data at or after `offset`; `size` when there is none. */
  nextData(file: Handle, offset: number, size: number): number {
    if (offset >= size) return size;
    const data = this.#store.seek(file, offset, SEEK_DATA);
    if (data === -ENXIO || data >= size) return size;
    return data < 0 ? offset : Math.floor(data / GRANULE_BYTES) * GRANULE_BYTES;
  }

  /** Digest of one granule. @returns or -errno */
  digest(file: Handle, offset: number): Buffer | number {
    let have = 0;
    while (have < GRANULE_BYTES) {
      const got = this.#store.read(file, offset + have, this.#bytes.subarray(have), GRANULE_BYTES - have);
      if (got < 0) return got;
      if (got === 0) break;
      have += got;
    }
    const content = this.#bytes.subarray(0, have);
    if (content.equals(ZEROS.subarray(0, have))) return ZERO_DIGEST;
    return createHash('sha256').update(content).digest().subarray(0, DIGEST_BYTES);
  }

  /** Calls back, now or later, when reading the span need not wait for the disk. @param ready with what `drop` should drop later */
  load(file: Handle, { offset, length }: Span, ready: (loaded: Span | undefined) => void): void {
    const span = { offset, length: Math.min(length, PIECE_BYTES) };
    if (span.length <= 0 || this.#isCached(file, span)) {
      ready(undefined);
      return;
    }
    const begin = (): void => {
      const fd = this.#store.pin(file);
      if (fd < 0) {
        this.#waiting.shift()?.();
        ready(undefined);
        return;
      }
      this.#loads += 1;
      this.#pool.run({ call: 'load', fd, ...span }, () => {
        this.#loads -= 1;
        this.#store.unpin(file);
        this.#waiting.shift()?.();
        ready(span);
      });
    };
    if (this.#loads < LOADS_MAX) begin();
    else this.#waiting.push(begin);
  }

  drop(file: Handle, { offset, length }: Span): void {
    const fd = this.#store.descriptor(file);
    if (fd >= 0) posixFadvise(fd, offset, length, POSIX_FADV_DONTNEED);
  }

  #isCached(file: Handle, { offset, length }: Span): boolean {
    const fd = this.#store.descriptor(file);
    if (fd < 0) return true;
    this.#vector.writeUInt32LE(length, 8);
    return preadv2(fd, this.#vector, offset, RWF_NOWAIT) === length;
  }
}
