/** Both nodes go on during a cut; when they meet, the loser follows by itself, and keeps what it had. */
import assert from 'node:assert/strict';
import type { ConflictView, ModuleView } from '@holdfast/core';
import { compareNodes } from '../demo/still.js';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import { LEDGER, ledgerCluster, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const OWN = `${LEDGER.directory}/written-during-the-cut`;

interface Shown extends ConflictView {
  readonly listed: readonly { readonly path: string; readonly cause: string; readonly digest?: string }[];
}

describe('a split brain that both nodes are configured to settle', () => {
  let cluster: LabCluster;
  let id = '';

  const conflicts = async <T>(node: string, ...words: readonly string[]): Promise<T> =>
    JSON.parse(await cluster.cli(node, ['--json', 'conflicts', '-m', cluster.module, ...words])) as T;

  before(async () => {
    cluster = await ledgerCluster({ edit: (xml) => xml.replace(/<service /, '<service splitbrain="keep-primary" ') });
    await cluster.startBoth();
  });
  after(async () => {
    await cluster.close();
  });

  it('ends with the former primary going on, and the other following by itself', async () => {
    await cluster.lab.network.cut('n1', 'n2');
    await cluster.waitFor({ n1: 'ALONE Ready', n2: 'ALONE Ready' }, RECOVERY_MS);
    for (const node of ['n1', 'n2']) await cluster.machine(node).run(['sh', '-c', `echo ${node} >${OWN}; echo ${node} >${OWN}-by-${node}`]);
    await cluster.lab.network.heal();
    await cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, RECOVERY_MS);
    assert.equal((await cluster.machine('n2').readFile(OWN)).trim(), 'n1');
    const comparison = await compareNodes(cluster, LEDGER);
    assert.deepEqual(comparison.differences, []);
  });

  it('has kept what the loser had written, says so in log and state, and lists it from either node', async () => {
    const [kept, ...others] = await conflicts<ConflictView[]>('n2');
    assert.ok(kept !== undefined && others.length === 0);
    id = kept.id;
    assert.equal(kept.node, 'n2');
    const shown = await conflicts<Shown>('n2', 'show', id);
    const causeOf = (path: string): string | undefined => shown.listed.find((object) => object.path === path)?.cause;
    assert.equal(causeOf(OWN), 'content');
    assert.equal(causeOf(`${OWN}-by-n2`), 'removed');
    assert.equal(causeOf(`${OWN}-by-n1`), undefined);
    await waitForLog(cluster, 'n2', new RegExp(`changes of n2 that were given up are kept.*${id}`));
    assert.match(await cluster.cli('n2', ['state', '-v', '-m', cluster.module]), new RegExp(`conflict +${id}`));
    assert.deepEqual(await conflicts<ConflictView[]>('n1'), []);
    const there = JSON.parse(await cluster.cli('n1', ['-H', 'n2', '--json', 'conflicts', '-m', cluster.module])) as {
      readonly nodes: readonly { readonly result: readonly ConflictView[] }[];
    };
    assert.deepEqual(
      there.nodes[0]?.result.map((conflict) => conflict.id),
      [id],
    );
  });

  it('gives it back, outside of what is replicated, and deletes it when it is told to', async () => {
    await conflicts('n2', 'extract', id, OWN, `${OWN}-by-n2`, '--to', '/tmp/kept');
    assert.equal((await cluster.machine('n2').readFile(`/tmp/kept${OWN}`)).trim(), 'n2');
    assert.equal((await cluster.machine('n2').readFile(`/tmp/kept${OWN}-by-n2`)).trim(), 'n2');
    await assert.rejects(
      cluster.cli('n2', ['conflicts', '-m', cluster.module, 'extract', id, '--to', LEDGER.directory]),
      /HF_CONFLICT_TARGET/,
    );
    await conflicts('n2', 'delete', id);
    await waitFor('nothing to be kept', RECOVERY_MS, () => (cluster.view('n2') as ModuleView).replication?.conflicts === undefined);
  });
});
