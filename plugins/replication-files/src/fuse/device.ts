/**
 * One connection to the kernel: the descriptor of /dev/fuse behind one mounted directory. Reads requests without blocking and writes
 * replies; knows the shape of messages, nothing of their meaning.
 */
import * as sys from '../system/calls.js';
import { EAGAIN, EINTR, ENODEV, ENOENT, ECONNABORTED, isDiskError } from '../system/errno.js';
import type { Stat } from '../system/stat.js';
import { OUT_HEADER_BYTES, REQUEST_BYTES_MAX, SETXATTR_EXT, WRITE_BYTES_MAX, WRITEBACK_CACHE } from './protocol.js';

/** Attributes and names stay valid in the kernel: nobody else changes the tree, and the kernel drops what it changes itself. */
const VALID_SECONDS = 3600;
const PAGE_BYTES = 4096;
const ENTRY_BYTES = 128;
const ATTR_OUT_BYTES = 104;

/** One request in its buffer. Its bytes are valid until the buffer is given back or used for the next request. */
export class RequestBuffer {
  readonly bytes = Buffer.from(new ArrayBuffer(REQUEST_BYTES_MAX));
  readonly words = new Uint32Array(this.bytes.buffer, 0, 64);
  length = 0;

  /**
   * Every page of it is there before the kernel copies a request into it: when this process is killed just then, the kernel brings no page
   * any more, and answers the application with EIO instead of sending the request again.
   */
  constructor() {
    for (let at = 0; at < REQUEST_BYTES_MAX; at += PAGE_BYTES) this.bytes[at] = 0;
    // It does not begin at a page.
    this.bytes[REQUEST_BYTES_MAX - 1] = 0;
  }

  get opcode(): number {
    return this.words[1] as number;
  }
  get nodeId(): number {
    return this.words[4] as number;
  }
  get uid(): number {
    return this.words[6] as number;
  }
  get gid(): number {
    return this.words[7] as number;
  }
  get pid(): number {
    return this.words[8] as number;
  }
  word(at: number): number {
    return this.words[at >> 2] as number;
  }
  /** A u64 below 2^53. */
  long(at: number): number {
    return (this.words[at >> 2] as number) + (this.words[(at >> 2) + 1] as number) * 4294967296;
  }
  /** The NUL-terminated name at `at`, without its NUL: a view. */
  name(at: number): Buffer {
    const end = this.bytes.indexOf(0, at);
    return this.bytes.subarray(at, end < 0 || end > this.length ? this.length : end);
  }
}

/** Whom to answer. */
export interface ReplyTo {
  readonly device: FuseDevice;
  /** Index of the replicated directory. */
  readonly root: number;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
}

export class FuseDevice {
  readonly fd: number;
  readonly root: number;
  readonly #out = Buffer.from(new ArrayBuffer(OUT_HEADER_BYTES + WRITE_BYTES_MAX));
  readonly #words = new Uint32Array(this.#out.buffer);
  /** Known since INIT. */
  #features = 0;
  /** Payload of the next reply. */
  readonly payload = this.#out.subarray(OUT_HEADER_BYTES);
  readonly #vector = sys.ioVector(this.payload, this.payload.length);

  /** @param root index of the replicated directory */
  constructor(fd: number, root: number) {
    this.fd = fd;
    this.root = root;
  }

  /** @param features of INIT, answered by this process or by its predecessor */
  agree(features: number): void {
    this.#features = features;
  }

