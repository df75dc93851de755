/**
 * Watches whatever an executable of the module looks at, resource `custom.<ident>`. Without `interval` it is the reference product's
 * endless script, which calls `holdfast set`; with it, every run's exit status is the verdict:
 *
 *     <custom ident="door" exec="watch_door" arg="front" action="stopstart"/>
 *     <custom ident="queue" exec="queue_is_short" interval="10s" timeout="5s" action="restart"/>
 */
import { isAbsolute, join } from 'node:path';
import { Attributes, PeriodicCheck, type Plugin, readCheckHead } from '@holdfast/sdk';
import { EndlessCheck } from './endless-check.js';
import { runOnce } from './run.js';

export const plugin: Plugin = {
  register(context) {
    context.checker('custom', {
      create: ({ configuration, module, scripts, log }) => {
        const attributes = new Attributes('custom', configuration);
        const head = readCheckHead(attributes);
        const exec = attributes.text('exec');
        const words = (attributes.optionalText('arg') ?? '').split(/\s+/).filter((word) => word !== '');
        const program = {
          path: isAbsolute(exec) ? exec : join(scripts?.directory ?? '', exec),
          through: scripts?.through?.(head.phase) ?? [],
          name: exec,
          // As the reference product calls it.
          arguments: [module, head.resource, ...words],
          directory: scripts?.directory ?? '/',
          environment: scripts?.environment ?? {},
        };
        const intervalMs = attributes.optionalNumber('interval');
        if (intervalMs === undefined) {
          if (attributes.has('timeout')) {
            throw attributes.refusal('HF_CUSTOM_TIMEOUT', 'timeout of <custom> needs interval: an endless script never ends', 'timeout');
          }
          return [new EndlessCheck(head, program, log)];
        }
        const timeoutMs = attributes.optionalNumber('timeout') ?? DEFAULT_TIMEOUT_MS;
        return [new PeriodicCheck({ ...head, intervalMs, timeoutMs, test: (signal) => runOnce(program, timeoutMs, signal) })];
      },
    });
  },
};

const DEFAULT_TIMEOUT_MS = 5000;
