/** `holdfast module config` on a cluster that works: live, refused, and interrupted by power cuts between its two phases. */
import assert from 'node:assert/strict';
import type { ConfigurationView, ConfigureResult } from '@holdfast/core';
import { HOLDFAST, type LabCluster } from '../lab/cluster.js';
import type { CommandResult } from '../lab/command.js';
import { waitFor } from '../lab/deadline.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { ledgerClient, ledgerCluster, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const FOLDER = '/etc/holdfast/modules/ledger-mirror';
const FILE = `${FOLDER}/conf/userconfig.xml`;
/** Holds up n1, the coordinator, after n2 has prepared: until the file is there. */
const SLOW_CHECK = `#!/bin/sh
[ "$HOLDFAST_NODE" = n1 ] || exit 0
while [ ! -e /run/decide ]; do sleep 0.05; done
`;

describe('a configuration', () => {
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

  const cli = (node: string, ...words: string[]): Promise<CommandResult> =>
    cluster.machine(node).exec([process.execPath, HOLDFAST, ...words, '-m', cluster.module], { timeoutMs: 60_000 });
  const info = async (node: string): Promise<ConfigurationView> =>
    JSON.parse((await cli(node, 'module', 'info', '--json')).stdout) as ConfigurationView;
  const edit = async (node: string, change: (xml: string) => string): Promise<void> => {
    const machine = cluster.machine(node);
    const before = await machine.readFile(FILE);
    assert.notEqual(change(before), before);
    await machine.writeFile(FILE, change(before));
    await machine.run(['sync']);
  };
  const maxloop = (count: number) => (xml: string) =>
    xml.replace(/ maxloop="\d+"/, '').replace('<service ', `<service maxloop="${count}" `);
  const starts = async (): Promise<number | undefined> =>
    (await cluster.cli('n1', ['log', '-m', cluster.module, '-s', '500'])).match(/start_prim/g)?.length;
  const same = async (): Promise<boolean> => {
    const [one, other] = [await info('n1'), await info('n2')];
    return one.applied?.digest === other.applied?.digest && !one.stale && !other.stale;
  };

  it('is noticed when it is edited', async () => {
    await edit('n1', (xml) =>
      maxloop(7)(xml).replace(
        '</check>',
        '<tcp ident="door" when="prim" action="noaction"><to addr="127.0.0.1" port="9010" interval="1s"/></tcp></check>',
      ),
    );
    await waitForLog(cluster, 'n1', /edited, not applied/);
    assert.equal((await info('n1')).state, 'edited, not applied');
    const difference = await cli('n1', 'module', 'diff');
    assert.equal(difference.code, 1);
    assert.match(difference.stdout, /^\+.*<tcp ident="door"/m);
  });

  it('is planned without changing anything', async () => {
    const { code, stdout } = await cli('n1', 'module', 'config', '--dry-run');
    assert.equal(code, 0);
    assert.match(stdout, /live {2}maxloop of <service>: 3 -> 7, line \d+/);
    assert.match(stdout, /n2: live {2}<tcp ident="door"> added in line \d+/);
    assert.equal(cluster.view('n1')?.maxloop.max, 3);
  });

  it('is taken by both nodes while a client writes, without any interruption', async () => {
    const started = await starts();
    const result = JSON.parse((await cli('n1', 'config', '--json')).stdout) as ConfigureResult;
    assert.deepEqual([result.outcome, result.live, result.peer?.outcome], ['applied', true, 'applied']);
    await waitFor('both nodes to have maxloop 7', RECOVERY_MS, () => ['n1', 'n2'].every((node) => cluster.view(node)?.maxloop.max === 7));
    await waitFor('the new check to be up', RECOVERY_MS, async () => /tcp\.door +up/.test((await cli('n1', 'resources')).stdout));
    assert.match((await cli('n2', 'resources')).stdout, /tcp\.door +init/);
    assert.match((await cli('n1', 'resources')).stdout, /tcp\.ledger +up/);
    await client.waitForMore(200, RECOVERY_MS);
    assert.deepEqual(client.outages, []);
    assert.equal(cluster.state('n1'), 'PRIM Ready');
    assert.equal(cluster.state('n2'), 'SECOND Ready');
    assert.equal(await starts(), started);
    assert.match(await cluster.machine('n2').readFile(FILE), /maxloop="7"/);
    assert.equal((await info('n2')).state, 'applied');
  });

  it('refuses another virtual address by name, and changes nothing', async () => {
    await edit('n1', (xml) => maxloop(8)(xml).replace('addr="%VIRTUAL_IP%" where', 'addr="10.50.1.99" where'));
    const { code, stderr } = await cli('n1', 'module', 'config');
    assert.equal(code, 1);
    assert.match(stderr, /<vip> changed in line \d+: stop the module on both nodes.*HF_CONFIG_STOP_NEEDED/s);
    assert.equal(cluster.view('n1')?.maxloop.max, 7);
    assert.equal((await info('n1')).state, 'edited, not applied');
    assert.ok(await same());
    await cluster.machine('n1').writeFile(FILE, await cluster.machine('n2').readFile(FILE));
  });

  it('goes back to the one before', async () => {
    const { stdout } = await cli('n2', 'module', 'rollback');
    assert.match(stdout, /maxloop of <service>: 7 -> 3/);
    await waitFor('both nodes to have maxloop 3', RECOVERY_MS, () => ['n1', 'n2'].every((node) => cluster.view(node)?.maxloop.max === 3));
    assert.doesNotMatch((await cli('n1', 'resources')).stdout, /tcp\.door/);
    assert.doesNotMatch(await cluster.machine('n1').readFile(FILE), /maxloop="7"/);
    assert.deepEqual(client.outages, []);
  });

  it('changes the replication without touching it, as far as it can, and names what it cannot', async () => {
    await edit('n1', (xml) => xml.replace('<rfs async="second">', '<rfs async="none" verifyevery="1d">'));
    const refused = await cli('n1', 'module', 'config');
    assert.match(refused.stderr, /async of <rfs>: "second" -> "none", line \d+: stop the module on both nodes/);
    await edit('n1', (xml) => xml.replace('async="none"', 'async="second" reiallowedbw="50000"'));
    assert.match((await cli('n1', 'module', 'config')).stdout, /verifyevery of <rfs>.*\n.*reiallowedbw of <rfs>: unset -> 50000/);
    await waitForLog(cluster, 'n1', /both copies are identical/);
    await client.waitForMore(100, RECOVERY_MS);
    assert.deepEqual(client.outages, []);
    assert.deepEqual([cluster.state('n1'), cluster.state('n2')], ['PRIM Ready', 'SECOND Ready']);
  });

  it('is on neither node when the coordinator loses its power before it decides', async () => {
    const before = (await info('n1')).applied?.digest;
    await cluster.machine('n1').writeFile(`${FOLDER}/bin/confcheck`, SLOW_CHECK, 0o755);
    await edit('n1', maxloop(11));
    const running = cli('n1', 'module', 'config').catch(() => undefined);
    await waitFor('n2 to have prepared it', RECOVERY_MS, async () => (await info('n2')).undecided !== undefined);
    await cluster.powerCut('n1');
    await running;
    await cluster.waitFor({ n2: 'ALONE Ready' }, RECOVERY_MS);
    assert.equal((await info('n2')).undecided?.coordinator, 'n1');
    await cluster.powerOn('n1');
    await waitForLog(cluster, 'n2', /n1 tells: configuration .* was not applied there, and is given up/);
    assert.equal((await info('n2')).undecided, undefined);
    assert.deepEqual([(await info('n1')).applied?.digest, (await info('n2')).applied?.digest], [before, before]);
    await cluster.waitFor({ n1: 'SECOND Ready', n2: 'PRIM Ready' }, RECOVERY_MS);
    await client.waitForMore(50, RECOVERY_MS);
  });

  it('comes to a participant that lost its power in between, when it is back', async () => {
    await cluster.machine('n1').writeFile(`${FOLDER}/bin/confcheck`, SLOW_CHECK, 0o755);
    await edit('n1', maxloop(12));
    const running = cli('n1', 'module', 'config', '--json');
    await waitFor('n2 to have prepared it', RECOVERY_MS, async () => (await info('n2')).undecided !== undefined);
    await cluster.powerCut('n2');
    await cluster.machine('n1').run(['touch', '/run/decide']);
    const { stdout } = await running;
    assert.equal((JSON.parse(stdout) as ConfigureResult).peer?.outcome, 'undecided');
    await cluster.waitFor({ n1: 'ALONE Ready' }, RECOVERY_MS);
    await cluster.powerOn('n2');
    await waitForLog(cluster, 'n2', /n1 tells: configuration .* was applied there, and is now applied here/);
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
    assert.deepEqual(
      ['n1', 'n2'].map((node) => cluster.view(node)?.maxloop.max),
      [12, 12],
    );
    assert.ok(await same());
  });

  it('is taken here alone while the other node is away, which both say, and by both when it is back', async () => {
    await cluster.powerCut('n2');
    await cluster.waitFor({ n1: 'ALONE Ready' }, RECOVERY_MS);
    await edit('n1', maxloop(13));
    assert.match((await cli('n1', 'module', 'config')).stdout, /n2 is not reached and keeps the configuration that it has/);
    await cluster.powerOn('n2');
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
    await waitForLog(cluster, 'n1', /n2 has another configuration/);
    assert.match((await cli('n2', 'state', '-v')).stdout, /configuration .*the other node has/);
    assert.match((await cli('n1', 'module', 'config')).stdout, /applied on n2/);
    await waitFor('n2 to have it too', RECOVERY_MS, () => cluster.view('n2')?.maxloop.max === 13);
    assert.ok(await same());
  });

  it('has lost nothing in the end', async () => {
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
  });
});
