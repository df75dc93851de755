/**
 * One service as a check of the module. The service manager is asked now and then, and at once when the service's main process dies, which
 * the kernel tells. A service that its manager starts again by itself is given STARTING_MS_MAX.
 */
import type { Check, CheckAction, CheckClass, CheckPhase, CheckResult } from '@holdfast/sdk';
import type { WatchedProcess } from './configuration.js';
import { readProcess } from './process-table.js';
import type { ProcessWatch } from './process-watch.js';
import { lookAtService, type ServiceState } from './service-state.js';
import { judge } from './verdict.js';

type Report = (result: CheckResult) => void;

const LOOK_INTERVAL_MS_MAX = 10_000;
/** While it is starting, or its manager has not noticed a death yet. */
const LOOK_AGAIN_MS = 100;
const STARTING_MS_MAX = 30_000;
const LOOKS_FOR_THE_DEAD_MAX = 20;

export class ServiceCheck implements Check {
  readonly resource: string;
  readonly phase: CheckPhase | CheckClass;
  readonly action: CheckAction;
  readonly script?: string;
  readonly restartServices?: readonly string[];
  private running: { readonly report: Report; readonly sinceMs: number } | undefined;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private main: { readonly pid: number; readonly unwatch: () => Promise<void> } | undefined;
  private seen = false;
  private activeAtMs = 0;
  private looks = 0;
  /** Looks in a row at which the manager called a dead process alive. */
  private notNoticed = 0;
  private told = '';
  private toldAtMs = 0;

  constructor(
    private readonly watched: WatchedProcess,
    private readonly service: string,
    private readonly processWatch: ProcessWatch,
    private readonly lookAt: (service: string) => Promise<ServiceState> = lookAtService,
  ) {
    this.resource = watched.resource;
    this.phase = watched.phase;
    this.action = watched.action;
    if (watched.script !== undefined) this.script = watched.script;
    if (watched.restartServices !== undefined) this.restartServices = watched.restartServices;
  }

  /** Resolves after the first report. A check that runs already starts anew. */
  async start(report: Report): Promise<void> {
    await this.stop();
    const { startAfterMs } = this.watched;
    this.running = { report, sinceMs: performance.now() + startAfterMs };
    this.seen = false;
    this.looks = 0;
    this.told = '';
    if (startAfterMs === 0) return this.look();
    report({ verdict: 'unknown', detail: `looked for in ${startAfterMs / 1000} s (start_after)` });
    this.schedule(startAfterMs);
  }

  async stop(): Promise<void> {
    this.running = undefined;
    clearTimeout(this.timer);
    await this.looking;
    await this.follow(undefined);
  }

  private schedule(afterMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.look(), afterMs).unref();
  }

  /** One look at a time. */
  private look(): Promise<void> {
    clearTimeout(this.timer);
    this.looking ??= this.lookOnce().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    const state = await this.lookAt(this.service);
    const { running } = this;
    if (running === undefined) return;
    const nowMs = performance.now();
    if (state.mainPid !== undefined && this.notNoticed < LOOKS_FOR_THE_DEAD_MAX && readProcess(state.mainPid, false) === undefined) {
      this.notNoticed += 1;
      this.schedule(LOOK_AGAIN_MS);
      return;
    }
    this.notNoticed = 0;
    await this.follow(state.mainPid);
    if (this.running !== running) return;
    this.tell(running.report, this.judge(state, nowMs), nowMs);
    this.schedule(state.state === 'starting' ? LOOK_AGAIN_MS * 5 : Math.min(this.watched.pollIntervalMs, LOOK_INTERVAL_MS_MAX));
  }

  private judge(state: ServiceState, nowMs: number): CheckResult {
    this.looks += 1;
    if (state.state === 'active') {
      this.seen = true;
      this.activeAtMs = nowMs;
    }
    if (state.state === 'unknown') return { verdict: 'unknown', detail: state.detail };
    const startingMs = nowMs - Math.max(this.activeAtMs, this.running?.sinceMs ?? 0);
    if (state.state === 'starting' && startingMs < STARTING_MS_MAX) return { verdict: 'unknown', detail: state.detail };
    const count = state.state === 'active' ? 1 : 0;
    const { verdict } = judge(this.watched, { count, pids: [], scans: this.looks }, this.seen);
    return { verdict, detail: state.detail };
  }

  /** An unchanged verdict is repeated every `polltimer`. */
  private tell(report: Report, result: CheckResult, nowMs: number): void {
    const text = `${result.verdict} ${result.detail}`;
    if (text === this.told && nowMs - this.toldAtMs < this.watched.pollIntervalMs) return;
    this.told = text;
    this.toldAtMs = nowMs;
    report(result);
  }

  /** Watches the main process from now on, and the one before no more. */
  private async follow(pid: number | undefined): Promise<void> {
    const { main } = this;
    if (main?.pid === pid) return;
    this.main = undefined;
    await main?.unwatch();
    if (pid === undefined || this.running === undefined) return;
    const { pollIntervalMs } = this.watched;
    const intervals = { scanIntervalMs: pollIntervalMs, calmIntervalMs: pollIntervalMs, repeatIntervalMs: pollIntervalMs };
    const wanted = { criteria: { pid }, atLeast: 1, ...intervals };
    const unwatch = this.processWatch.watch(wanted, {
      observed: ({ count }) => {
        if (count > 0 || this.main?.pid !== pid) return;
        void this.follow(undefined).then(() => this.look());
      },
      failed: () => undefined,
    });
    this.main = { pid, unwatch };
  }
}
