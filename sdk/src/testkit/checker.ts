/**
 * What every checker must do, as cases for any test runner: `for (const { title, run } of checkerCases(subject)) it(title, run)`. A case
 * throws when the promise is broken; nothing here depends on a runner or an assertion library. The subject brings the world that is
 * watched and changes it; the cases start and stop the check, listen, and look at what it costs and leaves behind.
 */
import { type Check, type CheckResult, FIGURE_NAME, FIGURE_UNITS, FIGURES_PER_CHECK_MAX, type Verdict } from '../checker.js';
import { messageOf } from '../errors.js';

export interface CheckerSubject {
  /** A check of the same thing each time, never started. */
  readonly create: () => Check;
  /** Brings what is watched into order; resolves when it is. Called before each case. */
  readonly makeUp: () => Promise<void>;
  /** Breaks what is watched; resolves when it is broken. Absent: it cannot be broken here. */
  readonly makeDown?: () => Promise<void>;
  /** After each case. */
  readonly cleanUp?: () => Promise<void>;
  /** In which a verdict must follow a change; default 5000. */
  readonly verdictWithinMs?: number;
  /** Share of one processor while nothing happens, at most; default 0.1. */
  readonly idleShareMax?: number;
  /** Verdicts that come only from outside (`set`): called after the check was started, to tell it what is the case. */
  readonly tell?: (check: Check, verdict: Verdict) => void;
}

export interface ConformanceCase {
  readonly title: string;
  readonly run: () => Promise<void>;
}

const VERDICT_WITHIN_MS = 5000;
const IDLE_SHARE_MAX = 0.1;
const IDLE_WINDOWS = 3;
const IDLE_WINDOW_MS = 500;
const START_WITHIN_MS = 2000;
const STOP_WITHIN_MS = 2000;
const QUIET_FOR_MS = 300;
const DETAIL_LENGTH_MAX = 500;
const RESOURCE_NAME = /^[a-z][a-z0-9_]*\.\S.*$/;
const PHASE = /^(?:pre|prim|both|second|sec|class:\S+)$/;
const ACTIONS: readonly string[] = ['restart', 'stopstart', 'stop', 'wait', 'noaction'];
const VERDICTS: readonly string[] = ['up', 'down', 'unknown'];

export function checkerCases(subject: CheckerSubject): readonly ConformanceCase[] {
  const { makeDown } = subject;
  return [
    conformance(subject, 'says what it watches, when, and what follows, the same each time', declares),
    conformance(subject, 'may be stopped without having been started', stopsUnstarted),
    conformance(subject, 'starts at once and reports the state that it finds', reportsFirst),
    conformance(subject, 'reports a verdict with one readable line of detail', reportsDetail),
    conformance(subject, 'stops at once in the middle of its first test', stopsEarly),
    conformance(subject, 'may be stopped twice, also at the same time', stopsTwice),
    conformance(subject, 'can be started again after it was stopped, for another listener', startsAgain),
    conformance(subject, 'costs next to nothing while nothing happens', isIdle),
    conformance(subject, 'leaves no timer, socket, process or thread behind', leavesNothing),
    ...(makeDown === undefined
      ? []
      : [
          conformance(subject, 'reports down when what it watches breaks, and up when that is repaired', (run) => follows(run, makeDown)),
          conformance(subject, 'reports nothing after it was stopped', (run) => isSilent(run, makeDown)),
        ]),
  ];
}

/** One case under way: the check and what it said. */
class Run {
  readonly check: Check;
  readonly results: CheckResult[] = [];
  readonly #subject: CheckerSubject;

  constructor(subject: CheckerSubject) {
    this.#subject = subject;
    this.check = subject.create();
  }

  get subject(): CheckerSubject {
    return this.#subject;
  }

  async start(): Promise<void> {
    await within(
      START_WITHIN_MS,
      'start() resolves',
      this.check.start((result) => this.results.push(result)),
    );
    this.#subject.tell?.(this.check, 'up');
  }

  async stop(): Promise<void> {
    await within(STOP_WITHIN_MS, 'stop() resolves', this.check.stop());
  }

  async verdict(wanted: Verdict): Promise<void> {
    await until(
      this.#subject.verdictWithinMs ?? VERDICT_WITHIN_MS,
      () => this.results.at(-1)?.verdict === wanted,
      () =>
        `the verdict is "${wanted}"; it was ${this.results.map(({ verdict, detail }) => `${verdict} (${detail})`).join(', ') || 'none'}`,
    );
  }
}

function conformance(subject: CheckerSubject, title: string, body: (run: Run) => Promise<void>): ConformanceCase {
  return {
    title,
    run: async () => {
      await subject.makeUp();
      const run = new Run(subject);
      try {
        await body(run);
      } finally {
        // Whatever the case found, nothing of the check may disturb the next one.
        await within(STOP_WITHIN_MS, 'stop() resolves', run.check.stop()).catch(() => undefined);
        await subject.cleanUp?.();
      }
    },
  };
}

async function declares({ check, subject }: Run): Promise<void> {
  const other = subject.create();
  const { resource, phase, action, repeats, silenceMs } = check;
  demand(RESOURCE_NAME.test(resource), `the resource "${resource}" has the form class.name`);
  demand(PHASE.test(phase), `the phase "${phase}" is one that the core knows`);
  demand(ACTIONS.includes(action), `the action "${action}" is one that the core knows`);
  for (const count of [repeats?.down ?? 1, repeats?.up ?? 1]) demand(Number.isInteger(count) && count >= 1, `${count} repeats make sense`);
  demand(silenceMs === undefined || silenceMs > 0, `silenceMs ${silenceMs ?? ''} is a time`);
  const same = other.resource === resource && other.phase === phase && other.action === action;
  demand(same, `another check of the same element is ${resource} too; it was ${other.resource}, ${other.phase}, ${other.action}`);
}