  /** SETXATTR requests carry flags of their own. */
  get hasSetXattrFlags(): boolean {
    return (this.#features & SETXATTR_EXT) !== 0;
  }

  /** The kernel keeps what applications write, for a while. */
  get writesBack(): boolean {
    return (this.#features & WRITEBACK_CACHE) !== 0;
  }

  /** @returns true: a request was read; false: none waits; 'ended': unmounted or aborted */
  read(into: RequestBuffer): boolean | 'ended' {
    const length = sys.read(this.fd, into.bytes, REQUEST_BYTES_MAX);
    if (length > 0) {
      into.length = length;
      return true;
    }
    if (length === -EAGAIN) return false;
    // ENOENT: the request was interrupted before it was read.
    if (length === -EINTR || length === -ENOENT) return this.read(into);
    if (length === -ENODEV || length === -ECONNABORTED) return 'ended';
    throw new Error(`reading /dev/fuse failed with ${length}`);
  }

  replyTo(request: RequestBuffer): ReplyTo {
    return { device: this, root: this.root, uniqueLow: request.words[2] as number, uniqueHigh: request.words[3] as number };
  }

  /** Asked before an error of the disk is answered. @returns true: it must not be */
  onDiskError: ((errno: number) => boolean) | undefined;

  /** @param errno positive, or 0 for an empty success */
  replyError(to: ReplyTo, errno: number): void {
    if (isDiskError(errno) && this.onDiskError?.(errno) === true) return;
    this.#send(to, OUT_HEADER_BYTES, errno);
  }

  /** Sends the first `length` bytes of `payload`. */
  reply(to: ReplyTo, length: number): void {
    this.#send(to, OUT_HEADER_BYTES + length, 0);
  }

  replyWritten(to: ReplyTo, length: number): void {
    this.#words[4] = length;
    this.#words[5] = 0;
    this.#send(to, OUT_HEADER_BYTES + 8, 0);
  }

  replyAttributes(to: ReplyTo, stat: Stat): void {
    this.#words[4] = VALID_SECONDS;
    this.#words[5] = 0;
    this.#words[6] = 0;
    this.#words[7] = 0;
    this.#attributes(8, stat);
    this.#send(to, OUT_HEADER_BYTES + ATTR_OUT_BYTES, 0);
  }

  replyEntry(to: ReplyTo, nodeId: number, generation: number, stat: Stat): void {
    this.putEntry(0, nodeId, generation, stat);
    this.#send(to, OUT_HEADER_BYTES + ENTRY_BYTES, 0);
  }

  /** CREATE's answer: the entry and an open file without a handle of ours. */
  replyCreated(to: ReplyTo, nodeId: number, generation: number, stat: Stat): void {
    this.putEntry(0, nodeId, generation, stat);
    this.#words[36] = 0;
    this.#words[37] = 0;
    this.#words[38] = FOPEN_KEEP_CACHE;
    this.#words[39] = 0;
    this.#send(to, OUT_HEADER_BYTES + ENTRY_BYTES + 16, 0);
  }

  /** "No such name", which the kernel may remember. */
  replyNoEntry(to: ReplyTo): void {
    this.payload.fill(0, 0, ENTRY_BYTES);
    this.#words[8] = VALID_SECONDS;
    this.#send(to, OUT_HEADER_BYTES + ENTRY_BYTES, 0);
  }

  /** The kernel must not believe what it remembers of a node's attributes and ACLs. */
  invalidateAttributes(nodeId: number): void {
    this.payload.writeBigUInt64LE(BigInt(nodeId), 0);
    this.payload.writeBigInt64LE(ATTRIBUTES_ONLY, 8);
    this.payload.writeBigInt64LE(0n, 16);
    const words = this.#words;
    words[0] = OUT_HEADER_BYTES + 24;
    words[1] = NOTIFY_INVAL_INODE;
    words[2] = 0;
    words[3] = 0;
    sys.write(this.fd, this.#out, words[0]);
  }

  /** Writes `fuse_entry_out` at `at` (a multiple of 8) of the payload. */
  putEntry(at: number, nodeId: number, generation: number, stat: Stat): void {
    const words = this.#words;
    const w = (OUT_HEADER_BYTES + at) >> 2;
    words[w] = nodeId;
    words[w + 1] = 0;
    words[w + 2] = generation;
    words[w + 3] = 0;
    words[w + 4] = VALID_SECONDS;
    words[w + 5] = 0;
    words[w + 6] = VALID_SECONDS;
    words[w + 7] = 0;
    words[w + 8] = 0;
    words[w + 9] = 0;
    this.#attributes(w + 10, stat);
  }

  /** The kernel sends every request again that has no answer. @returns 0 or -errno */
  requestAgain(): number {
    const notification = Buffer.alloc(OUT_HEADER_BYTES);
    notification.writeUInt32LE(OUT_HEADER_BYTES, 0);
    notification.writeUInt32LE(NOTIFY_RESEND, 4);
    const outcome = sys.write(this.fd, notification, OUT_HEADER_BYTES);
    return Math.min(outcome, 0);
  }

  /** Reads into the payload without waiting for the disk. @returns as preadv2(2) */
  readCached(fd: number, offset: number, length: number, flags: number): number {
    this.#vector.writeUInt32LE(length, 8);
    return sys.preadv2(fd, this.#vector, offset, flags);
  }

  close(): void {
    sys.close(this.fd);
  }

  #attributes(w: number, stat: Stat): void {
    const words = this.#words;
    const from = stat.words;
    words[w] = from[8] as number; // ino
    words[w + 1] = from[9] as number;
    words[w + 2] = from[10] as number; // size
    words[w + 3] = from[11] as number;
    words[w + 4] = from[12] as number; // blocks
    words[w + 5] = from[13] as number;
    words[w + 6] = from[16] as number; // atime
    words[w + 7] = from[17] as number;
    words[w + 8] = from[28] as number; // mtime
    words[w + 9] = from[29] as number;
    words[w + 10] = from[24] as number; // ctime
    words[w + 11] = from[25] as number;
    words[w + 12] = from[18] as number;
    words[w + 13] = from[30] as number;
    words[w + 14] = from[26] as number;
    words[w + 15] = stat.mode;
    words[w + 16] = stat.nlink;
    words[w + 17] = stat.uid;
    words[w + 18] = stat.gid;
    words[w + 19] = stat.rdev;
    words[w + 20] = stat.blockSize;
    words[w + 21] = 0;
  }

  #send(to: ReplyTo, length: number, errno: number): void {
    const words = this.#words;
    words[0] = length;
    words[1] = -errno >>> 0;
    words[2] = to.uniqueLow;
    words[3] = to.uniqueHigh;
    // Failure means that the request was interrupted or the mount is gone: nobody waits for this answer any more.
    sys.write(this.fd, this.#out, length);
  }
}

const FOPEN_KEEP_CACHE = 2;
const NOTIFY_RESEND = 7;
const NOTIFY_INVAL_INODE = 2;
/** An offset below 0: the content is not concerned. */
const ATTRIBUTES_ONLY = -1n;
