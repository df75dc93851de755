/** State that is damaged, lost or old on a node or at the witness, and a configuration that only one node has: nothing is guessed. */
import assert from 'node:assert/strict';
import type { ConflictView } from '@holdfast/core';
import { compareNodes } from '../demo/still.js';
import { HOLDFAST, type LabCluster } from '../lab/cluster.js';
import type { CommandResult } from '../lab/command.js';
import { waitFor } from '../lab/deadline.js';
import { LabWitness } from '../lab/witness.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { LEDGER, ledgerClient, ledgerCluster } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const STATE = '/var/lib/holdfast/modules/ledger-mirror/decision';
const FOLDER = '/etc/holdfast/modules/ledger-mirror';
const FILE = `${FOLDER}/conf/userconfig.xml`;
const WITNESS = '/var/lib/witness';
const PAIR = { n1: 'PRIM Ready', n2: 'SECOND Ready' };

describe('bad input', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;
  let witness: LabWitness;

  before(async () => {
    cluster = await ledgerCluster({ edit: (xml) => LabWitness.element(xml) });
    witness = await LabWitness.start(cluster);
    await cluster.startBoth();
    await witness.waitUntilCountedOn(['n1', 'n2'], RECOVERY_MS);
    client = ledgerClient(cluster);
    await client.waitForMore(50, RECOVERY_MS);
  });
  after(async () => {
    await cluster.close();
  });

  const cli = (node: string, ...words: string[]): Promise<CommandResult> =>
    cluster.machine(node).exec([process.execPath, HOLDFAST, ...words, '-m', cluster.module], { timeoutMs: 60_000 });
  const sh = (node: string, script: string): Promise<string> => cluster.machine(node).run(['sh', '-euc', script]);
  const stopAgent = async (node: string): Promise<void> => {
    await cluster.agent(node)?.stop(60_000);
  };
  const waitForReason = (node: string, pattern: RegExp): Promise<unknown> =>
    waitFor(`a reason on ${node} that matches ${String(pattern)}`, RECOVERY_MS, () => pattern.test(cluster.view(node)?.reason.text ?? ''));
  const waitForRefusal = async (node: string): Promise<void> => {
    await waitForReason(node, /decision\.a is (damaged|missing), .*decision\.b is (damaged|missing).*forget-state -m ledger-mirror/);
    assert.deepEqual([cluster.view(node)?.phase, cluster.view(node)?.reason.code], ['NOT CONFIGURED', 'HF_STATE_DAMAGED']);
  };
  const configureAlone = async (node: string, change: (xml: string) => string): Promise<void> => {
    const machine = cluster.machine(node);
    const before = await machine.readFile(FILE);
    assert.notEqual(change(before), before);
    await machine.writeFile(FILE, change(before));
    await cluster.cli(node, ['module', 'config', '-m', cluster.module, '--local']);
  };

  it('of a configuration on one node only keeps the other from following until both are alike, and both values are said', async () => {
    const original = await cluster.machine('n2').readFile(FILE);
    const changes = [
      [
        (xml: string) => xml.replace(/<heart[^>]*>/, '<heart pulse="200" timeout="5s">'),
        /heartbeat timeout is 5000 ms here and 2000 ms there/,
      ],
      [
        (xml: string) => xml.replace('cluster="lab"', 'cluster="lab" timeout="4s"'),
        /witness is http .*4000.* here and http .*3000.* there/,
      ],
    ] as const;
    for (const [change, reason] of changes) {
      await cluster.command('n2', 'stop');
      await cluster.waitFor({ n1: 'ALONE Ready', n2: 'STOP NotReady' }, RECOVERY_MS);
      await configureAlone('n2', change);
      await cluster.command('n2', 'start');
      await waitForReason('n2', reason);
      assert.equal(cluster.state('n2'), 'WAIT NotReady');
      await client.waitForMore(20, RECOVERY_MS);
      assert.equal(cluster.state('n1'), 'ALONE Ready');
      await cluster.command('n2', 'stop');
      await cluster.waitFor({ n2: 'STOP NotReady' }, RECOVERY_MS);
      await configureAlone('n2', () => original);
      await cluster.command('n2', 'start');
      await cluster.waitFor(PAIR, RECOVERY_MS);
    }
  });

  it('of one damaged slot costs nothing; of both, the node takes no part until an intact copy is back', async () => {
    await stopAgent('n2');
    await sh('n2', `cp ${STATE}.a /srv/kept && printf '\\377' | dd of=${STATE}.a bs=1 seek=90 conv=notrunc 2>&1`);
    await cluster.startAgent('n2');
    await cluster.waitFor(PAIR, RECOVERY_MS);
    await stopAgent('n2');
    await sh('n2', `cp ${STATE}.a /srv/kept; truncate -s 60 ${STATE}.a; printf '\\377' | dd of=${STATE}.b bs=1 seek=90 conv=notrunc 2>&1`);
    await cluster.startAgent('n2');
    await waitForRefusal('n2');
    await client.waitForMore(20, RECOVERY_MS);
    assert.deepEqual([cluster.state('n1'), cluster.view('n1')?.peer?.alive], ['ALONE Ready', false]);
    await sh('n2', `cp /srv/kept ${STATE}.b`);
    await cluster.waitFor(PAIR, RECOVERY_MS);
  });

  it('of a missing state is given up by a confirmed command: the node stops, follows when started, and keeps what it had', async () => {
    assert.match((await cli('n2', 'module', 'forget-state', '--yes')).stderr, /HF_MODULE_STATE_INTACT/);
    await stopAgent('n2');
    await cluster.waitFor({ n1: 'ALONE Ready' }, RECOVERY_MS);
    await client.waitForMore(20, RECOVERY_MS);
    await sh('n2', `rm ${STATE}.a ${STATE}.b`);
    await cluster.startAgent('n2');
    await waitForRefusal('n2');
    assert.match((await cli('n2', 'module', 'forget-state')).stderr, /HF_CLI_CONFIRM/);
    assert.equal((await cli('n2', 'module', 'forget-state', '--yes')).code, 0);
    await cluster.waitFor({ n1: 'ALONE Ready', n2: 'STOP NotReady' }, RECOVERY_MS);
    await cluster.command('n2', 'start');
    await cluster.waitFor(PAIR, RECOVERY_MS);
    assert.equal(cluster.view('n1')?.replication?.lastResync?.mode, 'compare');
    const kept = JSON.parse((await cli('n2', 'conflicts', '--json')).stdout) as readonly ConflictView[];
    assert.equal(kept.length, 1);
    assert.ok((kept[0]?.objects ?? 0) > 0, 'the ledger as it was');
  });

  it('of a damaged state on the newest node lets nobody go on with an older copy; on both, an operator names the good one', async () => {
    await stopAgent('n2');
    await cluster.waitFor({ n1: 'ALONE Ready' }, RECOVERY_MS);
    await client.waitForMore(20, RECOVERY_MS);
    await stopAgent('n1');
    await sh('n1', `truncate -s 0 ${STATE}.a ${STATE}.b`);
    await Promise.all([cluster.startAgent('n1'), cluster.startAgent('n2')]);
    await waitForRefusal('n1');
    await cluster.waitFor({ n2: 'WAIT NotReady' }, RECOVERY_MS);
    await stopAgent('n2');
    await sh('n2', `for slot in a b; do head -c 16384 /dev/urandom >${STATE}.$slot; done`);
    await cluster.startAgent('n2');
    await waitForRefusal('n2');
    for (const node of ['n2', 'n1']) assert.equal((await cli(node, 'module', 'forget-state', '--yes')).code, 0);
    assert.match(await sh('n2', `ls ${STATE}.*`), /decision\.a\.damaged-\d{8}T/);
    await cluster.waitFor({ n1: 'STOP NotReady', n2: 'STOP NotReady' }, RECOVERY_MS);
    for (const node of ['n1', 'n2']) await cluster.command(node, 'start');
    await cluster.waitFor({ n1: 'WAIT NotReady', n2: 'WAIT NotReady' }, RECOVERY_MS);
    assert.match(cluster.view('n1')?.reason.text ?? '', /no node has ever been declared good/);
    await cluster.command('n1', 'prim');
    await cluster.waitFor(PAIR, RECOVERY_MS);
    await client.waitForMore(20, RECOVERY_MS);
  });

  it('of a witness that lost its records grants nothing, which both say, and an older record is replaced by the pair', async () => {
    const machine = cluster.lab.client;
    await witness.waitUntilCountedOn(['n1', 'n2'], RECOVERY_MS);
    await machine.run(['sh', '-euc', `cp -a ${WITNESS} /tmp/older; rm -r ${WITNESS}/clusters/*`]);
    await waitFor('both to say that the witness is not available', RECOVERY_MS, () =>
      ['n1', 'n2'].every((node) => /n2 waits, because the witness is not available/.test(cluster.view(node)?.arbitration.text ?? '')),
    );
    assert.deepEqual([cluster.state('n1'), cluster.state('n2')], ['PRIM Ready', 'SECOND Ready']);
    await cluster.command('n1', 'swap');
    await cluster.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, RECOVERY_MS);
    await witness.kill();
    await machine.run(['sh', '-euc', `cp -a /tmp/older/. ${WITNESS}/`]);
    await witness.restart();
    await witness.waitUntilCountedOn(['n1', 'n2'], RECOVERY_MS);
    const { generation, arbitration } = cluster.view('n2') ?? assert.fail('n2 does not answer');
    assert.match(arbitration.witnesses[0]?.detail ?? '', new RegExp(`generation ${generation.current.slice(0, 12)} of n2`));
    await client.waitForMore(20, RECOVERY_MS);
  });

  it('of a node that is put back to an older state of its whole disk follows the one that went on', async () => {
    const folders = '/srv/ledger /var/lib/holdfast /etc/holdfast';
    await stopAgent('n1');
    await cluster.waitFor({ n2: 'ALONE Ready' }, RECOVERY_MS);
    await sh('n1', `tar --xattrs --xattrs-include='*' -cf /srv/backup.tar ${folders}`);
    await cluster.startAgent('n1');
    await cluster.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, RECOVERY_MS);
    await cluster.command('n2', 'swap');
    await cluster.waitFor(PAIR, RECOVERY_MS);
    await client.waitForMore(20, RECOVERY_MS);
    await witness.waitUntilCountedOn(['n1', 'n2'], RECOVERY_MS);
    await cluster.powerCut('n1');
    await cluster.waitFor({ n2: 'ALONE Ready' }, RECOVERY_MS);
    await cluster.machine('n1').powerOn();
    for (const folder of folders.split(' ')) await sh('n1', `find ${folder} -mindepth 1 -delete`);
    await sh('n1', "tar --xattrs --xattrs-include='*' -C / -xf /srv/backup.tar && sync");
    await cluster.startAgent('n1');
    await cluster.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, RECOVERY_MS);
    await client.waitForMore(20, RECOVERY_MS);
  });

  it('of an empty node in place of one that is lost gets everything from the other', async () => {
    await cluster.powerCut('n1');
    await cluster.waitFor({ n2: 'ALONE Ready' }, RECOVERY_MS);
    await cluster.machine('n1').powerOn();
    await sh('n1', `cp -a ${FOLDER} /srv/module; find /srv/ledger /var/lib/holdfast /etc/holdfast/modules* -mindepth 1 -delete`);
    await sh('n1', 'rm -f /etc/holdfast/modules.json; sync');
    await cluster.startAgent('n1');
    await cluster.cli('n1', ['module', 'install', '/srv/module', '-m', cluster.module]);
    await cluster.cli('n1', ['module', 'config', '-m', cluster.module, '--local']);
    await cluster.waitFor({ n1: 'STOP NotReady', n2: 'ALONE Ready' }, RECOVERY_MS);
    await cluster.command('n1', 'start');
    await cluster.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, RECOVERY_MS);
    assert.equal(cluster.view('n2')?.replication?.lastResync?.mode, 'compare');
  });

  it('has cost no acknowledged write, and both copies are the same', async () => {
    await client.waitForMore(20, RECOVERY_MS);
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
    assert.deepEqual((await compareNodes(cluster, LEDGER)).differences, []);
  });
});
