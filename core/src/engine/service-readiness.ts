/**
 * Whether the application of a mirror module serves on this node, for address drivers that let clients in only then (a health probe). It
 * serves from the moment when a start has ended well until something begins to take it down. In between nothing of it is restarted: a
 * primary that loses its peer goes through several steps while its application runs on, and must not be taken out of a load balancer.
 */
import type { Readiness } from '@holdfast/sdk';
import type { MirrorState, ScriptGroup } from '../decide/mirror/types.js';

/** Scripts that every primary has run. */
const STARTED: readonly ScriptGroup[] = ['both', 'prim'];

export class ServiceReadiness {
  private serves = false;

  /**
   * After a decision.
   * @param isGivenUp the addresses were given up although the state holds them
   */
  of(state: MirrorState, isGivenUp: boolean): Readiness {
    this.serves = !isGivenUp && mayServe(state) && (this.serves || state.quality === 'Ready');
    const detail = `${state.phase} (${state.quality})`;
    return { isReady: this.serves, detail: isGivenUp ? `${detail}, and it is not decided that this node goes on` : detail };
  }
}

function mayServe({ phase, addresses, groups, sequence, withdrawn }: MirrorState): boolean {
  if ((phase !== 'PRIM' && phase !== 'ALONE') || addresses !== 'acquired' || withdrawn) return false;
  if (sequence?.leaving === true || sequence?.name === 'restart') return false;
  return STARTED.every((group) => groups.includes(group));
}
