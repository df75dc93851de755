/**
 * A workload that knows what it was promised: workers write continuously, remember every acknowledgement and check in the end that nothing
 * acknowledged is missing. Each worker has one write in flight; after an error or a timeout the outcome of that write is unknown, and the
 * worker goes on with a new connection and a new write. Runs until a line `stop`, or the end, of standard input; then checks, reports and
 * ends.
 */
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '@holdfast/sdk';
import { monotonicMs, type Outage, type WorkloadMessage, type WorkloadResult } from './workload-report.js';

export interface WorkloadOptions {
  readonly host: string;
  readonly port: number;
  readonly workers: number;
  readonly connectTimeoutMs: number;
  readonly answerTimeoutMs: number;
  /** A longer time without acknowledgement is an outage. */
  readonly outageMs: number;
  /** How long the check may wait for the service. */
  readonly verifyTimeoutMs: number;
}

/** One connection to the service under test; it makes itself new when it is used after an error. */
export interface WorkloadSession {
  /** Resolves when the service has acknowledged the entry, with what it said about its place. */
  write(entry: string): Promise<string>;
  close(): void;
}

export interface WorkloadTarget {
  open(): WorkloadSession;
  /** All entries of this run that the service has now, with their places as `write` gave them. */
  read(run: string): Promise<{ entry: string; place: string }[]>;
}

const BACKOFF_MS = 25;
const PROGRESS_MS = 100;
const VERIFY_RETRY_MS = 250;
const LOST_EXAMPLES_MAX = 20;

const DEFAULTS: WorkloadOptions = {
  host: '10.50.1.100',
  port: 0,
  workers: 4,
  connectTimeoutMs: 300,
  answerTimeoutMs: 1000,
  outageMs: 500,
  verifyTimeoutMs: 60_000,
};

/** The first argument of the process is the options as JSON; what is missing has defaults. */
export function optionsOfProcess(port: number): WorkloadOptions {
  return { ...DEFAULTS, port, ...(JSON.parse(process.argv[2] ?? '{}') as Partial<WorkloadOptions>) };
}

export async function runWorkload(target: WorkloadTarget, options: WorkloadOptions): Promise<void> {
  const workload = new Workload(target, options);
  const input = createInterface({ input: process.stdin });
  await new Promise<void>((resolve) => {
    input.on('line', (line) => {
      if (line.trim() === 'stop') resolve();
    });
    input.once('close', resolve);
    workload.start();
  });
  input.close();
  process.stdin.destroy();
  report(await workload.finish());
}

class Workload {
  readonly #target: WorkloadTarget;
  readonly #options: WorkloadOptions;
  readonly #run = randomBytes(4).toString('hex');
  /** Entry and place of every acknowledgement. */
  readonly #acknowledged = new Map<string, string>();
  readonly #outages: Outage[] = [];
  #unknown = 0;
  #problem: string | undefined;
  #lastMs: number | undefined;
  #down = false;
  #stopped = false;
  #workers: Promise<void>[] = [];
  #progress: NodeJS.Timeout | undefined;

  constructor(target: WorkloadTarget, options: WorkloadOptions) {
    this.#target = target;
    this.#options = options;
  }

  start(): void {
    this.#workers = Array.from({ length: this.#options.workers }, (_, worker) => this.#work(worker));
    this.#progress = setInterval(() => this.#reportProgress(), PROGRESS_MS);
  }

  async finish(): Promise<WorkloadResult> {
    this.#stopped = true;
    clearInterval(this.#progress);
    await Promise.all(this.#workers);
    return {
      type: 'result',
      acknowledged: this.#acknowledged.size,
      unknown: this.#unknown,
      outages: this.#outages,
      ...(await this.#verify()),
    };
  }

  async #work(worker: number): Promise<void> {
    const session = this.#target.open();
    for (let counter = 1; !this.#stopped; counter += 1) {
      const entry = `${this.#run}:${worker}:${counter}`;
      try {
        this.#acknowledge(entry, await session.write(entry));
      } catch (error) {
        this.#unknown += 1;
        this.#problem = messageOf(error);
        await delay(BACKOFF_MS);
      }
    }
    session.close();
  }

  #acknowledge(entry: string, place: string): void {
    const nowMs = monotonicMs();
    this.#acknowledged.set(entry, place);
    this.#problem = undefined;
    if (this.#lastMs === undefined) report({ type: 'started', atMs: nowMs });
    else if (nowMs - this.#lastMs > this.#options.outageMs) {
      const outage = { startMs: this.#lastMs, endMs: nowMs };
      this.#outages.push(outage);
      report({ type: 'outage', ...outage });
    }
    this.#lastMs = nowMs;
    this.#down = false;
  }

  #reportProgress(): void {
    const nowMs = monotonicMs();
    const problem = this.#problem === undefined ? {} : { problem: this.#problem };
    report({ type: 'progress', atMs: nowMs, acknowledged: this.#acknowledged.size, unknown: this.#unknown, ...problem });
    if (this.#lastMs !== undefined && !this.#down && nowMs - this.#lastMs > this.#options.outageMs) {
      this.#down = true;
      report({ type: 'down', sinceMs: this.#lastMs });
    }
  }

  async #verify(): Promise<Pick<WorkloadResult, 'lost' | 'doubled' | 'lostExamples' | 'problem'>> {
    const deadline = monotonicMs() + this.#options.verifyTimeoutMs;
    for (;;) {
      try {
        return this.#compare(await this.#target.read(this.#run));
      } catch (error) {
        if (monotonicMs() > deadline) return { lost: 0, doubled: 0, lostExamples: [], problem: `cannot read back: ${messageOf(error)}` };
        await delay(VERIFY_RETRY_MS);
      }
    }
  }

  #compare(present: readonly { entry: string; place: string }[]): Pick<WorkloadResult, 'lost' | 'doubled' | 'lostExamples'> {
    const places = new Map(present.map(({ entry, place }) => [entry, place]));
    const lost = [...this.#acknowledged].filter(([entry, place]) => places.get(entry) !== place);
    const lostExamples = lost
      .slice(0, LOST_EXAMPLES_MAX)
      .map(([entry, place]) => `${entry} acknowledged at ${place}, found at ${places.get(entry) ?? 'no place'}`);
    return { lost: lost.length, doubled: present.length - places.size, lostExamples };
  }
}

function report(message: WorkloadMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