async function stopsUnstarted(run: Run): Promise<void> {
  await run.stop();
  await run.stop();
}

async function reportsFirst(run: Run): Promise<void> {
  await run.start();
  await until(
    run.subject.verdictWithinMs ?? VERDICT_WITHIN_MS,
    () => run.results.length > 0,
    () => 'there is a first report',
  );
  await run.verdict('up');
  demand(!run.results.some(({ verdict }) => verdict === 'down'), `what works is never reported down: ${JSON.stringify(run.results)}`);
}

async function reportsDetail(run: Run): Promise<void> {
  await run.start();
  await run.verdict('up');
  for (const { verdict, detail, figures = [] } of run.results) {
    demand(VERDICTS.includes(verdict), `"${verdict}" is up, down or unknown`);
    demand(typeof detail === 'string' && detail.trim() !== '', `${verdict} comes with a detail`);
    demand(
      detail.length <= DETAIL_LENGTH_MAX && !/[\n\r]/.test(detail),
      `the detail is one line that can be read: ${JSON.stringify(detail)}`,
    );
    demand(figures.length <= FIGURES_PER_CHECK_MAX, `there are at most ${FIGURES_PER_CHECK_MAX} figures, not ${figures.length}`);
    for (const { name, value, unit } of figures) {
      const isGood = FIGURE_NAME.test(name) && Number.isFinite(value) && FIGURE_UNITS.includes(unit);
      demand(isGood, `the figure "${name}" (${value} ${unit}) has a name, a finite value and a known unit`);
    }
  }
}

async function stopsEarly(run: Run): Promise<void> {
  await run.start();
  await run.stop();
  const reported = run.results.length;
  await delay(QUIET_FOR_MS);
  demand(run.results.length === reported, 'the test that was under way is not reported after stop() resolved');
}

async function stopsTwice(run: Run): Promise<void> {
  await run.start();
  await run.verdict('up');
  await Promise.all([run.stop(), run.stop()]);
  await run.stop();
}

async function startsAgain(run: Run): Promise<void> {
  await run.start();
  await run.verdict('up');
  await run.stop();
  const before = run.results.length;
  const again: CheckResult[] = [];
  await within(
    START_WITHIN_MS,
    'the second start() resolves',
    run.check.start((result) => again.push(result)),
  );
  run.subject.tell?.(run.check, 'up');
  await until(
    run.subject.verdictWithinMs ?? VERDICT_WITHIN_MS,
    () => again.at(-1)?.verdict === 'up',
    () => `the new listener hears "up"; it heard ${JSON.stringify(again)}`,
  );
  demand(run.results.length === before, 'the former listener hears nothing any more');
  await run.stop();
}

async function isIdle(run: Run): Promise<void> {
  await run.start();
  await run.verdict('up');
  const shareMax = run.subject.idleShareMax ?? IDLE_SHARE_MAX;
  // Of the whole process: a collection of garbage that others left may fall into one window. What a checker takes is in most of them.
  const shares: number[] = [];
  for (let window = 0; window < IDLE_WINDOWS; window += 1) {
    const before = process.cpuUsage();
    await delay(IDLE_WINDOW_MS);
    const { user, system } = process.cpuUsage(before);
    shares.push((user + system) / 1000 / IDLE_WINDOW_MS);
  }
  const share = shares.sort((a, b) => a - b)[Math.floor(IDLE_WINDOWS / 2)] ?? Infinity;
  demand(share <= shareMax, `it takes at most ${(shareMax * 100).toFixed(0)} % of a processor, not ${(share * 100).toFixed(1)} %`);
}

async function leavesNothing(run: Run): Promise<void> {
  // What a process has once, like its standard output, may come into being with the first start.
  await run.start();
  await run.verdict('up');
  await run.stop();
  const before = countResources();
  run.results.length = 0;
  await run.start();
  await run.verdict('up');
  await run.stop();
  const added = (): readonly string[] =>
    [...countResources()].filter(([kind, count]) => count > (before.get(kind) ?? 0)).map(([kind]) => kind);
  await until(
    STOP_WITHIN_MS,
    () => added().length === 0,
    () => `nothing is left behind; left: ${added().join(', ')}`,
  );
}

async function follows(run: Run, makeDown: () => Promise<void>): Promise<void> {
  await run.start();
  await run.verdict('up');
  await makeDown();
  run.subject.tell?.(run.check, 'down');
  await run.verdict('down');
  await run.subject.makeUp();
  run.subject.tell?.(run.check, 'up');
  await run.verdict('up');
}

async function isSilent(run: Run, makeDown: () => Promise<void>): Promise<void> {
  await run.start();
  await run.verdict('up');
  await run.stop();
  const reported = run.results.length;
  await makeDown();
  run.subject.tell?.(run.check, 'down');
  await delay(QUIET_FOR_MS);
  demand(run.results.length === reported, 'nothing is reported after stop() resolved');
}

/** What keeps the event loop alive, by kind. Those of the case itself are gone between two of its steps. */
function countResources(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

function demand(holds: boolean, promise: string): void {
  if (!holds) throw new Error(`not kept: ${promise}`);
}

async function within(limitMs: number, promise: string, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not kept within ${limitMs} ms: ${promise}`)), limitMs);
  });
  try {
    await Promise.race([work, late]);
  } catch (error) {
    throw new Error(`${promise}: ${messageOf(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function until(limitMs: number, condition: () => boolean, promise: () => string): Promise<void> {
  const beganMs = performance.now();
  while (!condition()) {
    if (performance.now() - beganMs > limitMs) throw new Error(`not kept within ${limitMs} ms: ${promise()}`);
    await delay(5);
  }
}

function delay(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs);
  });
}
