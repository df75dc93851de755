/**
 * The check that most checkers need: one test, again and again. Tests never overlap; one that takes longer than the interval delays the
 * next. Every result is reported: how often it must repeat before it counts is for the core to say.
 */
import type { Check, CheckAction, CheckClass, CheckPhase, CheckResult, Repeats } from './checker.js';
import { messageOf } from './errors.js';

export interface PeriodicCheckOptions {
  readonly resource: string;
  readonly phase: CheckPhase | CheckClass;
  readonly action: CheckAction;
  readonly repeats?: Repeats;
  /** From the start of one test to the start of the next. */
  readonly intervalMs: number;
  /** What a test takes at most; the test itself keeps to it. */
  readonly timeoutMs: number;
  /** One test. Ends soon after the signal; what it then resolves to is not reported. A throw is reported as unknown. */
  readonly test: (signal: AbortSignal) => Promise<CheckResult | undefined>;
  /** Releases what tests keep open from one to the next. */
  readonly close?: () => Promise<void>;
}

/** A check that was silent for so many intervals hangs. */
const SILENT_INTERVALS = 3;

export class PeriodicCheck implements Check {
  readonly resource: string;
  readonly phase: CheckPhase | CheckClass;
  readonly action: CheckAction;
  readonly repeats?: Repeats;
  readonly silenceMs: number;
  readonly #options: PeriodicCheckOptions;
  #running: { readonly abort: AbortController; readonly finished: Promise<void> } | undefined;

  constructor(options: PeriodicCheckOptions) {
    this.resource = options.resource;
    this.phase = options.phase;
    this.action = options.action;
    if (options.repeats !== undefined) this.repeats = options.repeats;
    this.silenceMs = SILENT_INTERVALS * Math.max(options.intervalMs, 1000) + options.timeoutMs;
    this.#options = options;
  }

  /** Does not wait for the first result: what does not answer must not hold up the start of the others. */
  async start(report: (result: CheckResult) => void): Promise<void> {
    if (this.#running !== undefined) return;
    const abort = new AbortController();
    this.#running = { abort, finished: this.#watch(report, abort.signal) };
  }

  async stop(): Promise<void> {
    const running = this.#running;
    running?.abort.abort();
    await running?.finished;
    if (this.#running === running) this.#running = undefined;
  }

  async #watch(report: (result: CheckResult) => void, signal: AbortSignal): Promise<void> {
    const { intervalMs, test, close } = this.#options;
    while (!signal.aborted) {
      const dueMs = performance.now() + intervalMs;
      const result = await test(signal).catch((error: unknown): CheckResult => ({ verdict: 'unknown', detail: messageOf(error) }));
      if (result !== undefined && !signal.aborted) report(result);
      await pause(dueMs - performance.now(), signal);
    }
    await close?.();
  }
}

/** Resolves after the time or when aborted, whichever comes first. */
export function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.max(0, durationMs));
    signal.addEventListener('abort', end);
  });
}
