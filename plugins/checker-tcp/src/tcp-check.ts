/**
 * Tests one port again and again, and reports every result: how often a verdict must repeat before it counts is for the core to say.
 * Tests never overlap; one that takes longer than the interval delays the next.
 */
import type { Check, CheckAction, CheckPhase, CheckResult } from '@holdfast/sdk';
import { type Target, tryConnection } from './connection.js';

export interface TcpCheckConfiguration {
  readonly ident: string;
  readonly phase: CheckPhase;
  readonly action: CheckAction;
  readonly target: Target;
  readonly intervalMs: number;
}

export class TcpCheck implements Check {
  readonly resource: string;
  readonly phase: CheckPhase;
  readonly action: CheckAction;
  readonly #target: Target;
  readonly #intervalMs: number;
  #running: { readonly abort: AbortController; readonly finished: Promise<void> } | undefined;

  constructor(configuration: TcpCheckConfiguration) {
    this.resource = `tcp.${configuration.ident}`;
    this.phase = configuration.phase;
    this.action = configuration.action;
    this.#target = configuration.target;
    this.#intervalMs = configuration.intervalMs;
  }

  /** Does not wait for the first result: a service that does not answer must not hold up the start of the others. */
  start(report: (result: CheckResult) => void): Promise<void> {
    if (this.#running === undefined) {
      const abort = new AbortController();
      this.#running = { abort, finished: this.#watch(report, abort.signal) };
    }
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    const running = this.#running;
    running?.abort.abort();
    await running?.finished;
    if (this.#running === running) this.#running = undefined;
  }

  async #watch(report: (result: CheckResult) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const dueMs = performance.now() + this.#intervalMs;
      const result = await tryConnection(this.#target, signal);
      if (result !== undefined && !signal.aborted) report(result);
      await pause(dueMs - performance.now(), signal);
    }
  }
}

/** Resolves after the time or when aborted. */
function pause(durationMs: number, signal: AbortSignal): Promise<void> {
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
