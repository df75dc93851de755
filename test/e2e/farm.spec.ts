/** Farm and light modules on whole nodes: shares, power cuts, network cuts, orderly stops; a light module whose process dies. */
import assert from 'node:assert/strict';
import type { LogEntry, ModuleView } from '@holdfast/core';
import { sendSignal } from '../lab/host-process.js';
import { HOLDFAST, LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';

const NODES = ['n1', 'n2', 'n3'];
const SETTLE_MS = 30_000;

/** The Node.js that runs this: the machines of the lab have no other. */
const withNode = (xml: string): string => xml.replace('name="NODE" value="node"', `name="NODE" value="${process.execPath}"`);

function create(nodes: readonly string[], edit: (xml: string) => string): Promise<LabCluster> {
  const keepLogs = process.env['HOLDFAST_TEST_LOGS'];
  return LabCluster.create({
    module: 'hello-farm',
    nodes,
    edit: (xml) => edit(withNode(xml)),
    ...(keepLogs === undefined ? {} : { keepLogs }),
  });
}

function accepts(cluster: LabCluster, node: string): number {
  return cluster.view(node)?.farm?.groups[0]?.accepts ?? 0;
}

async function waitForShares(cluster: LabCluster, shares: Readonly<Record<string, number>>): Promise<void> {
  const wanted = Object.entries(shares);
  const now = (): string => NODES.map((node) => `${node} ${accepts(cluster, node)}`).join(', ');
  await waitFor(`shares ${JSON.stringify(shares)}`, SETTLE_MS, () =>
    wanted.every(([node, share]) => accepts(cluster, node) === share),
  ).catch((error: unknown) => {
    throw new Error(`shares are ${now()}`, { cause: error });
  });
}

/** Which buckets each node has by the table of one of them. */
function rangesOf(view: ModuleView | undefined): Readonly<Record<string, readonly number[]>> {
  const shares = view?.farm?.groups[0]?.shares ?? [];
  return Object.fromEntries(
    shares.map(({ node, ranges }) => {
      const parts = ranges.split(',').map((range) => range.split('-').map(Number));
      const buckets = parts.flatMap(([from = 0, to = from]) => Array.from({ length: to - from + 1 }, (_none, index) => from + index));
      return [node, ranges === '' ? [] : buckets] as const;
    }),
  );
}

/** What is seen of a node is a moment old: the state may be there before what led to it is seen, or be the one of before. */
async function waitForReason(cluster: LabCluster, node: string, pattern: RegExp): Promise<void> {
  await waitFor(`the reason of ${node} is ${String(pattern)}`, SETTLE_MS, () => pattern.test(cluster.view(node)?.reason.text ?? ''));
}

async function logOf(cluster: LabCluster, node: string): Promise<readonly LogEntry[]> {
  return JSON.parse(await cluster.cli(node, ['log', '-m', cluster.module, '-s', '500', '--json'])) as readonly LogEntry[];
}

function processOf(cluster: LabCluster, node: string): number | undefined {
  return cluster
    .machine(node)
    .pids()
    .find(({ command }) => /hello\.mjs|^hello$/.test(command))?.hostPid;
}

describe('a farm of three nodes', () => {
  let cluster: LabCluster;

  before(async () => {
    cluster = await create(NODES, (xml) => xml);
    for (const node of NODES) await cluster.command(node, 'start');
    await cluster.waitFor({ n1: 'UP Ready', n2: 'UP Ready', n3: 'UP Ready' }, SETTLE_MS);
  });
  after(async () => {
    await cluster.close();
  });

  it('shares all buckets among the nodes, and every node serves', async () => {
    await waitForShares(cluster, { n1: 86, n2: 85, n3: 85 });
    for (const [index, node] of NODES.entries()) {
      const said = await cluster.lab.client.run(['curl', '-s', '--max-time', '5', `http://10.50.1.${11 + index}:8090`]);
      assert.equal(said.trim(), `hello from ${node}`);
    }
  });

  it('shows who shares what, in text, as JSON and by its exit code', async () => {
    const details = await cluster.cli('n2', ['state', '-m', cluster.module, '-v']);
    assert.match(details, /farm +n1, n2, n3; led by n1, table \d+/);
    assert.match(details, /load +85\/256 \(33 %\) of group FarmProto/);
    assert.match(await cluster.cli('n2', ['state', '-m', cluster.module]), /UP \(Ready\).*load 85\/256, 3 nodes.*2 alive/);
    assert.match(await cluster.cli('n2', ['resources', '-m', cluster.module]), /FarmProto_0 +up +\S+ +85\/256 \(33 %\)/);
    const { code, stdout } = await cluster.machine('n2').exec([process.execPath, HOLDFAST, 'state', '-m', cluster.module, '-l']);
    assert.deepEqual([code, stdout], [2, 'UP\n']);
  });

  it('moves the share of a node that lost its power to the others, and nothing else, and gives it back', async () => {
    await waitForShares(cluster, { n1: 86, n2: 85, n3: 85 });
    const before = rangesOf(cluster.view('n1'));
    const began = performance.now();
    await cluster.powerCut('n3');
    await waitForShares(cluster, { n1: 128, n2: 128 });
    const tookMs = performance.now() - began;
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
    const after = rangesOf(cluster.view('n1'));
    for (const node of ['n1', 'n2'])
      assert.deepEqual(
        before[node]?.filter((bucket) => after[node]?.includes(bucket) !== true),
        [],
      );
    await cluster.powerOn('n3');
    // boot="auto": it was started when the power went.
    await cluster.waitFor({ n3: 'UP Ready' }, SETTLE_MS);
    await waitForShares(cluster, { n1: 86, n2: 85, n3: 85 });
  });

  it('elects another leader when the leader loses its power', async () => {
    await cluster.powerCut('n1');
    await waitForShares(cluster, { n2: 128, n3: 128 });
    await waitFor('n3 is led by n2', SETTLE_MS, () => cluster.view('n3')?.farm?.leader === 'n2');
    await cluster.powerOn('n1');
    await cluster.waitFor({ n1: 'UP Ready' }, SETTLE_MS);
    await waitFor('three shares of a third', SETTLE_MS, () => NODES.every((node) => [85, 86].includes(accepts(cluster, node))));
  });

  it('gives its buckets up before it stops its application', async () => {
    await cluster.command('n2', 'stop');
    await cluster.waitFor({ n2: 'STOP NotReady' }, SETTLE_MS);
    await waitForShares(cluster, { n1: 128, n2: 0, n3: 128 });
    const texts = (await logOf(cluster, 'n2')).map(({ text }) => text);
    const [empty, stopped] = [
      texts.lastIndexOf('farm load: 0/256 (group FarmProto_0)'),
      texts.findLastIndex((text) => /^stop_both UP/.test(text)),
    ];
    assert.ok(empty >= 0 && stopped > empty, texts.slice(-20).join('\n'));
    await cluster.command('n2', 'start');
    await cluster.waitFor({ n2: 'UP Ready' }, SETTLE_MS);
    await waitFor('three shares of a third', SETTLE_MS, () => NODES.every((node) => [85, 86].includes(accepts(cluster, node))));
  });

  it('serves everything in both parts of a cut network, and shares again when it heals', async () => {
    await cluster.lab.network.isolate('n3');
    await waitForShares(cluster, { n1: 128, n2: 128, n3: 256 });
    await cluster.lab.network.heal();
    await waitFor('three shares of a third', SETTLE_MS, () => NODES.every((node) => [85, 86].includes(accepts(cluster, node))));
    const evidence = /farm membership: n1 n2 n3, led by n1\n.*held table \d+ with n1, n2, n3/;
    await waitFor('n3 says who is there', SETTLE_MS, async () => evidence.test(await cluster.cli('n3', ['why', '-m', cluster.module])));
  });
});

describe('a light module on a node by itself', () => {
  let cluster: LabCluster;

  before(async () => {
    cluster = await create(['n1'], (xml) => xml.replace('mode="farm"', 'mode="light"').replace(/<farm>[^]*<\/farm>/, ''));
    await cluster.command('n1', 'start');
    await cluster.waitFor({ n1: 'UP Ready' }, SETTLE_MS);
  });
  after(async () => {
    await cluster.close();
  });

  async function killApplication(): Promise<void> {
    const pid = processOf(cluster, 'n1');
    assert.ok(pid !== undefined, 'the application runs');
    sendSignal(pid, 'SIGKILL');
    await waitFor('the application is another process', SETTLE_MS, () => ![undefined, pid].includes(processOf(cluster, 'n1')));
  }

  it('restarts its application when the process dies', async () => {
    await killApplication();
    await waitForReason(cluster, 'n1', /proc\.hello is down .*: restart/);
    await cluster.waitFor({ n1: 'UP Ready' }, SETTLE_MS);
    assert.equal(cluster.view('n1')?.mode, 'light');
    await waitFor('one automatic action is counted', SETTLE_MS, () => cluster.view('n1')?.maxloop.count === 1);
  });

  it('starts again by itself after a power cut, counts on, and is stopped by maxloop at the fourth death', async () => {
    await cluster.powerCut('n1');
    await cluster.powerOn('n1');
    await cluster.waitFor({ n1: 'UP Ready' }, SETTLE_MS);
    for (let death = 2; death <= 3; death += 1) {
      await killApplication();
      await waitFor(`${death} automatic actions are counted`, SETTLE_MS, () => cluster.view('n1')?.maxloop.count === death);
      await cluster.waitFor({ n1: 'UP Ready' }, SETTLE_MS);
    }
    const pid = processOf(cluster, 'n1');
    assert.ok(pid !== undefined, 'the application runs');
    sendSignal(pid, 'SIGKILL');
    await cluster.waitFor({ n1: 'STOP NotReady' }, SETTLE_MS);
    await waitForReason(cluster, 'n1', /stopped by maxloop: 3 automatic actions/);
  });

  it('starts again when the operator says so, restarts in place, and refuses what belongs to pairs', async () => {
    await cluster.command('n1', 'start', '--wait');
    await cluster.waitFor({ n1: 'UP Ready' }, SETTLE_MS);
    const before = processOf(cluster, 'n1');
    await cluster.command('n1', 'restart', '--wait');
    assert.notEqual(processOf(cluster, 'n1'), before);
    await cluster.command('n1', 'stopstart', '--wait');
    await assert.rejects(cluster.command('n1', 'swap'), /a light module has no primary and no secondary/);
    assert.match(await cluster.cli('n1', ['why', '-m', cluster.module]), /UP \(Ready\).*\n.*acted by itself 0 of 3 times/);
  });
});
