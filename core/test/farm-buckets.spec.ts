/** Shares of a farm: exact, proportional, deterministic, and moved as little as possible. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { quotasOf, shareBuckets } from '../src/decide/farm/buckets.js';
import { portOfPair } from '../src/engine/farm-links.js';
import { BUCKETS } from '../src/model/farm.js';

type Owners = readonly (string | undefined)[];
type Powers = Readonly<Record<string, number>>;

const NAMES = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8'];
const members = fc.subarray(NAMES, { minLength: 1 });
const power = fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 5 }), fc.constantFrom(64, 4096, 1_000_000_000));
const powers: fc.Arbitrary<Powers> = fc
  .tuple(...NAMES.map(() => power))
  .map((all) => Object.fromEntries(NAMES.map((name, index) => [name, all[index] ?? 1])));
/** Any table at all, also one that no leader would make. */
const anyTable: fc.Arbitrary<Owners> = fc.array(fc.option(fc.constantFrom(...NAMES), { nil: undefined }), {
  minLength: BUCKETS,
  maxLength: BUCKETS,
});

const share = (before: Owners, nodes: readonly string[], by: Powers): Owners => shareBuckets(before, nodes, (node) => by[node] ?? 1);
const count = (owners: Owners, node: string | undefined): number => owners.filter((owner) => owner === node).length;
const heldIn = (owners: Owners): Map<string, number> => new Map(NAMES.map((node) => [node, count(owners, node)]));

/** The least that any table with these numbers of buckets per node must change. */
function unavoidable(before: Owners, nodes: readonly string[], quotas: ReadonlyMap<string, number>): number {
  const homeless = before.filter((owner) => owner === undefined || !nodes.includes(owner)).length;
  return homeless + nodes.reduce((sum, node) => sum + Math.max(0, count(before, node) - (quotas.get(node) ?? 0)), 0);
}

describe('buckets of a farm', () => {
  it('all have an owner with power, and every node has its share to less than one bucket', () => {
    fc.assert(
      fc.property(anyTable, members, powers, (before, nodes, by) => {
        const total = nodes.reduce((sum, node) => sum + (by[node] ?? 1), 0);
        const after = share(before, nodes, by);
        if (total === 0) return after.every((owner) => owner === undefined);
        return nodes.every((node) => Math.abs(count(after, node) - (BUCKETS * (by[node] ?? 1)) / total) < 1) && !after.includes(undefined);
      }),
    );
  });

  it('move only when they must: as many as the numbers per node demand', () => {
    fc.assert(
      fc.property(anyTable, members, powers, (before, nodes, by) => {
        const after = share(before, nodes, by);
        const quotas = quotasOf(nodes, (node) => by[node] ?? 1, heldIn(before));
        if ([...quotas.values()].every((quota) => quota === 0)) return;
        const moved = after.filter((owner, bucket) => owner !== before[bucket]).length;
        assert.equal(moved, unavoidable(before, nodes, quotas));
      }),
    );
  });

  it('are rounded in the way that moves least, among all ways that are as fair', () => {
    fc.assert(
      fc.property(anyTable, members, (before, nodes) => {
        const quotas = quotasOf(nodes, () => 1, heldIn(before));
        const odd = BUCKETS % nodes.length;
        const whole = Math.floor(BUCKETS / nodes.length);
        const best = Math.min(
          ...subsets(nodes, odd).map((favoured) =>
            unavoidable(before, nodes, new Map(nodes.map((node) => [node, whole + (favoured.includes(node) ? 1 : 0)]))),
          ),
        );
        assert.equal(unavoidable(before, nodes, quotas), best);
      }),
    );
  });

  it('do not depend on anything but the table before, the nodes and their powers', () => {
    fc.assert(
      fc.property(anyTable, members, powers, (before, nodes, by) => {
        const after = share(before, nodes, by);
        assert.deepEqual(share([...before], [...nodes].reverse(), { ...by }), after);
        assert.deepEqual(share(after, nodes, by), after, 'nothing moves when nothing changed');
      }),
    );
  });

  it('keep a farm close to its shares over any series of joins and deaths', () => {
    fc.assert(
      fc.property(fc.array(members, { minLength: 1, maxLength: 20 }), (series) => {
        let owners: Owners = [];
        for (const nodes of series) {
          const before = owners;
          owners = share(before, nodes, {});
          const kept = nodes.flatMap((node) => (count(before, node) <= count(owners, node) ? [node] : []));
          for (const node of kept)
            assert.ok(
              before.every((owner, bucket) => owner !== node || owners[bucket] === node),
              `${node} lost one`,
            );
        }
      }),
    );
  });

  it('chain nodes whose powers are far apart', () => {
    const owners = share([], ['n1', 'n2', 'n3'], { n1: 1_000_000, n2: 1000, n3: 1 });
    assert.deepEqual([count(owners, 'n1'), count(owners, 'n2'), count(owners, 'n3')], [256, 0, 0]);
  });
});

function subsets(nodes: readonly string[], size: number): readonly (readonly string[])[] {
  if (size === 0) return [[]];
  return nodes.flatMap((node, index) => subsets(nodes.slice(index + 1), size - 1).map((rest) => [node, ...rest]));
}

describe('ports of a farm', () => {
  it('are one per pair, the same on both nodes, and never twice on one', () => {
    for (let nodes = 2; nodes <= 8; nodes += 1) {
      const ports = Array.from({ length: nodes % 2 === 0 ? nodes - 1 : nodes }, (_none, index) => 4803 + index);
      for (let one = 0; one < nodes; one += 1) {
        const others = Array.from({ length: nodes }, (_none, other) => other).filter((other) => other !== one);
        const used = others.map((other) => portOfPair(ports, nodes, one, other));
        assert.equal(new Set(used).size, nodes - 1, `node ${one} of ${nodes}: ${used.join(' ')}`);
        for (const [index, other] of others.entries()) assert.equal(portOfPair(ports, nodes, other, one), used[index]);
      }
    }
  });
});
