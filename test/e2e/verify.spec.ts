/** `holdfast verify` on a whole cluster whose application never stops writing. */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, readSync, rmSync, statSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ModuleView } from '@holdfast/core';
import { compareNodes } from '../demo/still.js';
import { HOLDFAST, type LabCluster } from '../lab/cluster.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { LEDGER, ledgerClient, ledgerCluster, waitForLog } from './ledger-cluster.js';

type Result = NonNullable<NonNullable<NonNullable<ModuleView['replication']>['verification']>['last']>;

const RECOVERY_MS = 60_000;
const SIZE = 3_000_000;

describe('verification of a cluster', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;

  before(async () => {
    cluster = await ledgerCluster({ edit: (xml) => xml.replace(/<rfs\b/, '<rfs verifyevery="1d"') });
    await cluster.startBoth();
    client = ledgerClient(cluster);
    await client.waitForMore(100, RECOVERY_MS);
    await cluster.machine('n1').run(['sh', '-c', `cd ${LEDGER.directory} && head -c ${SIZE} /dev/urandom > archive && cp archive copy`]);
  });
  after(async () => {
    await cluster.close();
  });

  async function verify(node: string, ...words: string[]): Promise<{ code: number | null; result: Result }> {
    const { code, stdout } = await cluster
      .machine(node)
      .exec([process.execPath, HOLDFAST, 'verify', '-m', cluster.module, '--json', ...words]);
    return { code, result: JSON.parse(stdout) as Result };
  }

  const onDisk = (node: string, name: string): string => join(cluster.machine(node).diskPath(LEDGER.directory), name);

  it('runs by itself when it is due, and its result is in the state of both nodes', async () => {
    await waitForLog(cluster, 'n1', /both copies are identical/);
    await waitForLog(cluster, 'n2', /n1 tells: both copies are identical/);
    assert.match(await cluster.cli('n1', ['state', '-m', cluster.module, '-v']), /verified +identical at .* on n1/);
    assert.match(await cluster.cli('n2', ['state', '-m', cluster.module, '-v']), /verified +identical at .* on n1/);
  });

  it('proves both copies identical under load, from either node', async () => {
    for (const node of ['n1', 'n2', 'n1']) {
      const { code, result } = await verify(node);
      assert.deepEqual(result.listed, []);
      assert.equal(code, 0);
      assert.equal(result.node, 'n1');
      assert.ok(result.bytes > 2 * SIZE);
      await client.waitForMore(50, RECOVERY_MS);
    }
  });

  it('finds what was changed behind its back on the secondary, raises an alarm, and repairs it on request', async () => {
    const archive = onDisk('n2', 'archive');
    const { atime, mtime } = statSync(archive);
    const fd = openSync(archive, 'r+');
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, 2_000_000);
    writeSync(fd, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, 2_000_000);
    ftruncateSync(fd, SIZE);
    closeSync(fd);
    utimesSync(archive, atime, mtime);
    rmSync(onDisk('n2', 'copy'));
    writeFileSync(onDisk('n2', 'stranger'), 'not from the primary');

    const { code, result } = await verify('n1');
    assert.equal(code, 1);
    const found = new Map(result.listed.map(({ path, differs }) => [path, differs]));
    assert.ok(found.get('archive')?.includes('content'), JSON.stringify(result.listed));
    assert.deepEqual(found.get('copy'), ['missing there']);
    assert.deepEqual(found.get('stranger'), ['only there']);
    const alarms = await cluster.cli('n1', ['log', '-m', cluster.module, '-s', '200']);
    assert.match(alarms, /objects differ.*verify --repair/);
    assert.match(alarms, /archive: .*content within bytes 1966080-2031615/);

    const repaired = await verify('n2', '--repair');
    assert.deepEqual(repaired.result.listed, []);
    assert.equal(repaired.code, 0);
    assert.equal(repaired.result.repaired, result.differences);
    await client.waitForMore(50, RECOVERY_MS);
  });

  it('has lost nothing in the end, and both copies are the same', async () => {
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
    assert.deepEqual((await compareNodes(cluster, LEDGER)).differences, []);
  });

  it('says why it cannot run when the module is stopped', async () => {
    await cluster.command('n2', 'stop');
    await cluster.waitFor({ n1: 'ALONE Ready' }, RECOVERY_MS);
    const { code, stderr } = await cluster.machine('n1').exec([process.execPath, HOLDFAST, 'verify', '-m', cluster.module]);
    assert.equal(code, 2);
    assert.match(stderr, /the link to n2 is .*HF_COMMAND_REFUSED/);
  });
});
