/**
 * Hosts that answer, do not answer and cannot be reached. Run by the tests in namespaces of its own
 * (network, and mounts for /sys); without an argument it lists its cases, with one it runs that case and ends with 1 when it fails.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Check, CheckResult, ElementValue } from '@holdfast/sdk';
import { checkerCases, type ConformanceCase } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { verdictWithin, watched } from '@holdfast/sdk/testkit/watched';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/ping.json', import.meta.url), 'utf8'));

function create(to: ElementValue): Check {
  const [check] = createdChecks(plugin, SCHEMA, { ident: 'lan', to: [to] });
  assert(check !== undefined);
  return check;
}

function ip(words: string): void {
  execFileSync('ip', words.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] });
}

function nft(command: string): void {
  execFileSync('nft', [command], { stdio: ['ignore', 'ignore', 'inherit'] });
}

const until = verdictWithin(5000);

const OWN: readonly ConformanceCase[] = [
  {
    title: 'pings over IPv4 and IPv6, by address and by name, without starting a program',
    run: async () => {
      for (const addr of ['127.0.0.1', '::1', 'localhost']) {
        await watched(create({ addr, interval: 50, timeout: 1000 }), (results) => until(results, 'up', /answers in [0-9.]+ ms$/));
      }
    },
  },
  {
    title: 'is down when nobody answers, and when there is no way there',
    run: async () => {
      await watched(create({ addr: '192.0.2.1', interval: 50, timeout: 300 }), (results) =>
        until(results, 'down', /network unreachable: 192\.0\.2\.1/),
      );
      ip('link add lan0 type veth peer name lan1');
      ip('link set lan1 up');
      ip('link set lan0 up');
      ip('addr add 192.0.2.10/24 dev lan0');
      await watched(create({ addr: '192.0.2.1', interval: 50, timeout: 300 }), (results) =>
        until(results, 'down', /192\.0\.2\.1 does not answer within 300 ms/),
      );
    },
  },
  ...([4, 6] as const).map((version) => ({
    title: `is down while a filter drops the ICMP of IPv${version}, and up again after it`,
    run: async (): Promise<void> => {
      const [addr, rule] =
        version === 4 ? ['192.0.2.10', 'icmp type echo-request drop'] : ['2001:db8::10', 'icmpv6 type echo-request drop'];
      ip(`addr add ${addr}/${version === 4 ? 32 : 128} dev lo`);
      nft('add table inet filter');
      nft('add chain inet filter input { type filter hook input priority 0 ; }');
      await watched(create({ addr, interval: 50, timeout: 200 }), async (results) => {
        await until(results, 'up', /answers/);
        nft(`add rule inet filter input ${rule}`);
        await until(results, 'down', /does not answer within 200 ms/);
        nft('flush chain inet filter input');
        await until(results, 'up', /answers/);
      });
    },
  })),
  {
    title: 'says unknown when the name is not known',
    run: () =>
      watched(create({ addr: 'no-such-host.invalid', timeout: 500 }), (results) => until(results, 'unknown', /the name is not known/)),
  },
  {
    title: 'does not take the answers to others for its own',
    run: async () => {
      const checks = Array.from({ length: 5 }, () => create({ addr: '127.0.0.1', interval: 20, timeout: 1000 }));
      const results: CheckResult[] = [];
      await Promise.all(checks.map((check) => check.start((result) => results.push(result))));
      await until(results, 'up', /answers/);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await Promise.all(checks.map((check) => check.stop()));
      assert(results.every(({ verdict }) => verdict === 'up') && results.length > 20, JSON.stringify(results));
    },
  },
];

const subject = {
  create: (): Check => create({ addr: '192.0.2.10', interval: 50, timeout: 200 }),
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
