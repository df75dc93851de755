/** The replicator of either node dies under a client that never stops writing: no failover, no error, a pause. */
import assert from 'node:assert/strict';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import { WorkloadClient } from '../lab/workload-client.js';
import { VIRTUAL_IP } from '../demo/applications.js';
import { compareNodes } from '../demo/still.js';
import { applicationProcesses, LEDGER, ledgerCluster } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const KILLS = 2;
/** Below a second on a machine of its own; others may be testing on this one. */
const PAUSE_MAX_MS = 15_000;

describe('a mirror whose replicators are killed', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;

  const settled = (): Promise<unknown> =>
    waitFor(
      'one primary and one synchronised secondary',
      RECOVERY_MS,
      () => cluster.state('n1') === 'PRIM Ready' && cluster.state('n2') === 'SECOND Ready',
    );
  const replicators = (node: string): number[] =>
    cluster
      .machine(node)
      .pids()
      .filter(({ command }) => command.includes('replication-files') && command.includes('process/main.js'))
      .map(({ hostPid }) => hostPid);
  const killReplicator = async (node: string): Promise<void> => {
    const before = replicators(node);
    assert.equal(before.length, 1);
    for (const pid of before) process.kill(pid, 'SIGKILL');
    await waitFor(`a new replicator on ${node}`, RECOVERY_MS, () => replicators(node).some((pid) => !before.includes(pid)));
  };

  before(async () => {
    cluster = await ledgerCluster();
    await cluster.command('n1', 'prim');
    await cluster.command('n2', 'start');
    await settled();
    client = WorkloadClient.start(cluster.lab.client, LEDGER.service, { host: VIRTUAL_IP, answerTimeoutMs: PAUSE_MAX_MS });
    await client.waitForMore(100, RECOVERY_MS);
  });
  after(async () => {
    await cluster.close();
  });

  it('goes on where it was when the replicator of the primary is killed: no failover, no error', async () => {
    const application = applicationProcesses(cluster.machine('n1'));
    const generation = cluster.view('n1')?.generation.current;
    for (let kill = 0; kill < KILLS; kill += 1) {
      let lastMs = performance.now();
      let longestMs = 0;
      let count = client.acknowledged;
      const unwatch = client.onMessage(() => {
        if (client.acknowledged === count) return;
        const nowMs = performance.now();
        longestMs = Math.max(longestMs, nowMs - lastMs);
        lastMs = nowMs;
        count = client.acknowledged;
      });
      await killReplicator('n1');
      await client.waitForMore(200, RECOVERY_MS);
      unwatch();
      // Reports come every 100 ms.
      process.stdout.write(`      longest time without an acknowledged write: ${longestMs.toFixed(0)} ms\n`);
      assert.ok(longestMs < PAUSE_MAX_MS);
      await settled();
    }
    assert.equal(cluster.primary(), 'n1');
    assert.deepEqual(applicationProcesses(cluster.machine('n1')), application);
    assert.equal(cluster.view('n1')?.generation.current, generation);
  });

  it('resynchronises from the journal when the replicator of the secondary is killed', async () => {
    const generation = cluster.view('n1')?.generation.current;
    await killReplicator('n2');
    await waitFor('a generation without the secondary', RECOVERY_MS, () => cluster.view('n1')?.generation.current !== generation);
    await settled();
    await client.waitForMore(100, RECOVERY_MS);
    assert.equal(cluster.primary(), 'n1');
    assert.equal(cluster.view('n1')?.replication?.lastResync?.mode, 'journal');
  });

  it('has shown no error to the client, lost nothing, and both copies are the same', async () => {
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.unknown, 0);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
    assert.equal(result.doubled, 0);
    const comparison = await compareNodes(cluster, LEDGER);
    assert.deepEqual(comparison.differences, []);
    assert.equal(comparison.identical, true);
  });
});
