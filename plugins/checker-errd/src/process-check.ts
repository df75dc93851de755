/** One watched process name as a check of the module. */
import type { Check, CheckAction, CheckClass, CheckPhase, CheckResult, Log } from '@holdfast/sdk';
import type { WatchedProcess } from './configuration.js';
import type { ProcessWatch } from './process-watch.js';
import { isEnough, judge } from './verdict.js';

/** Deaths are told by the kernel at once; scans find what appears, and are cheap. */
const SCAN_INTERVAL_MS_MAX = 1000;
const CALM_INTERVAL_MS_MAX = 5000;

type Report = (result: CheckResult) => void;

export class ProcessCheck implements Check {
  readonly resource: string;
  readonly phase: CheckPhase | CheckClass;
  readonly action: CheckAction;
  readonly script?: string;
  private readonly watched: WatchedProcess;
  private readonly processWatch: ProcessWatch;
  private readonly log: Log;
  private delayed: NodeJS.Timeout | undefined;
  private unwatch: (() => Promise<void>) | undefined;

  constructor(watched: WatchedProcess, processWatch: ProcessWatch, log: Log) {
    this.resource = watched.resource;
    this.phase = watched.phase;
    this.action = watched.action;
    if (watched.script !== undefined) this.script = watched.script;
    this.watched = watched;
    this.processWatch = processWatch;
    this.log = log;
  }

  /** Resolves after the first report. A check that runs already starts anew. */
  async start(report: Report): Promise<void> {
    await this.stop();
    const { startAfterMs } = this.watched;
    if (startAfterMs === 0) {
      await this.look(report);
      return;
    }
    report({ verdict: 'unknown', detail: `looked for in ${startAfterMs / 1000} s (start_after)` });
    this.delayed = setTimeout(() => void this.look(report), startAfterMs).unref();
  }

  async stop(): Promise<void> {
    clearTimeout(this.delayed);
    const unwatch = this.unwatch;
    this.unwatch = undefined;
    await unwatch?.();
  }

  private look(report: Report): Promise<void> {
    const { criteria, atLeast, atMost, pollIntervalMs } = this.watched;
    const scanIntervalMs = Math.min(pollIntervalMs, SCAN_INTERVAL_MS_MAX);
    // What must not become too many is looked for all the time.
    const calmIntervalMs = atMost === undefined ? Math.min(pollIntervalMs, CALM_INTERVAL_MS_MAX) : scanIntervalMs;
    const wanted = { criteria, atLeast, scanIntervalMs, calmIntervalMs, repeatIntervalMs: pollIntervalMs };
    let seen = false;
    return new Promise((resolve) => {
      const tell = (result: CheckResult): void => {
        report(result);
        resolve();
      };
      const end = this.processWatch.watch(wanted, {
        observed: (observation) => {
          seen ||= isEnough(this.watched, observation.count);
          tell(judge(this.watched, observation, seen));
        },
        failed: (message) => {
          this.log.error('the process watch failed and is started again', { resource: this.resource, error: message });
          tell({ verdict: 'unknown', detail: `the process watch failed: ${message}` });
        },
      });
      this.unwatch = async () => {
        resolve();
        await end();
      };
    });
  }
}
