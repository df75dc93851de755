/**
 * A disk that becomes slow and still answers (gray failure), on two whole nodes: the application moves to the node whose disk is as fast
 * as ever, once, and stays where it is while both are slow.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import { ledgerCluster, waitForLog } from './ledger-cluster.js';

const SLOW_DISK = fileURLToPath(new URL('../lab/slow-disk.js', import.meta.url));
const MOUNT_POINT = '/srv/disk';
const DELAY_FILE = '/srv/fsync-ms';
const RECOVERY_MS = 60_000;
const FAST_MS = 2;
const SLOW_MS = 400;

/** In `pre`, so that what is usual is measured as long as the module is started, whatever its role. */
const CHECKS = `<disk ident="data" when="pre" action="noaction" fall="2" rise="2">
      <to path="${MOUNT_POINT}" slower="5" slower_than_peer="5" interval="200ms" timeout="5s"/>
    </disk>
  </check>
  <failover period="200ms" handle_time="1s"><![CDATA[
    slow: if (disk.data == down && remote.disk.data == up) then swap();
  ]]></failover>`;

describe('a disk that is slow and still answers', () => {
  let cluster: LabCluster;

  const delay = (node: string, ms: number): Promise<void> => cluster.machine(node).writeFile(DELAY_FILE, `${ms}\n`);
  const detail = async (node: string): Promise<string> => {
    const resources = JSON.parse(await cluster.cli(node, ['resources', '-m', cluster.module, '--json'])) as Resource[];
    const { value = '', detail: text = '' } = resources.find(({ name }) => name === 'disk.data') ?? {};
    return `${value}: ${text}`;
  };
  const waitForDetail = async (node: string, pattern: RegExp): Promise<void> => {
    await waitFor(`disk.data of ${node} to be ${String(pattern)}`, RECOVERY_MS, async () => pattern.test(await detail(node)));
  };
  const figure = async (node: string): Promise<number | undefined> => {
    const { figures } = JSON.parse(await cluster.cli(node, ['get', '-m', cluster.module, '-r', 'disk.data', '--json'])) as Resource;
    return figures?.[0]?.value;
  };
  /** Automatic actions of both nodes. */
  const actions = async (): Promise<readonly number[]> => {
    const texts = await Promise.all(['n1', 'n2'].map((node) => cluster.cli(node, ['checkloop', '-m', cluster.module])));
    return texts.map((text) => Number.parseInt(text, 10));
  };

  before(async () => {
    cluster = await ledgerCluster({ edit: (xml) => xml.replace('</check>', CHECKS) });
    for (const node of ['n1', 'n2']) {
      await delay(node, FAST_MS);
      const disk = cluster.machine(node).spawn([process.execPath, SLOW_DISK, MOUNT_POINT, DELAY_FILE]);
      await waitFor(`the disk of ${node}`, RECOVERY_MS, () => disk.lines.some(({ text }) => text === 'ready'));
    }
    await cluster.startBoth();
  });
  after(async () => {
    await cluster.close();
  });

  it('is compared with the other node, whose figure the heartbeats bring', async () => {
    for (const node of ['n1', 'n2']) await waitForDetail(node, /^up: .*fsync [\d.]+ ms \([\d.]+ ms on the other node\)/);
    const resource = JSON.parse(await cluster.cli('n1', ['get', '-m', cluster.module, '-r', 'disk.data', '--json'])) as Resource;
    assert.deepEqual(
      resource.figures?.map(({ name, unit }) => `${name} ${unit}`),
      ['fsync ms'],
    );
    // Ten tests make a baseline.
    for (const node of ['n1', 'n2']) await waitFor(`a baseline of ${node}`, RECOVERY_MS, lookedAgain(node, 12));
  });

  it('moves nobody while both are slow', async () => {
    await Promise.all(['n1', 'n2'].map((node) => delay(node, SLOW_MS)));
    // Each is slow by its own past, and says what the other one takes.
    for (const node of ['n1', 'n2']) await waitForDetail(node, /fsync 4\d\d\.\d ms \(4\d\d\.\d ms on the other node\)/);
    await waitFor('some looks more', RECOVERY_MS, lookedAgain('n1', 10));
    assert.deepEqual([cluster.state('n1'), cluster.state('n2')], ['PRIM Ready', 'SECOND Ready']);
    assert.deepEqual(await actions(), [0, 0]);
    await Promise.all(['n1', 'n2'].map((node) => delay(node, FAST_MS)));
    for (const node of ['n1', 'n2']) await waitForDetail(node, /^up: .*fsync \d\.\d ms \(\d\.\d ms on the other node\)/);
  });

  it('has the module swap to the node whose disk is as fast as before, once', async () => {
    await delay('n1', SLOW_MS);
    await cluster.waitFor({ n1: 'SECOND Ready', n2: 'PRIM Ready' }, RECOVERY_MS);
    await waitForLog(cluster, 'n1', /failover rule slow holds \(disk\.data == down && remote\.disk\.data == up\): swap/);
    await waitForDetail('n1', /^down: .*fsync takes 4\d\d ms, \d+ times the usual [\d.]+ ms, \d+ times the [\d.]+ ms of the other node/);
    await waitFor('some looks more', RECOVERY_MS, lookedAgain('n2', 8));
    await delay('n1', FAST_MS);
    await waitForDetail('n1', /^up/);
    await waitFor('some looks more', RECOVERY_MS, lookedAgain('n2', 8));
    assert.deepEqual([cluster.state('n1'), cluster.state('n2')], ['SECOND Ready', 'PRIM Ready']);
    assert.deepEqual(await actions(), [1, 0]);
  });

  it('is not called slow because the other node is gone', async () => {
    await cluster.powerCut('n1');
    await cluster.waitFor({ n2: 'ALONE Ready' }, RECOVERY_MS);
    await delay('n2', SLOW_MS);
    await waitForDetail('n2', /^unknown: .*fsync takes 4\d\d ms, .* the other node's time is not known/);
    await waitFor('some looks more', RECOVERY_MS, lookedAgain('n2', 5));
    assert.equal(cluster.state('n2'), 'ALONE Ready');
    const history = await cluster.cli('n2', ['get', '-m', cluster.module, '-r', 'disk.data', '--history']);
    assert.doesNotMatch(history, /down:/);
  });

  /** True when the checker of a node has measured so often more: no two times are the same. */
  function lookedAgain(node: string, times: number): () => Promise<boolean> {
    const seen = new Set<number | undefined>();
    return async () => seen.add(await figure(node)).size > times;
  }
});

interface Resource {
  readonly name: string;
  readonly value: string;
  readonly detail: string;
  readonly figures?: readonly { readonly name: string; readonly value: number; readonly unit: string }[];
}
