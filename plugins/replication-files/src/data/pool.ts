/**
 * The few calls that may wait for a disk (fsync, syncfs, cold reads) run on pool threads, so that the data thread never does. A job is a
 * mailbox in shared memory: the data thread fills it and wakes the worker, the worker answers through an eventfd of the data thread's
 * epoll set. Jobs beyond the number of workers wait in a queue; callers bound it (one job per request that the kernel has in flight).
 * A worker costs a tenth of a second of processor time to start: all but the first are started when they are needed, so that a process
 * that replaces another serves sooner.
 */
import { Worker } from 'node:worker_threads';
import { HoldfastError } from '@holdfast/sdk';
import * as sys from '../system/calls.js';
import { EFD_CLOEXEC, EFD_NONBLOCK, EPOLLIN } from '../system/constants.js';
import type { EpollSet } from '../system/epoll.js';
import { errnoName } from '../system/errno.js';
import { BOX, BOX_STATE, BOX_WORDS, CALLS, type PoolCall, type PoolWorkerData } from './pool-box.js';

/**
 * `read` answers a FUSE READ by itself, unless it fails; `write-back` starts to write a range to the disk; `load` brings a range into
 * the page cache; `close` ends `fd`; the others only use `fd`.
 */
export interface PoolJob {
  readonly call: PoolCall;
  readonly fd: number;
  readonly offset?: number;
  readonly length?: number;
  readonly replyFd?: number;
  readonly uniqueLow?: number;
  readonly uniqueHigh?: number;
}

export type PoolDone = (outcome: number) => void;

const WORKERS_MAX = 4;

export class Pool {
  readonly #boxes = new Int32Array(new SharedArrayBuffer(WORKERS_MAX * BOX_WORDS * 4));
  readonly #workers: Worker[] = [];
  #starting = 0;
  readonly #idle: number[] = [];
  readonly #running = new Map<number, PoolDone>();
  readonly #queue: { job: PoolJob; done: PoolDone }[] = [];
  /** Workers whose close has ended and was waited for, until the loop hears of it. */
  readonly #awaited = new Set<number>();
  readonly #onIdle: (() => void)[] = [];
  readonly #eventFd: number;
  readonly #epoll: EpollSet;
  readonly #eight = Buffer.alloc(8);

  constructor(epoll: EpollSet) {
    this.#epoll = epoll;
    this.#eventFd = sys.eventfd(EFD_NONBLOCK | EFD_CLOEXEC);
    if (this.#eventFd < 0) throw new HoldfastError('HF_REPLICATION_SYSTEM', `eventfd: ${errnoName(this.#eventFd)}`);
    epoll.add(this.#eventFd, EPOLLIN, () => {
      this.#collect();
    });
    this.#startWorker();
  }

  /** @param done called from the data thread's loop with 0 (or bytes), or -errno */
  run(job: PoolJob, done: PoolDone): void {
    const index = this.#idle.pop();
    if (index !== undefined) {
      this.#post(index, job, done);
      return;
    }
    this.#queue.push({ job, done });
    if (this.#workers.length < WORKERS_MAX && this.#queue.length > this.#starting) this.#startWorker();
  }

  /** Waits here until every descriptor that was to be closed is. @returns whether there was one: its blocks are free now */
  finishCloses(): boolean {
    const isWaited = this.#waitForCloses();
    const queued = this.#queue.filter(({ job }) => job.call === 'close');
    for (const waiting of queued) {
      this.#queue.splice(this.#queue.indexOf(waiting), 1);
      waiting.done(sys.close(waiting.job.fd));
    }
    return isWaited || queued.length > 0;
  }

  #waitForCloses(): boolean {
    let isWaited = false;
    for (const index of this.#running.keys()) {
      const at = index * BOX_WORDS;
      if (this.#boxes[at + BOX.call] !== CALLS.indexOf('close') || this.#awaited.has(index)) continue;
      while (Atomics.load(this.#boxes, at + BOX.state) === BOX_STATE.posted) {
        Atomics.wait(this.#boxes, at + BOX.state, BOX_STATE.posted);
      }
      // Whoever asked for it hears of it in the loop, as ever.
      this.#awaited.add(index);
      isWaited = true;
    }
    return isWaited;
  }

  /** Calls back, now or later, when no job is left that uses a descriptor: before descriptors are closed. */
  whenIdle(idle: () => void): void {
    if (this.#running.size === 0) idle();
    else this.#onIdle.push(idle);
  }

  /** Lets the workers end. No job may be pending. */
  close(): void {
    for (const index of this.#workers.keys()) this.#wake(index, BOX_STATE.ended);
    this.#epoll.remove(this.#eventFd);
    // A worker that has just started may be about to say so: its word must not go to another file with this number.
    if (this.#running.size === 0) sys.close(this.#eventFd);
  }

  /** Until it runs its jobs stay in the queue: another worker may be free sooner. */
  #startWorker(): void {
    const index = this.#workers.length;
    const workerData: PoolWorkerData = { shared: this.#boxes.buffer, index, eventFd: this.#eventFd };
    this.#workers.push(new Worker(new URL('./pool-worker.js', import.meta.url), { workerData }));
    this.#starting += 1;
    this.#post(index, { call: 'none', fd: -1 }, () => {
      this.#starting -= 1;
    });
  }

  #post(index: number, job: PoolJob, done: PoolDone): void {
    const at = index * BOX_WORDS;
    const boxes = this.#boxes;
    boxes[at + BOX.call] = CALLS.indexOf(job.call);
    boxes[at + BOX.fd] = job.fd;
    boxes[at + BOX.length] = job.length ?? 0;
    boxes[at + BOX.offsetLow] = (job.offset ?? 0) | 0;
    boxes[at + BOX.offsetHigh] = Math.floor((job.offset ?? 0) / 4294967296);
    boxes[at + BOX.replyFd] = job.replyFd ?? -1;
    boxes[at + BOX.uniqueLow] = (job.uniqueLow ?? 0) | 0;
    boxes[at + BOX.uniqueHigh] = (job.uniqueHigh ?? 0) | 0;
    this.#running.set(index, done);
    this.#wake(index, BOX_STATE.posted);
  }

  #wake(index: number, state: number): void {
    Atomics.store(this.#boxes, index * BOX_WORDS + BOX.state, state);
    Atomics.notify(this.#boxes, index * BOX_WORDS + BOX.state);
  }

  #collect(): void {
    sys.read(this.#eventFd, this.#eight, 8);
    for (const [index, done] of [...this.#running]) {
      const at = index * BOX_WORDS;
      if (Atomics.load(this.#boxes, at + BOX.state) !== BOX_STATE.done) continue;
      const outcome = this.#boxes[at + BOX.outcome] as number;
      this.#running.delete(index);
      this.#awaited.delete(index);
      const next = this.#queue.shift();
      if (next === undefined) {
        Atomics.store(this.#boxes, at + BOX.state, BOX_STATE.idle);
        this.#idle.push(index);
      } else this.#post(index, next.job, next.done);
      done(outcome);
    }
    if (this.#running.size === 0) for (const idle of this.#onIdle.splice(0)) idle();
  }
}
