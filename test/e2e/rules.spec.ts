/** Failover rules, resources and maintenance switches on two whole nodes: rules of one node that name resources of the other. */
import assert from 'node:assert/strict';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import type { RunningCommand } from '../lab/running-command.js';
import { applicationProcesses, ledgerCluster, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const SIDE_PORT = 9999;

/** What the other node can do better is an application of its own, watched on both. */
const CHECKS = `<tcp ident="side" when="both" action="noaction" fall="1" rise="1">
      <to addr="127.0.0.1" port="${SIDE_PORT}" interval="1s" timeout="1s"/>
    </tcp>
  </check>
  <failover period="200ms" handle_time="1s"><![CDATA[
    better_there: if (local.tcp.side == down && remote.tcp.side == up) then swap();
  ]]></failover>`;

describe('failover rules on two nodes', () => {
  let cluster: LabCluster;
  const listeners = new Map<string, RunningCommand>();

  const listen = (node: string): void => {
    const script = `require('node:net').createServer((s) => s.end()).listen(${SIDE_PORT}, '127.0.0.1')`;
    listeners.set(node, cluster.machine(node).spawn([process.execPath, '-e', script]));
  };
  const get = async (node: string, resource: string): Promise<string> =>
    (await cluster.cli(node, ['get', '-m', cluster.module, '-r', resource])).trim();

  before(async () => {
    cluster = await ledgerCluster({ edit: (xml) => xml.replace('</check>', CHECKS) });
    await cluster.startBoth();
  });
  after(async () => {
    await cluster.close();
  });

  it('move the module to the node whose own resource is up, as its heartbeats say', async () => {
    assert.equal(cluster.view('n1')?.rule, undefined);
    await waitFor('both side applications are known to be absent', RECOVERY_MS, async () => (await get('n2', 'tcp.side')) === 'down');
    listen('n2');
    await cluster.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, RECOVERY_MS);
    await waitForLog(cluster, 'n1', /failover rule better_there holds \(tcp\.side == down && remote\.tcp\.side == up\): swap/);
    assert.match(await cluster.cli('n1', ['why', '-m', cluster.module, '-n', '20']), /failover rule better_there held for/);
    // What is seen of a node is a moment old.
    await waitFor('one automatic action is counted', RECOVERY_MS, () => cluster.view('n1')?.maxloop.count === 1);
  });

  it('keep the history of a resource over a restart of the agent', async () => {
    await cluster.command('n1', 'stop');
    await cluster.waitFor({ n1: 'STOP NotReady', n2: 'ALONE Ready' }, RECOVERY_MS);
    await cluster.powerCut('n1');
    await cluster.powerOn('n1');
    const text = await cluster.cli('n1', ['get', '-m', cluster.module, '-r', 'tcp.side', '--history']);
    assert.match(text, /init[^]*down: /);
    await cluster.command('n1', 'start');
    await cluster.waitFor({ n1: 'SECOND Ready', n2: 'PRIM Ready' }, RECOVERY_MS);
  });

  it('take verdicts by force, with who said so', async () => {
    await cluster.cli('n2', ['set', '-m', cluster.module, '-r', 'tcp.ledger', '-v', 'unknown', '-l', '-i', 'anna', '-d', 'I doubt it']);
    await waitForLog(cluster, 'n2', /tcp\.ledger set unknown by anna: I doubt it/);
    await waitFor('the checker says again what it finds', RECOVERY_MS, async () => (await get('n2', 'tcp.ledger')) === 'up');
    assert.match(
      await cluster.cli('n2', ['get', '-m', cluster.module, '-r', 'tcp.ledger', '--history']),
      /unknown: I doubt it \(by anna\)/,
    );
    await assert.rejects(
      cluster.cli('n2', ['set', '-m', cluster.module, '-r', 'state.local', '-v', 'up', '-l']),
      /HF_RESOURCE_NOT_SETTABLE/,
    );
  });

  it('count automatic actions of scripts, and say when there were enough', async () => {
    const loop = (...words: string[]): Promise<string> => cluster.cli('n2', [...words, '-m', cluster.module]);
    for (const count of [1, 2, 3]) assert.match(await loop('incloop', '-i', 'script'), new RegExp(`^${count} of 3`));
    await assert.rejects(loop('incloop', '-i', 'script'), /3 of 3: the limit is reached/);
    await assert.rejects(loop('checkloop'), /the limit is reached/);
    assert.equal(await get('n2', 'heart.stopstartloop'), 'down');
    await loop('resetloop');
    await waitFor('the count begins anew', RECOVERY_MS, async () => (await get('n2', 'heart.stopstartloop')) === 'up');
    assert.match(await loop('checkloop'), /^0 of 3/);
  });

  it('leave an application alone that somebody works on, over a reboot, and show that loudly', async () => {
    for (const what of ['errd', 'checker', 'failover']) await cluster.cli('n1', ['-H', '*', what, 'off', '-m', cluster.module]);
    assert.match(
      await cluster.cli('n1', ['state']),
      /ledger-mirror on n2: WARNING: errd is off: no process is watched \(since .*by operator\)/,
    );
    assert.equal(await get('n2', 'usersetting.errd'), 'down');
    for (const pid of applicationProcesses(cluster.machine('n2'))) process.kill(pid, 'SIGKILL');
    await cluster.powerCut('n1');
    await cluster.powerOn('n1');
    await cluster.waitFor({ n1: 'SECOND Ready' }, RECOVERY_MS);
    await waitFor(
      'all switches to be off',
      RECOVERY_MS,
      () =>
        cluster
          .view('n1')
          ?.maintenance?.map(({ name }) => name)
          .join() === 'checker,errd,failover',
    );
    await waitForLog(cluster, 'n1', /failover is off: a secondary that loses its primary does not take over/);
    assert.deepEqual(applicationProcesses(cluster.machine('n2')), [], 'nobody restarted it');
    await cluster.powerCut('n2');
    await cluster.waitFor({ n1: 'WAIT NotReady' }, RECOVERY_MS);
    await waitForLog(cluster, 'n1', /n2 is lost and failover is off/);
    await cluster.powerOn('n2');
    for (const what of ['errd', 'checker', 'failover']) await cluster.cli('n1', ['-H', '*', what, 'on', '-m', cluster.module]);
    await waitFor(
      'a pair again',
      RECOVERY_MS,
      () => [cluster.state('n1'), cluster.state('n2')].sort().join() === 'PRIM Ready,SECOND Ready',
    );
    // What is seen of a node is a moment old.
    await waitFor('all switches to be on', RECOVERY_MS, () => cluster.view('n1')?.maintenance?.length === 0);
  });
});
