/** Watches processes by name or arguments, and services: one resource per `proc` of the `errd` element. */
import type { Plugin } from '@holdfast/sdk';
import { readWatchedProcesses } from './configuration.js';
import { ProcessCheck } from './process-check.js';
import { ProcessWatch } from './process-watch.js';
import { ServiceCheck } from './service-check.js';

/** Shared by all modules of the agent: one thread, one scan. */
const processWatch = new ProcessWatch();

export const plugin: Plugin = {
  register(context) {
    context.checker('errd', {
      create: ({ configuration, log }) =>
        readWatchedProcesses(configuration).map((watched) =>
          watched.service === undefined
            ? new ProcessCheck(watched, processWatch, log)
            : new ServiceCheck(watched, watched.service, processWatch),
        ),
    });
  },
};
