/**
 * Attributes of one object, read by statx(2) into a buffer that is used again: the layout is the same on every architecture, and no
 * object is allocated per call.
 */
import { cString, statx } from './calls.js';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, S_IFMT, STATX_ATTR_APPEND, STATX_ATTR_IMMUTABLE } from './constants.js';

const STATX_BASIC_STATS = 0x7ff;
const STATX_MNT_ID = 0x1000;
const EMPTY = cString('');

export class Stat {
  readonly #buffer = Buffer.from(new ArrayBuffer(256));
  /** The same bytes as 32-bit words: FUSE replies copy them without conversion. */
  readonly words = new Uint32Array(this.#buffer.buffer, 0, 64);

  /** The object itself. @returns 0 or -errno */
  of(fd: number): number {
    return statx(fd, EMPTY, AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, this.#buffer);
  }

  /** `name` (NUL-terminated) in directory `fd`, never following a symlink. @returns 0 or -errno */
  at(fd: number, name: Uint8Array): number {
    return statx(fd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_MNT_ID, this.#buffer);
  }

  get blockSize(): number {
    return this.words[1] as number;
  }
  /** Immutable, or append-only: its name and its attributes cannot be changed. */
  get isFixed(): boolean {
    return ((this.words[2] as number) & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) !== 0;
  }
  get isImmutable(): boolean {
    return ((this.words[2] as number) & STATX_ATTR_IMMUTABLE) !== 0;
  }
  get nlink(): number {
    return this.words[4] as number;
  }
  get uid(): number {
    return this.words[5] as number;
  }
  get gid(): number {
    return this.words[6] as number;
  }
  /** Type and permission bits. */
  get mode(): number {
    return (this.words[7] as number) & 0xffff;
  }
  get type(): number {
    return (this.words[7] as number) & S_IFMT;
  }
  get ino(): bigint {
    return this.#buffer.readBigUInt64LE(32);
  }
  get size(): number {
    return (this.words[10] as number) + (this.words[11] as number) * 4294967296;
  }
  /** Allocated 512-byte units. */
  get blocks(): number {
    return (this.words[12] as number) + (this.words[13] as number) * 4294967296;
  }
  get atimeSeconds(): bigint {
    return this.#buffer.readBigInt64LE(64);
  }
  get atimeNanoseconds(): number {
    return this.words[18] as number;
  }
  get ctimeSeconds(): bigint {
    return this.#buffer.readBigInt64LE(96);
  }
  get ctimeNanoseconds(): number {
    return this.words[26] as number;
  }
  get mtimeSeconds(): bigint {
    return this.#buffer.readBigInt64LE(112);
  }
  get mtimeNanoseconds(): number {
    return this.words[30] as number;
  }
  /** As mknod(2) takes it. */
  get rdev(): number {
    return makeDevice(this.words[32] as number, this.words[33] as number);
  }
  get device(): number {
    return makeDevice(this.words[34] as number, this.words[35] as number);
  }
  get mountId(): bigint {
    return this.#buffer.readBigUInt64LE(144);
  }
}

/** The kernel's 32-bit encoding: 12 bits of major, 20 of minor. */
function makeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}
