/**
 * Watches a file system: room, inodes, when it will be full, read-only, speed of fsync. Resource `disk.<ident>`:
 *
 *     <disk ident="data" action="noaction"><to path="/srv/data" free="10%" full_in="2h" slower="20"/></disk>
 */
import { PeriodicCheck, type Plugin } from '@holdfast/sdk';
import { readConfiguration } from './configuration.js';
import { DiskTest } from './disk-test.js';
import { FSYNC_FIGURE } from './judgement.js';

export const plugin: Plugin = {
  register(context) {
    context.checker('disk', {
      create: ({ configuration, peerFigure }) => {
        const { head, demands, intervalMs } = readConfiguration(configuration);
        const test = new DiskTest(demands, () => peerFigure?.(head.resource, FSYNC_FIGURE)?.value);
        return [
          new PeriodicCheck({
            ...head,
            intervalMs,
            timeoutMs: demands.timeoutMs,
            test: (signal) => test.run(signal),
            close: () => test.close(),
          }),
        ];
      },
    });
  },
};
