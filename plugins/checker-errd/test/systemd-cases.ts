/**
 * Services of a real systemd, seen by the checker. Run by the tests in the namespaces of that systemd, with the title of a case; without
 * arguments it lists its cases.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { CheckResult } from '@holdfast/sdk';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { verdictWithin, watched } from '@holdfast/sdk/testkit/watched';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/errd.json', import.meta.url), 'utf8'));
const WAIT_MS = 10_000;
const [, , wanted] = process.argv;

function systemctl(...words: readonly string[]): string {
  return execFileSync('systemctl', words, { encoding: 'utf8' });
}

function mainPid(unit: string): number {
  return Number(systemctl('show', '--property=MainPID', '--value', unit));
}

/** Watches a service from its state now on. */
function watchedService(name: string, work: (results: readonly CheckResult[]) => Promise<void>): Promise<void> {
  const proc = { name, service: true, class: 'prim', action: 'noaction', start_after: 0, atleast: 1, atmax: -1 };
  const [check] = createdChecks(plugin, SCHEMA, { polltimer: 500, proc: [proc] });
  assert(check !== undefined);
  return watched(check, work);
}

const until = verdictWithin(WAIT_MS);

const CASES: Readonly<Record<string, () => Promise<void>>> = {
  'goes with a service of systemd that is stopped, and comes with it': async () => {
    systemctl('start', 'plain');
    await watchedService('plain', async (results) => {
      await until(results, 'up', /^plain is active \(running\), pid \d+$/);
      systemctl('stop', 'plain');
      await until(results, 'down', /^plain is inactive \(dead\)$/);
      systemctl('start', 'plain');
      await until(results, 'up', /^plain is active/);
    });
  },
  'hears at once that a service died which systemd leaves dead': async () => {
    systemctl('start', 'plain');
    await watchedService('plain', async (results) => {
      await until(results, 'up', /active/);
      process.kill(mainPid('plain'), 'SIGKILL');
      await until(results, 'down', /^plain is failed \(failed\): signal$/);
    });
    systemctl('reset-failed', 'plain');
  },
  'lets systemd start a service again that died, and follows the new process': async () => {
    systemctl('start', 'kept');
    await watchedService('kept', async (results) => {
      for (let death = 1; death <= 2; death += 1) {
        await until(results, 'up', /active/);
        const pid = mainPid('kept');
        process.kill(pid, 'SIGKILL');
        await until(results, 'unknown', /^kept is activating \(auto-restart\)$/);
        await until(results, 'up', /active/);
        assert.notEqual(mainPid('kept'), pid);
        assert(results.at(-1)?.detail.endsWith(`pid ${mainPid('kept')}`), 'it is the new process');
      }
      assert(!results.some(({ verdict }) => verdict === 'down'), JSON.stringify(results));
    });
    systemctl('stop', 'kept');
  },
  'is down when systemd gives a service up that dies again and again': async () => {
    systemctl('start', 'hopeless');
    await watchedService('hopeless', (results) => until(results, 'down', /^hopeless is failed \(failed\): (?:exit-code|start-limit-hit)$/));
  },
  'says unknown of a service that systemd does not know': () =>
    watchedService('nowhere', (results) => until(results, 'unknown', /^systemd knows no service nowhere on this node$/)),
};

if (wanted === undefined) process.stdout.write(JSON.stringify(Object.keys(CASES)));
else {
  const run = CASES[wanted];
  assert(run !== undefined, wanted);
  // What the checker keeps open keeps no process alive: in an agent there is more.
  const alive = setInterval(() => undefined, 1000);
  await run();
  clearInterval(alive);
}
