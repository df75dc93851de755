/**
 * The FUSE kernel protocol (7.31 and later, as of Linux 5.4 and later): numbers and byte offsets of the requests that this file system
 * serves. Every request starts with the 40-byte `fuse_in_header`, every reply with the 16-byte `fuse_out_header`; all little-endian on
 * the platforms that are supported.
 */

export const enum Opcode {
  Lookup = 1,
  Forget = 2,
  GetAttr = 3,
  SetAttr = 4,
  ReadLink = 5,
  Symlink = 6,
  MkNod = 8,
  MkDir = 9,
  Unlink = 10,
  RmDir = 11,
  Rename = 12,
  Link = 13,
  Open = 14,
  Read = 15,
  Write = 16,
  StatFs = 17,
  Release = 18,
  FSync = 20,
  SetXattr = 21,
  GetXattr = 22,
  ListXattr = 23,
  RemoveXattr = 24,
  Flush = 25,
  Init = 26,
  OpenDir = 27,
  ReadDir = 28,
  ReleaseDir = 29,
  FSyncDir = 30,
  Create = 35,
  Interrupt = 36,
  Destroy = 38,
  NotifyReply = 41,
  BatchForget = 42,
  FAllocate = 43,
  ReadDirPlus = 44,
  Rename2 = 45,
  LSeek = 46,
  TmpFile = 51,
}

export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;
export const WRITE_DATA_AT = 80;
export const WRITE_BYTES_MAX = 1 << 20;
/** Room for the largest WRITE with its headers; the kernel refuses to deliver into less. */
export const REQUEST_BYTES_MAX = WRITE_BYTES_MAX + 4096;
export const ROOT_NODE_ID = 1;

/** `fuse_setattr_in.valid` */
export const FATTR_MODE = 1;
export const FATTR_UID = 2;
export const FATTR_GID = 4;
export const FATTR_SIZE = 8;
export const FATTR_ATIME = 16;
export const FATTR_MTIME = 32;
export const FATTR_ATIME_NOW = 128;
export const FATTR_MTIME_NOW = 256;
/** The caller may not keep setuid and setgid. */
export const FATTR_KILL_SUIDGID = 1 << 11;
/** `fuse_write_in.write_flags`: the same. */
export const WRITE_KILL_SUIDGID = 1 << 2;

export const FSYNC_FDATASYNC = 1;

export const KERNEL_MAJOR = 7;
export const KERNEL_MINOR_MIN = 31;
const KERNEL_MINOR_MAX = 41;

const ASYNC_READ = 1 << 0;
const BIG_WRITES = 1 << 5;
const DONT_MASK = 1 << 6;
const DO_READDIRPLUS = 1 << 13;
const READDIRPLUS_AUTO = 1 << 14;
const ASYNC_DIO = 1 << 15;
const PARALLEL_DIROPS = 1 << 18;
export const WRITEBACK_CACHE = 1 << 16;
const POSIX_ACL = 1 << 20;
const ABORT_ERROR = 1 << 21;
const MAX_PAGES = 1 << 22;
const CACHE_SYMLINKS = 1 << 23;
const HANDLE_KILLPRIV_V2 = 1 << 28;
export const SETXATTR_EXT = 1 << 29;
/** The second word of flags counts. */
const INIT_EXT = 1 << 30;
/** In the second word. */
const HAS_RESEND = 1 << 7;
/**
 * What is honoured. Not ATOMIC_O_TRUNC (the kernel then sends the truncation as SETATTR), no writeback cache unless it is asked for (a
 * write is acknowledged before the peer has it), no locks (they stay local). HANDLE_KILLPRIV_V2 because without it the kernel asks for file
 * capabilities before every single write; setuid and setgid are then cleared here, where the kernel says so.
 */
const WANTED =
  ASYNC_READ |
  BIG_WRITES |
  DONT_MASK |
  DO_READDIRPLUS |
  READDIRPLUS_AUTO |
  ASYNC_DIO |
  PARALLEL_DIROPS |
  POSIX_ACL |
  ABORT_ERROR |
  MAX_PAGES |
  CACHE_SYMLINKS |
  HANDLE_KILLPRIV_V2 |
  SETXATTR_EXT |
  INIT_EXT;

/** When the kernel sends what an application writes: at once, or on fsync, close and by itself after a while. */
export type SyncMode = 'write' | 'fsync';

const BACKGROUND_MAX = 64;
export const INIT_REPLY_BYTES = 64;

/**
 * Fills `fuse_init_out`.
 * @param request the whole INIT request
 * @param out the reply's payload
 * @returns the features in use; undefined: kernel too old
 */
export function answerInit(request: Buffer, out: Buffer, sync: SyncMode): number | undefined {
  const major = request.readUInt32LE(40);
  const minor = request.readUInt32LE(44);
  if (major !== KERNEL_MAJOR || minor < KERNEL_MINOR_MIN) return undefined;
  const features = request.readUInt32LE(52) & (sync === 'fsync' ? WANTED | WRITEBACK_CACHE : WANTED);
  out.fill(0, 0, INIT_REPLY_BYTES);
  out.writeUInt32LE(KERNEL_MAJOR, 0);
  out.writeUInt32LE(Math.min(minor, KERNEL_MINOR_MAX), 4);
  out.writeUInt32LE(WRITE_BYTES_MAX, 8); // max_readahead
  out.writeUInt32LE(features >>> 0, 12);
  if (kernelResends(request)) out.writeUInt32LE(HAS_RESEND, 32);
  out.writeUInt16LE(BACKGROUND_MAX, 16);
  out.writeUInt16LE((BACKGROUND_MAX * 3) / 4, 18); // congestion threshold
  out.writeUInt32LE(WRITE_BYTES_MAX, 20);
  out.writeUInt32LE(1, 24); // time granularity, ns
  out.writeUInt16LE(WRITE_BYTES_MAX / 4096, 28); // max_pages
  return features;
}

/** Linux 6.9 and later: requests without an answer are sent again when the server asks for it. @param request the whole INIT request */
export function kernelResends(request: Buffer): boolean {
  return (request.readUInt32LE(52) & INIT_EXT) !== 0 && request.readUInt32LE(0) >= 60 && (request.readUInt32LE(56) & HAS_RESEND) !== 0;
}
