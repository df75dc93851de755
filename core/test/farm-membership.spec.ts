/** Membership and hand-over of a farm: what must hold whatever the network and the nodes do. */
import assert from 'node:assert/strict';
import { stepFarm } from '../src/decide/farm/membership.js';
import { ownersOf } from '../src/model/farm.js';
import { FarmSimulator, LEADER_TIMEOUT_MS, MEMBER_TIMEOUT_MS, randomOf } from './farm-simulator.js';

const MEET_MS = LEADER_TIMEOUT_MS + 1000;
const SETTLE_MS = LEADER_TIMEOUT_MS + 2 * MEMBER_TIMEOUT_MS;

/** A farm of n nodes that all serve. */
function farm(count: number, seed: number, powers: Readonly<Record<string, number>> = {}): FarmSimulator {
  const simulator = new FarmSimulator(count, seed, powers);
  for (const { name } of simulator.nodes) simulator.boot(name);
  for (const { name } of simulator.nodes) simulator.offer(name, true);
  simulator.run(SETTLE_MS);
  return simulator;
}

function sharesOf(simulator: FarmSimulator): number[] {
  return simulator.nodes.map(({ name }) => simulator.share(name));
}

/** How often the property tests run; each seed is another story. */
const SEEDS = Number(process.env['FARM_SEEDS'] ?? 8);
const FIRST_SEED = Number(process.env['SEED'] ?? 1);

function seeds(): number[] {
  return Array.from({ length: SEEDS }, (_none, index) => FIRST_SEED + index);
}

const DEEDS = ['boot', 'boot', 'crash', 'open', 'open', 'open', 'close', 'sleep', 'wake', 'wake'] as const;

/** A farm to which anything happens but a cut of the network. */
function troubled(seed: number, step?: typeof stepFarm): { readonly simulator: FarmSimulator; readonly story: readonly string[] } {
  const random = randomOf(seed * 7919);
  const count = 2 + Math.floor(random() * 5);
  const simulator = new FarmSimulator(count, seed, {}, step);
  simulator.weather = { loss: random() * 0.3, delayMsMax: 5 + random() * 200 };
  const story: string[] = [];
  for (const { name } of simulator.nodes) simulator.boot(name);
  for (let turn = 0; turn < 40; turn += 1) {
    const name = `n${1 + Math.floor(random() * count)}`;
    const deed = DEEDS[Math.floor(random() * DEEDS.length)] ?? 'boot';
    story.push(`${Math.round(simulator.nowMs)} ${deed} ${name}`);
    if (deed === 'open' || deed === 'close') simulator.offer(name, deed === 'open');
    else simulator[deed](name);
    simulator.run(random() < 0.5 ? random() * 200 : random() * 3000);
    if (simulator.overlaps.length > 0) break;
  }
  return { simulator, story };
}

