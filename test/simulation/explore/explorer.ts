/**
 * Breadth-first through all states of a pair that a bounded number of faults and commands can lead to, from a healthy pair on. Every state
 * is checked for what must never be; from some of them it is played on without faults, until the pair is whole again. Unlike the seeds, it
 * leaves nothing to chance within its bounds: `exhausted` says that no state is left, but for two things. A state is known by the digest of
 * what distinguishes it (128 bits of MD5, and nobody makes collisions on purpose): among a million states the probability that two have
 * the same, so that one is passed over, is below 10^12 / 2^129, or 2 in 10^27. And ages beyond every limit of the settings count as equal.
 */
import { createHash } from 'node:crypto';
import type { Automaton } from '../automaton.js';
import { Violation } from '../world.js';
import { answered, decide, doNext, movedBy, movesOf, PASS_MS, type FaultKind, type Move } from './moves.js';
import { Pair } from './pair.js';
import { check, goOn, notice, write } from './replica.js';
import { copyOfState, keyOf, NAMES, SIDES, type ExploredState } from './state.js';

export interface ExploreOptions {
  readonly faults: number;
  readonly commands: number;
  readonly depth: number;
  readonly states: number;
  /** Only faults of these kinds; absent: of all. */
  readonly kinds?: readonly FaultKind[];
  /** False: one write was acknowledged before, and no more come. */
  readonly writes?: boolean;
}

export interface Exploration {
  readonly states: number;
  readonly depth: number;
  /** Nothing is left within the bounds. */
  readonly exhausted: boolean;
  /** Of the depth that was begun last; empty when nothing is left. */
  readonly frontier: number;
  readonly steps: number;
  readonly violation?: string;
  /** What led to the violation. */
  readonly path?: readonly string[];
}

/** Of so many new states one is played to its good end. */
const CALMED_EVERY = 97;
const ROUNDS_MAX = 120;

interface Found {
  readonly state: ExploredState;
  readonly index: number;
}

export function explore(automaton: Automaton, options: ExploreOptions, progress: (states: number, depth: number) => void): Exploration {
  const pair = new Pair(automaton);
  const seen = new Set<string>();
  const parents: number[] = [];
  const labels: string[] = [];
  let frontier: Found[] = [];
  let depth = 0;
  const add = (state: ExploredState, parent: number, label: string, into: Found[]): void => {
    check(state);
    const digest = createHash('md5').update(keyOf(state)).digest('base64');
    if (seen.has(digest)) return;
    seen.add(digest);
    const index = parents.push(parent) - 1;
    labels.push(label);
    into.push({ state, index });
    if (index % CALMED_EVERY === 0) calm(pair, copyOfState(state));
  };
  let trail: readonly [number, string] = [-1, ''];
  const result = (violation?: string): Exploration => {
    const base = { states: seen.size, depth, exhausted: frontier.length === 0, frontier: frontier.length, steps: pair.steps };
    return violation === undefined ? base : { ...base, violation, path: [...pathTo(trail[0], parents, labels), trail[1]] };
  };
  try {
    const isPossible = ({ fault }: Move): boolean => fault === undefined || options.kinds?.includes(fault) !== false;
    const first = healthy(pair);
    if (options.writes === false) writeOnce(pair, first);
    add({ ...first, faults: options.faults, commands: options.commands }, -1, 'a healthy pair', frontier);
    while (frontier.length > 0 && depth < options.depth) {
      depth += 1;
      const following: Found[] = [];
      for (const { state, index } of frontier) {
        for (const move of movesOf(pair, state).filter(isPossible)) {
          trail = [index, move.label];
          add(movedBy(state, move), index, move.label, following);
        }
        if (seen.size >= options.states) return result();
      }
      frontier = following;
      progress(seen.size, depth);
    }
    return result();
  } catch (error) {
    return result(error instanceof Error ? error.message : String(error));
  }
}

function pathTo(index: number, parents: readonly number[], labels: readonly string[]): string[] {
  const path: string[] = [];
  for (let at = index; at >= 0; at = parents[at] ?? -1) path.unshift(labels[at] ?? '');
  return path;
}

/** PRIM and SECOND, each with one write, agreed that the witness decides. */
function healthy(pair: Pair): ExploredState {
  const state: ExploredState = {
    nowMs: 1000,
    nodes: [pair.off(), pair.off()],
    connection: undefined,
    cut: [false, false],
    cutOff: [false, false],
    record: undefined,
    claims: [],
    late: [undefined, undefined],
    acknowledged: 0,
    made: 0,
    faults: 0,
    commands: 0,
    generations: [0, 0],
  };
  for (const side of SIDES) pair.boot(state, side);
  pair.push(state, 0, { kind: 'operator', command: { verb: 'prim' } });
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    if (round === 10) pair.push(state, 1, { kind: 'operator', command: { verb: 'start', boot: false } });
    settleOnce(pair, state);
    if (isWhole(state) && state.nodes[0].durable.agreement.mode === 'witness' && state.nodes[0].durable.agreement.settled) break;
  }
  if (!isWhole(state)) throw new Violation('the pair does not come up');
  for (const side of SIDES) pair.hear(state, side);
  return state;
}

/** A write that both have, and that is acknowledged. */
function writeOnce(pair: Pair, state: ExploredState): void {
  write(state, 0);
  while (state.acknowledged === 0) if (goOn(pair, state) === undefined) throw new Violation('a write is not acknowledged');
}

function isWhole({ nodes }: ExploredState): boolean {
  const phases = nodes.map(({ mirror }) => `${mirror?.phase} ${mirror?.quality}`).sort();
  return phases.join() === 'PRIM Ready,SECOND Ready';
}

/** Everything that waits is done, and time passes. */
function settleOnce(pair: Pair, state: ExploredState): void {
  for (let turn = 0; turn < 200; turn += 1) {
    let isDone = true;
    for (const side of SIDES) {
      if (state.nodes[side].pending.length > 0) {
        doNext(pair, state, side);
        isDone = false;
      }
      if (state.connection?.isOpen === false) notice(pair, state, side);
    }
    if (goOn(pair, state) !== undefined) isDone = false;
    if (state.claims[0] !== undefined) {
      if (state.claims[0].answer === undefined) decide(state, 0);
      else answered(pair, state, 0);
      isDone = false;
    }
    check(state);
    if (isDone) break;
  }
  pair.pass(state, PASS_MS);
}

/** No more faults: the pair must become whole. */
function calm(pair: Pair, state: ExploredState): void {
  state.cut = [false, false];
  state.cutOff = [false, false];
  state.late = [undefined, undefined];
  for (const side of SIDES) {
    const node = state.nodes[side];
    node.asleep = false;
    if (node.mirror === undefined) pair.boot(state, side);
  }
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    for (const side of SIDES) {
      const { mirror } = state.nodes[side];
      if (mirror?.phase === 'STOP' && mirror.sequence === undefined)
        pair.push(state, side, { kind: 'operator', command: { verb: 'start', boot: false } });
    }
    settleOnce(pair, state);
    if (isWhole(state) && state.nodes.every(({ writes }) => (state.acknowledged & ~writes) === 0)) return;
  }
  const words = state.nodes.map(({ mirror }, side) => `${NAMES[side]} ${mirror?.phase} (${mirror?.quality}) ${mirror?.reason.code}`);
  throw new Violation(`not whole without further faults: ${words.join(', ')}`);
}
