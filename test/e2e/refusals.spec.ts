/** Bad input and bad luck: what must be refused, and that the cluster is not disturbed by it. */
import assert from 'node:assert/strict';
import { VIRTUAL_IP } from '../demo/applications.js';
import { compareNodes } from '../demo/still.js';
import type { LabCluster } from '../lab/cluster.js';
import { HOLDFAST } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import type { CommandResult } from '../lab/command.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { LEDGER, ledgerClient, ledgerCluster, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const DISK_MB = 512;

/** Random bytes at every port of a node, by UDP and TCP. */
const GARBAGE = `
const [address] = process.argv.slice(1); const { randomBytes } = require('crypto');
const dgram = require('dgram'); const net = require('net');
const udp = dgram.createSocket('udp4'); let left = 300;
const tcp = (port, size) => new Promise((done) => { const s = net.connect(port, address, () => s.end(randomBytes(size)));
  s.setTimeout(1500, () => s.destroy()); s.on('error', () => undefined); s.on('data', () => undefined); s.on('close', done); });
(async () => {
  while (left-- > 0) udp.send(randomBytes(1 + Math.floor(Math.random() * 1400)), 8888, address);
  for (const port of [5600, 5601, 9453, 9010]) for (const size of [1, 5, 64, 4096, 200000]) await tcp(port, size);
  udp.close();
})();`;

