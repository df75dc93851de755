/**
 * Whether the application of a mirror module serves on this node, for address drivers that let clients in only then (a health probe). It
 * serves from the moment when a start has ended well until something begins to take it down. In between nothing of it is restarted: a
 * primary that loses its peer goes through several steps while its application runs on, and must not be taken out of a load balancer.
 */
import type { MirrorState, ScriptGroup } from './types.js';

/** Scripts that every primary has run. */
const STARTED: readonly ScriptGroup[] = ['both', 'prim'];

/** @param served whether it did at the decision before */
export function serves(state: MirrorState, served: boolean): boolean {
  return mayServe(state) && (served || state.quality === 'Ready');
}

function mayServe({ phase, addresses, groups, sequence, withdrawn }: MirrorState): boolean {
  if ((phase !== 'PRIM' && phase !== 'ALONE') || addresses !== 'acquired' || withdrawn) return false;
  if (sequence?.leaving === true || sequence?.name === 'restart') return false;
  return STARTED.every((group) => groups.includes(group));
}
