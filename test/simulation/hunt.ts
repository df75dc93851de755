/**
 * The proof that the simulation looks: every deliberate bug must be caught, by a seed or, where those are slow, by a story, an interrupted
 * sequence or the exploration. Before, the same is played on the right code: what fails there shows nothing about a bug, and does not
 * count.
 */
import type { Crew } from './crew.js';
import { MUTANTS } from './mutants.js';
import type { ExploreTask, SeedsTask, ToldTask } from './task.js';

const CHUNK = 200;
const BOUNDS = [
  { faults: 1, commands: 0 },
  { faults: 1, commands: 1 },
  { faults: 2, commands: 0 },
] as const;
const STATES = 15_000;
const DEPTH = 200;

/** So many seeds are tried before anything else is. */
const SEEDS_FIRST = 3000;

function* chunks(effort: number, from = 1): Generator<SeedsTask> {
  for (let first = from; first <= effort; first += CHUNK) yield { kind: 'seeds', first, count: Math.min(CHUNK, effort - first + 1) };
}

function explorations(mutant?: string): ExploreTask[] {
  const bug = mutant === undefined ? {} : { mutant };
  return BOUNDS.map((bounds) => ({ kind: 'explore', options: { ...bounds, states: STATES, depth: DEPTH }, ...bug }));
}

/** Seeds that fail without a bug; and whether the exploration finds nothing. */
async function onRightCode(crew: Crew, effort: number): Promise<{ readonly failing: ReadonlySet<number>; readonly isExplored: boolean }> {
  const failing = new Set<number>();
  let isExplored = true;
  const told: ToldTask = { kind: 'told' };
  await crew.perform([told, ...explorations(), ...chunks(effort)], ({ kind }, { bad, exploration }) => {
    if (kind === 'seeds') for (const { seed } of bad) failing.add(seed);
    else if (exploration?.violation !== undefined || bad.length > 0) isExplored = false;
  });
  const seeds = failing.size === 0 ? 'no violation' : `${failing.size} with a violation (not counted)`;
  process.stderr.write(`the right code: ${effort} seeds, ${seeds}; all else ${isExplored ? 'without violation' : 'fails (not counted)'}\n`);
  return { failing, isExplored };
}

/** The first seed that catches it. */
async function caughtBySeed(
  crew: Crew,
  mutant: string,
  failing: ReadonlySet<number>,
  effort: number,
  from = 1,
): Promise<string | undefined> {
  let first: number | undefined;
  function* untilCaught(): Generator<SeedsTask> {
    for (const chunk of chunks(effort, from)) {
      if (first !== undefined) return;
      yield { ...chunk, mutant };
    }
  }
  await crew.perform(untilCaught(), (_task, { bad }) => {
    for (const { seed } of bad) if (!failing.has(seed)) first = Math.min(first ?? seed, seed);
  });
  return first === undefined ? undefined : `seed ${first}`;
}

async function caughtOtherwise(crew: Crew, mutant: string): Promise<string | undefined> {
  let violation: string | undefined;
  function* untilCaught(): Generator<ToldTask | ExploreTask> {
    for (const task of [{ kind: 'told', mutant } as const, ...explorations(mutant)]) if (violation === undefined) yield task;
  }
  await crew.perform(untilCaught(), (_task, { bad, exploration }) => {
    violation ??= exploration?.violation ?? bad[0]?.violation;
  });
  return violation;
}

export async function hunt(crew: Crew, effort: number, isJson: boolean): Promise<boolean> {
  const { failing, isExplored } = await onRightCode(crew, effort);
  const missed: string[] = [];
  for (const { name } of MUTANTS) {
    const by =
      (await caughtBySeed(crew, name, failing, Math.min(SEEDS_FIRST, effort))) ??
      (isExplored ? await caughtOtherwise(crew, name) : undefined) ??
      (await caughtBySeed(crew, name, failing, effort, SEEDS_FIRST + 1));
    if (by === undefined) missed.push(name);
    process.stderr.write(`${by === undefined ? 'MISSED' : `caught (${by})`}: ${name}\n`);
  }
  const caught = MUTANTS.length - missed.length;
  const summary = { total: MUTANTS.length, caught, missed };
  process.stdout.write(isJson ? `${JSON.stringify(summary)}\n` : `${caught} of ${MUTANTS.length} deliberate bugs caught\n`);
  return missed.length === 0;
}
