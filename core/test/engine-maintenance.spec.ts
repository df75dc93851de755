import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check, CheckResult } from '@holdfast/sdk';
import { CheckSet, type CheckListener } from '../src/engine/check-set.js';
import { Maintenance } from '../src/engine/maintenance.js';
import { ResourceBook } from '../src/engine/resource-book.js';

describe('maintenance switches', () => {
  let folder = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-maintenance-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('survive a restart, with when and by whom', async () => {
    const path = join(folder, 'maintenance');
    const first = await Maintenance.open(path, 'ledger');
    assert.deepEqual(first.off, []);
    const changes = await Promise.all([
      first.set('failover', false, 'anna'),
      first.set('checker', false, 'ben'),
      first.set('checker', false, 'carl'),
      first.set('errd', true, 'dora'),
    ]);
    assert.deepEqual(changes, [true, true, false, false]);
    const second = await Maintenance.open(path, 'ledger');
    assert.deepEqual(
      second.off.map(({ name, by }) => [name, by]),
      [
        ['checker', 'ben'],
        ['failover', 'anna'],
      ],
    );
    await second.set('checker', true, 'ben');
    assert.deepEqual((await Maintenance.open(path, 'ledger')).isOff('checker'), false);
  });

  it('stop the checks of their kind, and only those that would run by then start again', async () => {
    const said: string[] = [];
    const listener: CheckListener = {
      report: (name, value) => void said.push(`${name} ${value}`),
      runHandler: async () => undefined,
    };
    const make = (resource: string, phase: 'pre' | 'prim'): Check & { isRunning: boolean } => ({
      resource,
      phase,
      action: 'restart',
      isRunning: false,
      async start(report: (result: CheckResult) => void) {
        this.isRunning = true;
        report({ verdict: 'up', detail: '' });
      },
      async stop() {
        this.isRunning = false;
      },
    });
    const [tcp, ping, proc] = [make('tcp.a', 'prim'), make('ping.b', 'pre'), make('proc.c', 'prim')];
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
    const checks = new CheckSet([tcp, ping, proc], new ResourceBook(), log, { suspended: ['errd'] });
    const running = (): string[] => [tcp, ping, proc].filter(({ isRunning }) => isRunning).map(({ resource }) => resource);

    await checks.start('pre', listener);
    await checks.start('prim', listener);
    assert.deepEqual(running(), ['tcp.a', 'ping.b']);
    assert.ok(said.includes('proc.c unknown'), 'suspended before it started: no verdict, and nobody waits for one');

    await checks.suspend('checker', true, listener);
    assert.deepEqual(running(), []);
    await checks.stop('prim', listener);
    await checks.suspend('errd', false, listener);
    await checks.suspend('checker', false, listener);
    assert.deepEqual(running(), ['ping.b'], 'the role ended meanwhile');
    assert.equal(said.filter((text) => text.startsWith('tcp.a')).at(-1), 'tcp.a init');
  });
});

describe('the resource of a check', () => {
  it('stays init until it has failed often enough for a verdict, so that a starting module waits for it', async () => {
    const said: string[] = [];
    const listener: CheckListener = {
      report: (_name, value, detail) => void said.push(`${value}: ${detail}`),
      runHandler: async () => undefined,
    };
    const check: Check = {
      resource: 'ping.gateway',
      phase: 'pre',
      action: 'wait',
      repeats: { down: 2, up: 1 },
      async start(report) {
        report({ verdict: 'unknown', detail: 'no route' });
        report({ verdict: 'down', detail: 'silent' });
        report({ verdict: 'down', detail: 'silent' });
      },
      stop: async () => undefined,
    };
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
    await new CheckSet([check], new ResourceBook(), log).start('pre', listener);
    assert.deepEqual(said, ['unknown: no route', 'init: silent (1 of 2)', 'down: silent']);
  });
});
