/**
 * One watching thread for all checks of this agent: started with the first watch, ended with the last. If it fails it is started again,
 * and whoever watches is told meanwhile that nothing is known.
 */
import { Worker } from 'node:worker_threads';
import { messageOf } from '@holdfast/sdk';
import { closeDescriptor, openWakeUp, wake } from './libc.js';
import type { Observation, WatchRequest, WorkerRequest, WorkerSettings } from './observation.js';

const RESTART_AFTER_MS = 1000;

export interface WatchListener {
  observed(observation: Observation): void;
  /** The thread failed; observations go on when it runs again. */
  failed(message: string): void;
}

interface Thread {
  readonly worker: Worker;
  readonly wakeUpFd: number;
  readonly stop: Int32Array;
  readonly ended: Promise<void>;
}

export class ProcessWatch {
  private readonly watches = new Map<number, { readonly request: WatchRequest; readonly listener: WatchListener }>();
  private thread: Thread | undefined;
  private restart: NodeJS.Timeout | undefined;
  private lastId = 0;

  /** @returns ends this watch; no call of the listener after it was called. Resolves when the thread ended, if this was the last. */
  watch(wanted: Omit<WatchRequest, 'kind' | 'id'>, listener: WatchListener): () => Promise<void> {
    this.lastId += 1;
    const request: WatchRequest = { kind: 'watch', id: this.lastId, ...wanted };
    this.watches.set(request.id, { request, listener });
    if (this.thread === undefined) this.startThread();
    else this.send(this.thread, request);
    return () => this.unwatch(request.id);
  }

  private async unwatch(id: number): Promise<void> {
    const thread = this.thread;
    if (!this.watches.delete(id)) return;
    if (this.watches.size > 0) {
      if (thread !== undefined) this.send(thread, { kind: 'unwatch', id });
      return;
    }
    clearTimeout(this.restart);
    this.thread = undefined;
    if (thread === undefined) return;
    endThread(thread);
    await thread.ended;
  }

  private startThread(): void {
    clearTimeout(this.restart);
    try {
      const thread = openThread();
      this.thread = thread;
      thread.worker.on('message', (observation: Observation) => this.watches.get(observation.id)?.listener.observed(observation));
      thread.worker.on('error', (error) => this.failed(thread, messageOf(error)));
      thread.worker.on('exit', () => this.failed(thread, 'its thread ended'));
      // Last: listening for messages makes the thread count again.
      thread.worker.unref();
      for (const { request } of this.watches.values()) this.send(thread, request);
    } catch (error) {
      this.failed(undefined, messageOf(error));
    }
  }

  private failed(thread: Thread | undefined, message: string): void {
    if (thread !== this.thread || this.watches.size === 0) return;
    this.thread = undefined;
    clearTimeout(this.restart);
    this.restart = setTimeout(() => this.startThread(), RESTART_AFTER_MS).unref();
    for (const { listener } of this.watches.values()) listener.failed(message);
  }

  private send(thread: Thread, request: WorkerRequest): void {
    thread.worker.postMessage(request);
    wake(thread.wakeUpFd);
  }
}

function openThread(): Thread {
  const wakeUpFd = openWakeUp();
  const stopFlag = new SharedArrayBuffer(4);
  const settings: WorkerSettings = { wakeUpFd, stopFlag };
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: settings, name: 'holdfast-errd' });
  const stop = new Int32Array(stopFlag);
  // A thread that sleeps in the kernel would hold up the end of the process.
  const release = (): void => endThread({ wakeUpFd, stop });
  process.once('exit', release);
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      process.off('exit', release);
      closeDescriptor(wakeUpFd);
      resolve();
    });
  });
  return { worker, wakeUpFd, stop, ended };
}

function endThread({ wakeUpFd, stop }: Pick<Thread, 'wakeUpFd' | 'stop'>): void {
  Atomics.store(stop, 0, 1);
  wake(wakeUpFd);
}
