/**
 * Services of a real systemd: Debian's, booted as the init of namespaces of its own, with units of the test's own and a part of the tree of
 * control groups. Nobody outside sees it, and it ends with the test.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const CASES = fileURLToPath(new URL('./systemd-cases.js', import.meta.url));
const BOOT = fileURLToPath(new URL('../../test/systemd-boot.sh', import.meta.url));
const TITLES = JSON.parse(execFileSync(process.execPath, [CASES], { encoding: 'utf8' })) as readonly string[];
const BOOT_MS_MAX = 30_000;
const NAMESPACES = ['--mount', '--pid', '--cgroup', '--uts', '--ipc'];

/** No unit of the machine: without the default dependencies nothing else is wanted. */
const UNITS: Readonly<Record<string, string>> = {
  'lab.target': '[Unit]\nDefaultDependencies=no\n',
  'plain.service': '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep 100000\n',
  'kept.service': '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep 100000\nRestart=always\nRestartSec=700ms\n',
  'hopeless.service':
    '[Unit]\nDefaultDependencies=no\nStartLimitBurst=3\nStartLimitIntervalSec=60\n' +
    '[Service]\nExecStart=/bin/sh -c "sleep 0.2; exit 1"\nRestart=always\nRestartSec=100ms\n',
};

/** Where the second generation of control groups is, alone or beside the first; undefined on a machine where nobody may make one. */
function controlGroups(): string | undefined {
  const line = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .find((mount) => mount.split(' ')[2] === 'cgroup2');
  const point = line?.split(' ')[1];
  if (point === undefined) return undefined;
  const probe = join(point, `holdfast-probe-${process.pid}`);
  try {
    mkdirSync(probe);
    rmdirSync(probe);
    return point;
  } catch {
    return undefined;
  }
}

/** Once all processes in it have ended. */
async function removeGroup(group: string): Promise<void> {
  for (const name of readdirSync(group, { withFileTypes: true })) if (name.isDirectory()) await removeGroup(join(group, name.name));
  for (let attempt = 0; ; attempt += 1) {
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      if (attempt === 500) throw error;
      await delay(10);
    }
  }
}

const GROUPS = controlGroups();
// Without them systemd does not boot.
const withGroups = GROUPS === undefined ? undefined : describe;

withGroups?.('services of a real systemd', function () {
  this.timeout(60_000);
  let folder = '';
  let group = '';
  let launcher: ChildProcess | undefined;
  let init = '';

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-systemd-'));
    group = join(GROUPS ?? '', `holdfast-systemd-${process.pid}`);
    mkdirSync(group);
    for (const [name, text] of Object.entries(UNITS)) writeFileSync(join(folder, name), text);
    const joinGroup = 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"';
    const boot = ['unshare', ...NAMESPACES, '--fork', '--kill-child', '--mount-proc', '--', BOOT, folder];
    const words = ['--pdeathsig', 'KILL', 'sh', '-c', joinGroup, 'sh', group, ...boot];
    const child = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    launcher = child;
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-4000)));
    const endMs = performance.now() + BOOT_MS_MAX;
    for (let state = ''; state !== 'running'; state = stateOf(child)) {
      assert(child.exitCode === null && performance.now() < endMs, `systemd has not booted (${state}): ${said}`);
      await delay(50);
    }
  });

  after(async () => {
    if (launcher?.exitCode === null) {
      const ended = once(launcher, 'exit');
      launcher.kill('SIGKILL');
      await ended;
    }
    if (existsSync(group)) await removeGroup(group);
    rmSync(folder, { recursive: true, force: true });
  });

  /** What systemd says of itself; empty while it does not answer. */
  function stateOf({ pid }: ChildProcess): string {
    init = readFileSync(`/proc/${pid ?? 0}/task/${pid ?? 0}/children`, 'utf8').trim();
    if (init === '' || !existsSync(`/proc/${init}/root/run/systemd/private`)) return '';
    return inside('systemctl', 'is-system-running').stdout.trim();
  }

  function inside(...words: readonly string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
    return spawnSync('timeout', ['-k', '1', '40', 'nsenter', '--target', init, ...NAMESPACES, '--', ...words], { encoding: 'utf8' });
  }

  it('is booted as the init of its own processes', () => {
    assert.equal(inside('cat', '/proc/1/comm').stdout, 'systemd\n');
  });

  for (const title of TITLES) {
    it(title, () => {
      const { status, stderr } = inside(process.execPath, CASES, title);
      assert.equal(status, 0, stderr);
    });
  }
});
