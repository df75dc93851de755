/** A light module with the real engine: scripts that run, a durable file, a log, and a check that says what the test says. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Check, type CheckResult, HoldfastError, type Log } from '@holdfast/sdk';
import { createLight, LIGHT_DURABLE_AT_FIRST } from '../src/decide/light/step.js';
import type { LightDurable } from '../src/decide/light/types.js';
import { CheckSet } from '../src/engine/check-set.js';
import { systemClock } from '../src/engine/clock.js';
import { DurableFile } from '../src/engine/durable-file.js';
import { EventLog } from '../src/engine/event-log.js';
import { LightRuntime } from '../src/engine/light-runtime.js';
import { lightViewOf } from '../src/engine/light-view.js';
import { Maintenance } from '../src/engine/maintenance.js';
import type { Rebooter } from '../src/engine/rebooter.js';
import { ResourceBook } from '../src/engine/resource-book.js';
import { StopFence } from '../src/engine/stop-fence.js';
import { parse } from './config-fixtures.js';

const ignore = (): void => undefined;
const diagnostics: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const DEADLINE_MS = 8000;

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!holds()) {
    if (Date.now() > end) assert.fail(`waited for: ${what}`);
    await delay(10);
  }
}

describe('a light module with the real engine', () => {
  let folder: string;
  let runtime: LightRuntime;
  let say: (verdict: CheckResult['verdict']) => void;
  let starts: number;

  /** What the scripts wrote down, in order. */
  const ran = (): string[] => readFileSync(join(folder, 'ran'), 'utf8').trim().split('\n');
  const state = (): string => `${runtime.snapshot.phase} ${runtime.snapshot.quality}`;

  async function load(): Promise<void> {
    starts = 0;
    const check: Check = {
      resource: 'proc.app',
      phase: 'both',
      action: 'restart',
      start: async (report) => {
        starts += 1;
        say = (verdict) => report({ verdict, detail: 'said so' });
      },
      stop: async () => undefined,
    };
    const { configuration } = parse('<safe><service mode="light"><user/></service></safe>');
    const resources = new ResourceBook();
    const checks = new CheckSet([check], resources, diagnostics);
    const durable = await DurableFile.open<LightDurable>(join(folder, 'light'));
    const settings = { module: 'ledger', node: 'n1', mode: 'light' as const, maxLoop: 3, loopIntervalMs: 86_400_000 };
    const clock = { nowMs: systemClock.monotonicMs(), wallMs: systemClock.wallMs() };
    const scripts = {
      directory: join(folder, 'bin'),
      standing: { RAN: join(folder, 'ran') },
      marker: randomUUID(),
      logDirectory: join(folder, 'logs'),
    };
    const maintenance = await Maintenance.open(join(folder, 'maintenance'), 'ledger');
    const closeHistory = async (): Promise<void> => undefined;
    const rebooter = { reboot: async () => assert.fail('this machine is not booted') } as unknown as Rebooter;
    const fence = new StopFence({ marker: randomUUID(), rebooter, automaticReboot: false, log: ignore });
    const log = new EventLog(join(folder, 'events.jsonl'), 'n1');
    const parts = {
      configuration,
      clock: systemClock,
      durable,
      log,
      resources,
      checks,
      scripts,
      diagnostics,
      maintenance,
      closeHistory,
      fence,
    };
    runtime = new LightRuntime(createLight(settings, { ...LIGHT_DURABLE_AT_FIRST, ...durable.value }, clock), parts);
  }

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-light-'));
    mkdirSync(join(folder, 'bin'));
    appendFileSync(join(folder, 'ran'), '');
    for (const script of ['prestart', 'start_both', 'stop_both', 'poststop']) {
      writeFileSync(join(folder, 'bin', script), `#!/bin/sh\necho "${script} $*" >>"$RAN"\n[ ! -e "$RAN.${script}" ]\n`, { mode: 0o755 });
    }
    await load();
    runtime.start(false);
  });
  afterEach(async () => {
    await runtime.end();
    rmSync(folder, { recursive: true });
  });

  async function die(): Promise<void> {
    const before = starts;
    say('down');
    await until('the check is started again', () => starts > before);
    await until('UP Ready', () => state() === 'UP Ready');
  }

  it('starts, restarts in place when its process dies, and stops', async () => {
    runtime.command({ verb: 'start', boot: false });
    await until('UP Ready', () => state() === 'UP Ready');
    await die();
    const view = lightViewOf(runtime, undefined);
    assert.deepEqual([view.mode, view.phase, view.maxloop], ['light', 'UP', { count: 1, max: 3 }]);
    assert.match(view.reason.text, /resource proc\.app is down \(said so\): restart/);
    runtime.command({ verb: 'stop', shutdown: false });
    await until('STOP NotReady', () => state() === 'STOP NotReady');
    assert.deepEqual(ran(), [
      'prestart STOP WAIT start',
      'start_both WAIT UP start',
      'stop_both UP UP restart',
      'stop_both force UP UP restart',
      'start_both UP UP restart',
      'stop_both UP STOP stop',
      'stop_both force UP STOP stop',
      'poststop UP STOP stop',
    ]);
  });

  it('has its count and its switches among its resources', async () => {
    const value = (name: string): string => {
      const [found] = runtime.parts.resources.list(name);
      return `${found?.value} ${found?.detail.slice(0, 6)}`;
    };
    assert.deepEqual(
      ['heart.stopstartloop', 'usersetting.boot', 'usersetting.checker', 'usersetting.errd', 'usersetting.failover'].map(value),
      ['up 0 of 3', 'down ignore', 'up on', 'up on', 'undefined undefined'],
    );
    runtime.command({ verb: 'start', boot: false });
    await until('UP Ready', () => state() === 'UP Ready');
    for (const count of [1, 2, 3]) {
      await die();
      await until(`${count} actions`, () => value('heart.stopstartloop') === `${count === 3 ? 'down' : 'up'} ${count} of 3`);
    }
    await runtime.maintain('errd', false, 'anna');
    assert.equal(value('usersetting.errd'), 'down off');
    runtime.command({ verb: 'resetloop' });
    await until('no action', () => value('heart.stopstartloop') === 'up 0 of 3');
  });

  it('keeps the count of automatic actions over a crash of the agent, and stops at the fourth', async () => {
    runtime.command({ verb: 'start', boot: false });
    await until('UP Ready', () => state() === 'UP Ready');
    await die();
    await die();
    await runtime.end();
    await load();
    assert.deepEqual(runtime.snapshot.durable.loop.count, 2);
    runtime.start(true);
    await until('UP Ready', () => state() === 'UP Ready');
    await die();
    say('down');
    await until('STOP NotReady', () => state() === 'STOP NotReady');
    assert.equal(runtime.snapshot.reason.code, 'maxloop');
    assert.equal(runtime.snapshot.durable.started, false);
  });

  it('stops when it cannot start its application', async () => {
    writeFileSync(join(folder, 'ran.start_both'), '');
    runtime.command({ verb: 'start', boot: false });
    await until('STOP by maxloop', () => state() === 'STOP NotReady' && runtime.snapshot.reason.code === 'maxloop');
    assert.equal(ran().filter((line) => line.startsWith('start_both')).length, 4);
  });

  it('refuses what belongs to pairs, with a sentence', async () => {
    const refused = (error: unknown): boolean => error instanceof HoldfastError && error.code === 'HF_COMMAND_REFUSED';
    for (const verb of ['swap', 'prim'] as const) assert.throws(() => runtime.command({ verb }), refused);
    await assert.rejects(runtime.verify({}), /replicates nothing/);
  });
});
