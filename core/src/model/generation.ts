/**
 * Generations of a replicated tree, after DRBD's idea: a tree carries the id of its current generation and its ancestry. A new generation
 * begins, durably, before the first write that the peer does not get and before a takeover becomes visible. Comparing two lineages tells
 * who is newer, or that both went on without the other: a split brain.
 */

export interface Lineage {
  /** 32 hexadecimal digits; empty: this tree was never declared good (first start). */
  readonly current: string;
  /** Grows with every new generation; a smaller one is deposed. */
  readonly epoch: number;
  /** Ancestors, newest first, at most LINEAGE_HISTORY_MAX. */
  readonly history: readonly string[];
}

export const LINEAGE_HISTORY_MAX = 64;
export const LINEAGE_EMPTY: Lineage = { current: '', epoch: 0, history: [] };

export type LineageOrder = 'both-empty' | 'same' | 'first-newer' | 'second-newer' | 'diverged';

/** Who holds the newer data. A tree without generation is older than any other. */
export function compareLineages(first: Lineage, second: Lineage): LineageOrder {
  if (first.current === '' && second.current === '') return 'both-empty';
  if (first.current === second.current) return 'same';
  if (second.current === '' || first.history.includes(second.current)) return 'first-newer';
  if (first.current === '' || second.history.includes(first.current)) return 'second-newer';
  return 'diverged';
}

/** The lineage after a new generation began here. `epochSeen` is the largest epoch known of either node. */
export function beginGeneration(lineage: Lineage, generation: string, epochSeen: number): Lineage {
  const ancestors = lineage.current === '' ? [] : [lineage.current, ...lineage.history];
  return { current: generation, epoch: Math.max(lineage.epoch, epochSeen) + 1, history: ancestors.slice(0, LINEAGE_HISTORY_MAX) };
}
