/** What becomes of a virtual address that somebody touches by hand, and of the connections to it when it leaves in order. */
import assert from 'node:assert/strict';
import { VIRTUAL_IP } from '../demo/applications.js';
import { HOLDFAST, type LabCluster } from '../lab/cluster.js';
import type { CommandResult } from '../lab/command.js';
import { waitFor } from '../lab/deadline.js';
import type { LabMachine } from '../lab/machine.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { holdsVirtualAddress, ledgerClient, ledgerCluster, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const FILE = '/etc/holdfast/modules/ledger-mirror/conf/userconfig.xml';
const PORT = '7777';
/** A service of the node that belongs to no module, and a client of it that says how its connection ends. */
const SERVICE = `
const server = require('node:net').createServer((socket) => socket.on('error', () => undefined).write('hello'));
server.listen(${PORT}, '::', () => console.log('listens'));
`;
const IDLE = `
const socket = require('node:net').connect(${PORT}, '${VIRTUAL_IP}');
socket.once('data', () => console.log('open'));
socket.on('error', (error) => console.log('error ' + error.code));
setInterval(() => undefined, 1000);
`;

describe('a virtual address that is touched by hand', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;
  let n1: LabMachine;
  let n2: LabMachine;

  before(async () => {
    cluster = await ledgerCluster();
    [n1, n2] = [cluster.machine('n1'), cluster.machine('n2')];
    await cluster.startBoth();
    client = ledgerClient(cluster);
    await client.waitForMore(50, RECOVERY_MS);
  });
  after(async () => {
    await cluster.close();
  });

  const cli = (...words: string[]): Promise<CommandResult> => n1.exec([process.execPath, HOLDFAST, ...words], { timeoutMs: 60_000 });
  const edit = async (module: string, change: (xml: string) => string): Promise<void> => {
    const file = FILE.replace('ledger-mirror', module);
    const before = await n1.readFile(file);
    assert.notEqual(change(before), before);
    await n1.writeFile(file, change(before));
  };
  const roles = (): string[] => [cluster.state('n1'), cluster.state('n2')];

  it('is taken again when it was removed from the primary', async () => {
    await n1.run(['ip', 'address', 'del', `${VIRTUAL_IP}/24`, 'dev', 'eth0']);
    await waitFor('the address to be back', 10_000, () => holdsVirtualAddress(n1));
    await client.waitForMore(50, RECOVERY_MS);
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
    assert.equal(await holdsVirtualAddress(n2), false);
  });

  it('is removed when it was added to the secondary, with an alarm', async () => {
    await n2.run(['ip', 'address', 'add', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
    await waitFor('the address to be gone', 10_000, async () => !(await holdsVirtualAddress(n2)));
    await waitForLog(cluster, 'n2', /10\.50\.1\.100 on eth0 is on this node, which is SECOND and must not have it: removed/);
    assert.deepEqual(roles(), ['PRIM Ready', 'SECOND Ready']);
    assert.equal(await holdsVirtualAddress(n1), true);
    await client.waitForMore(50, RECOVERY_MS);
  });

  it('is refused to another module of the node, and what is no address at its place in the file', async () => {
    await cluster.cli('n1', ['module', 'install', '/etc/holdfast/modules/ledger-mirror', '-m', 'other']);
    await n1.run(['mkdir', '-p', '/srv/other']);
    await edit('other', (xml) => xml.replace('dir="/srv/ledger"', 'dir="/srv/other"'));
    const shared = await cli('module', 'config', '-m', 'other');
    assert.equal(shared.code, 1);
    assert.match(shared.stderr, /10\.50\.1\.100 of module other is that of module ledger-mirror too.*HF_CONFIG_ADDRESS_SHARED/);
    await edit('other', (xml) => xml.replace('addr="%VIRTUAL_IP%" where', 'addr="10.50.1.500" where'));
    const bad = await cli('module', 'config', '-m', 'other');
    assert.match(bad.stderr, /userconfig\.xml:14:27: .*HF_VIP_ADDRESS_INVALID.*"10\.50\.1\.500"/);
    await cluster.cli('n1', ['module', 'uninstall', '-m', 'other']);
  });

  it('tells idle clients when it leaves by a swap, unless tcpreset is off, which a running module takes', async () => {
    for (const machine of [n1, n2]) await machine.spawn([process.execPath, '-e', SERVICE]).waitForLine(/^listens$/, RECOVERY_MS);
    const idle = cluster.lab.client.spawn([process.execPath, '-e', IDLE]);
    await idle.waitForLine(/^open$/, RECOVERY_MS);
    await cluster.command('n1', 'swap');
    await idle.waitForLine(/^error ECONNRESET$/, RECOVERY_MS);
    await cluster.waitFor({ n2: 'PRIM Ready', n1: 'SECOND Ready' }, RECOVERY_MS);
    idle.kill();

    await edit('ledger-mirror', (xml) => xml.replace('<vip>', '<vip tcpreset="off">'));
    const taken = await cli('module', 'config', '-m', 'ledger-mirror');
    assert.equal(taken.code, 0, taken.stderr);
    assert.match(taken.stdout, /while it runs\n {2}tcpreset of <vip>: true -> false, line \d+/);
    const waiting = cluster.lab.client.spawn([process.execPath, '-e', IDLE]);
    await waiting.waitForLine(/^open$/, RECOVERY_MS);
    await cluster.command('n2', 'swap');
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
    await client.waitForMore(50, RECOVERY_MS);
    assert.deepEqual(
      waiting.lines.map(({ text }) => text),
      ['open'],
    );
    waiting.kill();
  });

  it('is left alone on a node whose module is stopped', async () => {
    await cluster.command('n2', 'stop', '--wait');
    await n2.run(['ip', 'address', 'add', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
    // Five times as long as it takes where the module runs.
    const endsAtMs = performance.now() + 5000;
    await waitFor('the time to be over', 10_000, async () => {
      assert.equal(await holdsVirtualAddress(n2), true);
      return performance.now() >= endsAtMs;
    });
    await n2.run(['ip', 'address', 'del', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
  });

  it('has lost nothing that was acknowledged', async () => {
    const result = await client.finish();
    assert.deepEqual([result.problem, result.lost], [undefined, 0], result.lostExamples.join('; '));
  });
});
