/** Watches processes by name or arguments: one resource per `proc` of the `errd` element. */
import type { Plugin } from '@holdfast/sdk';
import { readWatchedProcesses } from './configuration.js';
import { ProcessCheck } from './process-check.js';
import { ProcessWatch } from './process-watch.js';

/** Shared by all modules of the agent: one thread, one scan. */
const processWatch = new ProcessWatch();

export const plugin: Plugin = {
  register(context) {
    context.checker('errd', {
      create: ({ configuration, log }) =>
        readWatchedProcesses(configuration).map((watched) => new ProcessCheck(watched, processWatch, log)),
    });
  },
};
