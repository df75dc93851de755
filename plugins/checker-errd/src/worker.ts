/** The thread of the process watcher: reads requests when it is woken, and ends when told to. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { WorkerRequest, WorkerSettings } from './observation.js';
import { ProcessWatcher } from './process-watcher.js';

const { wakeUpFd, stopFlag } = workerData as WorkerSettings;
const stop = new Int32Array(stopFlag);

if (parentPort !== null) {
  const port = parentPort;
  const watcher = new ProcessWatcher(wakeUpFd, (observation) => port.postMessage(observation));
  while (Atomics.load(stop, 0) === 0) {
    // The thread never returns to its event loop, so messages are fetched by hand.
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      watcher.accept(next.message as WorkerRequest);
    }
    watcher.turn();
  }
  watcher.close();
  port.close();
}
