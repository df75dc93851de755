/** Services, with a stand-in for systemctl that answers from a file, with real init scripts, and with real main processes. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CheckResult, ElementValue } from '@holdfast/sdk';
import { readWatchedProcesses } from '../src/configuration.js';
import { ProcessWatch } from '../src/process-watch.js';
import { ServiceCheck } from '../src/service-check.js';
import { lookAtService, parseSystemd, type ServicePlaces } from '../src/service-state.js';

describe('service check', function () {
  this.timeout(20_000);
  const processWatch = new ProcessWatch();
  const path = process.env['PATH'];
  let folder = '';
  let places: ServicePlaces = { systemd: '', initScripts: '', pidFiles: '' };
  let check: ServiceCheck | undefined;
  let results: CheckResult[] = [];
  const children: ChildProcess[] = [];

  const last = (): CheckResult | undefined => results.at(-1);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hf-service-'));
    places = { systemd: join(folder, 'systemd'), initScripts: join(folder, 'init.d'), pidFiles: join(folder, 'run') };
    for (const name of ['bin', 'systemd', 'init.d', 'run']) mkdirSync(join(folder, name));
    script('bin/systemctl', `echo "$@" > ${folder}/asked; cat ${folder}/answer`);
    process.env['PATH'] = `${join(folder, 'bin')}:${path ?? ''}`;
    results = [];
  });

  afterEach(async () => {
    await check?.stop();
    check = undefined;
    for (const child of children.splice(0)) child.kill('SIGKILL');
    process.env['PATH'] = path;
    rmSync(folder, { recursive: true, force: true });
  });

  function script(name: string, body: string): void {
    writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  }

  function systemdSays(active: string, sub: string, mainPid = 0, load = 'loaded', result = 'success'): void {
    writeFileSync(join(folder, 'answer'), answer(active, sub, mainPid, load, result));
  }

  function mainProcess(): { readonly child: ChildProcess; readonly pid: number } {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    children.push(child);
    assert(child.pid !== undefined);
    return { child, pid: child.pid };
  }

  async function watch(attributes: ElementValue = {}, polltimer = 600_000): Promise<void> {
    const [watched] = readWatchedProcesses({ polltimer, proc: [{ name: 'postgresql', service: true, ...attributes }] });
    assert(watched?.service !== undefined);
    check = new ServiceCheck(watched, watched.service, processWatch, (name) => lookAtService(name, places));
    await check.start((result) => results.push(result));
  }

  it('says what systemd says, and asks it by property', async () => {
    const { pid } = mainProcess();
    systemdSays('active', 'running', pid);
    await watch();
    assert.deepEqual(results, [{ verdict: 'up', detail: `postgresql is active (running), pid ${pid}` }]);
    assert.equal(check?.resource, 'proc.postgresql');
  });

  it('notices the death of the main process at once, long before it would ask again', async () => {
    const { child, pid } = mainProcess();
    systemdSays('active', 'running', pid);
    await watch();
    systemdSays('failed', 'failed', 0, 'loaded', 'signal');
    const killedAtMs = performance.now();
    child.kill('SIGKILL');
    await until('it is down', () => last()?.verdict === 'down');
    assert(performance.now() - killedAtMs < 2000);
    assert.equal(last()?.detail, 'postgresql is failed (failed): signal');
  });

  it('asks again when systemd has not noticed the death yet', async () => {
    const { child, pid } = mainProcess();
    systemdSays('active', 'running', pid);
    await watch();
    child.kill('SIGKILL');
    await delay(300);
    assert.equal(last()?.verdict, 'up');
    systemdSays('inactive', 'dead');
    await until('it is down', () => last()?.verdict === 'down');
  });

  it('lets systemd start a service again by itself, and follows the new process', async () => {
    const first = mainProcess();
    systemdSays('active', 'running', first.pid);
    await watch();
    systemdSays('activating', 'auto-restart');
    first.child.kill('SIGKILL');
    await until('it is unknown', () => last()?.verdict === 'unknown');
    const second = mainProcess();
    systemdSays('active', 'running', second.pid);
    await until('it is up again', () => last()?.verdict === 'up');
    systemdSays('inactive', 'dead');
    second.child.kill('SIGKILL');
    await until('it is down', () => last()?.verdict === 'down');
    assert(!results.slice(0, -1).some(({ verdict }) => verdict === 'down'));
  });

  it('says unknown of a service that the node does not have, and of a manager that fails or is not understood', async () => {
    systemdSays('inactive', 'dead', 0, 'not-found');
    await watch();
    assert.deepEqual(results, [{ verdict: 'unknown', detail: 'systemd knows no service postgresql on this node' }]);
    script('bin/systemctl', 'echo no bus >&2; exit 1');
    assert.deepEqual(await lookAtService('a', places), { state: 'unknown', detail: 'systemctl show a ended with status 1: no bus' });
    script('bin/systemctl', 'echo hello');
    assert.equal((await lookAtService('a', places)).state, 'unknown');
    script('bin/systemctl', 'yes | head -c 10000000');
    assert.match((await lookAtService('a', places)).detail, /could not be run: ERR_CHILD_PROCESS_STDIO_MAXBUFFER/);
    script('bin/systemctl', 'exec sleep 60');
    assert.match((await lookAtService('a', places)).detail, /systemctl show did not answer within 5000 ms/);
  });

  it('acts on a service that appears, with atmax="0"', async () => {
    systemdSays('inactive', 'dead');
    await watch({ atmax: 0 }, 100);
    assert.equal(last()?.verdict, 'up');
    systemdSays('active', 'exited');
    await until('it is down', () => last()?.verdict === 'down');
  });

  it('hands the services of a limited restart to the engine', async () => {
    systemdSays('active', 'exited');
    await watch({ action: 'restart', restart_services: 'postgresql, pgbouncer' });
    assert.deepEqual(check?.restartServices, ['postgresql', 'pgbouncer']);
  });

  it('asks the script of a plain init, and watches the process of the pid file', async () => {
    rmSync(places.systemd, { recursive: true });
    const { child, pid } = mainProcess();
    writeFileSync(join(places.pidFiles, 'postgresql.pid'), `${pid}\n`);
    script(
      'init.d/postgresql',
      `[ "$1" = status ] || exit 2; kill -0 ${pid} && grep -qv ' Z ' /proc/${pid}/stat || { echo is dead; exit 1; }`,
    );
    await watch();
    assert.equal(last()?.verdict, 'up');
    child.kill('SIGKILL');
    await until('it is down', () => last()?.verdict === 'down');
    assert.match(last()?.detail ?? '', /status ends with 1: is dead$/);
  });

  it('knows a service without a script by its pid file alone', async () => {
    rmSync(places.systemd, { recursive: true });
    assert.equal((await lookAtService('postgresql', places)).state, 'unknown');
    const { pid } = mainProcess();
    mkdirSync(join(places.pidFiles, 'postgresql'));
    writeFileSync(join(places.pidFiles, 'postgresql', 'postgresql.pid'), `${pid}\n`);
    assert.deepEqual(await lookAtService('postgresql', places), { state: 'active', detail: `pid ${pid}`, mainPid: pid });
    writeFileSync(join(places.pidFiles, 'postgresql.pid'), '4194305\n');
    assert.equal((await lookAtService('postgresql', places)).state, 'stopped');
  });

  it('understands every state of systemd', () => {
    const state = (active: string): string => parseSystemd('x', answer(active, '?')).state;
    assert.deepEqual(
      ['active', 'reloading', 'refreshing', 'activating', 'inactive', 'deactivating', 'failed', 'maintenance', 'new'].map(state),
      ['active', 'active', 'active', 'starting', 'stopped', 'stopped', 'stopped', 'stopped', 'unknown'],
    );
  });
});

function answer(active: string, sub: string, mainPid = 0, load = 'loaded', result = 'success'): string {
  return `MainPID=${mainPid}\nResult=${result}\nLoadState=${load}\nActiveState=${active}\nSubState=${sub}\n`;
}

async function until(what: string, condition: () => boolean, deadlineMs = 8000): Promise<void> {
  const startedAtMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedAtMs > deadlineMs) assert.fail(`waited ${deadlineMs} ms in vain until ${what}`);
    await delay(5);
  }
}
