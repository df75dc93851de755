/** A check that is watched in a test: started, listened to, waited for, and stopped whatever happens. */
import type { Check, CheckResult, Verdict } from '../checker.js';

const LOOK_MS = 5;
/** What was heard last, for the message of who waited in vain. */
const TOLD = 5;

/** Starts a check and hands over what it says, newest last; it is stopped when `work` has ended. */
export async function watched(check: Check, work: (results: readonly CheckResult[]) => Promise<void>): Promise<void> {
  const results: CheckResult[] = [];
  await check.start((result) => results.push(result));
  try {
    await work(results);
  } finally {
    await check.stop();
  }
}

/**
 * @param waitMs at most
 * @returns a function that waits until the newest result has this verdict, and a detail that matches; it throws when that never comes true
 */
export function verdictWithin(waitMs: number): (results: readonly CheckResult[], verdict: Verdict, detail: RegExp) => Promise<void> {
  return async (results, verdict, detail) => {
    const beganMs = performance.now();
    const isThere = (): boolean => results.at(-1)?.verdict === verdict && detail.test(results.at(-1)?.detail ?? '');
    while (!isThere()) {
      if (performance.now() - beganMs >= waitMs)
        throw new Error(`waited ${waitMs} ms in vain for ${verdict} ${String(detail)}; heard ${JSON.stringify(results.slice(-TOLD))}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  };
}
