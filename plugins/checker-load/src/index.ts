/**
 * Watches how long work waits for memory, disks and processors, and swapping, resource `load.<ident>`:
 *
 *     <load ident="memory" action="stopstart" fall="3"><to memory="30" swap="50M" over="10s"/></load>
 */
import { Attributes, PeriodicCheck, type Plugin, readCheckHead } from '@holdfast/sdk';
import { LoadTest, type LoadLimits } from './load-test.js';

/** Reading a few lines of the kernel takes no time worth a setting. */
const TIMEOUT_MS = 1000;
const BYTES: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

export const plugin: Plugin = {
  register(context) {
    context.checker('load', {
      create: ({ configuration }) => {
        const attributes = new Attributes('load', configuration);
        const to = attributes.child('to');
        const test = new LoadTest(readLimits(to));
        return [
          new PeriodicCheck({
            ...readCheckHead(attributes),
            intervalMs: to.number('interval'),
            timeoutMs: TIMEOUT_MS,
            test: async () => test.run(performance.now()),
            close: async () => test.forget(),
          }),
        ];
      },
    });
  },
};

function readLimits(to: Attributes): LoadLimits {
  const demands = (['memory', 'memory_some', 'io', 'cpu'] as const).flatMap((name) => {
    const percentMax = to.optionalNumber(name);
    return percentMax === undefined ? [] : [{ name, percentMax }];
  });
  const swap = to.optionalText('swap');
  const cgroup = to.optionalText('cgroup');
  return {
    demands,
    over: to.word('over', ['10s', '60s', '300s']),
    ...(swap === undefined ? {} : { swapBytesPerSecondMax: Number(swap.slice(0, -1)) * (BYTES[swap.slice(-1)] ?? 1) }),
    ...(cgroup === undefined ? {} : { cgroup }),
  };
}
