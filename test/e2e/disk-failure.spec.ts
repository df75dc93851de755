/** The whole disk of the primary fails, and with it the node's memory of its own state, while the node goes on running. */
import assert from 'node:assert/strict';
import { compareNodes } from '../demo/still.js';
import type { LabCluster } from '../lab/cluster.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { holdsVirtualAddress, LEDGER, ledgerClient, ledgerCluster } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;

describe('a mirror whose primary has a disk that fails', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;

  before(async () => {
    cluster = await ledgerCluster();
    await cluster.startBoth();
    client = ledgerClient(cluster);
    await client.waitForMore(100, RECOVERY_MS);
  });
  after(async () => {
    await cluster.close();
  });

  it('hands over although it cannot write down that it does', async () => {
    await cluster.machine('n1').failDisk();
    await cluster.waitFor({ n2: 'ALONE Ready' }, RECOVERY_MS);
    assert.equal(cluster.machine('n1').powered, true);
    assert.equal(await holdsVirtualAddress(cluster.machine('n2')), true);
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('follows with a good disk, has lost nothing, and both copies are the same', async () => {
    await cluster.powerCut('n1');
    await cluster.powerOn('n1');
    await cluster.waitFor({ n1: 'SECOND Ready', n2: 'PRIM Ready' }, RECOVERY_MS);
    await client.waitForMore(100, RECOVERY_MS);
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
    assert.equal(result.doubled, 0);
    assert.deepEqual((await compareNodes(cluster, LEDGER)).differences, []);
  });
});
