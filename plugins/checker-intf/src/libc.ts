/** The calls of the kernel that Node lacks: its route events (netlink) and waiting for them. Through koffi, nothing is compiled. */
import koffi from 'koffi';

const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const NETLINK_ROUTE = 0;
const RTMGRP_LINK = 0x1;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV6_IFADDR = 0x100;
const EFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;
const POLLIN = 1;
/** struct pollfd: descriptor, wanted events, returned events. */
const POLL_BYTES = 8;
const MESSAGE_BYTES_MAX = 65_536;

const library = koffi.load(null);
const openSocket = library.func('int socket(int, int, int)') as (domain: number, type: number, protocol: number) => number;
const bind = library.func('int bind(int, const void *, uint32_t)') as (fd: number, address: Buffer, length: number) => number;
const receive = library.func('int64_t recv(int, void *, size_t, int)') as (
  fd: number,
  into: Buffer,
  length: number,
  flags: number,
) => number;
const poll = library.func('int poll(void *, unsigned long, int)') as (entries: Buffer, count: number, timeoutMs: number) => number;
const eventFd = library.func('int eventfd(unsigned int, int)') as (initial: number, flags: number) => number;
const write = library.func('int64_t write(int, const void *, size_t)') as (fd: number, from: Buffer, length: number) => number;
const close = library.func('int close(int)') as (fd: number) => number;

const ONE = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
const MESSAGE = Buffer.alloc(MESSAGE_BYTES_MAX);

/** A counter that one thread raises to wake another. @throws Error */
export function openWakeUp(): number {
  return checked('eventfd', eventFd(0, EFD_NONBLOCK_CLOEXEC));
}

export function wake(fd: number): void {
  write(fd, ONE, ONE.length);
}

export function closeDescriptor(fd: number): void {
  close(fd);
}

/** A socket that becomes readable when a link or an address changes in this network namespace. @throws Error */
export function openRouteEvents(): number {
  const fd = checked('socket', openSocket(AF_NETLINK, SOCK_RAW_NONBLOCK_CLOEXEC, NETLINK_ROUTE));
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, 8);
  if (bind(fd, address, address.length) < 0) {
    const errno = koffi.errno();
    close(fd);
    throw new Error(`bind: errno ${errno}`);
  }
  return fd;
}

/** Forgets what was said: that something changed is enough, also when so much was said that the kernel dropped some (ENOBUFS). */
export function drain(fd: number): void {
  const again = (): boolean => receive(fd, MESSAGE, MESSAGE.length, 0) >= 0 || koffi.errno() === koffi.os.errno.ENOBUFS;
  while (again());
}

/** Blocks its thread: for workers only. @returns whether it was woken to end */
export function waitReadable(eventsFd: number, wakeUpFd: number): boolean {
  const entries = Buffer.alloc(2 * POLL_BYTES);
  for (const [index, fd] of [eventsFd, wakeUpFd].entries()) {
    entries.writeInt32LE(fd, index * POLL_BYTES);
    entries.writeInt16LE(POLLIN, index * POLL_BYTES + 4);
  }
  poll(entries, 2, -1);
  return entries.readInt16LE(POLL_BYTES + 6) !== 0;
}

function checked(call: string, result: number): number {
  if (result < 0) throw new Error(`${call}: errno ${koffi.errno()}`);
  return result;
}
