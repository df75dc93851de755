/** What the writer tells its owner, and its owner remembers. Times are milliseconds of the machine's monotonic clock. */

export interface Acknowledgement {
  readonly entry: string;
  /** Position in the ledger, from 1. */
  readonly place: number;
  /** Who answered. */
  readonly node: string;
  readonly sentMs: number;
  readonly atMs: number;
}

/** One line of the writer's standard output. */
export interface WriterReport {
  readonly run: string;
  /** Since the last line. */
  readonly acknowledged: readonly Acknowledgement[];
  /** Writes without a known outcome, since the start. */
  readonly unknown: number;
  readonly problem?: string;
  /** False when it pauses and nothing is under way. */
  readonly writing: boolean;
}
