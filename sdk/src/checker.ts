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
  /** What was measured, at most FIGURES_PER_CHECK_MAX. They are shown, travel to the other node, and hold until the next report. */
  readonly figures?: readonly Figure[];
}

export const FIGURE_UNITS = ['ms', 'bytes', 'percent', 'count'] as const;
export type FigureUnit = (typeof FIGURE_UNITS)[number];

/** Pattern of a figure's name. */
export const FIGURE_NAME = /^[a-z][a-z0-9_]{0,31}$/;
export const FIGURES_PER_CHECK_MAX = 4;

/** A number that a checker measured, for example `{ name: 'fsync', value: 4.1, unit: 'ms' }`. */
export interface Figure {
  /** As FIGURE_NAME says; unique in its check. */
  readonly name: string;
  /** Finite. */
  readonly value: number;
  readonly unit: FigureUnit;
}

/** When a check is active: from just after the start script of that role until just before its stop script. */
export type CheckPhase = 'pre' | 'prim' | 'both' | 'second' | 'sec';

/** A class of the module's own: its checks run while an operator or a script has enabled it, `holdfast errd enable NAME`. */
export type CheckClass = `class:${string}`;

export type CheckAction = 'restart' | 'stopstart' | 'stop' | 'wait' | 'noaction';

/** One resource that a checker watches. */
export interface Check {
  /** Resource name, unique in the module, for example `tcp.ledger` or `proc.postgres`. */
  readonly resource: string;
  readonly phase: CheckPhase | CheckClass;
  /** What the core does when the resource goes down. */
  readonly action: CheckAction;
  /** An executable in the module's bin/ that the core runs instead of `action`; when it fails, `stopstart` follows. */
  readonly script?: string;
  /** With `action` restart: what the scripts are told to restart (`-Services "a, b"`); absent: everything. */
  readonly restartServices?: readonly string[];
  /** How often a verdict must come in a row before the core believes it; absent: once. */
  readonly repeats?: Repeats;
  /** Longest time between two reports; after it the core calls the resource unknown. Absent: it may be silent for ever. */
  readonly silenceMs?: number;
  /** Starts to watch. `report` may be called at any time until `stop` resolved, first with the state found at start. */
  start(report: (result: CheckResult) => void): Promise<void>;
  /** Idempotent. No report after it resolved. */
  stop(): Promise<void>;
  /** Takes a verdict from outside (`holdfast set`) and reports it. Absent: the check finds out by itself. */
  set?(result: CheckResult): void;
}

/** Whole numbers, at least 1. */
export interface Repeats {
  /** Down verdicts in a row until the resource is down. */
  readonly down: number;
  /** Up verdicts in a row until a resource that was down is up again. */
  readonly up: number;
}

export interface CheckerOptions {
  readonly module: string;
  readonly localNode: string;
  /** The element of userconfig.xml that the checker contributed, validated. */
  readonly configuration: ElementValue;
  readonly log: Log;
  /** The module's executables (its bin/, absolute) and their whole environment. Absent: there are none. */
  readonly scripts?: {
    readonly directory: string;
    readonly environment: Readonly<Record<string, string>>;
    /** What an executable of a check in this phase is run through, so that it sees the host name that its role sees. Absent: nothing. */
    readonly through?: (phase: CheckPhase | CheckClass) => readonly string[];
  };
  /**
   * What the same check of the other node measured last, as that node's heartbeats say. Undefined, or absent as in a module without roles:
   * nothing is known. The other node is not heard, runs another configuration, or its check does not run or measures nothing.
   */
  readonly peerFigure?: (resource: string, name: string) => Figure | undefined;
}

export interface Checker {
  /**
   * One or more checks for one element; pure, no I/O before `Check.start`.
   * @throws HoldfastError for what the schema cannot refuse; `details.pointer` (for example `/to/0`) and `details.attribute` say where.
   */
  create(options: CheckerOptions): readonly Check[];
}
