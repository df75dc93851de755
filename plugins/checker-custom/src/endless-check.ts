/**
 * The reference product's contract: a script that never ends looks after something, and says what it found with
 * `holdfast set -m MODULE -r custom.IDENT -v up|down`. It is called with the module, the resource and its own arguments, is started again
 * when it ends, and ends, with all that it started, when the check stops. Until it has said something the resource is unknown.
 */
import {
  type Check,
  type CheckAction,
  type CheckHead,
  type CheckPhase,
  type CheckResult,
  type Log,
  pause,
  type Repeats,
} from '@holdfast/sdk';
import { type Ending, type Program, type RunningProgram, start } from './program.js';

/** A script that ends at once must not keep the node busy. */
const RESTART_AFTER_MS = 5000;

export class EndlessCheck implements Check {
  readonly resource: string;
  readonly phase: CheckPhase;
  readonly action: CheckAction;
  readonly repeats: Repeats;
  private running: { readonly abort: AbortController; readonly finished: Promise<void> } | undefined;
  private report: ((result: CheckResult) => void) | undefined;

  constructor(
    head: CheckHead,
    private readonly program: Program,
    private readonly log: Log,
  ) {
    this.resource = head.resource;
    this.phase = head.phase;
    this.action = head.action;
    this.repeats = head.repeats;
  }

  async start(report: (result: CheckResult) => void): Promise<void> {
    if (this.running !== undefined) return;
    const abort = new AbortController();
    this.report = report;
    this.running = { abort, finished: this.keepRunning(abort.signal) };
  }

  async stop(): Promise<void> {
    const { running } = this;
    this.report = undefined;
    running?.abort.abort();
    await running?.finished;
    if (this.running === running) this.running = undefined;
  }

  set(result: CheckResult): void {
    this.report?.(result);
  }

  private async keepRunning(signal: AbortSignal): Promise<void> {
    this.report?.({ verdict: 'unknown', detail: `${this.program.name} runs and has said nothing yet` });
    while (!signal.aborted) {
      const running = start(this.program);
      const ending = await endingOf(running, signal);
      await running.end();
      if (ending === undefined || signal.aborted) return;
      const detail = `${this.program.name} ${how(ending, running.lastLine())}; it is started again in ${RESTART_AFTER_MS / 1000} s`;
      this.log.warn('an endless script ended', { resource: this.resource, detail });
      this.report?.({ verdict: 'unknown', detail });
      await pause(RESTART_AFTER_MS, signal);
    }
  }
}

/** @returns undefined when aborted first */
async function endingOf(running: RunningProgram, signal: AbortSignal): Promise<Ending | undefined> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    abort = () => resolve(undefined);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
  try {
    return await Promise.race([running.ended, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function how(ending: Ending, lastLine: string): string {
  const said = lastLine === '' ? '' : ` (${lastLine})`;
  switch (ending.kind) {
    case 'error':
      return `could not be started: ${ending.message}`;
    case 'signal':
      return `was ended by ${ending.signal}${said}`;
    case 'exit':
      return `ended with status ${ending.status}${said}`;
  }
}
