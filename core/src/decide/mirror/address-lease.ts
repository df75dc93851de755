/**
 * Whether this node may answer for its module's virtual addresses at this moment. The kernel's lifetime ends what an agent holds that does
 * not decide any more; this is for one that decides, and must not go on: a primary that lost its peer holds its writes until it is decided
 * who goes on, and the other node may be granted that first. Its address has to be gone before the other one claims it, whatever the
 * application does meanwhile.
 */
import { isLost, knowsPeer, silentMs } from '../detector.js';
import { mustAsk } from './agreement.js';
import type { MirrorState, Sequence } from './types.js';

/** Left because another node is the primary: it has the addresses, or takes them now. */
const DEPOSED: readonly string[] = ['deposed', 'splitbrain'];

/** Why the addresses are given up; undefined: they are this node's. */
export type LeaseEnd = 'undecided' | 'deposed';

/**
 * A grant comes within some milliseconds; without one the lease ends a third of the way to the moment when the secondary asks. The rest is
 * for what both do not know: their last heartbeats may be a pulse apart, and this is looked at once per tick.
 */
export function leaseEnd(state: MirrorState): LeaseEnd | undefined {
  const { sequence, settings, detector, nowMs } = state;
  if (sequence === undefined) return undefined;
  if (DEPOSED.includes(sequence.name)) return 'deposed';
  // The same undecided primary, after the limit: its application is stopped, and that takes time.
  if (sequence.leaving) return state.reason.code === 'undecided' ? 'undecided' : undefined;
  const before = awaited(sequence);
  if (before === undefined || !isLost(detector, nowMs) || !mustAsk(state, before)) return undefined;
  return silentMs(detector, nowMs) >= settings.heartbeatTimeoutMs + settings.claimDelayMs / 3 ? 'undecided' : undefined;
}

/** Whether to answer another host that claims an address: not while it is open, nor after a sleep that may have been a takeover. */
export function conflictVerdict(state: MirrorState): 'defend' | 'stepBack' {
  return leaseEnd(state) === undefined && knowsPeer(state.detector, state.nowMs) ? 'defend' : 'stepBack';
}

/**
 * Whether an address that is found on this node has no business here: the module runs, and another node is the one to have it. Of a module
 * that is stopped an operator may take the addresses by hand.
 */
export function mustNotHold({ phase, addresses, sequence }: MirrorState): boolean {
  return phase !== 'STOP' && addresses === 'released' && sequence === undefined;
}

/** What held before this node prepared to go on alone, while nobody has allowed that yet. */
function awaited({ steps, at }: Sequence): Parameters<typeof mustAsk>[1] {
  for (const step of steps.slice(at)) if (step.kind === 'awaitPeerOutdated') return step.before;
  return undefined;
}