describe('a farm', () => {
  it('shares all buckets among its nodes, each with one owner', () => {
    const simulator = farm(3, 1);
    assert.deepEqual(sharesOf(simulator), [86, 85, 85]);
    assert.equal(simulator.coverage(), '256x1');
    assert.deepEqual(simulator.overlaps, []);
  });

  it('shares by power, and gives nothing to a node without power', () => {
    const simulator = farm(4, 2, { n1: 2, n2: 1, n3: 1, n4: 0 });
    assert.deepEqual(sharesOf(simulator), [128, 64, 64, 0]);
  });

  it('serves with one node alone', () => {
    const simulator = new FarmSimulator(3, 3);
    simulator.boot('n2');
    simulator.offer('n2', true);
    simulator.run(LEADER_TIMEOUT_MS);
    assert.equal(simulator.share('n2'), 256);
  });

  it('moves the buckets of a node that died, and only those', () => {
    const simulator = farm(4, 4);
    const before = simulator.nodes.map(({ state }) => state?.accepts['all'] ?? '');
    simulator.crash('n3');
    simulator.run(MEMBER_TIMEOUT_MS + 500);
    assert.equal(simulator.coverage(), '256x1');
    for (const index of [0, 1, 3]) {
      const now = simulator.nodes[index]?.state?.accepts['all'] ?? '';
      assert.ok(
        [...(before[index] ?? '')].every((digit, bucket) => digit === '0' || now[bucket] === '1'),
        `n${index + 1} lost a bucket`,
      );
    }
  });

  it('elects another leader when the leader dies', () => {
    const simulator = farm(3, 5);
    assert.equal(simulator.node('n3').state?.leader, 'n1');
    simulator.crash('n1');
    simulator.run(LEADER_TIMEOUT_MS + 500);
    assert.equal(simulator.node('n3').state?.leader, 'n2');
    assert.deepEqual(sharesOf(simulator), [0, 128, 128]);
  });

  it('takes a node back, also the one that leads', () => {
    const simulator = farm(3, 6);
    simulator.crash('n1');
    simulator.run(SETTLE_MS);
    simulator.boot('n1');
    simulator.offer('n1', true);
    simulator.run(SETTLE_MS);
    assert.equal(simulator.node('n3').state?.leader, 'n1');
    assert.equal(simulator.coverage(), '256x1');
    assert.ok(sharesOf(simulator).every((share) => share >= 85));
    assert.deepEqual(simulator.overlaps, []);
  });

  it('hands over before a node leaves: nothing is without an owner for longer than the words take', () => {
    const simulator = farm(3, 7);
    simulator.offer('n1', false);
    simulator.run(100);
    assert.equal(simulator.share('n1'), 0);
    assert.equal(simulator.coverage(), '256x1');
  });

  it('serves everything in both parts of a cut network, and becomes one farm again', () => {
    const simulator = farm(5, 8);
    simulator.split({ n1: 1, n4: 1 });
    simulator.run(SETTLE_MS);
    assert.equal(simulator.coverage(0), '256x1');
    assert.equal(simulator.coverage(1), '256x1');
    simulator.heal();
    simulator.run(1000);
    assert.equal(simulator.coverage(), '256x1');
  });

  it('gives no bucket two owners that hear each other when only some pairs do', () => {
    for (const pairs of [['n1 n3'], ['n2 n3'], ['n1 n4', 'n2 n4'], ['n1 n3', 'n1 n4', 'n2 n4'], ['n1 n2']]) {
      const simulator = farm(4, 10);
      // The numbers of their tables differ: n3 and n4 were a farm of their own before.
      simulator.split({ n3: 1, n4: 1 });
      for (let turn = 0; turn < 4; turn += 1) {
        simulator.offer('n4', turn % 2 === 1);
        simulator.run(SETTLE_MS);
      }
      for (const pair of pairs) simulator.cutPair(...(pair.split(' ') as [string, string]));
      simulator.split({});
      simulator.run(SETTLE_MS);
      assert.deepEqual(simulator.overlapsOfPairsTogether(MEET_MS), [], pairs.join(', '));
      simulator.heal();
      simulator.run(SETTLE_MS);
      assert.equal(simulator.coverage(), '256x1', pairs.join(', '));
    }
  });

  it('a node that slept and was given up begins with nothing when it wakes', () => {
    const simulator = farm(3, 9);
    simulator.sleep('n2');
    simulator.run(SETTLE_MS);
    assert.equal(simulator.coverage(), '256x1');
    simulator.wake('n2');
    simulator.run(1);
    assert.equal(simulator.share('n2'), 0);
    simulator.run(SETTLE_MS);
    assert.deepEqual(simulator.overlaps, []);
    assert.equal(simulator.coverage(), '256x1');
  });
});

