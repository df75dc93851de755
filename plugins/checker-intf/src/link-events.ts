/**
 * What the kernel says about links and addresses, from one thread for all checks of the agent, which sleeps in the kernel: started with the
 * first subscriber, ended with the last. Best effort: who subscribes looks by itself as well, now and then.
 */
import { Worker } from 'node:worker_threads';
import { messageOf } from '@holdfast/sdk';
import { closeDescriptor, openWakeUp, wake } from './libc.js';

export interface LinkEventsSettings {
  /** Readable when the thread shall end. */
  readonly wakeUpFd: number;
}

interface Subscriber {
  readonly changed: () => void;
  readonly failed: (message: string) => void;
}

interface Thread {
  readonly end: () => Promise<void>;
}

export class LinkEvents {
  private readonly subscribers = new Set<Subscriber>();
  private thread: Thread | undefined;

  /** @returns ends the subscription; resolves when the thread has ended, if this was the last. */
  subscribe(changed: () => void, failed: (message: string) => void): () => Promise<void> {
    const subscriber: Subscriber = { changed, failed };
    this.subscribers.add(subscriber);
    this.thread ??= this.startThread();
    return async () => {
      this.subscribers.delete(subscriber);
      const { thread } = this;
      if (this.subscribers.size > 0 || thread === undefined) return;
      this.thread = undefined;
      await thread.end();
    };
  }

  private startThread(): Thread | undefined {
    try {
      return openThread(
        () => {
          for (const { changed } of this.subscribers) changed();
        },
        (message) => {
          for (const { failed } of this.subscribers) failed(message);
        },
      );
    } catch (error) {
      for (const { failed } of this.subscribers) failed(messageOf(error));
      return undefined;
    }
  }
}

function openThread(changed: () => void, failed: (message: string) => void): Thread {
  const wakeUpFd = openWakeUp();
  const settings: LinkEventsSettings = { wakeUpFd };
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: settings, name: 'holdfast-intf' });
  let ending = false;
  const release = (): void => wake(wakeUpFd);
  // A thread that sleeps in the kernel would hold up the end of the process.
  process.once('exit', release);
  worker.on('message', () => {
    if (!ending) changed();
  });
  worker.on('error', (error) => failed(messageOf(error)));
  worker.unref();
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      process.off('exit', release);
      closeDescriptor(wakeUpFd);
      resolve();
    });
  });
  return {
    end: async () => {
      ending = true;
      // Whoever waits for the end must see it, also when nothing else keeps the process.
      worker.ref();
      release();
      await ended;
    },
  };
}
