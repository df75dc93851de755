/** The checker against real processes: found, dead, replaced, changed by exec, too few, too many. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Check, Checker, CheckResult, ElementValue, Log } from '@holdfast/sdk';
import { checkerCases } from '@holdfast/sdk/testkit/checker';
import { plugin } from '../src/index.js';

const silent = (): void => undefined;
const log: Log = { debug: silent, info: silent, warn: silent, error: silent };

const FORGOTTEN_CHECK = new URL('./forgotten-check.js', import.meta.url);
const ISOLATED_SCENARIOS = new URL('./isolated-scenarios.js', import.meta.url);

/** Unique per test process, so that runs beside each other do not see each other's processes. */
const TAG = `hf${process.pid}x`;

function registeredChecker(): Checker {
  let registered: Checker | undefined;
  plugin.register({
    heartbeatTransport: silent,
    virtualIpDriver: silent,
    replicationBackend: silent,
    witness: silent,
    checker: (_type, checker) => {
      registered = checker;
    },
  });
  assert(registered !== undefined);
  return registered;
}

interface Watching {
  readonly check: Check;
  readonly results: CheckResult[];
  verdict(): string | undefined;
}

describe('process checker', function () {
  this.timeout(20_000);
  const checker = registeredChecker();
  const watching: Watching[] = [];
  const children: ChildProcess[] = [];
  let descriptorsBefore: readonly string[] = [];

  async function watch(process_: ElementValue, polltimer = 30_000): Promise<Watching> {
    const [check] = checker.create({ module: 'test', localNode: 'node1', configuration: { polltimer, proc: [process_] }, log });
    assert(check !== undefined);
    const results: CheckResult[] = [];
    const one: Watching = { check, results, verdict: () => results.at(-1)?.verdict };
    watching.push(one);
    await check.start((result) => results.push(result));
    return one;
  }

  /** Runs a script of bash in a process group of its own, so that it can be ended with all that it started. */
  function run(script: string): ChildProcess {
    const child = spawn('bash', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    children.push(child);
    return child;
  }

  /** A process whose command line is `<tag> 60`. */
  function start(tag: string): ChildProcess {
    return run(`exec -a ${tag} sleep 60`);
  }

  async function end(child: ChildProcess): Promise<void> {
    const { pid } = child;
    const running = child.exitCode === null && child.signalCode === null;
    const exited = running ? new Promise((resolve) => child.once('exit', resolve)) : undefined;
    try {
      child.kill('SIGKILL');
      if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    } catch (error) {
      // The whole group is gone already.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    await exited;
  }

  beforeEach(() => {
    descriptorsBefore = kernelDescriptors();
  });

  afterEach(async () => {
    await Promise.all(watching.splice(0).map(({ check }) => check.stop()));
    await Promise.all(children.splice(0).map(end));
    assert.deepEqual(kernelDescriptors(), descriptorsBefore, 'the watching thread or a descriptor is left');
  });

  it('finds a process by its arguments and notices its death at once', async () => {
    const child = start(`${TAG}-a`);
    const one = await watch({ argregex: `^${TAG}-a 60$` });
    await until('it is up', () => one.verdict() === 'up');
    const killedAtMs = performance.now();
    child.kill('SIGKILL');
    await until('it is down', () => one.verdict() === 'down');
    const tookMs = performance.now() - killedAtMs;
    assert(tookMs < 1000, `${tookMs} ms`);
    assert.equal(one.results.at(-1)?.detail, '0 of 1 process');
    process.stdout.write(`      death told after ${tookMs.toFixed(1)} ms\n`);
  });

  it('finds a process by its name and by an expression on its name', async () => {
    const name = `${TAG}n`.slice(-15);
    // A builtin of the shell writes the shell's own name.
    const child = run(`printf %s ${name} > /proc/self/comm; read line`);
    const byName = await watch({ name });
    const byRegex = await watch({ nameregex: `^${name.slice(0, -1)}[n]$` });
    const byBoth = await watch({ name, argregex: 'read line' });
    const byNeither = await watch({ name, argregex: 'no such argument' });
    await until('three find it', () => [byName, byRegex, byBoth].every((one) => one.verdict() === 'up'));
    assert.notEqual(byNeither.verdict(), 'up');
    await end(child);
    await until('three lose it', () => [byName, byRegex, byBoth].every((one) => one.verdict() === 'down'));
  });

  it('says unknown while the application may still be starting, up when it appears, down when it does not', async () => {
    const late = await watch({ argregex: `${TAG}-late` });
    const never = await watch({ argregex: `${TAG}-never` });
    assert.deepEqual(late.results[0], { verdict: 'unknown', detail: '0 of 1 process, may still be starting' });
    start(`${TAG}-late`);
    await until('the late one is up', () => late.verdict() === 'up');
    assert(!late.results.some((result) => result.verdict === 'down'));
    await until('the missing one is down', () => never.verdict() === 'down');
    assert(never.results.filter((result) => result.verdict === 'unknown').length >= 2);
  });

  it('does not say down when a supervisor replaces the process in the same instant', async () => {
    run(`while :; do bash -c 'exec -a ${TAG}-r sleep 60'; done & wait`);
    const one = await watch({ argregex: `^${TAG}-r 60$` });
    await until('it is up', () => one.verdict() === 'up');
    for (let round = 0; round < 5; round += 1) {
      const killed = pidOf(one);
      process.kill(killed, 'SIGKILL');
      await until('the successor is known', () => pidOf(one) !== killed);
    }
    assert(!one.results.some((result) => result.verdict === 'down'));
  });

  it('tells the death of a daemon at once, and waits for a successor only while somebody is there to start one', async () => {
    const took = async (tag: string, kill: (pid: number) => void): Promise<number> => {
      const one = await watch({ argregex: `^${tag} 60$` }, 300);
      await until('it is up', () => one.verdict() === 'up');
      // The scan that notes who the parent is now.
      await until('it was scanned again', () => one.results.length >= 3);
      const killedAtMs = performance.now();
      kill(pidOf(one));
      await until('it is down', () => one.verdict() === 'down');
      return performance.now() - killedAtMs;
    };
    const kill = (pid: number): boolean => process.kill(pid, 'SIGKILL');
    const fastest = async (measure: (round: number) => Promise<number>): Promise<number> => {
      const all = [await measure(1), await measure(2), await measure(3)];
      return Math.min(...all);
    };
    const daemon = await fastest((round) => {
      run(`(exec -a ${TAG}-dm${round} sleep 60) &`);
      return took(`${TAG}-dm${round}`, kill);
    });
    const supervised = await fastest((round) => {
      run(`(exec -a ${TAG}-sv${round} sleep 60) & exec sleep 61`);
      return took(`${TAG}-sv${round}`, kill);
    });
    const withParent = await fastest((round) => {
      const parent = run(`(exec -a ${TAG}-wp${round} sleep 60) & exec sleep 61`);
      return took(`${TAG}-wp${round}`, (pid) => {
        parent.kill('SIGKILL');
        kill(pid);
      });
    });
    process.stdout.write(
      `      daemon ${daemon.toFixed(1)} ms, supervised ${supervised.toFixed(1)} ms, with its parent ${withParent.toFixed(1)} ms\n`,
    );
    assert(supervised >= 50, `${supervised} ms`);
    assert(daemon < 40, `${daemon} ms`);
    assert(withParent < 40, `${withParent} ms`);
  });

  it('wants as many as atleast says', async () => {
    const first = start(`${TAG}-two`);
    const one = await watch({ argregex: `^${TAG}-two `, atleast: 2 });
    assert.notEqual(one.verdict(), 'up');
    start(`${TAG}-two`);
    await until('two are up', () => one.verdict() === 'up');
    first.kill('SIGKILL');
    await until('one is not enough', () => one.verdict() === 'down');
    assert.match(one.results.at(-1)?.detail ?? '', /^1 of 2 processes \(pid \d+\)$/);
  });

  it('allows no more than atmax says, and with 0 none', async () => {
    const none = await watch({ argregex: `^${TAG}-max `, atmax: 0 });
    const two = await watch({ argregex: `^${TAG}-max `, atmax: 2 });
    assert.equal(none.verdict(), 'up');
    const started = [start(`${TAG}-max`), start(`${TAG}-max`)];
    await until('one is too many', () => none.verdict() === 'down');
    await until('two are allowed', () => two.verdict() === 'up');
    started.push(start(`${TAG}-max`));
    await until('three are too many', () => two.verdict() === 'down');
    assert.match(two.results.at(-1)?.detail ?? '', /^3 processes, at most 2 allowed/);
    await Promise.all(started.map(end));
    await until('none is left', () => none.verdict() === 'up');
  });

  it('follows an exec that changes the command line, long after the process was first seen', async () => {
    const child = run(`sleep 4; exec -a ${TAG}-exec sleep 60`);
    const one = await watch({ argregex: `^${TAG}-exec 60$` });
    await until('the process became another program', () => readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').startsWith(TAG), 8000);
    await until('it is up', () => one.verdict() === 'up', 10_000);
  });

  it('takes a process that became another program for gone', async () => {
    const child = run(`exec -a ${TAG}-was bash -c 'read line; exec sleep 60'`);
    const one = await watch({ argregex: `^${TAG}-was` });
    await until('it is up', () => one.verdict() === 'up');
    child.stdin?.write('go\n');
    await until('it is down', () => one.verdict() === 'down', 8000);
  });

  it('counts a zombie as dead', async () => {
    run(`bash -c 'exec -a ${TAG}-z sleep 60' & exec sleep 60`);
    const one = await watch({ argregex: `^${TAG}-z 60$` });
    await until('it is up', () => one.verdict() === 'up');
    const pid = pidOf(one);
    process.kill(pid, 'SIGKILL');
    await until('it is down', () => one.verdict() === 'down');
    assert.match(readFileSync(`/proc/${pid}/stat`, 'utf8'), /\) Z /, 'the zombie is still listed');
  });

  it('looks only after the delay that start_after asks for', async () => {
    start(`${TAG}-after`);
    const startedAtMs = performance.now();
    const one = await watch({ argregex: `^${TAG}-after `, start_after: 4 }, 300);
    assert.deepEqual(one.results, [{ verdict: 'unknown', detail: 'looked for in 0.9 s (start_after)' }]);
    await until('it is up', () => one.verdict() === 'up');
    assert(performance.now() - startedAtMs >= 890);
  });

  it('reports nothing after it was stopped, can be stopped twice and started again', async () => {
    const child = start(`${TAG}-stop`);
    const one = await watch({ argregex: `^${TAG}-stop ` });
    await until('it is up', () => one.verdict() === 'up');
    await one.check.stop();
    await one.check.stop();
    const reported = one.results.length;
    await end(child);
    await delay(300);
    assert.equal(one.results.length, reported);
    await one.check.start((result) => one.results.push(result));
    assert.equal(one.verdict(), 'unknown');
  });

  it('costs little while nothing happens', async () => {
    run('for i in {1..300}; do sleep 60 & done; wait');
    const one = await watch({ argregex: `^${TAG}-idle ` });
    await Promise.all([1, 2, 3].map((index) => watch({ nameregex: `^no-such-process-${index}$` })));
    await delay(1500);
    const before = process.cpuUsage();
    await delay(5000);
    const { user, system } = process.cpuUsage(before);
    const processes = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).length;
    process.stdout.write(`      ${((user + system) / 1000).toFixed(0)} ms of CPU in 5 s, 4 checks, ${processes} processes\n`);
    assert.notEqual(one.verdict(), 'up');
  });

  /** Runs a program of these tests to its end. @returns its exit code and what it said */
  async function runProgram(before: readonly string[], program: URL, argument: string): Promise<string> {
    const script = fileURLToPath(program);
    const child = spawn('env', [...before, process.execPath, script, argument], { stdio: ['ignore', 'ignore', 'pipe'] });
    children.push(child);
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const ended = new Promise<string>((resolve) => child.once('close', (code) => resolve(code === 0 ? '0' : `${code}: ${said}`)));
    return Promise.race([ended, delay(15_000, 'still running', { ref: false })]);
  }

  it('does not hold up the end of its process', async () => {
    assert.equal(await runProgram([], FORGOTTEN_CHECK, 'return'), '0');
    assert.equal(await runProgram([], FORGOTTEN_CHECK, 'exit'), '0');
    assert.match(await runProgram([], FORGOTTEN_CHECK, 'throw'), /^1: .*on purpose/s);
  });

  it('is not deceived by a process id that is given again', async () => {
    const namespace = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
    assert.equal(await runProgram(namespace, ISOLATED_SCENARIOS, 'pid-reuse'), '0');
  });

  it('says unknown while it cannot watch, and goes on by itself', async () => {
    assert.equal(await runProgram(['prlimit', '--nofile=64', '--'], ISOLATED_SCENARIOS, 'no-descriptors'), '0');
  });

  describe('as every checker', () => {
    const create = (): Check => {
      const [check] = checker.create({ module: 'test', localNode: 'node1', configuration: { proc: [{ argregex: `^${TAG}-case ` }] }, log });
      assert(check !== undefined);
      return check;
    };
    let child: ChildProcess | undefined;
    const makeUp = async (): Promise<void> => {
      child ??= start(`${TAG}-case`);
      const { pid } = child;
      await until('it runs', () => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(TAG));
    };
    const makeDown = async (): Promise<void> => {
      if (child !== undefined) await end(child);
      child = undefined;
    };
    for (const { title, run: runCase } of checkerCases({ create, makeUp, makeDown, cleanUp: makeDown })) it(title, runCase);
  });
});

function pidOf(one: Watching): number {
  const pid = Number(/\(pid (\d+)/.exec(one.results.at(-1)?.detail ?? '')?.[1]);
  assert(pid > 1, one.results.at(-1)?.detail);
  return pid;
}

/** Descriptors of the kernel's own kinds (event queues, event counters, process descriptors): what a forgotten thread would keep. */
function kernelDescriptors(): readonly string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => linkTarget(`/proc/self/fd/${fd}`))
    .filter((target) => target.startsWith('anon_inode:'))
    .sort();
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

async function until(what: string, condition: () => boolean, deadlineMs = 5000): Promise<void> {
  const startedAtMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedAtMs > deadlineMs) assert.fail(`waited ${deadlineMs} ms in vain until ${what}`);
    await delay(5);
  }
}
