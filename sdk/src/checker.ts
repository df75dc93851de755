/**
 * Checkers: verdicts about one resource each. A checker says up, down or unknown with a detail, nothing else; when it runs, how often a
 * verdict must repeat and what follows from it belong to the core.
 */
import type { ElementValue, Log } from './plugin.js';

export type Verdict = 'up' | 'down' | 'unknown';

export interface CheckResult {
  readonly verdict: Verdict;
  /** For people: "connection refused by 10.0.0.5:5432", "2 of 1 processes". */
  readonly detail: string;
}

/** When a check is active: from just after the start script of that role until just before its stop script. */
export type CheckPhase = 'pre' | 'prim' | 'both' | 'second' | 'sec';

export type CheckAction = 'restart' | 'stopstart' | 'stop' | 'wait' | 'noaction';

/** One resource that a checker watches. */
export interface Check {
  /** Resource name, unique in the module, for example `tcp.ledger` or `proc.postgres`. */
  readonly resource: string;
  readonly phase: CheckPhase;
  /** What the core does when the resource goes down. */
  readonly action: CheckAction;
  /** Starts to watch. `report` may be called at any time until `stop` resolved, first with the state found at start. */
  start(report: (result: CheckResult) => void): Promise<void>;
  /** Idempotent. No report after it resolved. */
  stop(): Promise<void>;
}

export interface CheckerOptions {
  readonly module: string;
  readonly localNode: string;
  /** The element of userconfig.xml that the checker contributed, validated. */
  readonly configuration: ElementValue;
  readonly log: Log;
}

export interface Checker {
  /** One or more checks for one element; pure, no I/O before `Check.start`. */
  create(options: CheckerOptions): readonly Check[];
}
