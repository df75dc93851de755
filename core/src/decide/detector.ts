/**
 * Failure detector. A peer is lost when every heartbeat link has been silent for the timeout while this node itself was awake: a node that
 * stalls (paused VM, stopped process) wakes up with old timestamps for everybody, and must not declare the world dead, so a gap in its own
 * ticks longer than half the timeout restarts the count. A clean goodbye counts at once. A frame whose sender's agent has not ticked for
 * the timeout is a heartbeat of a stuck agent, and does not count.
 */
import type { MonotonicMs } from '../model/state.js';

export interface DetectorState {
  readonly timeoutMs: number;
  /** Last valid frame per link; a link that was never heard is absent. */
  readonly heardMs: Readonly<Record<string, MonotonicMs>>;
  readonly tickMs: MonotonicMs;
  /** The peer said goodbye and nothing came since. */
  readonly goodbye: boolean;
  /** Since when the detector watches: silence counts from here. */
  readonly sinceMs: MonotonicMs;
}

export function createDetector(timeoutMs: number, nowMs: MonotonicMs): DetectorState {
  return { timeoutMs, heardMs: {}, tickMs: nowMs, goodbye: false, sinceMs: nowMs };
}

/** Advances the detector's clock; a stall of our own restarts every count. */
export function detectorTick(state: DetectorState, nowMs: MonotonicMs): DetectorState {
  const stalled = nowMs - state.tickMs > state.timeoutMs / 2;
  const { timeoutMs, goodbye, sinceMs } = state;
  if (!stalled) return { timeoutMs, heardMs: state.heardMs, tickMs: nowMs, goodbye, sinceMs };
  const heardMs = Object.fromEntries(
    Object.entries(state.heardMs).map(([link, at]) => [link, state.tickMs - at > state.timeoutMs ? at : nowMs]),
  );
  return { timeoutMs, heardMs, tickMs: nowMs, goodbye, sinceMs: nowMs };
}

export function detectorHeard(
  state: DetectorState,
  link: string,
  atMs: MonotonicMs,
  agentTickAgeMs: number,
  goodbye: boolean,
): DetectorState {
  const { timeoutMs, heardMs, tickMs, sinceMs } = state;
  if (goodbye) return { timeoutMs, heardMs, tickMs, goodbye, sinceMs };
  if (agentTickAgeMs > timeoutMs) return state;
  const heard = { ...heardMs, [link]: Math.max(atMs, heardMs[link] ?? atMs) };
  return { timeoutMs, heardMs: heard, tickMs, goodbye, sinceMs };
}

/** Silence of the whole peer in milliseconds, counted from the start when nothing was ever heard. */
export function silentMs(state: DetectorState, nowMs: MonotonicMs): number {
  return nowMs - Math.max(state.sinceMs - (state.goodbye ? state.timeoutMs : 0), ...Object.values(state.heardMs));
}

export function isAlive(state: DetectorState, nowMs: MonotonicMs): boolean {
  if (state.goodbye) return false;
  for (const link in state.heardMs) if (nowMs - (state.heardMs[link] ?? 0) < state.timeoutMs) return true;
  return false;
}

/** Something was heard since this node woke up last: what the peer said before may be from before a takeover. */
export function isHeardAwake(state: DetectorState): boolean {
  return !state.goodbye && Object.values(state.heardMs).some((at) => at > state.sinceMs);
}

/** Nothing heard for the whole timeout since we watch, or a goodbye: as opposed to "just started, not heard yet". */
export function isLost(state: DetectorState, nowMs: MonotonicMs): boolean {
  if (state.goodbye) return true;
  return !isAlive(state, nowMs) && nowMs - state.sinceMs >= state.timeoutMs;
}

/** After a stall of its own a node knows nothing of its peer until it hears it again, or has waited for the whole timeout. */
export function knowsPeer(state: DetectorState, nowMs: MonotonicMs): boolean {
  return isLost(state, nowMs) || Object.values(state.heardMs).some((at) => at > state.sinceMs);
}

export function linkIsAlive(state: DetectorState, link: string, nowMs: MonotonicMs): boolean {
  const at = state.heardMs[link];
  return at !== undefined && !state.goodbye && nowMs - at < state.timeoutMs;
}