describe('refusals', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;

  const cli = (node: string, ...words: string[]): Promise<CommandResult> =>
    cluster.machine(node).exec([process.execPath, HOLDFAST, ...words], { timeoutMs: 60_000 });
  const file = '/etc/holdfast/modules/ledger-mirror/conf/userconfig.xml';

  before(async () => {
    cluster = await ledgerCluster({ diskSizesMb: { n1: DISK_MB, n2: DISK_MB } });
  });
  after(async () => {
    await cluster.close();
  });

  it('says file, line and column of a wrong attribute and the nearest known one', async () => {
    const node = cluster.machine('n1');
    const good = await node.readFile(file);
    await node.writeFile(file, good.replace('async="second"', 'asinc="second"'));
    const result = await cli('n1', 'module', 'config', '-m', 'ledger-mirror', '--check');
    assert.equal(result.code, 1);
    assert.match(result.stderr, /userconfig\.xml:\d+:\d+.*asinc.*async/);
    await node.writeFile(file, good.replace('</heart>', ''));
    assert.match((await cli('n1', 'module', 'config', '-m', 'ledger-mirror')).stderr, /userconfig\.xml:\d+:\d+/);
    await node.writeFile(file, good);
  });

  it('refuses a module whose replicated directory lies in that of another', async () => {
    await cli('n1', 'module', 'install', '/etc/holdfast/modules/ledger-mirror', '-m', 'other');
    const node = cluster.machine('n1');
    await node.run(['mkdir', '-p', '/srv/ledger/below']);
    const copy = '/etc/holdfast/modules/other/conf/userconfig.xml';
    await node.writeFile(copy, (await node.readFile(copy)).replace('dir="/srv/ledger"', 'dir="/srv/ledger/below"'));
    const result = await cli('n1', 'module', 'config', '-m', 'other');
    assert.equal(result.code, 1);
    assert.match(result.stderr, /HF_CONFIG_OVERLAP/);
    const elsewhere = (await node.readFile(copy)).replaceAll(VIRTUAL_IP, '10.50.1.199');
    await node.writeFile(copy, elsewhere.replace('/srv/ledger/below', '/srv/missing'));
    assert.match((await cli('n1', 'module', 'config', '-m', 'other')).stderr, /\/srv\/missing.*HF_REPLICATION_DIRECTORY_MISSING/s);
    await cluster.cli('n1', ['module', 'uninstall', '-m', 'other']);
    await node.run(['rmdir', '/srv/ledger/below']);
  });

  it('does not take an address that another host answers for, and starts when it is free', async () => {
    const other = cluster.lab.client;
    await other.run(['ip', 'addr', 'add', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
    await cluster.command('n1', 'prim');
    await waitForLog(cluster, 'n1', /virtual address taken by another host.*answered by another host \(02:50:01:00:00:65\)/);
    assert.equal(cluster.state('n1'), 'WAIT NotReady');
    await other.run(['ip', 'addr', 'del', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
    await cluster.command('n2', 'start');
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
    client = ledgerClient(cluster);
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('is not disturbed by garbage on every port', async () => {
    for (const node of ['n1', 'n2']) {
      const address = cluster.machine(node).addresses[0]?.ipv4 ?? '';
      await cluster.lab.client.run([process.execPath, '-e', GARBAGE, address], { timeoutMs: 60_000 });
    }
    await client.waitForMore(100, RECOVERY_MS);
    assert.deepEqual([cluster.state('n1'), cluster.state('n2')], ['PRIM Ready', 'SECOND Ready']);
    assert.deepEqual(client.outages, []);
  });

  it('goes on alone when the disk of the secondary is full, and synchronises it when there is room', async () => {
    await cluster.machine('n2').exec(['sh', '-c', 'dd if=/dev/zero of=/srv/filler bs=1M 2>/dev/null; sync']);
    await cluster
      .machine('n1')
      .run(['dd', 'if=/dev/urandom', `of=${LEDGER.directory}/grows`, 'bs=1M', 'count=8', 'conv=fsync'], { timeoutMs: 60_000 });
    await cluster.waitFor({ n1: 'ALONE Ready' }, RECOVERY_MS);
    await client.waitForMore(100, RECOVERY_MS);
    assert.notEqual(cluster.view('n2')?.replication?.condition, 'uptodate');
    await cluster.machine('n2').run(['rm', '/srv/filler']);
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
  });

  it('starts on a node whose disk is full, and synchronises it when there is room', async () => {
    const node = cluster.machine('n2');
    await cluster.agent('n2')?.stop(60_000);
    await cluster.waitFor({ n1: 'ALONE Ready' }, RECOVERY_MS);
    await node.exec([
      'sh',
      '-c',
      'dd if=/dev/zero of=/srv/filler bs=1M 2>/dev/null; dd if=/dev/zero of=/srv/filler2 bs=1k 2>/dev/null; sync',
    ]);
    await cluster.startAgent('n2');
    await waitFor('n2 to be heard', RECOVERY_MS, () => cluster.view('n1')?.peer?.alive === true);
    await client.waitForMore(100, RECOVERY_MS);
    await node.run(['rm', '/srv/filler', '/srv/filler2']);
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
  });

  it('loads a module whose data are mounted late as soon as they are there', async () => {
    const node = cluster.machine('n2');
    await cluster.agent('n2')?.stop(60_000);
    await node.run(['mv', LEDGER.directory, '/srv/away']);
    await cluster.startAgent('n2');
    await waitFor('the reason', RECOVERY_MS, () => /HF_REPLICATION_DIRECTORY_MISSING/.test(cluster.view('n2')?.reason.text ?? ''));
    assert.equal(cluster.view('n2')?.phase, 'NOT CONFIGURED');
    await node.run(['mv', '/srv/away', LEDGER.directory]);
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
  });

  it('gives the application the error when the disk of the primary is full, and acknowledges nothing', async () => {
    const node = cluster.machine('n1');
    const full = await node.exec(
      [
        'sh',
        '-c',
        `dd if=/dev/zero of=${LEDGER.directory}/filler bs=1M 2>&1; dd if=/dev/zero of=${LEDGER.directory}/filler2 bs=1k 2>&1; sync`,
      ],
      { timeoutMs: 120_000 },
    );
    assert.match(full.stdout, /No space left/);
    await waitFor('the ledger to refuse writes', RECOVERY_MS, async () => {
      // The agent lives on the same disk, and what it tidies up makes room again.
      await node.exec(['sh', '-c', `cat /dev/zero >>${LEDGER.directory}/filler2`], { timeoutMs: 60_000 });
      const answer = await cluster.lab.client.exec(['curl', '-s', '--max-time', '2', '-d', 'x', `http://${VIRTUAL_IP}:8080/append`]);
      return answer.code !== 0 || /error|No space/i.test(answer.stdout);
    });
    await cluster.machine(cluster.primary() ?? 'n1').run(['rm', `${LEDGER.directory}/filler`, `${LEDGER.directory}/filler2`]);
    await client.waitForMore(100, RECOVERY_MS);
    await waitFor(
      'a synchronised pair',
      RECOVERY_MS,
      () =>
        ['n1', 'n2']
          .map((name) => cluster.state(name))
          .sort()
          .join() === 'PRIM Ready,SECOND Ready',
    );
  });

  it('hands back when the start script of the new primary is not executable or fails', async () => {
    const [primary, secondary] = cluster.primary() === 'n2' ? ['n2', 'n1'] : ['n1', 'n2'];
    const bin = '/var/lib/holdfast/modules/ledger-mirror/applied/bin';
    const node = cluster.machine(secondary);
    const start = await node.readFile(`${bin}/start_prim`);
    await node.run(['chmod', '-x', `${bin}/start_prim`]);
    await cluster.command(primary, 'swap');
    await waitForLog(cluster, secondary, /HF_SCRIPT_NOT_EXECUTABLE|not executable/);
    await cluster.waitFor({ [primary]: 'PRIM Ready', [secondary]: 'SECOND Ready' }, RECOVERY_MS);
    await node.writeFile(`${bin}/start_prim`, '#!/bin/sh\necho broken >&2\nexit 7\n', 0o755);
    await node.run(['chmod', '+x', `${bin}/start_prim`]);
    await cluster.command(primary, 'swap');
    await waitForLog(cluster, secondary, /start_prim ended with status 7: broken/);
    await cluster.waitFor({ [primary]: 'PRIM Ready', [secondary]: 'SECOND Ready' }, RECOVERY_MS);
    await node.writeFile(`${bin}/start_prim`, start, 0o755);
    await client.waitForMore(100, RECOVERY_MS);
  });

  it('treats a node with another cluster key as a stranger', async () => {
    const [, secondary] = cluster.primary() === 'n2' ? ['n2', 'n1'] : ['n1', 'n2'];
    const node = cluster.machine(secondary);
    const key = await node.readFile('/etc/holdfast/cluster.key');
    await cluster.agent(secondary)?.stop(60_000);
    await node.writeFile('/etc/holdfast/cluster.key', `${'ab'.repeat(32)}\n`, 0o600);
    await cluster.startAgent(secondary);
    await cluster.waitFor({ [secondary]: 'WAIT NotReady' }, RECOVERY_MS);
    assert.equal(cluster.view(secondary)?.peer?.alive, false);
    await client.waitForMore(100, RECOVERY_MS);
    await cluster.agent(secondary)?.stop(60_000);
    await node.writeFile('/etc/holdfast/cluster.key', key, 0o600);
    await cluster.startAgent(secondary);
    await cluster.waitFor({ [secondary]: 'SECOND Ready' }, RECOVERY_MS);
  });

  it('has lost nothing in the end, and both copies are the same', async () => {
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
    const comparison = await compareNodes(cluster, LEDGER);
    assert.deepEqual(comparison.differences, []);
  });
});