describe('hand-over of buckets', function () {
  this.timeout(300_000);

  it('never gives a bucket two owners, whatever is lost, late, crashes, sleeps, joins and leaves', () => {
    for (const seed of seeds()) {
      const { simulator, story } = troubled(seed);
      assert.deepEqual(simulator.overlaps, [], `seed ${seed}: ${story.join('; ')}`);
      for (const { name } of simulator.nodes) {
        simulator.boot(name);
        simulator.wake(name);
        simulator.offer(name, true);
      }
      simulator.run(2 * SETTLE_MS);
      assert.deepEqual(simulator.overlaps, [], `seed ${seed}: ${story.join('; ')}`);
      assert.equal(simulator.coverage(), '256x1', `seed ${seed}: ${story.join('; ')}`);
    }
  });

  it('is watched by a comparison that notices deliberate bugs', () => {
    const wakeful: typeof stepFarm = (before, event) => stepFarm({ ...before, nowMs: event.nowMs }, event);
    const greedy: typeof stepFarm = (before, event) => {
      const after = stepFarm(before, event);
      const { table, settings, offers, incarnation } = after;
      const named = table?.members.some((member) => member.node === settings.node && member.incarnation === incarnation) === true;
      if (!named || !offers) return after;
      const owned = ownersOf(table, 'all').map((owner) => (owner === settings.node ? '1' : '0'));
      return { ...after, accepts: { all: owned.join('') } };
    };
    const hasty: typeof stepFarm = (before, event) => stepFarm({ ...before, listening: false }, event);
    for (const [name, bug] of Object.entries({ wakeful, greedy, hasty })) {
      assert.ok(
        Array.from({ length: 100 }, (_none, seed) => seed).some((seed) => troubled(seed, bug).simulator.overlaps.length > 0),
        `nobody noticed that a node is ${name}`,
      );
    }
  });

  it('ends the double service of parts that meet again, and every part serves everything', () => {
    for (const seed of seeds()) {
      const random = randomOf(seed * 104_729);
      const count = 2 + Math.floor(random() * 6);
      const simulator = farm(count, seed);
      simulator.weather = { loss: random() * 0.1, delayMsMax: 5 + random() * 60 };
      for (let cut = 0; cut < 8; cut += 1) {
        const parts = Object.fromEntries(simulator.nodes.map(({ name }) => [name, Math.floor(random() * 3)]));
        simulator.split(random() < 0.3 ? {} : parts);
        // A leader that was lost by the same cut has to be given up first.
        simulator.run(MEET_MS);
        assert.deepEqual(simulator.overlapsOfPairsTogether(MEET_MS), [], `seed ${seed}, cut ${cut}`);
        if (random() < 0.5) continue;
        simulator.run(SETTLE_MS);
        for (const part of new Set(Object.values(parts))) {
          const served = simulator.coverage(part);
          if (served !== '256x0') assert.equal(served, '256x1', `seed ${seed}, cut ${cut}, part ${part}`);
        }
      }
      simulator.heal();
      simulator.run(SETTLE_MS);
      assert.equal(simulator.coverage(), '256x1', `seed ${seed}`);
    }
  });

  it('gives no bucket two owners for long when any pairs of nodes stop to hear each other', () => {
    for (const seed of seeds()) {
      const random = randomOf(seed * 31_337);
      const simulator = farm(3 + Math.floor(random() * 3), seed);
      simulator.weather = { loss: random() * 0.1, delayMsMax: 5 + random() * 60 };
      for (let cut = 0; cut < 3; cut += 1) {
        for (const [index, { name }] of simulator.nodes.entries()) {
          for (const other of simulator.nodes.slice(index + 1)) if (random() < 0.35) simulator.cutPair(name, other.name);
        }
        simulator.run(2 * SETTLE_MS);
        assert.deepEqual(simulator.overlapsOfPairsTogether(2 * SETTLE_MS), [], `seed ${seed}, cut ${cut}`);
        simulator.heal();
        simulator.run(SETTLE_MS);
        assert.equal(simulator.coverage(), '256x1', `seed ${seed}, cut ${cut}`);
      }
    }
  });
});
