/** The checker against this machine's own kernel, and files of a control group's form whose numbers the test writes. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check, CheckResult, ElementValue } from '@holdfast/sdk';
import { checkerCases } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { plugin } from '../src/index.js';
import { parsePressure, parseSwapped } from '../src/kernel-text.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/load.json', import.meta.url), 'utf8'));

function create(to: ElementValue): Check {
  const [check] = createdChecks(plugin, SCHEMA, { ident: 'memory', to: [{ interval: 50, ...to }] });
  assert(check !== undefined);
  return check;
}

async function verdictOf(to: ElementValue): Promise<CheckResult> {
  const check = create({ ...to, interval: 60_000 });
  const result = await new Promise<CheckResult>((resolve, reject) => {
    check.start(resolve).catch(reject);
  });
  await check.stop();
  return result;
}

describe('load checker', function () {
  this.timeout(20_000);
  let folder = '';

  function write(some: number, full: number): void {
    const line = (percent: number): string => `avg10=${percent.toFixed(2)} avg60=1.00 avg300=0.50 total=12345`;
    writeFileSync(join(folder, 'memory.pressure'), `some ${line(some)}\nfull ${line(full)}\n`);
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-checker-load-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('reads what the kernel of this machine says', async () => {
    const result = await verdictOf({ memory: 100, memory_some: 100, io: 100, cpu: 100, swap: '900000G', over: '300s' });
    assert.equal(result.verdict, 'up');
    assert.match(result.detail, /^all work waited for memory [0-9.]+ % of the last 300s; .*processor.*; swapping is being measured$/);
  });

  it('is down when work waits for longer than allowed, by the average that was asked for', async () => {
    write(80, 40);
    assert.deepEqual(await verdictOf({ memory: 30, over: '10s', cgroup: folder }), {
      verdict: 'down',
      detail: 'all work waited for memory 40 % of the last 10s, at most 30 % are allowed',
    });
    assert.equal((await verdictOf({ memory: 50, over: '10s', cgroup: folder })).verdict, 'up');
    assert.equal((await verdictOf({ memory: 30, over: '60s', cgroup: folder })).verdict, 'up');
    assert.equal((await verdictOf({ memory_some: 79, over: '10s', cgroup: folder })).verdict, 'down');
  });

  it('says unknown where the kernel does not measure', async () => {
    assert.equal((await verdictOf({ io: 50, cgroup: folder })).verdict, 'unknown');
  });

  it('reads averages and counters of any kernel text without being deceived', () => {
    assert.equal(parsePressure('some avg10=1.25 avg60=2.50 avg300=3.75 total=9\n', 'some', '300s'), 3.75);
    assert.equal(parsePressure('some avg10=1.25\n', 'full', '10s'), undefined);
    assert.equal(parseSwapped('pgpgin 5\npswpin 100\npswpout 23\n'), 123);
  });

  describe('as every checker', () => {
    const subject = {
      create: () => create({ memory: 30, over: '10s', cgroup: folder }),
      makeUp: async () => write(0, 0),
      makeDown: async () => write(90, 60),
    };
    for (const { title, run } of checkerCases(subject)) it(title, run);
  });
});
