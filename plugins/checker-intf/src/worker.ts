/** The thread that hears of links and addresses: asleep in the kernel, one message per burst of changes, ended by its wake-up. */
import { parentPort, workerData } from 'node:worker_threads';
import { closeDescriptor, drain, openRouteEvents, waitReadable } from './libc.js';
import type { LinkEventsSettings } from './link-events.js';

const { wakeUpFd } = workerData as LinkEventsSettings;

if (parentPort !== null) {
  const events = openRouteEvents();
  try {
    while (!waitReadable(events, wakeUpFd)) {
      drain(events);
      parentPort.postMessage('changed');
    }
  } finally {
    closeDescriptor(events);
    parentPort.close();
  }
}
