/**
 * A checker that flaps, on two whole nodes: nothing happens where its hysteresis is made for it; without, the module does not go to and
 * fro between the nodes for ever, and each node says why it stopped there.
 */
import assert from 'node:assert/strict';
import type { LogEntry } from '@holdfast/core';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import { applicationProcesses, ledgerCluster } from './ledger-cluster.js';

const NODES = ['n1', 'n2'];
const WAIT_MS = 110_000;
const MAXLOOP = 3;
const RUNS_MIN = 20;
const STOPPED = 'STOP NotReady';
const WAITING = 'WAIT NotReady';
const LOOPED = /stopped by maxloop: 3 automatic actions within the interval, and one more wanted: .*custom\.door/;
const OUTRUN = /is stopped and holds newer data: start it there/;
/** A success and a failure in turn, wherever the application is. */
const DOOR = `#!/bin/sh
runs=$(cat /srv/door-runs 2>/dev/null || echo 0)
echo $((runs + 1)) >/srv/door-runs
echo run $runs
exit $((runs % 2))
`;
const CHECK = '<custom ident="door" exec="/srv/door" when="prim" interval="200ms" action="stopstart" fall="3" rise="3"/></check>';

describe('a checker that flaps', () => {
  let cluster: LabCluster;

  const runs = async (node: string): Promise<number> => Number(await cluster.machine(node).readFile('/srv/door-runs'));
  const logOf = async (node: string): Promise<readonly LogEntry[]> =>
    JSON.parse(await cluster.cli(node, ['log', '-m', cluster.module, '-s', '1000', '--json'])) as readonly LogEntry[];
  const starts = async (node: string): Promise<number> =>
    (await logOf(node)).filter(({ component, text }) => component === 'script' && text.startsWith('start_prim ')).length;

  /** Stopped by maxloop, or waiting for the one that has newer data. */
  const isSettled = async (node: string): Promise<boolean> =>
    (cluster.state(node) === STOPPED ? LOOPED : OUTRUN).test(await cluster.cli(node, ['state', '-m', cluster.module, '-v']));

  before(async () => {
    cluster = await ledgerCluster({ edit: (xml) => xml.replace('</check>', CHECK) });
    for (const node of NODES) await cluster.machine(node).writeFile('/srv/door', DOOR, 0o755);
    await cluster.startBoth();
  });
  after(async () => {
    await cluster.close();
  });

  it('changes nothing as long as it never fails so often in a row as its fall says', async () => {
    const before = await runs('n1');
    await waitFor('it has failed often', WAIT_MS, async () => (await runs('n1')) > before + RUNS_MIN);
    assert.equal((await cluster.cli('n1', ['get', '-m', cluster.module, '-r', 'custom.door'])).trim(), 'up');
    assert.match(await cluster.cli('n1', ['checkloop', '-m', cluster.module]), new RegExp(`^0 of ${MAXLOOP}`));
    assert.deepEqual([cluster.state('n1'), cluster.state('n2')], ['PRIM Ready', 'SECOND Ready']);
    assert.deepEqual([await starts('n1'), await starts('n2')], [1, 0]);
  });

  it('moves the module so often as maxloop allows and no more, without any hysteresis', async () => {
    const file = `/etc/holdfast/modules/${cluster.module}/conf/userconfig.xml`;
    const xml = await cluster.machine('n1').readFile(file);
    await cluster.machine('n1').writeFile(file, xml.replace('fall="3" rise="3"', 'fall="1" rise="1"'));
    await cluster.cli('n1', ['module', 'config', '-m', cluster.module]);
    // The last one that ran has stopped. The other has too, or it waits: it had not got everything yet when that happened.
    await waitFor('one has stopped, and the other does not run', WAIT_MS, () => {
      const states = NODES.map((node) => cluster.state(node));
      return states.includes(STOPPED) && states.every((state) => state === STOPPED || state === WAITING);
    });
    await waitFor('they know that of each other', WAIT_MS, async () => (await Promise.all(NODES.map(isSettled))).every(Boolean));
    const [here, there] = [await starts('n1'), await starts('n2')];
    // The first start, one after each automatic action of either node, and one when a node has stopped.
    assert(here >= 1 && there >= 1 && here + there <= 2 * MAXLOOP + 2, `started ${here} times on n1 and ${there} times on n2`);
  });

  it('stays where it stopped, and each node says which resource wanted one action more, or that the other one has newer data', async () => {
    const states = NODES.map((node) => cluster.state(node));
    for (const node of NODES) {
      const isStopped = cluster.state(node) === STOPPED;
      const why = isStopped ? LOOPED : OUTRUN;
      assert.match(await cluster.cli(node, ['state', '-m', cluster.module, '-v']), why);
      assert.match(await cluster.cli(node, ['why', '-m', cluster.module]), why);
      assert((await logOf(node)).some(({ text }) => why.test(text)));
      const loop = JSON.parse(await cluster.cli(node, ['get', '-m', cluster.module, '-r', 'heart.stopstartloop', '--json'])) as Found;
      if (isStopped) assert.deepEqual([loop.value, loop.detail.slice(0, 6)], ['down', '3 of 3']);
      assert.deepEqual(applicationProcesses(cluster.machine(node)), []);
    }
    const before = await Promise.all(NODES.map(runs));
    for (const node of NODES) await cluster.cli(node, ['resetloop', '-m', cluster.module]);
    assert.deepEqual(await Promise.all(NODES.map(runs)), before, 'nobody looks any more');
    assert.deepEqual(
      NODES.map((node) => cluster.state(node)),
      states,
    );
  });
});

interface Found {
  readonly value: string;
  readonly detail: string;
}
