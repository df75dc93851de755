/**
 * The agent of the primary hangs while its application, its replicator and the network live on: the other node takes over, and nothing is
 * acknowledged on the first node from then on. Two writers beside the client, one on each node, note when the kernel answered them.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { compareNodes } from '../demo/still.js';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import type { LabMachine } from '../lab/machine.js';
import type { RunningCommand } from '../lab/running-command.js';
import { LabWitness } from '../lab/witness.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { LEDGER, ledgerClient, ledgerCluster, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const HEARTBEAT_TIMEOUT_MS = 2000;
const SLEEP_MS = 10_000;
/** An old primary stops its application, follows, and copies what changed. */
const REJOIN_MS = 10_000;
/** A machine that is busy with other things. */
const SLACK_MS = 1500;

/** Appends numbered lines, each with a write and an fsync of its own, and tells the monotonic time at which each was answered. */
const WRITER = `
const { openSync, writeSync, fsyncSync, closeSync } = require('node:fs');
const file = process.argv[1];
let number = 0;
const turn = () => {
  try {
    const fd = openSync(file, 'a');
    number += 1;
    writeSync(fd, number + '\\n');
    fsyncSync(fd);
    closeSync(fd);
    console.log(number + ' ' + process.hrtime.bigint() / 1000000n);
  } catch (error) {
    console.log('error ' + error.code);
    // A secondary's copy is read-only. After any other error this is the end, as of an application: what is written later by path may
    // reach the plain directory of a module that has left its role.
    if (error.code !== 'EROFS') process.exit(1);
  }
  setTimeout(turn, 20);
};
turn();
`;

class Writer {
  readonly command: RunningCommand;
  readonly answered: { readonly number: number; readonly atMs: number }[] = [];
  errors = 0;

  constructor(
    readonly machine: LabMachine,
    readonly file: string,
  ) {
    this.command = machine.spawn([process.execPath, '-e', WRITER, file]);
    this.command.onLine(({ stream, text }) => {
      if (stream !== 'stdout') return;
      const [number, atMs] = text.split(' ');
      if (number === 'error') this.errors += 1;
      else this.answered.push({ number: Number(number), atMs: Number(atMs) });
    });
  }

  waitForMore(count: number): Promise<unknown> {
    const wanted = this.answered.length + count;
    return waitFor(`${count} more writes by ${this.machine.name}`, RECOVERY_MS, () => this.answered.length >= wanted);
  }
}

const nowMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

function agentPid(machine: LabMachine): number {
  const agents = machine.pids().filter(({ command }) => /holdfast\.js agent$/.test(command.trim()));
  assert.equal(agents.length, 1, `one agent on ${machine.name}`);
  return agents[0]?.hostPid ?? 0;
}

for (const witness of ['without a witness', 'with a witness'] as const) {
  describe(`a primary whose agent hangs, ${witness}`, () => {
    let cluster: LabCluster;
    let client: WorkloadClient;
    let n1: LabMachine;
    let n2: LabMachine;
    const writers: Writer[] = [];
    const write = (machine: LabMachine): Writer => {
      const writer = new Writer(machine, `${LEDGER.directory}/written-by-${machine.name}-${writers.length}`);
      writers.push(writer);
      return writer;
    };

    before(async () => {
      cluster = await ledgerCluster(witness === 'with a witness' ? { edit: (xml) => LabWitness.element(xml) } : {});
      [n1, n2] = [cluster.machine('n1'), cluster.machine('n2')];
      const server = witness === 'with a witness' ? await LabWitness.start(cluster) : undefined;
      await cluster.startBoth();
      await server?.waitUntilCountedOn(['n1', 'n2'], RECOVERY_MS);
      client = ledgerClient(cluster);
      await client.waitForMore(50, RECOVERY_MS);
    });
    after(async () => {
      await cluster.close();
    });

    it('acknowledges nothing any more before the other node acknowledges', async () => {
      const [onFirst, onSecond] = [write(n1), write(n2)];
      await onFirst.waitForMore(20);
      const pid = agentPid(n1);
      process.kill(pid, 'SIGSTOP');
      const stoppedMs = nowMs();
      try {
        // What is known of n1 is old: its agent answers nobody.
        const tookOver = (): boolean => ['ALONE', 'PRIM'].includes(cluster.view('n2')?.phase ?? '');
        await waitFor('the other node to take over', RECOVERY_MS, () => tookOver() && onSecond.answered.length > 20);
        await client.waitForMore(50, RECOVERY_MS);
        await delay(Math.max(0, stoppedMs + SLEEP_MS - nowMs()));
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      const wokeMs = nowMs();
      await waitFor('the old primary to answer again', REJOIN_MS, () => cluster.view('n1')?.phase !== 'PRIM');
      await cluster.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, REJOIN_MS);
      process.stdout.write(`      whole again ${nowMs() - wokeMs} ms after the agent went on, having slept ${wokeMs - stoppedMs} ms\n`);
      assert.ok(wokeMs - stoppedMs < SLEEP_MS + SLACK_MS, 'it slept longer than this test is about');
      const last = onFirst.answered.at(-1)?.atMs ?? 0;
      const first = onSecond.answered[0]?.atMs ?? 0;
      process.stdout.write(
        `      last answer there ${last - stoppedMs} ms, first answer here ${first - stoppedMs} ms after the agent stopped\n`,
      );
      assert.ok(last < first, 'both nodes acknowledged at one time');
      assert.ok(last - stoppedMs < HEARTBEAT_TIMEOUT_MS + SLACK_MS);
      for (const writer of [onFirst, onSecond]) writer.command.kill();
    });

    it('holds what an application writes while its agent hangs, and goes on without an error when nobody took over', async () => {
      await cluster.command('n1', 'stop');
      await cluster.waitFor({ n2: 'ALONE Ready' }, RECOVERY_MS);
      const writer = write(n2);
      await writer.waitForMore(20);
      const pid = agentPid(n2);
      process.kill(pid, 'SIGSTOP');
      const stoppedMs = nowMs();
      await delay(HEARTBEAT_TIMEOUT_MS + SLACK_MS);
      const before = writer.answered.length;
      await delay(2000);
      assert.equal(writer.answered.length, before, 'nothing is acknowledged while the agent hangs');
      assert.ok((writer.answered.at(-1)?.atMs ?? 0) - stoppedMs < HEARTBEAT_TIMEOUT_MS + SLACK_MS);
      const errors = writer.errors;
      process.kill(pid, 'SIGCONT');
      await writer.waitForMore(20);
      assert.equal(writer.errors, errors);
      writer.command.kill();
      await waitForLog(cluster, 'n2', /ALONE/);
      await cluster.command('n1', 'start');
      await cluster.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, RECOVERY_MS);
    });

    it('has lost no acknowledged write, and both copies are the same', async () => {
      const result = await client.finish();
      assert.equal(result.problem, undefined);
      assert.equal(result.lost, 0, result.lostExamples.join('; '));
      assert.equal(result.doubled, 0);
      for (const { file, answered, machine } of writers) {
        const kept = new Set((await n2.readFile(file)).trim().split('\n').map(Number));
        const lost = answered.filter(({ number }) => !kept.has(number));
        assert.deepEqual(lost, [], `acknowledged on ${machine.name} and lost`);
      }
      const comparison = await compareNodes(cluster, LEDGER);
      assert.deepEqual(comparison.differences, []);
      assert.equal(comparison.identical, true);
    });
  });
}
