/**
 * Shares: every node gets buckets in proportion to its power, and a change of nodes moves as few of them as possible. What moves is only
 * what has no owner any more, and what a node has beyond its new share; both are unavoidable. Deterministic: the same table before, the
 * same nodes and powers give the same table after.
 */
import { BUCKETS } from '../../model/farm.js';
import type { NodeId } from '../../model/state.js';

type Owners = readonly (NodeId | undefined)[];

/**
 * Buckets per node, by the largest remainder. Where remainders are equal the node that has more than its whole part already keeps the odd
 * bucket, so that nothing moves only because of rounding.
 */
export function quotasOf(
  members: readonly NodeId[],
  powerOf: (node: NodeId) => number,
  held: ReadonlyMap<NodeId, number>,
): ReadonlyMap<NodeId, number> {
  const total = members.reduce((sum, node) => sum + powerOf(node), 0);
  if (total === 0) return new Map(members.map((node) => [node, 0]));
  const shares = members.map((node) => {
    const parts = BUCKETS * powerOf(node);
    return { node, whole: Math.floor(parts / total), remainder: parts % total };
  });
  let odd = BUCKETS - shares.reduce((sum, { whole }) => sum + whole, 0);
  const wantsMore = ({ node, whole }: (typeof shares)[number]): number => ((held.get(node) ?? 0) > whole ? 1 : 0);
  const ranked = [...shares].sort(
    (one, other) => other.remainder - one.remainder || wantsMore(other) - wantsMore(one) || (one.node < other.node ? -1 : 1),
  );
  const quotas = new Map<NodeId, number>();
  for (const { node, whole, remainder } of ranked) {
    const extra = odd > 0 && remainder > 0 ? 1 : 0;
    odd -= extra;
    quotas.set(node, whole + extra);
  }
  return quotas;
}

export function shareBuckets(before: Owners, members: readonly NodeId[], powerOf: (node: NodeId) => number): Owners {
  const held = new Map<NodeId, number>();
  for (const owner of before) if (owner !== undefined) held.set(owner, (held.get(owner) ?? 0) + 1);
  const quotas = quotasOf(members, powerOf, held);
  const free = new Map(quotas);
  const owners: (NodeId | undefined)[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
    const owner = before[bucket];
    const left = owner === undefined ? 0 : (free.get(owner) ?? 0);
    owners.push(left > 0 ? owner : undefined);
    if (owner !== undefined && left > 0) free.set(owner, left - 1);
  }
  const takers = [...free].filter(([, left]) => left > 0).sort(([one], [other]) => (one < other ? -1 : 1));
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
    const [taker] = takers;
    if (owners[bucket] !== undefined || taker === undefined) continue;
    owners[bucket] = taker[0];
    taker[1] -= 1;
    if (taker[1] === 0) takers.shift();
  }
  return owners;
}
