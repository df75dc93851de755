/** A configuration on both nodes or on none, whoever dies at whatever modification of its disk. */
import assert from 'node:assert/strict';
import { writeFileSync, mkdirSync, readFileSync, readlinkSync, rmSync, renameSync, cpSync } from 'node:fs';
import { join } from 'node:path';
import { dieAt, type TestNode, TestPair } from './configuration-nodes.js';

const POINTS_MAX = 400;

async function configured(): Promise<TestPair> {
  const pair = new TestPair();
  for (const node of [pair.n1, pair.n2]) {
    node.edit(1);
    await node.configure({ local: true });
  }
  pair.n1.edit(2);
  return pair;
}

/** @returns how many points there were */
async function interruptEverywhere(dying: (pair: TestPair) => readonly TestNode[]): Promise<{ points: number; outcomes: Set<number> }> {
  const outcomes = new Set<number>();
  for (let point = 1; point < POINTS_MAX; point += 1) {
    const pair = await configured();
    try {
      const dead = dying(pair);
      const died = await dieAt(point, dead, () => pair.n1.configure());
      if (!died) return { points: point - 1, outcomes };
      // A coordinator that is alone by then may go on alone: a participant that never stored it is told when it is asked again.
      for (const node of dead) await node.restart();
      for (const node of [pair.n1, pair.n2]) if (await node.undecided()) await node.restart();
      const held = [await pair.n1.applied(), await pair.n2.applied()];
      const where = `point ${point}: n1 ${held[0] ?? 'none'}, n2 ${held[1] ?? 'none'}`;
      assert.deepEqual([await pair.n1.undecided(), await pair.n2.undecided()], [false, false], where);
      for (const maxloop of held) assert.ok(maxloop === 1 || maxloop === 2, where);
      const never = dead.length === 1 && dead[0] === pair.n2 && held[0] === 2 && held[1] === 1;
      if (!never) assert.equal(held[0], held[1], where);
      else {
        assert.equal((await pair.n1.configure()).peer?.outcome, 'applied', where);
        assert.deepEqual([await pair.n1.applied(), await pair.n2.applied()], [2, 2], where);
      }
      outcomes.add(held[0] ?? 0);
    } finally {
      pair.remove();
    }
  }
  throw new Error(`more than ${POINTS_MAX} points`);
}

describe('a configuration for both nodes', () => {
  it('is applied on both, and the source of the other follows', async () => {
    const pair = await configured();
    const { outcome, peer } = await pair.n1.configure();
    assert.deepEqual([outcome, peer?.outcome], ['applied', 'applied']);
    assert.deepEqual([await pair.n1.applied(), await pair.n2.applied()], [2, 2]);
    assert.match(readFileSync(join(pair.n2.files.moduleSource('ledger'), 'conf', 'userconfig.xml'), 'utf8'), /maxloop="2"/);
    assert.equal(pair.n1.runs, pair.n2.runs);
    pair.remove();
  });

  it('keeps edits of the other node that were never applied', async () => {
    const pair = await configured();
    pair.n2.edit(9);
    await pair.n1.configure();
    const aside = join(pair.n2.files.moduleState('ledger'), 'replaced', '1', 'conf', 'userconfig.xml');
    assert.match(readFileSync(aside, 'utf8'), /maxloop="9"/);
    pair.remove();
  });

  it('is on neither when the other node refuses it', async () => {
    const pair = await configured();
    pair.n2.transactions.prepare = () => Promise.reject(Object.assign(new Error('no'), { code: 'HF_CONFIG_ATTRIBUTE_UNKNOWN' }));
    await assert.rejects(pair.n1.configure());
    assert.deepEqual([await pair.n1.applied(), await pair.n1.undecided()], [1, false]);
    pair.remove();
  });

  it('refuses a second change while one is under way', async () => {
    const pair = await configured();
    let finish: () => void = () => undefined;
    const first = pair.n1.transactions.exclusively('ledger', () => new Promise<void>((resolve) => (finish = resolve)));
    await assert.rejects(pair.n1.configure(), { code: 'HF_CONFIG_BUSY' });
    await assert.rejects(pair.n2.configure(), { code: 'HF_CONFIG_BUSY' });
    assert.deepEqual([await pair.n1.applied(), await pair.n2.applied()], [1, 1]);
    finish();
    await first;
    assert.equal((await pair.n1.configure()).outcome, 'applied');
    pair.remove();
  });

  it('is the same on both after the coordinator lost its power at any point', async function () {
    this.timeout(120_000);
    const { points, outcomes } = await interruptEverywhere(({ n1 }) => [n1]);
    assert.ok(points > 10, `${points} points`);
    assert.deepEqual([...outcomes].sort(), [1, 2]);
  });

  it('is the same on both after the participant lost its power at any point', async function () {
    this.timeout(120_000);
    const { points } = await interruptEverywhere(({ n2 }) => [n2]);
    assert.ok(points > 10, `${points} points`);
  });

  it('is the same on both after both lost their power at any point', async function () {
    this.timeout(120_000);
    const { points, outcomes } = await interruptEverywhere(({ n1, n2 }) => [n1, n2]);
    assert.ok(points > 20, `${points} points`);
    assert.deepEqual([...outcomes].sort(), [1, 2]);
  });
});

describe('kept configurations', () => {
  it('are the three before, each once, and can be applied again', async () => {
    const pair = new TestPair();
    for (const maxloop of [1, 2, 3, 3, 4, 5, 6]) {
      pair.n1.edit(maxloop);
      await pair.n1.configure({ local: true });
    }
    const store = pair.n1.transactions.store('ledger');
    const kept = await store.kept((await store.applied())?.number);
    const loops = await Promise.all(
      kept.map(async ({ number }) => (await store.content(number)).files.find(({ path }) => path.endsWith('.xml'))?.content.toString()),
    );
    assert.deepEqual(
      loops.map((xml) => /maxloop="(\d)"/.exec(xml ?? '')?.[1]),
      ['5', '4', '3'],
    );
    await assert.rejects(store.content(99), { code: 'HF_CONFIG_KEPT_UNKNOWN' });
    pair.remove();
  });

  it('begin with what an earlier release applied as a folder, also when it died between its two renames', async () => {
    for (const crashed of [false, true]) {
      const pair = await configured();
      const state = pair.n1.files.moduleState('ledger');
      const folder = join(state, readlinkSync(join(state, 'applied')));
      rmSync(join(state, 'applied'));
      cpSync(folder, join(state, crashed ? 'applied.old' : 'applied'), { recursive: true });
      rmSync(join(state, 'configurations'), { recursive: true });
      if (crashed) mkdirSync(join(state, 'applied.new', 'conf'), { recursive: true });
      await pair.n1.restart();
      assert.equal(await pair.n1.applied(), 1);
      assert.match(readlinkSync(join(state, 'applied')), /^configurations\/\d+\/module$/);
      pair.remove();
    }
  });

  it('do not lose the source that died while it was replaced', async () => {
    const pair = await configured();
    const source = pair.n1.files.moduleSource('ledger');
    renameSync(source, `${source}.old`);
    mkdirSync(`${source}.new`);
    writeFileSync(join(`${source}.new`, 'half'), '');
    await pair.n1.restart();
    assert.match(readFileSync(join(source, 'conf', 'userconfig.xml'), 'utf8'), /maxloop="2"/);
    pair.remove();
  });
});
