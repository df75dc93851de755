/** Two clusters that were given the same virtual address, module and ports, on one network: each has its own key. */
import assert from 'node:assert/strict';
import { compareNodes } from '../demo/still.js';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import { Lab } from '../lab/lab.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { holdsVirtualAddress, LEDGER, ledgerClient, ledgerClusterWithin, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;

describe('two clusters with one address', () => {
  let lab: Lab;
  let first: LabCluster;
  let second: LabCluster;
  let client: WorkloadClient;

  before(async () => {
    lab = await Lab.create({ nodes: ['n1', 'n2', 'n3', 'n4'] });
    first = await ledgerClusterWithin(lab, ['n1', 'n2']);
    second = await ledgerClusterWithin(lab, ['n3', 'n4']);
    await first.startBoth('n1', 'n2');
    client = ledgerClient(first);
    await client.waitForMore(100, RECOVERY_MS);
  });
  after(() => lab.close());

  async function owners(): Promise<string[]> {
    const powered = lab.nodes.filter((node) => node.powered);
    const held = await Promise.all(powered.map(async (node) => ((await holdsVirtualAddress(node)) ? [node.name] : [])));
    return held.flat();
  }

  it('leave the address to the cluster that has it, undisturbed; the other waits and says why', async () => {
    await second.command('n3', 'prim');
    await second.command('n4', 'start');
    await waitForLog(second, 'n3', /virtual address taken by another host/);
    assert.equal(second.primary(), undefined);
    await client.waitForMore(500, RECOVERY_MS);
    assert.deepEqual(client.outages, []);
    assert.deepEqual(await owners(), ['n1']);
    assert.deepEqual([first.state('n1'), first.state('n2')], ['PRIM Ready', 'SECOND Ready']);
    // Strangers to each other: neither takes the other's nodes for its own.
    assert.deepEqual([first.view('n1')?.peer?.node, second.view('n3')?.peer?.node], ['n2', 'n4']);
  });

  it('keep their roles through a failover of the one that has it', async () => {
    await first.powerCut('n1');
    await client.waitForMore(100, RECOVERY_MS);
    await waitFor('one owner of the address', RECOVERY_MS, async () => (await owners()).join() === 'n2');
    assert.equal(second.primary(), undefined);
    await first.powerOn('n1');
    await first.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, RECOVERY_MS);
    const result = await client.finish();
    assert.deepEqual([result.problem, result.lost], [undefined, 0], result.lostExamples.join('; '));
    assert.deepEqual((await compareNodes(first, LEDGER)).differences, []);
  });

  it('serve one after the other when the first gives the address up', async () => {
    await first.command('n1', 'stop', '--wait');
    await first.command('n2', 'stop', '--wait');
    await second.waitFor({ n3: 'PRIM Ready', n4: 'SECOND Ready' }, RECOVERY_MS);
    assert.deepEqual(await owners(), ['n3']);
    await first.command('n2', 'start');
    await waitForLog(first, 'n2', /virtual address taken by another host/);
    assert.deepEqual(await owners(), ['n3']);
    assert.equal(first.primary(), undefined);
  });
});
