/** The checker with real scripts: exit status as verdict, and the endless script. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Check, CheckResult, ElementValue } from '@holdfast/sdk';
import { checkerCases } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/custom.json', import.meta.url), 'utf8'));

describe('custom checker', function () {
  this.timeout(20_000);
  let folder = '';

  function script(name: string, body: string): void {
    writeFileSync(join(folder, name), `#!/bin/bash\n${body}\n`, { mode: 0o755 });
  }

  function create(attributes: ElementValue, through: readonly string[] = []): Check {
    const scripts = { through: () => through, directory: folder, environment: { PATH: process.env['PATH'] ?? '', FOLDER: folder } };
    const [check] = createdChecks(plugin, SCHEMA, { ident: 'door', ...attributes }, { scripts });
    assert(check !== undefined);
    return check;
  }

  async function verdict(body: string, timeout = 5000): Promise<CheckResult> {
    script('look', body);
    const check = create({ exec: 'look', arg: 'front  back', interval: 60_000, timeout });
    const result = await new Promise<CheckResult>((resolve, reject) => {
      check.start(resolve).catch(reject);
    });
    await check.stop();
    return result;
  }

  function isAlive(pidFile: string): boolean {
    try {
      return !/^State:\s+Z/m.test(readFileSync(`/proc/${readFileSync(join(folder, pidFile), 'utf8').trim()}/status`, 'utf8'));
    } catch {
      return false;
    }
  }

  async function until(what: string, condition: () => boolean): Promise<void> {
    const beganMs = performance.now();
    while (!condition()) {
      assert(performance.now() - beganMs < 5000, `waited in vain until ${what}`);
      await delay(5);
    }
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-checker-custom-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('runs through the command that shows the host name of the role, and is ended with all of it', async () => {
    script('look', 'echo $(uname -n) $$; sleep 1000 & echo $! >"$FOLDER/child"; wait');
    const check = create({ exec: 'look' }, ['unshare', '--uts', '--', 'sh', '-c', 'hostname books; exec "$@"', 'sh']);
    await check.start(() => undefined);
    await until('the script runs', () => isAlive('child'));
    const uts = readlinkSync(`/proc/${readFileSync(join(folder, 'child'), 'utf8').trim()}/ns/uts`);
    assert.notEqual(uts, readlinkSync('/proc/self/ns/uts'));
    await check.stop();
    await until('its child is gone', () => !isAlive('child'));
    script('look', 'uname -n');
    const once = create({ exec: 'look', interval: 60_000 }, ['unshare', '--uts', '--', 'sh', '-c', 'hostname books; exec "$@"', 'sh']);
    const { detail } = await new Promise<CheckResult>((resolve, reject) => {
      once.start(resolve).catch(reject);
    });
    await once.stop();
    assert.equal(detail, 'look: books');
  });

  it('takes the exit status for the verdict and the last line for the detail', async () => {
    assert.deepEqual(await verdict('echo first; echo "$@"'), { verdict: 'up', detail: 'look: shop custom.door front back' });
    assert.deepEqual(await verdict('echo the door is open >&2; exit 1'), {
      verdict: 'down',
      detail: 'look ended with status 1: the door is open',
    });
    assert.equal((await verdict('exit 3')).verdict, 'unknown');
    assert.match((await verdict('kill -9 $$')).detail, /was ended by SIGKILL/);
    rmSync(join(folder, 'look'));
    const check = create({ exec: 'look', interval: 60_000 });
    const missing = await new Promise<CheckResult>((resolve, reject) => {
      check.start(resolve).catch(reject);
    });
    await check.stop();
    assert.equal(missing.verdict, 'unknown');
    assert.match(missing.detail, /could not be started: .*ENOENT/);
  });

  it('says down for a run that takes too long, and ends it with all that it started', async () => {
    const result = await verdict('sleep 60 & echo $! > $FOLDER/child; trap "" TERM; wait; sleep 60', 300);
    assert.deepEqual(result, { verdict: 'down', detail: 'look did not end within 300 ms' });
    await until('the child is gone', () => !isAlive('child'));
  });

  it('takes no more room for a program that prints megabytes, in one line or in many', async () => {
    const before = process.memoryUsage().rss;
    const one = await verdict('head -c 64M /dev/zero | tr "\\0" x; exit 1', 15_000);
    assert.match(one.detail, /^look ended with status 1: x{200}$/);
    const many = await verdict('yes "the door is open" | head -c 64M; echo; echo last; exit 1', 15_000);
    assert.equal(many.detail, 'look ended with status 1: last');
    const grown = (process.memoryUsage().rss - before) / 1024 ** 2;
    assert(grown < 100, `${grown.toFixed(0)} MiB more after 128 MiB of output`);
  });

  it('ends all that forked from a program that goes on forking, also when that has ended', async () => {
    const forks = 'for i in $(seq 20); do (sleep 60 & echo $! > $FOLDER/child$i); done';
    const children = Array.from({ length: 20 }, (_, index) => `child${index + 1}`);
    assert.equal((await verdict(`${forks}; exit 0`)).verdict, 'up');
    await until('the children of one that ended are gone', () => !children.some(isAlive));
    assert.match((await verdict(`${forks}; sleep 60`, 1000)).detail, /did not end within 1000 ms/);
    await until('the children of one that hangs are gone', () => !children.some(isAlive));
  });

  it('keeps an endless script running, takes what it sets, and ends it with all that it started', async () => {
    script('watch', 'echo "$@" > $FOLDER/words; sleep 60 & echo $! > $FOLDER/child; wait');
    const check = create({ exec: 'watch', arg: 'front' });
    const results: CheckResult[] = [];
    await check.start((result) => results.push(result));
    await until('it runs', () => existsSync(join(folder, 'child')) && isAlive('child'));
    assert.equal(readFileSync(join(folder, 'words'), 'utf8'), 'shop custom.door front\n');
    check.set?.({ verdict: 'down', detail: 'it is open' });
    await check.stop();
    check.set?.({ verdict: 'up', detail: 'too late' });
    assert.deepEqual(
      results.map(({ verdict }) => verdict),
      ['unknown', 'down'],
    );
    await until('the child is gone', () => !isAlive('child'));
  });

  it('says unknown when an endless script ends, and why', async () => {
    script('watch', 'echo no such device; exit 4');
    const check = create({ exec: 'watch' });
    const results: CheckResult[] = [];
    await check.start((result) => results.push(result));
    await until('its end is told', () => results.length >= 2);
    await check.stop();
    assert.equal(results[1]?.verdict, 'unknown');
    assert.match(results[1].detail, /watch ended with status 4 \(no such device\); it is started again in 5 s/);
  });

  it('refuses a time limit for a script that never ends', () => {
    assert.throws(() => create({ exec: 'watch', timeout: 1000 }), /HF_CUSTOM_TIMEOUT/);
  });

  describe('as every checker, by exit status', () => {
    const mark = (): string => join(folder, 'open');
    const subject = {
      create: () => create({ exec: 'look', interval: 300 }),
      makeUp: async () => {
        script('look', '[ ! -e $FOLDER/open ]');
        rmSync(mark(), { force: true });
      },
      makeDown: async () => writeFileSync(mark(), ''),
      idleShareMax: 0.3,
    };
    for (const { title, run } of checkerCases(subject)) it(title, run);
  });

  describe('as every checker, with an endless script', () => {
    const subject = {
      create: () => create({ exec: 'watch' }),
      makeUp: async () => script('watch', 'exec sleep 60'),
      makeDown: () => Promise.resolve(),
      tell: (check: Check, told: CheckResult['verdict']) => check.set?.({ verdict: told, detail: 'the script says so' }),
    };
    for (const { title, run } of checkerCases(subject)) it(title, run);
  });
});
