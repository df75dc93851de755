/** One thread of `npm run simulate`: performs the tasks that it is sent, one after the other. */
import { parentPort } from 'node:worker_threads';
import { messageOf } from '@holdfast/sdk';
import { perform, type Task } from './task.js';

parentPort?.on('message', (task: Task) => {
  const progress = (states: number, depth: number): void => parentPort?.postMessage({ states, depth });
  perform(task, progress).then(
    (answer) => parentPort?.postMessage({ answer }),
    (error: unknown) => parentPort?.postMessage({ error: messageOf(error) }),
  );
});
