/**
 * What a workload client tells its owner: one JSON object per line of its standard output. Times are milliseconds of the machine's
 * monotonic clock, so they compare with `monotonicMs()` in any other process of the same machine.
 */

/** A time without any acknowledgement, longer than the threshold. */
export interface Outage {
  /** Last acknowledgement before. */
  readonly startMs: number;
  /** First acknowledgement after. */
  readonly endMs: number;
}

export interface WorkloadResult {
  readonly type: 'result';
  readonly acknowledged: number;
  /** Writes with an error or no answer in time: what became of them is not known, and either is allowed. */
  readonly unknown: number;
  readonly outages: readonly Outage[];
  /** Acknowledged, but not there, or not as it was acknowledged. Must be 0. */
  readonly lost: number;
  /** There more than once. Must be 0. */
  readonly doubled: number;
  /** The first 20 of the lost, for messages. */
  readonly lostExamples: readonly string[];
  /** Why the check could not be made; the counts of lost and doubled mean nothing then. */
  readonly problem?: string;
}

export type WorkloadMessage =
  /** The first acknowledgement. */
  | { readonly type: 'started'; readonly atMs: number }
  /** Every 100 ms. `problem` is the latest error of a write, absent after a success. */
  | { readonly type: 'progress'; readonly atMs: number; readonly acknowledged: number; readonly unknown: number; readonly problem?: string }
  /** No acknowledgement for longer than the threshold; the end follows as `outage`. */
  | { readonly type: 'down'; readonly sinceMs: number }
  | ({ readonly type: 'outage' } & Outage)
  | WorkloadResult;

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
