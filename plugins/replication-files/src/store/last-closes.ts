/**
 * The last close of a removed file gives its blocks back: for a large one that takes long enough (seconds, where the file system tells the
 * disk of every block) to be noticed by everybody who waits for the data thread. It is left to a pool thread then. The name has gone
 * before, so nothing that is asked in between can see a difference; only the room comes a little later, so where room is scarce nobody
 * else closes.
 */
import * as sys from '../system/calls.js';
import { Stat } from '../system/stat.js';
import type { Descriptors } from './descriptors.js';
import { isRegular, type Handle } from './handle.js';

/** Smaller ones are given back within a millisecond or so. */
const LARGE_BYTES_MIN = 64 << 20;
/** Unit of `Stat.blocks`. */
const BLOCK_BYTES = 512;
const STATVFS_BYTES = 112;

export class LastCloses {
  /** Closes a descriptor without keeping anybody waiting. */
  closeElsewhere: ((fd: number) => void) | undefined;
  readonly #descriptors: Descriptors;
  readonly #stat = new Stat();
  readonly #statvfs = Buffer.from(new ArrayBuffer(STATVFS_BYTES));

  constructor(descriptors: Descriptors) {
    this.#descriptors = descriptors;
  }

  /** The last name of an object with these attributes goes now: ours is then the last reference to a large file, see `Store.release`. */
  expect(handle: Handle, { blocks }: Stat): void {
    if (isRegular(handle) && blocks * BLOCK_BYTES >= LARGE_BYTES_MIN) this.#descriptors.get(handle);
  }

  close(handle: Handle, fd: number): void {
    if (this.closeElsewhere !== undefined && isRegular(handle) && this.#takesLong(fd)) this.closeElsewhere(fd);
    else sys.close(fd);
  }

  #takesLong(fd: number): boolean {
    if (this.#stat.of(fd) < 0 || this.#stat.nlink > 0) return false;
    const bytes = this.#stat.blocks * BLOCK_BYTES;
    return bytes >= LARGE_BYTES_MIN && this.#roomBytes(fd) >= bytes;
  }

  #roomBytes(fd: number): number {
    if (sys.fstatvfs(fd, this.#statvfs) < 0) return 0;
    // struct statvfs: bsize, frsize, blocks, bfree, bavail (8 bytes each).
    return Number(this.#statvfs.readBigUInt64LE(8)) * Number(this.#statvfs.readBigUInt64LE(32));
  }
}
