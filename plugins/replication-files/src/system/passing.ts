/**
 * Open descriptors from one process to another: a pair of connected sockets (SOCK_SEQPACKET, so that a message is taken whole or not at
 * all) and messages that carry at most one descriptor (SCM_RIGHTS). What was sent stays in the receiver's queue when the sender is killed.
 */
import koffi from 'koffi';
import { SOL_SOCKET } from './constants.js';
import { EINTR } from './errno.js';

const libc = koffi.load('libc.so.6');
const bind = (prototype: string): ((...values: unknown[]) => number) => libc.func(prototype) as (...values: unknown[]) => number;
const socketpairC = bind('int socketpair(int, int, int, void*)');
const sendmsgC = bind('int64_t sendmsg(int, void*, int)');
const recvmsgC = bind('int64_t recvmsg(int, void*, int)');

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_CTRUNC = 8;

// `struct msghdr` and a `struct cmsghdr` with one descriptor, on 64-bit systems.
const HEADER_BYTES = 56;
const CONTROL_BYTES = 24;
const CONTROL_LENGTH = 20;

/** @returns two connected descriptors (closed on exec), or -errno */
export function socketPair(): readonly [number, number] | number {
  const fds = Buffer.from(new ArrayBuffer(8));
  if (socketpairC(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) return -koffi.errno();
  return [fds.readInt32LE(0), fds.readInt32LE(4)];
}

/** One end, with messages of a fixed size. */
export class PassingSocket {
  /** The message that was received, or that is to be sent. */
  readonly message: Buffer;
  /** The descriptor that came with the last message, the caller's from then on; -1: none. */
  receivedFd = -1;
  /** A descriptor was sent with the last message, and this process could not take it. */
  isCut = false;
  readonly #fd: number;
  readonly #header = Buffer.from(new ArrayBuffer(HEADER_BYTES));
  readonly #vector = Buffer.from(new ArrayBuffer(16));
  readonly #control = Buffer.from(new ArrayBuffer(CONTROL_BYTES));

  constructor(fd: number, messageBytes: number) {
    this.#fd = fd;
    this.message = Buffer.from(new ArrayBuffer(messageBytes));
    this.#vector.writeBigUInt64LE(koffi.address(this.message), 0);
    this.#vector.writeBigUInt64LE(BigInt(messageBytes), 8);
    this.#header.writeBigUInt64LE(koffi.address(this.#vector), 16);
    this.#header.writeBigUInt64LE(1n, 24);
  }

  /** @param fd goes with the message; stays open here; -1: none @returns 0 or -errno */
  send(fd: number): number {
    this.#offerControl(fd >= 0);
    if (fd >= 0) {
      this.#control.writeBigUInt64LE(BigInt(CONTROL_LENGTH), 0);
      this.#control.writeInt32LE(SOL_SOCKET, 8);
      this.#control.writeInt32LE(SCM_RIGHTS, 12);
      this.#control.writeInt32LE(fd, 16);
    }
    for (;;) {
      if (sendmsgC(this.#fd, this.#header, MSG_NOSIGNAL) >= 0) return 0;
      const errno = koffi.errno();
      if (errno !== EINTR) return -errno;
    }
  }

  /** Waits for a message. @returns its length, 0 at the end of the connection, or -errno */
  receive(): number {
    for (;;) {
      this.#offerControl(true);
      const length = recvmsgC(this.#fd, this.#header, MSG_CMSG_CLOEXEC);
      if (length < 0) {
        const errno = koffi.errno();
        if (errno === EINTR) continue;
        return -errno;
      }
      const hasFd = Number(this.#header.readBigUInt64LE(40)) >= CONTROL_LENGTH;
      this.receivedFd = hasFd ? this.#control.readInt32LE(16) : -1;
      this.isCut = (this.#header.readInt32LE(48) & MSG_CTRUNC) !== 0;
      return length;
    }
  }

  #offerControl(isWanted: boolean): void {
    this.#header.writeBigUInt64LE(isWanted ? koffi.address(this.#control) : 0n, 32);
    this.#header.writeBigUInt64LE(BigInt(isWanted ? CONTROL_BYTES : 0), 40);
    this.#header.writeInt32LE(0, 48);
  }
}
