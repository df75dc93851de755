/** A mirror of two nodes under a client that never stops writing, through everything that happens in a server room. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { compareNodes } from '../demo/still.js';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { applicationProcesses, holdsVirtualAddress, LEDGER, ledgerClient, ledgerCluster, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;

describe('a mirror of two nodes', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;

  const roles = (): [string, string] => (cluster.primary() === 'n2' ? ['n2', 'n1'] : ['n1', 'n2']);
  const settled = (): Promise<unknown> =>
    waitFor('one primary and one synchronised secondary', RECOVERY_MS, () => {
      const [primary, secondary] = roles();
      return cluster.state(primary) === 'PRIM Ready' && cluster.state(secondary) === 'SECOND Ready';
    });

  before(async () => {
    cluster = await ledgerCluster();
  });
  after(async () => {
    await cluster.close();
  });

  it('waits at the first start when the peer is down, and says which command to run', async () => {
    await cluster.powerCut('n2');
    await cluster.command('n1', 'start');
    await cluster.waitFor({ n1: 'WAIT NotReady' }, RECOVERY_MS);
    assert.match(cluster.view('n1')?.reason.text ?? '', /not uptodate.*holdfast prim/);
    await cluster.command('n1', 'stop');
    await cluster.powerOn('n2');
  });

  it('lets only one of two prim commands win', async () => {
    await Promise.allSettled([cluster.command('n1', 'prim'), cluster.command('n2', 'prim')]);
    const [primary, secondary] = await waitFor('a primary', RECOVERY_MS, () => cluster.primary() !== undefined && roles());
    if (cluster.state(secondary).startsWith('STOP')) await cluster.command(secondary, 'start');
    await settled();
    assert.equal(await holdsVirtualAddress(cluster.machine(primary)), true);
    assert.equal(await holdsVirtualAddress(cluster.machine(secondary)), false);
    await waitForLog(cluster, primary, /resync of n. begins: everything is compared: n. has never held this data/);
    client = ledgerClient(cluster);
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('refuses to write to the secondary copy', async () => {
    const [, secondary] = roles();
    const result = await cluster.machine(secondary).exec(['touch', `${LEDGER.directory}/stranger`]);
    assert.notEqual(result.code, 0);
    assert.match(result.stderr, /Read-only/);
  });

  it('restarts a killed application in place', async () => {
    const [primary] = roles();
    for (const pid of applicationProcesses(cluster.machine(primary))) process.kill(pid, 'SIGKILL');
    await waitForLog(cluster, primary, /is down.*: restart/);
    await settled();
    assert.equal(roles()[0], primary);
    await client.waitForMore(100, RECOVERY_MS);
    assert.equal(cluster.view(primary)?.maxloop.count, 1);
  });

  it('goes on alone when the secondary loses its power, and copies only the changes when it is back', async () => {
    const [primary, secondary] = roles();
    await cluster.powerCut(secondary);
    await cluster.waitFor({ [primary]: 'ALONE Ready' }, RECOVERY_MS);
    await client.waitForMore(100, RECOVERY_MS);
    await cluster.powerOn(secondary);
    await settled();
    assert.equal(cluster.view(primary)?.replication?.lastResync?.mode, 'journal');
    await waitForLog(cluster, primary, /resync of n. has ended: what changed was copied, \d+ bytes in \d+ objects sent, /);
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('comes back by itself when both nodes lose their power, and looks only at what was being modified', async () => {
    const [primary, secondary] = roles();
    await client.waitForMore(100, RECOVERY_MS);
    await Promise.all([cluster.powerCut(primary), cluster.powerCut(secondary)]);
    await Promise.all([cluster.powerOn(primary), cluster.powerOn(secondary)]);
    await settled();
    const [now] = roles();
    assert.equal(now, primary, 'the roles are as before');
    assert.equal(cluster.view(now)?.replication?.lastResync?.mode, 'journal');
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('does the same when a primary that is alone loses its power', async () => {
    const [primary, secondary] = roles();
    await cluster.powerCut(secondary);
    await cluster.waitFor({ [primary]: 'ALONE Ready' }, RECOVERY_MS);
    await client.waitForMore(100, RECOVERY_MS);
    await cluster.powerCut(primary);
    await cluster.powerOn(primary);
    await cluster.waitFor({ [primary]: 'ALONE Ready' }, RECOVERY_MS);
    await client.waitForMore(100, RECOVERY_MS);
    await cluster.powerOn(secondary);
    await settled();
    assert.equal(cluster.view(primary)?.replication?.lastResync?.mode, 'journal');
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('hands over when the agent of the primary is killed: its address vanishes by itself', async () => {
    const [primary, secondary] = roles();
    cluster.agent(primary)?.signal('SIGKILL');
    await cluster.waitFor({ [secondary]: 'ALONE Ready' }, RECOVERY_MS);
    await waitFor('the address to be gone', 10_000, async () => !(await holdsVirtualAddress(cluster.machine(primary))));
    await client.waitForMore(100, RECOVERY_MS);
    await cluster.startAgent(primary);
    await settled();
  });

  it('hands over when the replicator of the primary is killed, and takes the node back with a new one', async () => {
    const [primary, secondary] = roles();
    const replicators = cluster
      .machine(primary)
      .pids()
      .filter(({ command }) => command.includes('replication-files'));
    assert.ok(replicators.length > 0);
    for (const { hostPid } of replicators) process.kill(hostPid, 'SIGKILL');
    await waitFor('the other node to serve', RECOVERY_MS, () => cluster.primary() === secondary);
    await client.waitForMore(100, RECOVERY_MS);
    await settled();
    assert.equal(roles()[0], secondary);
  });

  it('does the same when somebody unmounts the file system under the application', async () => {
    const [primary, secondary] = roles();
    await cluster.machine(primary).run(['umount', '--lazy', LEDGER.directory]);
    await waitFor('the other node to serve', RECOVERY_MS, () => cluster.primary() === secondary);
    await client.waitForMore(100, RECOVERY_MS);
    await settled();
  });

  it('keeps its roles through a cut of the network that is shorter than the timeout', async () => {
    const [primary, secondary] = roles();
    await cluster.lab.network.cut(primary, secondary);
    await delay(800);
    await cluster.lab.network.heal();
    await client.waitForMore(200, RECOVERY_MS);
    await settled();
    assert.equal(roles()[0], primary);
  });

  it('makes a primary that slept give way when it wakes up', async () => {
    const [primary, secondary] = roles();
    await cluster.machine(primary).pause();
    await cluster.waitFor({ [secondary]: 'ALONE Ready' }, RECOVERY_MS);
    await client.waitForMore(50, RECOVERY_MS);
    await cluster.machine(primary).resume();
    await settled();
    assert.equal(roles()[0], secondary);
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('stops after maxloop automatic restarts, and the other node takes over', async () => {
    const [primary, secondary] = roles();
    await cluster.command(primary, 'restart');
    await settled();
    for (let kill = 1; kill <= 4; kill += 1) {
      await client.waitForMore(50, RECOVERY_MS);
      const pids = await waitFor('the application', RECOVERY_MS, () => {
        const found = applicationProcesses(cluster.machine(primary));
        return found.length > 0 && cluster.state(primary) === 'PRIM Ready' && found;
      });
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await waitFor(`restart ${kill}`, RECOVERY_MS, () => {
        const view = cluster.view(primary);
        return view?.phase === 'STOP' || view?.maxloop.count === kill;
      });
    }
    await cluster.waitFor({ [primary]: 'STOP NotReady', [secondary]: 'ALONE Ready' }, RECOVERY_MS);
    await waitForLog(cluster, primary, /stopped by maxloop/);
    await client.waitForMore(50, RECOVERY_MS);
    await cluster.command(primary, 'start');
    await settled();
  });

  it('survives a general power cut', async () => {
    const [primary, secondary] = roles();
    await Promise.all([cluster.powerCut(primary), cluster.powerCut(secondary)]);
    await cluster.powerOn(secondary);
    await cluster.waitFor({ [secondary]: 'WAIT NotReady' }, RECOVERY_MS);
    assert.match(cluster.view(secondary)?.reason.text ?? '', /may hold newer data/);
    await cluster.powerOn(primary);
    await settled();
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('has lost nothing in the end, and both copies are the same', async () => {
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
    assert.equal(result.doubled, 0);
    const comparison = await compareNodes(cluster, LEDGER);
    assert.deepEqual(comparison.differences, []);
    assert.equal(comparison.identical, true);
  });
});
