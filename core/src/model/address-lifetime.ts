/**
 * The lease of a module's virtual addresses: they disappear from a node whose agent does not renew them, and must be gone before the peer
 * takes them. No clock is compared: each node counts milliseconds of its own, and clocks that run differently by a thousandth lose 2 ms of
 * two seconds. Counted from the last decision of the agent, the address is there for its lifetime (whole seconds, because the kernel knows
 * no finer one) and the kernel's delay; the peer counts the heartbeat timeout, and may have heard the last heartbeat a pulse before.
 */

const LIFETIME_MS_MIN = 1000;
/** What the kernel may be late by: measured 15 to 270 ms. */
export const ADDRESS_DELAY_MS = 350;
/** The configuration has at least four pulses in a timeout, and a running module may get a longer pulse. */
const PULSE_SHARE_MAX = 4;

export function addressLifetimeMs(timeoutMs: number): number {
  const longestMs = timeoutMs - timeoutMs / PULSE_SHARE_MAX - ADDRESS_DELAY_MS - 1;
  return Math.max(LIFETIME_MS_MIN, Math.floor(longestMs / 1000) * 1000);
}

/** How long an address may outlive the last heartbeat of its agent. */
export function addressOutlivesMs(timeoutMs: number, pulseMs: number): number {
  return addressLifetimeMs(timeoutMs) + ADDRESS_DELAY_MS + pulseMs;
}

/** The shortest heartbeat timeout with which no address outlives its agent for as long as the peer waits. */
export function leaseTimeoutMsMin(pulseMs: number): number {
  return LIFETIME_MS_MIN + ADDRESS_DELAY_MS + pulseMs + 1;
}
