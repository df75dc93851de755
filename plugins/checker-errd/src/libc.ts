/**
 * The calls of the kernel that Node lacks: process descriptors (a process's death makes its descriptor readable) and waiting on many of
 * them at once. Through koffi, nothing is compiled; symbols come from the running process, which works with every C library.
 */
import koffi from 'koffi';

const SYS_PIDFD_OPEN = 434;
const EPOLL_CLOEXEC = 0o2000000;
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
const EVENTS_PER_WAIT_MAX = 64;
/** The kernel packs this structure on x64 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EVENT_DATA_OFFSET = EVENT_BYTES - 8;

const library = koffi.load(null);
const syscall = library.func('long syscall(long, long, unsigned long)') as (number: number, first: number, second: number) => number;
const epollCreate = library.func('int epoll_create1(int)') as (flags: number) => number;
const epollControl = library.func('int epoll_ctl(int, int, int, const void *)') as (
  epoll: number,
  operation: number,
  fd: number,
  event: Buffer,
) => number;
const epollWait = library.func('int epoll_wait(int, void *, int, int)') as (
  epoll: number,
  events: Buffer,
  length: number,
  timeoutMs: number,
) => number;
const eventFd = library.func('int eventfd(unsigned int, int)') as (initial: number, flags: number) => number;
const read = library.func('int64_t read(int, void *, size_t)') as (fd: number, into: Buffer, length: number) => number;
const write = library.func('int64_t write(int, const void *, size_t)') as (fd: number, from: Buffer, length: number) => number;
const close = library.func('int close(int)') as (fd: number) => number;

const ONE = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

/** @returns undefined when the process is gone, or there is no descriptor to be had (limits, a kernel before 5.3) */
export function openProcessDescriptor(pid: number): number | undefined {
  const fd = syscall(SYS_PIDFD_OPEN, pid, 0);
  return fd < 0 ? undefined : fd;
}

/** A counter that one thread raises to wake another. @throws Error */
export function openWakeUp(): number {
  return checked('eventfd', eventFd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

export function wake(fd: number): void {
  write(fd, ONE, 8);
}

export function clearWakeUp(fd: number): void {
  read(fd, Buffer.alloc(8), 8);
}

export function closeDescriptor(fd: number): void {
  close(fd);
}

/** Waits for descriptors to become readable. Blocks its thread: for workers only. */
export class ReadinessWait {
  private readonly epoll = checked('epoll_create1', epollCreate(EPOLL_CLOEXEC));
  private readonly events = Buffer.alloc(EVENT_BYTES * EVENTS_PER_WAIT_MAX);

  /** The descriptor leaves the set by being closed. @returns whether the kernel took it */
  add(fd: number): boolean {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(EPOLLIN, 0);
    event.writeInt32LE(fd, EVENT_DATA_OFFSET);
    return epollControl(this.epoll, EPOLL_CTL_ADD, fd, event) === 0;
  }

  /**
   * @param timeoutMs Infinity: until something happens
   * @returns the readable descriptors, none when the time is over or a signal came
   */
  wait(timeoutMs: number): readonly number[] {
    const timeout = timeoutMs === Infinity ? -1 : Math.max(0, Math.ceil(timeoutMs));
    const count = epollWait(this.epoll, this.events, EVENTS_PER_WAIT_MAX, timeout);
    return Array.from({ length: Math.max(0, count) }, (_, index) => this.events.readInt32LE(index * EVENT_BYTES + EVENT_DATA_OFFSET));
  }

  close(): void {
    closeDescriptor(this.epoll);
  }
}

function checked(call: string, result: number): number {
  if (result < 0) throw new Error(`${call}: errno ${koffi.errno()}`);
  return result;
}
