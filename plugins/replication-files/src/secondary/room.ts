/**
 * Whether there is so much room that what comes cannot fail for lack of it: then it may be acknowledged before it is done. Looked at now
 * and then; what was admitted since counts as taken.
 */
import type { Store } from '../store/store.js';

/** Stays free: others write to the same file system, and every object costs more than its content. */
const BYTES_MIN = 192 << 20;
const OBJECTS_MIN = 20_000;
/** What the file system may need for one object or write, beside its content. */
const OVERHEAD_BYTES = 4096;
const VALID_MS = 100;
/** `struct statvfs`: frsize, bavail, files and favail. */
const STATVFS_BYTES = 112;
const AT = { blockSize: 8, available: 32, files: 40, objects: 56 } as const;

export class Room {
  readonly #store: Store;
  readonly #statvfs = Buffer.alloc(STATVFS_BYTES);
  /** That may still be admitted. */
  #bytesLeft = 0;
  #objectsLeft = 0;
  #validUntilMs = -Infinity;

  constructor(store: Store) {
    this.#store = store;
  }

  /** A new object, or a write of so many bytes, in any of the replicated directories. */
  admits(bytes: number): boolean {
    const now = performance.now();
    if (now >= this.#validUntilMs) {
      this.#look();
      this.#validUntilMs = now + VALID_MS;
    }
    this.#bytesLeft -= bytes + OVERHEAD_BYTES;
    this.#objectsLeft -= 1;
    return this.#bytesLeft >= 0 && this.#objectsLeft >= 0;
  }

  #look(): void {
    this.#bytesLeft = Infinity;
    this.#objectsLeft = Infinity;
    for (const root of this.#store.roots.keys()) {
      if (this.#store.statfs(root, this.#statvfs) < 0) {
        this.#bytesLeft = 0;
        return;
      }
      const at = (offset: number): number => Number(this.#statvfs.readBigUInt64LE(offset));
      this.#bytesLeft = Math.min(this.#bytesLeft, at(AT.blockSize) * at(AT.available) - BYTES_MIN);
      // btrfs makes objects as long as it has blocks, and counts none.
      if (at(AT.files) > 0) this.#objectsLeft = Math.min(this.#objectsLeft, at(AT.objects) - OBJECTS_MIN);
    }
  }
}
