/**
 * Links that lose their carrier, are set down and vanish. Run by the tests in namespaces of its own
 * (network, and mounts for /sys); without an argument it lists its cases, with one it runs that case and ends with 1 when it fails.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { Check, ElementValue } from '@holdfast/sdk';
import { checkerCases, type ConformanceCase } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { verdictWithin, watched } from '@holdfast/sdk/testkit/watched';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/intf.json', import.meta.url), 'utf8'));

function create(to: ElementValue): Check {
  const [check] = createdChecks(plugin, SCHEMA, { ident: 'lan', to: [to] });
  assert(check !== undefined);
  return check;
}

function ip(words: string): void {
  execFileSync('ip', words.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] });
}

const until = verdictWithin(5000);

function makeLink(): void {
  ip('link add lan0 type veth peer name lan1');
  ip('addr add 192.0.2.10/24 dev lan0');
  ip('link set lan0 up');
  ip('link set lan1 up');
}

const OWN: readonly ConformanceCase[] = [
  {
    title: 'tells a lost carrier from an interface that was set down, and from one that is gone',
    run: async () => {
      makeLink();
      await watched(create({ local_addr: '192.0.2.10' }), async (results) => {
        await until(results, 'up', /^lan0 \(192\.0\.2\.10\) is up/);
        ip('link set lan1 down');
        await until(results, 'down', /lan0 \(192\.0\.2\.10\) has no carrier/);
        ip('link set lan1 up');
        await until(results, 'up', /is up/);
        ip('link set lan0 down');
        await until(results, 'down', /was set down/);
        ip('link set lan0 up');
        await until(results, 'up', /is up/);
        ip('link del lan0');
        await until(results, 'down', /is gone/);
      });
    },
  },
  {
    title: 'hears of a lost carrier at once, not at the next look',
    run: async () => {
      makeLink();
      await watched(create({ local_addr: '192.0.2.10' }), async (results) => {
        await until(results, 'up', /is up/);
        const tookMs: number[] = [];
        for (let round = 0; round < 7; round += 1) {
          ip('link set lan1 down');
          const beganMs = performance.now();
          await until(results, 'down', /carrier/);
          tookMs.push(performance.now() - beganMs);
          ip('link set lan1 up');
          await until(results, 'up', /is up/);
        }
        const median = tookMs.sort((a, b) => a - b)[3] ?? Infinity;
        assert(median < 200, `median ${median.toFixed(1)} ms`);
      });
    },
  },
  {
    title: 'leaves an address that moved away from its link to the checker of addresses',
    run: async () => {
      makeLink();
      await watched(create({ local_addr: '192.0.2.10' }), async (results) => {
        await until(results, 'up', /is up/);
        ip('addr del 192.0.2.10/24 dev lan0');
        await until(results, 'up', /lan0 is up, but does not have 192\.0\.2\.10 any more/);
      });
    },
  },
  {
    title: 'is down when no interface has the address',
    run: () =>
      watched(create({ local_addr: '192.0.2.99' }), (results) => until(results, 'down', /no interface that is up has 192\.0\.2\.99/)),
  },
];

const subject = {
  create: (): Check => create({ local_addr: '192.0.2.10' }),
  makeUp: async (): Promise<void> => {
    if (existsSync('/sys/class/net/lan0')) ip('link set lan0 up');
    else makeLink();
  },
  makeDown: async (): Promise<void> => ip('link set lan0 down'),
};
const CASES = [...OWN, ...checkerCases(subject)];

const title = process.argv[2];
if (title === undefined) {
  process.stdout.write(JSON.stringify(CASES.map((one) => one.title)));
} else {
  const chosen = CASES.find((one) => one.title === title);
  assert(chosen !== undefined, title);
  await chosen.run();
}
