/** Worker threads that share a list of tasks. Which thread does what changes nothing in the answers. */
import { Worker } from 'node:worker_threads';
import { HoldfastError } from '@holdfast/sdk';
import type { Answer, Task } from './task.js';

interface Reply {
  readonly answer?: Answer;
  readonly error?: string;
  /** Of an exploration under way. */
  readonly states?: number;
  readonly depth?: number;
}

const HEAP_MIB_MAX = 6144;

export type Progress = (task: Task, states: number, depth: number) => void;

export class Crew {
  readonly #workers: readonly Worker[];

  constructor(
    jobs: number,
    private readonly progress: Progress = () => undefined,
  ) {
    const resourceLimits = { maxOldGenerationSizeMb: HEAP_MIB_MAX };
    this.#workers = Array.from({ length: jobs }, () => new Worker(new URL('./worker.js', import.meta.url), { resourceLimits }));
  }

  /**
   * Every task once; the next one is taken when a worker is free, so a generator may stop early.
   * @throws HoldfastError HF_SIMULATION_WORKER when a task fails by itself
   */
  async perform<T extends Task>(tasks: Iterable<T>, answered: (task: T, answer: Answer) => void): Promise<void> {
    const rest = tasks[Symbol.iterator]();
    await Promise.all(
      this.#workers.map(async (worker) => {
        for (let next = rest.next(); next.done !== true; next = rest.next())
          answered(next.value, await ask(worker, next.value, this.progress));
      }),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => worker.terminate()));
  }
}

async function ask(worker: Worker, task: Task, progress: Progress): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const failed = (cause: string): void => {
      reject(new HoldfastError('HF_SIMULATION_WORKER', `the task ${JSON.stringify(task)} failed: ${cause}`, { cause }));
    };
    const onError = (error: unknown): void => failed(String(error));
    worker.once('error', onError);
    const onMessage = ({ answer, error, states, depth }: Reply): void => {
      if (states !== undefined && depth !== undefined) return progress(task, states, depth);
      worker.off('error', onError);
      worker.off('message', onMessage);
      if (answer === undefined) failed(error ?? 'no answer');
      else resolve(answer);
    };
    worker.on('message', onMessage);
    worker.postMessage(task);
  });
}
