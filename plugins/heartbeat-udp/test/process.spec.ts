/** The life of the sending process: it dies with the agent, its death and its stall are told, and its privileges are what it says. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort, isRunning, optionsOf, TestNode, until } from './node.js';

/** Scheduling policy of a process: 0 ordinary, 1 SCHED_FIFO; and its priority. */
function schedulingOf(pid: number): [string | undefined, string | undefined] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return [fields[38], fields[37]];
}

describe('heartbeat process', function () {
  this.timeout(20_000);
  const realtime = process.env['HOLDFAST_REALTIME'];
  const nodes: TestNode[] = [];

  beforeEach(() => {
    process.env['HOLDFAST_REALTIME'] = 'off';
  });
  afterEach(async () => {
    if (realtime === undefined) delete process.env['HOLDFAST_REALTIME'];
    else process.env['HOLDFAST_REALTIME'] = realtime;
    await Promise.all(nodes.splice(0).map((node) => node.stop()));
  });

  async function start(): Promise<TestNode> {
    const node = await TestNode.start();
    nodes.push(node);
    return node;
  }

  it('tells every session when it is killed, and the next open starts a new one', async () => {
    const node = await start();
    const port = await freePort();
    const ears = [await node.open(optionsOf('north', port)), await node.open(optionsOf('north', await freePort(), { module: 'mail' }))];
    const killed = node.pid;
    process.kill(killed, 'SIGKILL');
    await until('both sessions fail', () => ears.every(({ failures }) => failures.length > 0));
    for (const { failures, session } of ears) {
      assert.match(failures[0]?.message ?? '', /^HF_HEARTBEAT_PROCESS_GONE: .*SIGKILL/);
      session.publish(Buffer.from('nobody listens'));
      session.tick();
      await session.close({ goodbye: true });
    }
    const again = await node.open(optionsOf('north', port));
    assert.notEqual(node.pid, killed);
    assert.deepEqual(again.failures, []);
    assert.ok(ears.every(({ failures }) => failures.length === 1));
  });

  it('counts as failed, and is killed, when it is stopped', async () => {
    const node = await start();
    const ear = await node.open(optionsOf('north', await freePort()));
    const stopped = node.pid;
    process.kill(stopped, 'SIGSTOP');
    await until('the failure', () => ear.failures.length > 0);
    assert.match(ear.failures[0]?.message ?? '', /^HF_HEARTBEAT_PROCESS_STALLED/);
    await until('the stopped process is gone', () => !isRunning(stopped));
  });

  it('is not mistaken for stalled when the agent itself was blocked', async () => {
    const node = await start();
    const ear = await node.open(optionsOf('north', await freePort()));
    for (const deadline = Date.now() + 1500; Date.now() < deadline; );
    const alive = node.pid;
    let turns = 0;
    const turning = setInterval(() => (turns += 1), 20);
    await until('the agent ran for a while', () => turns > 30);
    clearInterval(turning);
    assert.deepEqual(ear.failures, []);
    assert.ok(isRunning(alive));
  });

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    it(`is gone when the agent is ended by ${signal}`, async () => {
      const port = await freePort();
      const temporary = join(tmpdir(), `holdfast-heartbeat-agent-${process.pid}`);
      const env = { ...process.env, TMPDIR: temporary };
      await mkdir(temporary);
      const fixture = fileURLToPath(new URL('./fixtures/agent.js', import.meta.url));
      const agent = spawn(process.execPath, [fixture, String(port)], { env, stdio: ['ignore', 'pipe', 'inherit'] });
      try {
        const [line] = (await once(createInterface(agent.stdout), 'line')) as [string];
        const pid = Number(line);
        assert.ok(isRunning(pid));
        agent.kill(signal);
        await until('the heartbeat process is gone', () => !isRunning(pid), 2000);
      } finally {
        agent.kill('SIGKILL');
        await rm(temporary, { recursive: true, force: true });
      }
    });
  }

  it('survives the signals that a service manager sends to the whole group, and ends with the plug-in', async () => {
    const node = await start();
    const ear = await node.open(optionsOf('north', await freePort()));
    const { pid } = node;
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(pid, signal);
    await ear.session.close({ goodbye: true });
    assert.deepEqual(ear.failures, []);
    await node.stop();
    await node.stop();
    assert.ok(!isRunning(pid));
    await assert.rejects(node.transport.open(optionsOf('north', await freePort())), { code: 'HF_HEARTBEAT_NOT_STARTED' });
  });

  it('is real-time and protected from the OOM killer when it says so, and ordinary when told to be', async () => {
    const ordinary = await start();
    assert.deepEqual(schedulingOf(ordinary.pid), ['0', '0']);
    delete process.env['HOLDFAST_REALTIME'];
    const node = await start();
    const fields = node.lines.find(({ message }) => message === 'heartbeat process started')?.fields ?? {};
    assert.deepEqual(schedulingOf(node.pid), fields['scheduling'] === 'SCHED_FIFO 10' ? ['1', '10'] : ['0', '0']);
    const score = readFileSync(`/proc/${node.pid}/oom_score_adj`, 'latin1').trim();
    assert.equal(score === '-1000', fields['outOfMemory'] === 'protected');
  });
});
