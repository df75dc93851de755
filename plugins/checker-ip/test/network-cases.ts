/**
 * Addresses that come and go on real links. Run by the tests in namespaces of its own
 * (network, and mounts for /sys); without an argument it lists its cases, with one it runs that case and ends with 1 when it fails.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import type { Check, ElementValue } from '@holdfast/sdk';
import { checkerCases, type ConformanceCase } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { verdictWithin, watched } from '@holdfast/sdk/testkit/watched';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/ip.json', import.meta.url), 'utf8'));

function create(to: ElementValue): Check {
  const [check] = createdChecks(plugin, SCHEMA, { ident: 'lan', to: [to] });
  assert(check !== undefined);
  return check;
}

function ip(words: string): void {
  execFileSync('ip', words.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] });
}

const until = verdictWithin(5000);

async function waitForOwnNetwork(pid: number): Promise<void> {
  const beganMs = performance.now();
  while (readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net')) {
    assert(performance.now() - beganMs < 5000, 'the other host has no network of its own');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const OWN: readonly ConformanceCase[] = [
  {
    title: 'is up while the address is on an interface that is up, however it is written',
    run: async () => {
      ip('link add lan0 type veth peer name lan1');
      ip('link set lan1 up');
      ip('addr add 192.0.2.10/24 dev lan0');
      ip('addr add 2001:db8::10/64 dev lan0 nodad');
      await watched(create({ addr: '192.0.2.10', interval: 20 }), async (results) => {
        await until(results, 'down', /192\.0\.2\.10 is on no interface that is up/);
        ip('link set lan0 up');
        await until(results, 'up', /192\.0\.2\.10 is on lan0$/);
        ip('addr del 192.0.2.10/24 dev lan0');
        await until(results, 'down', /no interface/);
      });
      ip('addr replace 2001:db8::10/64 dev lan0 nodad');
      await watched(create({ addr: '2001:DB8:0:0::0010', interval: 20 }), (results) => until(results, 'up', /is on lan0$/));
    },
  },
  {
    title: 'is down with an IPv6 address that another host has',
    run: async () => {
      ip('link add lan0 type veth peer name lan1');
      const other = spawn('unshare', ['--net', 'sleep', '60'], { stdio: 'ignore' });
      try {
        await waitForOwnNetwork(other.pid ?? 0);
        ip(`link set lan1 netns ${other.pid}`);
        const there = (words: string): void => {
          execFileSync('nsenter', ['--net', `--target=${other.pid}`, 'ip', ...words.split(' ')], {
            stdio: ['ignore', 'ignore', 'inherit'],
          });
        };
        there('link set lan1 up');
        there('addr add 2001:db8::10/64 dev lan1 nodad');
        ip('link set lan0 up');
        ip('addr add 2001:db8::10/64 dev lan0');
        await watched(create({ addr: '2001:db8::10', interval: 20 }), (results) =>
          until(results, 'down', /is a duplicate: another host has it/),
        );
      } finally {
        other.kill('SIGKILL');
      }
    },
  },
];

const subject = {
  create: (): Check => create({ addr: '192.0.2.10', interval: 20 }),
  makeUp: async (): Promise<void> => ip('addr replace 192.0.2.10/32 dev lo'),
  makeDown: async (): Promise<void> => ip('addr del 192.0.2.10/32 dev lo'),
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
