/**
 * Scenarios that need a process of their own: one where process ids can be given again at will (run as the first process of a pid
 * namespace), one that runs out of descriptors. Throws, and so ends with 1, when something is not as it should be.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Check, CheckResult, Log } from '@holdfast/sdk';
import { plugin } from '../src/index.js';
import { ProcessTable } from '../src/process-table.js';

const ignore = (): void => undefined;
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

const SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  'pid-reuse': pidReuse,
  'no-descriptors': noDescriptors,
};

const scenario = SCENARIOS[process.argv[2] ?? ''];
assert(scenario !== undefined);
// A check keeps no program alive.
const alive = setInterval(ignore, 60_000);
await scenario();
clearInterval(alive);

async function pidReuse(): Promise<void> {
  const { check, results } = checkOf('^watched 60$');
  await check.start((result) => results.push(result));
  const first = await sleeper('watched');
  await until('it is up', () => results.at(-1)?.verdict === 'up');
  const table = new ProcessTable();
  const before = table.scan(0, new Set(), true).find(({ pid }) => pid === first.pid);
  assert.equal(before?.argumentsText, 'watched 60');

  const stranger = await successorOf(first, 'stranger');
  await until('the stranger does not count', () => results.at(-1)?.verdict === 'down');
  const after = table.scan(60_000, new Set(), true).find(({ pid }) => pid === stranger.pid);
  assert.equal(after?.argumentsText, 'stranger 60');
  assert(after.startTime > before.startTime);

  const again = await successorOf(stranger, 'watched');
  await until('the same number counts again', () => results.at(-1)?.verdict === 'up');
  assert.equal(results.at(-1)?.detail, `1 process (pid ${again.pid})`);
  await end(again);
  await check.stop();
}

async function noDescriptors(): Promise<void> {
  const { check, results } = checkOf('^watched 60$');
  const watched = await sleeper('watched');
  const hoard: number[] = [];
  try {
    for (;;) hoard.push(openSync('/dev/null', 'r'));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EMFILE');
  }
  await check.start((result) => results.push(result));
  assert.equal(results[0]?.verdict, 'unknown');
  assert.match(results[0].detail, /^the process watch failed: /);
  for (const fd of hoard) closeSync(fd);
  await until('the watch recovered', () => results.at(-1)?.verdict === 'up');
  await end(watched);
  await until('it is down', () => results.at(-1)?.verdict === 'down');
  await check.stop();
}

function checkOf(argregex: string): { readonly check: Check; readonly results: CheckResult[] } {
  let checks: readonly Check[] = [];
  plugin.register({
    heartbeatTransport: ignore,
    virtualIpDriver: ignore,
    replicationBackend: ignore,
    witness: ignore,
    checker: (_type, checker) => {
      checks = checker.create({ module: 'test', localNode: 'node1', configuration: { proc: [{ argregex }] }, log });
    },
  });
  const [check] = checks;
  assert(check !== undefined);
  return { check, results: [] };
}

async function sleeper(name: string): Promise<ChildProcess> {
  const child = spawn('sleep', ['60'], { argv0: name, stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
  return child;
}

/** Ends `child` and starts another process with its process id. A thread of this process may take the id first: tried again. */
async function successorOf(child: ChildProcess, name: string): Promise<ChildProcess> {
  await end(child);
  for (let attempt = 0; attempt < 200; attempt += 1) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String((child.pid ?? 0) - 1));
    const successor = await sleeper(name);
    if (successor.pid === child.pid) return successor;
    await end(successor);
  }
  throw new Error(`process id ${child.pid} was never given again`);
}

async function end(child: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const startedAtMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedAtMs > 5000) assert.fail(`waited in vain until ${what}`);
    await delay(5);
  }
}
