/**
 * Many seeds on all threads. A run of hours may be ended at any moment and still says what it has played: the seeds are given out in order,
 * so that everything from the first one to a certain one was played, and the rest can be played another time.
 */
import type { Crew } from './crew.js';
import type { SeedsTask } from './task.js';

export interface SimulateOptions {
  readonly first: number;
  readonly count: number;
  readonly isJson: boolean;
  /** Between two lines of progress. */
  readonly progressMs: number;
}

const SHOWN_MAX = 10;
const CHUNK = 100;
const STATUS = { SIGINT: 130, SIGTERM: 143 } as const;
type Ending = keyof typeof STATUS;

/** Returns the exit status: 0, 1 with a violation, or that of the signal which ended it. */
export async function simulate(crew: Crew, { first, count, isJson, progressMs }: SimulateOptions): Promise<number> {
  const beganMs = performance.now();
  let [steps, played, violations, shownMs] = [0, 0, 0, beganMs];
  let worst: number | undefined;
  let ending: Ending | undefined;
  // What is under way is a fraction of a second: it is played to its end. A second signal ends the process at once.
  const end = (signal: NodeJS.Signals): void => void (ending = signal as Ending);
  const signals = Object.keys(STATUS) as Ending[];
  for (const signal of signals) process.once(signal, end);
  function* untilEnded(): Generator<SeedsTask> {
    for (let done = 0; done < count && ending === undefined; done += CHUNK)
      yield { kind: 'seeds', first: first + done, count: Math.min(CHUNK, count - done) };
  }
  await crew.perform(untilEnded(), (_task, answer) => {
    steps += answer.steps;
    played += answer.seeds;
    for (const { seed, violation } of answer.bad) {
      violations += 1;
      worst = Math.min(worst ?? seed, seed);
      if (violations <= SHOWN_MAX) process.stderr.write(`seed ${seed}: ${violation}\n`);
    }
    const nowMs = performance.now();
    if (nowMs - shownMs < progressMs) return;
    shownMs = nowMs;
    process.stderr.write(`${progressOf(played, count, nowMs - beganMs)}, ${violations} violations\n`);
  });
  for (const signal of signals) process.off(signal, end);
  const seconds = Math.round((performance.now() - beganMs) / 100) / 10;
  if (worst !== undefined) process.stderr.write(`npm run simulate -- --seeds 1 --seed ${worst} tells the first one\n`);
  const next = first + played;
  if (ending !== undefined) {
    const rest = `--seed ${next} --seeds ${count - played} plays the rest`;
    process.stderr.write(`ended by ${ending}: seeds ${first} to ${next - 1} were played; ${rest}\n`);
  }
  if (isJson) process.stdout.write(`${JSON.stringify({ seeds: played, steps, violations, seconds })}\n`);
  else process.stdout.write(`${played} seeds from ${first} to ${next - 1}, ${steps} decisions, ${violations} violations, ${seconds} s\n`);
  if (violations > 0) return 1;
  return ending === undefined ? 0 : STATUS[ending];
}

function progressOf(played: number, count: number, passedMs: number): string {
  const perSecond = (1000 * played) / passedMs;
  const leftSeconds = Math.ceil((count - played) / perSecond);
  return `${played} of ${count} seeds, ${Math.round(perSecond)} per second, ${durationOf(leftSeconds)} left`;
}

function durationOf(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
