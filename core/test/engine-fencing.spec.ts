/** What ends an application that does not end: processes of this test's own, a command instead of a reboot, a pipe instead of a device. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readFile, rm, rmdir, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationGroup } from '../src/engine/application-group.js';
import { applicationProcesses, endApplication, MARKER } from '../src/engine/application-processes.js';
import { readFencingSettings } from '../src/engine/fencing-settings.js';
import { Rebooter } from '../src/engine/rebooter.js';
import { runScript } from '../src/engine/script-runner.js';
import { StopFence } from '../src/engine/stop-fence.js';
import { Watchdog } from '../src/engine/watchdog.js';

const WAIT_MS = 10_000;
/** What this machine has: without it, nothing can be said of it here. */
const present = await ApplicationGroup.open(`presence-${process.pid}`);
await present?.close();
const FREEZER = '/sys/fs/cgroup/freezer';
const KINDS = present === undefined ? (['without one'] as const) : (['with a control group', 'without one'] as const);

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + WAIT_MS;
  while (!(await condition())) {
    assert.ok(performance.now() < end, `waited ${WAIT_MS} ms for ${what}`);
    await delay(20);
  }
}

describe('fencing', function () {
  this.timeout(30_000);
  let folder: string;
  let marker: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-fencing-'));
    marker = `test-${process.pid}-${Math.random().toString(36).slice(2)}`;
  });
  afterEach(async () => {
    // Also of a test that failed half-way.
    const group = await ApplicationGroup.open(marker);
    await endApplication(marker, group);
    await group?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function script(name: string, lines: string): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, `#!/bin/bash\n${lines}\n`);
    await chmod(path, 0o755);
    return path;
  }

  const start = (name: string, timeoutMs = WAIT_MS, group?: ApplicationGroup): Promise<unknown> =>
    runScript({
      directory: folder,
      script: name,
      arguments: [],
      environment: { PATH: process.env['PATH'] ?? '', [MARKER]: marker },
      timeoutMs,
      logBytesMax: 0,
      ...(group === undefined ? {} : { joins: group.joinFile }),
    });

  function fence(automaticReboot = false, group?: ApplicationGroup): { fence: StopFence; said: string[]; reboots: () => Promise<string> } {
    const said: string[] = [];
    const log = (text: string): void => void said.push(text);
    const file = join(folder, 'rebooted');
    const rebooter = new Rebooter({ command: ['sh', '-c', `echo told >>${file}`], sysrq: false }, log, join(folder, 'trigger'));
    return {
      fence: new StopFence({ marker, rebooter, automaticReboot, log, ...(group === undefined ? {} : { group }) }),
      said,
      reboots: () => readFile(file, 'utf8').catch(() => ''),
    };
  }

  it('kills what left process group, session and environment of its script, with what it started, and names pid and command', async () => {
    await script('start_prim', 'setsid bash -c "trap \'\' TERM HUP; env -i sleep 1000 & sleep 1001" </dev/null >/dev/null 2>&1 &\ndisown');
    await start('start_prim');
    const isThere = async (): Promise<number> => (await applicationProcesses(marker)).length;
    await until('three processes of the application', async () => (await isThere()) === 3);
    const { fence: stop, said } = fence();
    await stop.afterStops();
    assert.equal(await isThere(), 3, 'a stop that did not fail kills nobody');
    stop.stopFailed('stop_prim force did not end within 5000 ms');
    await stop.afterStops();
    assert.equal(await isThere(), 0);
    assert.equal(said.length, 1);
    assert.match(
      said[0] ?? '',
      /^stop_prim force did not end within 5000 ms: processes of the application were killed: .*\d+ \(sleep 1000\)/,
    );
    await stop.afterStops();
    assert.equal(said.length, 1, 'once');
  });

  const alive = (pid: number): boolean => {
    try {
      // A zombie has ended: nobody has asked for its status yet.
      return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
    } catch {
      return false;
    }
  };
  const pidOf = async (name: string): Promise<number> => {
    const read = async (): Promise<number> => Number(await readFile(join(folder, name), 'utf8').catch(() => '0'));
    await until(`the process of ${name}`, async () => (await read()) > 0);
    return read();
  };

  const ofGroups = present === undefined ? undefined : it;
  ofGroups?.('kills a daemon that forked twice and cleared its environment, where the machine has control groups', async () => {
    const group = await ApplicationGroup.open(marker);
    assert(group !== undefined);
    try {
      // Its parent is gone, its session is new, and its environment is empty: only the group knows it.
      const daemon = `env -i setsid bash -c 'bash -c "echo \\$\\$ >${folder}/pid; exec sleep 1003" </dev/null >/dev/null 2>&1 &'`;
      await script('start_prim', daemon);
      await start('start_prim', WAIT_MS, group);
      const pid = await pidOf('pid');
      await until('the daemon', () => alive(pid));
      assert.deepEqual(await applicationProcesses(marker), [], 'the marker alone does not find it');
      assert.deepEqual(
        (await applicationProcesses(marker, group)).map((one) => one.pid),
        [pid],
      );
      const { fence: stop, said } = fence(false, group);
      await stop.end('the test');
      assert.equal(alive(pid), false);
      assert.match(said.join(), /processes of the application were killed: \d+ \(sleep 1003\)/);
    } finally {
      await group.kill();
      await until('the group to be empty', async () => (await group.pids()).length === 0);
      await group.close();
    }
    assert.equal(existsSync(group.joinFile), false, 'nothing of it stays');
  });

  for (const has of KINDS) {
    it(`ends a stop script that hangs while two of its daemons start each other anew, ${has}`, async () => {
      const group = has === 'without one' ? undefined : await ApplicationGroup.open(marker);
      // Each waits for the other to end and starts it again; none is a child of the script for long.
      await script(
        'watcher',
        `echo $$ >"${folder}/$1"
while :; do
  read -r other <"${folder}/$2" || other=none
  kill -0 "$other" 2>/dev/null || { setsid "${folder}/watcher" "$2" "$1" </dev/null >/dev/null 2>&1 & sleep 0.2; }
  sleep 0.01
done`,
      );
      await script('stop_prim', `setsid ${folder}/watcher one two </dev/null >/dev/null 2>&1 &\ntrap '' TERM\nwhile :; do sleep 0.1; done`);
      const stopping = start('stop_prim', 1500, group);
      await assert.rejects(stopping, /did not end within 1500 ms and was killed with its process group/);
      const watchers = async (): Promise<number> =>
        (await applicationProcesses(marker, group)).filter(({ command }) => command.includes('watcher')).length;
      await until('both daemons, which outlive the script', async () => (await watchers()) >= 2);
      const { fence: stop, said } = fence(false, group);
      stop.stopFailed('stop_prim force did not end');
      await stop.afterStops();
      assert.deepEqual(await applicationProcesses(marker, group), []);
      await delay(500);
      assert.deepEqual(await applicationProcesses(marker, group), [], 'one came back');
      assert.equal(said.length, 1, said.join());
      await group?.close();
    });
  }

  const ofFreezer = existsSync(FREEZER) ? it : undefined;
  ofFreezer?.('gives a script up that cannot be killed, and boots the machine where that is configured', async () => {
    // What is frozen dies when it is thawed, and not before.
    const frozen = join(FREEZER, marker);
    await mkdir(frozen);
    try {
      await script('stop_prim', `echo $$ >${frozen}/tasks\necho FROZEN >${frozen}/freezer.state\nsleep 1004`);
      await assert.rejects(start('stop_prim', 500), /stop_prim {2}did not end within 500 ms and cannot be killed/);
      const { fence: stop, said, reboots } = fence(true);
      stop.stopFailed('stop_prim force did not end');
      await stop.afterStops();
      assert.equal(await reboots(), 'told\n');
      assert.match(said.join('\n'), /processes of the application cannot be killed: \d+ \(.*stop_prim/);
    } finally {
      await writeFile(join(frozen, 'freezer.state'), 'THAWED').catch(() => undefined);
      await until('the script to be gone', async () => (await applicationProcesses(marker)).length === 0);
      await until('its freezer to be gone', () =>
        rmdir(frozen).then(
          () => true,
          () => false,
        ),
      );
    }
  });

  it('touches no process of another application, whose marker begins alike', async () => {
    const other: ChildProcess = spawn('sleep', ['1002'], { env: { ...process.env, [MARKER]: `${marker}-other` } });
    try {
      await until('the other application', async () => (await applicationProcesses(`${marker}-other`)).length === 1);
      const { fence: stop, said } = fence(true);
      await stop.end('the test');
      assert.deepEqual(said, []);
      assert.equal((await applicationProcesses(`${marker}-other`)).length, 1);
    } finally {
      other.kill('SIGKILL');
    }
  });

  it('boots the machine once, by the configured command, and says why', async () => {
    const { fence: stop, said, reboots } = fence(true);
    await Promise.all([stop.reboot('tcp.ledger is down'), stop.reboot('again')]);
    assert.equal(await reboots(), 'told\n');
    assert.match(said.join(), /this machine is booted: tcp.ledger is down; sh -c/);
  });

  it('lets the kernel boot only where that is configured, when the command fails', async () => {
    const trigger = join(folder, 'trigger');
    const said: string[] = [];
    const log = (text: string): void => void said.push(text);
    await new Rebooter({ command: ['false'], sysrq: false }, log, trigger).reboot('the test');
    await assert.rejects(readFile(trigger));
    assert.match(said.join(), /false failed: .*; boot this machine by hand/);
    await new Rebooter({ command: ['false'], sysrq: true }, log, trigger).reboot('the test');
    assert.equal(await readFile(trigger, 'utf8'), 'b');
  });

  it('reads fencing.json, and refuses what it does not know', async () => {
    assert.deepEqual(await readFencingSettings(folder), {
      reboot: { command: ['systemctl', 'reboot'], sysrq: false },
      watchdog: { mode: 'off', device: '/dev/watchdog' },
    });
    const file = join(folder, 'fencing.json');
    await writeFile(file, '{"watchdog":{"mode":"required","device":"/dev/watchdog1"}}');
    assert.deepEqual((await readFencingSettings(folder)).watchdog, { mode: 'required', device: '/dev/watchdog1' });
    for (const wrong of ['{"watchdog":{"mode":"on"}}', '{"watchdogs":{}}', '{', '{"reboot":{"command":[]}}']) {
      await writeFile(file, wrong);
      await assert.rejects(readFencingSettings(folder), /HF_FENCING_CONFIGURATION/, wrong);
    }
  });

  describe('watchdog', () => {
    let reader: FileHandle | undefined;
    let watchdog: Watchdog;
    let decidedMs: number | undefined;
    let nowMs = 0;
    let said: string[];
    let fed: string;
    const device = (): string => join(folder, 'watchdog');

    function create(mode: 'off' | 'automatic' | 'required', path = device()): Watchdog {
      said = [];
      const log = (level: string, text: string): void => void said.push(`${level} ${text}`);
      return new Watchdog({ settings: { mode, device: path }, oldestDecisionMs: () => decidedMs, nowMs: () => nowMs, log });
    }

    async function pipe(): Promise<void> {
      execFileSync('mkfifo', [device()]);
      // Both ends, so that opening does not wait and a reader is always there.
      reader = await open(device(), 'r+');
      fed = '';
      void (async () => {
        const from = reader;
        const bytes = Buffer.alloc(64);
        for (;;) {
          const { bytesRead } = (await from?.read(bytes, 0, 64, null).catch(() => undefined)) ?? { bytesRead: 0 };
          if (bytesRead === 0) return;
          fed += bytes.toString('latin1', 0, bytesRead);
          if (fed.endsWith('V')) return;
        }
      })();
    }

    afterEach(async () => {
      await watchdog.close();
      await reader?.close();
      reader = undefined;
      decidedMs = undefined;
      nowMs = 0;
    });

    it('is fed while decisions are made, not while a module does not decide, and ends with the magic letter', async () => {
      await pipe();
      watchdog = create('automatic');
      decidedMs = 0;
      await watchdog.start();
      await until('food', () => fed.length >= 2);
      nowMs = 10_000;
      await until('the sentence', () => said.some((line) => /does not decide/.test(line)));
      const eaten = fed.length;
      await delay(2500);
      assert.equal(fed.length, eaten);
      decidedMs = 10_000;
      await until('food again', () => fed.length > eaten);
      await watchdog.close();
      await until('the end', () => fed.endsWith('V'));
      assert.equal(watchdog.refusal, undefined);
    });

    it('says that it is not there, and lets modules start unless it is required', async () => {
      watchdog = create('automatic', join(folder, 'none'));
      await watchdog.start();
      assert.match(said.join(), /I the watchdog .*none is not used: ENOENT/);
      assert.equal(watchdog.refusal, undefined);
      watchdog = create('required', join(folder, 'none'));
      await watchdog.start();
      assert.match(
        watchdog.refusal?.message ?? '',
        /HF_WATCHDOG_REQUIRED: this node requires its watchdog, and .*none cannot be used: ENOENT/,
      );
      assert.match(said.join(), /^C /);
      watchdog = create('off', join(folder, 'none'));
      await watchdog.start();
      assert.deepEqual(said, []);
    });
  });
});
