/**
 * The few calls of the C library that Node lacks: netlink and packet sockets. Called through koffi, so nothing is compiled. All sockets
 * are non-blocking: the agent's event loop never waits here. Symbols come from the running process, which works with every C library.
 */
import { HoldfastError, messageOf } from '@holdfast/sdk';
import koffi from 'koffi';

export const AF_NETLINK = 16;
export const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;

/** The error numbers that are told apart here; the same on every platform that is supported. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EADDRNOTAVAIL: 99,
} as const;

interface Libc {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Buffer, length: number) => number;
  readonly send: (fd: number, data: Buffer, length: number, flags: number) => number;
  readonly sendto: (fd: number, data: Buffer, length: number, flags: number, address: Buffer, addressLength: number) => number;
  readonly recv: (fd: number, data: Buffer, length: number, flags: number) => number;
  readonly setsockopt: (fd: number, level: number, option: number, value: Buffer, length: number) => number;
  readonly attachFilter: (fd: number, level: number, option: number, program: { len: number; filter: Buffer }, length: number) => number;
  readonly close: (fd: number) => Promise<number>;
}

let loaded: Libc | undefined;

function libc(): Libc {
  loaded ??= load();
  return loaded;
}

/** On first use and not at import: a plug-in that only registers must not fail on a machine where it will never be used. */
function load(): Libc {
  try {
    const library = koffi.load(null);
    const program = koffi.struct({ len: 'uint16', filter: 'void *' });
    const close = library.func('int close(int)');
    return {
      socket: library.func('int socket(int, int, int)'),
      bind: library.func('int bind(int, const void *, uint32_t)'),
      send: library.func('int64_t send(int, const void *, size_t, int)'),
      sendto: library.func('int64_t sendto(int, const void *, size_t, int, const void *, uint32_t)'),
      recv: library.func('int64_t recv(int, void *, size_t, int)'),
      setsockopt: library.func('int setsockopt(int, int, int, const void *, uint32_t)'),
      attachFilter: library.func('setsockopt', 'int', ['int', 'int', 'int', koffi.pointer(program), 'uint32_t']),
      close: (fd) =>
        new Promise((resolve, reject) => {
          close.async(fd, (error: unknown, result: number) => (error === null ? resolve(result) : reject(new Error(messageOf(error)))));
        }),
    };
  } catch (error) {
    throw new HoldfastError(
      'HF_VIP_PLATFORM',
      `the C library's socket calls cannot be loaded: ${messageOf(error)}; vip-arp needs Linux on x64 or arm64`,
      { platform: process.platform, arch: process.arch },
      { cause: error },
    );
  }
}

/** A system call's refusal, by the name that `errno(3)` lists; callers turn it into a sentence with the address and interface. */
export class SystemCallFailed extends Error {
  readonly call: string;
  readonly errno: number;
  readonly errnoName: string;

  constructor(call: string, errno: number) {
    const errnoName = nameOfErrno(errno);
    super(`${call}: ${errnoName}`);
    this.name = 'SystemCallFailed';
    this.call = call;
    this.errno = errno;
    this.errnoName = errnoName;
  }
}

export function nameOfErrno(errno: number): string {
  return Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}

/** @throws SystemCallFailed, with EPERM when the capability for this kind of socket is missing. */
export function openRawSocket(family: number, protocol: number): number {
  const fd = libc().socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) throw new SystemCallFailed('socket', koffi.errno());
  return fd;
}

export function bindSocket(fd: number, address: Buffer): void {
  if (libc().bind(fd, address, address.length) < 0) throw new SystemCallFailed('bind', koffi.errno());
}

/** @returns whether the kernel accepted the option. */
export function setSocketOption(fd: number, level: number, option: number, value: number): boolean {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return libc().setsockopt(fd, level, option, buffer, 4) === 0;
}

/** Attaches a classic BPF program of 8-byte instructions: frames that it refuses never reach this process. */
export function attachSocketFilter(fd: number, instructions: Buffer): void {
  const program = { len: instructions.length / 8, filter: instructions };
  if (libc().attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, 16) < 0) throw new SystemCallFailed('setsockopt', koffi.errno());
}

export function sendOn(fd: number, data: Buffer): void {
  if (libc().send(fd, data, data.length, 0) < 0) throw new SystemCallFailed('send', koffi.errno());
}

export function sendOnTo(fd: number, data: Buffer, address: Buffer): void {
  if (libc().sendto(fd, data, data.length, 0, address, address.length) < 0) throw new SystemCallFailed('sendto', koffi.errno());
}

/** @returns the number of bytes, or undefined when nothing waits. */
export function receiveOn(fd: number, into: Buffer): number | undefined {
  const length = libc().recv(fd, into, into.length, 0);
  if (length >= 0) return length;
  const errno = koffi.errno();
  if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return undefined;
  throw new SystemCallFailed('recv', errno);
}

/** In a pool thread: closing a packet socket waits 10 to 20 ms for a grace period of the kernel. */
export async function closeSocket(fd: number): Promise<void> {
  await libc().close(fd);
}
