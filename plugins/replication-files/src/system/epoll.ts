/** One epoll set for the data thread: descriptors with a handler each, waited for in a blocking call. */
import { HoldfastError } from '@holdfast/sdk';
import { close, epollCreate, epollCtl, epollWait } from './calls.js';
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from './constants.js';
import { EINTR, errnoName } from './errno.js';

const EVENTS_MAX = 32;
/** `struct epoll_event` is packed on x64 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA_OFFSET = EVENT_BYTES - 8;

export type ReadyHandler = (events: number) => void;

export class EpollSet {
  readonly #epoll: number;
  readonly #events = Buffer.alloc(EVENT_BYTES * EVENTS_MAX);
  readonly #event = Buffer.alloc(EVENT_BYTES);
  readonly #handlers = new Map<number, ReadyHandler>();

  constructor() {
    this.#epoll = epollCreate();
    if (this.#epoll < 0) throw new HoldfastError('HF_REPLICATION_SYSTEM', `epoll_create1: ${errnoName(this.#epoll)}`);
  }

  /** Level-triggered. The descriptor stays the caller's: `remove` before closing it. */
  add(fd: number, events: number, handler: ReadyHandler): void {
    this.#control(EPOLL_CTL_ADD, fd, events);
    this.#handlers.set(fd, handler);
  }

  change(fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events);
  }

  remove(fd: number): void {
    if (!this.#handlers.delete(fd)) return;
    this.#control(EPOLL_CTL_DEL, fd, 0);
  }

  /** Waits for at least one event (or the timeout) and calls the handlers. -1 waits without limit. */
  wait(timeoutMs: number): void {
    const count = epollWait(this.#epoll, this.#events, EVENTS_MAX, timeoutMs);
    if (count < 0) {
      if (count === -EINTR) return;
      throw new HoldfastError('HF_REPLICATION_SYSTEM', `epoll_wait: ${errnoName(count)}`);
    }
    for (let i = 0; i < count; i += 1) {
      const at = i * EVENT_BYTES;
      const fd = this.#events.readInt32LE(at + DATA_OFFSET);
      // A handler that ran earlier in this round may have removed this descriptor.
      this.#handlers.get(fd)?.(this.#events.readUInt32LE(at));
    }
  }

  close(): void {
    this.#handlers.clear();
    close(this.#epoll);
  }

  #control(operation: number, fd: number, events: number): void {
    this.#event.writeUInt32LE(events >>> 0, 0);
    this.#event.fill(0, 4);
    this.#event.writeInt32LE(fd, DATA_OFFSET);
    const outcome = epollCtl(this.#epoll, operation, fd, this.#event);
    if (outcome < 0) throw new HoldfastError('HF_REPLICATION_SYSTEM', `epoll_ctl of descriptor ${fd}: ${errnoName(outcome)}`);
  }
}
