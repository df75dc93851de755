/** Waiting for a condition with a deadline, and a sentence about what was waited for when it passes. */
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '@holdfast/sdk';

const POLL_MS = 20;

/**
 * Polls until `condition` gives something other than false or undefined, and returns that.
 * @param what completes "waited 5000 ms for …"
 * @throws HF_LAB_TIMEOUT
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  condition: () => T | false | undefined | Promise<T | false | undefined>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== false && value !== undefined) return value;
    if (performance.now() >= deadline) throw new HoldfastError('HF_LAB_TIMEOUT', `waited ${timeoutMs} ms for ${what}`);
    await delay(POLL_MS);
  }
}
