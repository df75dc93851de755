/** What one worker does at a time, and what it answers: plain data, because it passes between threads. */
import * as decisions from '@holdfast/core/decide';
import type { Automaton } from './automaton.js';
import { explore, type Exploration, type ExploreOptions } from './explore/explorer.js';
import { interruptAll } from './interruptions.js';
import { loadMutant, MUTANTS } from './mutants.js';
import { runSeed } from './run.js';
import { STORIES, tellStory } from './stories.js';

export interface SeedsTask {
  readonly kind: 'seeds';
  readonly first: number;
  readonly count: number;
  /** With this deliberate bug; it ends at the first violation. */
  readonly mutant?: string;
}

export interface ExploreTask {
  readonly kind: 'explore';
  readonly options: ExploreOptions;
  readonly mutant?: string;
}

/** The stories, and every interruption of operators' sequences; it ends at the first violation. */
export interface ToldTask {
  readonly kind: 'told';
  readonly mutant?: string;
}

export type Task = SeedsTask | ExploreTask | ToldTask;

export interface Finding {
  readonly seed: number;
  readonly violation: string;
}

export interface Answer {
  readonly steps: number;
  readonly seeds: number;
  readonly bad: readonly Finding[];
  readonly exploration?: Exploration;
}

const loaded = new Map<string, Promise<Automaton>>();

/** The product's decisions, or a copy of them with one deliberate bug. */
async function automatonOf(name: string | undefined): Promise<Automaton> {
  if (name === undefined) return decisions;
  const mutant = MUTANTS.find((each) => each.name === name);
  if (mutant === undefined) return decisions;
  const promise = loaded.get(name) ?? loadMutant(mutant);
  loaded.set(name, promise);
  return promise;
}

function told(automaton: Automaton): Answer {
  for (const name of Object.keys(STORIES)) {
    const { seed, steps, violation } = tellStory(automaton, name, 1);
    if (violation !== undefined) return { steps, seeds: 0, bad: [{ seed, violation: `${name}: ${violation}` }] };
  }
  for (const { witness, sequence, interruption, at, seed, steps, violation } of interruptAll(automaton, 1)) {
    if (violation === undefined) continue;
    return {
      steps,
      seeds: 0,
      bad: [{ seed, violation: `witness ${witness}, ${sequence}, ${interruption} after ${at} effects: ${violation}` }],
    };
  }
  return { steps: 0, seeds: 0, bad: [] };
}

export async function perform(task: Task, progress: (states: number, depth: number) => void): Promise<Answer> {
  const automaton = await automatonOf(task.mutant);
  if (task.kind === 'explore') {
    const exploration = explore(automaton, task.options, progress);
    return { steps: exploration.steps, seeds: 0, bad: [], exploration };
  }
  if (task.kind === 'told') return told(automaton);
  const bad: Finding[] = [];
  let [steps, seeds] = [0, 0];
  for (let seed = task.first; seed < task.first + task.count; seed += 1) {
    const outcome = runSeed(automaton, seed);
    steps += outcome.steps;
    seeds += 1;
    if (outcome.violation === undefined) continue;
    bad.push({ seed, violation: outcome.violation });
    if (task.mutant !== undefined) break;
  }
  return { steps, seeds, bad };
}
