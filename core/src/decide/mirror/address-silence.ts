/**
 * When an address counts as free for a start that takes over from nobody. One that another host had is not free because it is silent once:
 * where that host is of a cluster of its own, the address may just be moving from one of its nodes to the other.
 */
import type { MonotonicMs } from '../../model/state.js';

/** Longer than a takeover with the default timeout, the start of an application included. */
export const SILENCE_MS = 10_000;

export interface AddressSilence {
  /** Another host had it, and it was not believed to be free since. */
  readonly wasTaken: boolean;
  /** Since when nobody has answered. */
  readonly silentSinceMs?: MonotonicMs;
}

export function noteAnswer({ wasTaken, silentSinceMs }: AddressSilence, isTaken: boolean, nowMs: MonotonicMs): AddressSilence {
  return isTaken ? { wasTaken: true } : { wasTaken, silentSinceMs: silentSinceMs ?? nowMs };
}

export function isFree({ wasTaken, silentSinceMs }: AddressSilence, nowMs: MonotonicMs, silenceMs = SILENCE_MS): boolean {
  return silentSinceMs !== undefined && (!wasTaken || nowMs - silentSinceMs >= silenceMs);
}
