/**
 * What must hold of acknowledgements, whatever happened: every acknowledged record is where it was acknowledged, no place was acknowledged
 * twice, and the order of places never contradicts the order of events: a record that was sent after another one had been acknowledged has
 * the later place. Two nodes that acknowledge in the same period break one of these, or show themselves between two acknowledgements of one
 * another that are closer than any change of roles.
 */
import type { Acknowledgement } from './acknowledgement.js';

/** No node stops its application, and another one starts it and stops it again, in this time. */
const ROLE_CHANGE_MS_MIN = 250;

export interface Finding {
  /** `disorder`: one node contradicts itself; `unchecked`: nobody knows. */
  readonly kind: 'lost' | 'dualPrimary' | 'disorder' | 'unchecked';
  readonly text: string;
}

interface Said {
  readonly node: string;
  readonly sentMs: number;
  readonly atMs: number;
}

/** Records that are not where they were acknowledged. */
export function findLost(acknowledged: readonly Acknowledgement[], present: ReadonlyMap<number, string>): Finding[] {
  return acknowledged
    .filter(({ entry, place }) => present.get(place) !== entry)
    .map((one) => ({ kind: 'lost', text: `${describe(one)}: the ledger has ${present.get(one.place) ?? 'nothing'} there` }));
}

/** Contradictions among the acknowledgements themselves. */
export function findContradictions(acknowledged: readonly Acknowledgement[]): Finding[] {
  const byPlace = [...acknowledged].sort((a, b) => a.place - b.place);
  const findings: Finding[] = [];
  for (const [index, one] of byPlace.entries()) {
    const next = byPlace[index + 1];
    if (next?.place === one.place) findings.push({ kind: 'dualPrimary', text: `one place, twice: ${describe(one)}; ${describe(next)}` });
  }
  let earliest: Acknowledgement | undefined;
  for (const one of byPlace.toReversed()) {
    if (earliest !== undefined && earliest.atMs < one.sentMs) {
      const kind = earliest.node === one.node ? 'disorder' : 'dualPrimary';
      findings.push({ kind, text: `sent after a later place was acknowledged: ${describe(one)}; ${describe(earliest)}` });
    }
    if (earliest === undefined || one.atMs < earliest.atMs) earliest = one;
  }
  for (const { first, between } of findInterleaved(acknowledged)) {
    findings.push({
      kind: 'dualPrimary',
      text: `${between.node} acknowledged among those of ${first.node}, at ${between.atMs.toFixed(0)} ms`,
    });
  }
  return findings;
}

/** Something that one node said in full between two that another one said within less time than a change of roles takes. */
export function findInterleaved<T extends Said>(
  said: readonly T[],
  withinMs = ROLE_CHANGE_MS_MIN,
): { readonly first: T; readonly between: T }[] {
  const inTime = [...said].sort((a, b) => a.atMs - b.atMs);
  const found: { first: T; between: T }[] = [];
  for (const [index, between] of inTime.entries()) {
    const isOther = (one: T): boolean => one.node !== between.node;
    let before = index - 1;
    const tooEarly = between.atMs - withinMs;
    while (
      before >= 0 &&
      (inTime[before]?.atMs ?? 0) > tooEarly &&
      !(isOther(inTime[before] as T) && (inTime[before] as T).atMs <= between.sentMs)
    )
      before -= 1;
    const first = inTime[before];
    if (first === undefined || first.atMs <= tooEarly || !isOther(first)) continue;
    for (let after = index + 1; after < inTime.length; after += 1) {
      const last = inTime[after] as T;
      if (last.atMs >= first.atMs + withinMs) break;
      if (last.node !== first.node) continue;
      found.push({ first, between });
      break;
    }
  }
  return found;
}

/** The longest time without an acknowledgement that touches the period, in milliseconds. */
export function longestGapMs(timesMs: readonly number[], fromMs: number, toMs: number): number {
  let longest = 0;
  for (const [index, atMs] of timesMs.entries()) {
    const nextMs = timesMs[index + 1];
    if (nextMs !== undefined && nextMs >= fromMs && atMs <= toMs) longest = Math.max(longest, nextMs - atMs);
  }
  return longest;
}

function describe({ entry, place, node, sentMs, atMs }: Acknowledgement): string {
  return `${entry} at place ${place} by ${node}, sent ${sentMs.toFixed(0)}, acknowledged ${atMs.toFixed(0)} ms`;
}
