/** What may happen next to an explored pair: everything that its parts do by themselves, and a bounded number of faults and commands. */
import type { Command } from '@holdfast/core/decide';
import { judgeClaim } from '@holdfast/sdk';
import type { Pair } from './pair.js';
import { cutPower, goOn, notice, write } from './replica.js';
import { copyOfState, NAMES, SIDES, type ExploredState, type Side } from './state.js';

/** Shorter than half the heartbeat timeout, so that it is no stall; three of them are a loss. */
export const PASS_MS = 750;
const WRITES_MAX = 1;

/**
 * `cut`: the nodes from each other, both ways; `deaf`: one way; `witness`: one node from it; `order`: something is late, or lost, or a
 * connection breaks, while both nodes live and nothing is cut.
 */
export type FaultKind = 'power of n1' | 'power of n2' | 'cut' | 'deaf' | 'witness' | 'sleep' | 'order';

export interface Move {
  readonly label: string;
  /** Absent: no fault. */
  readonly fault?: FaultKind;
  readonly run: (state: ExploredState) => void;
}

const COMMANDS: readonly Command[] = [
  { verb: 'start', boot: false },
  { verb: 'stop', shutdown: false },
  { verb: 'swap' },
  { verb: 'stopstart', automatic: false },
  { verb: 'restart', automatic: false },
  { verb: 'prim' },
];

export function movesOf(pair: Pair, state: ExploredState): Move[] {
  const moves: Move[] = [];
  for (const side of SIDES) {
    ownMoves(pair, state, side, moves);
    networkMoves(pair, state, side, moves);
    if (state.commands > 0) commandMoves(pair, state, side, moves);
    if (state.faults > 0) faultMoves(pair, state, side, moves);
  }
  claimMoves(pair, state, moves);
  const { connection } = state;
  if (connection?.isOpen === true) {
    if (canGoOn(state)) moves.push({ label: 'connection goes on', run: (next) => void goOn(pair, next) });
    if (state.faults > 0) moves.push(fault('order', 'connection breaks', (next) => breakConnection(next)));
  }
  const isBroken = connection?.isOpen === false && SIDES.some((side) => connection.ends[side] && !state.nodes[side].asleep);
  const isBusy = isBroken || canGoOn(state) || state.nodes.some(({ pending, asleep }) => pending.length > 0 && !asleep);
  const pass = (next: ExploredState): void => pair.pass(next, PASS_MS);
  if (!isBusy) moves.push({ label: 'time passes', run: pass });
  else if (state.faults > 0) moves.push(fault('order', 'time passes before that', pass));
  return moves;
}

function fault(kind: FaultKind, label: string, run: (next: ExploredState) => void): Move {
  return {
    label,
    fault: kind,
    run: (next) => {
      next.faults -= 1;
      run(next);
    },
  };
}

function canGoOn({ connection, nodes }: ExploredState): boolean {
  if (nodes.some(({ mirror, asleep }) => mirror === undefined || asleep)) return false;
  return connection?.isOpen === true && (connection.stage !== 'connected' || connection.flight !== 0);
}

function breakConnection(next: ExploredState): void {
  if (next.connection !== undefined) next.connection.isOpen = false;
}

function ownMoves(pair: Pair, state: ExploredState, side: Side, moves: Move[]): void {
  const node = state.nodes[side];
  const name = NAMES[side];
  if (node.mirror === undefined) {
    moves.push({ label: `${name} boots`, run: (next) => pair.boot(next, side) });
    return;
  }
  if (node.asleep) {
    moves.push({
      label: `${name} wakes up`,
      run: (next) => {
        next.nodes[side].asleep = false;
        pair.push(next, side, { kind: 'tick' });
      },
    });
    return;
  }
  const first = node.pending[0]?.action.kind;
  if (first !== undefined) moves.push({ label: `${name} does ${first}`, run: (next) => doNext(pair, next, side) });
  if (state.connection?.isOpen === false && state.connection.ends[side])
    moves.push({ label: `${name} sees the broken connection`, run: (next) => notice(pair, next, side) });
  if (state.made < WRITES_MAX && node.accepting) moves.push({ label: `a client writes to ${name}`, run: (next) => void write(next, side) });
}

export function doNext(pair: Pair, next: ExploredState, side: Side): void {
  const { id, error } = pair.effect(next, side);
  pair.push(next, side, { kind: 'actionDone', id, ...(error === undefined ? {} : { error }) });
}

function networkMoves(pair: Pair, state: ExploredState, side: Side, moves: Move[]): void {
  const name = NAMES[side];
  const [from, to] = [state.nodes[side], state.nodes[side === 0 ? 1 : 0]];
  const canHear = to.mirror !== undefined && !to.asleep;
  if (!state.cut[side] && !from.asleep && canHear && pair.hasNews(state, side))
    moves.push({ label: `${name} is heard`, run: (next) => pair.hear(next, side) });
  if (state.late[side] !== undefined && canHear)
    moves.push({ label: `an old report of ${name} arrives`, run: (next) => pair.arrive(next, side) });
  if (state.cut[side]) moves.push({ label: `${name} is connected again`, run: (next) => void (next.cut[side] = false) });
  if (state.cutOff[side]) moves.push({ label: `${name} reaches the witness again`, run: (next) => void (next.cutOff[side] = false) });
}

function claimMoves(pair: Pair, state: ExploredState, moves: Move[]): void {
  for (const [index, { side, answer, isLate }] of state.claims.entries()) {
    const name = NAMES[side];
    const isCut = state.cutOff[side];
    if (answer === undefined && !isCut)
      moves.push({ label: `the witness decides for ${name}${isLate ? ', late' : ''}`, run: (next) => decide(next, index) });
    if (isLate || state.nodes[side].asleep) continue;
    if (answer !== undefined && !isCut) moves.push({ label: `${name} is answered: ${answer}`, run: (next) => answered(pair, next, index) });
    const unanswered = (next: ExploredState): void => giveUp(pair, next, index);
    if (isCut) moves.push({ label: `${name} gets no answer`, run: unanswered });
    else if (state.faults > 0) moves.push(fault('order', `an answer to ${name} is lost`, unanswered));
  }
}

export function decide(next: ExploredState, index: number): void {
  const claim = next.claims[index];
  if (claim === undefined) return;
  const verdict = judgeClaim(next.record, { from: claim.from, record: claim.record });
  if (verdict.outcome === 'granted') next.record = claim.record;
  claim.answer = verdict.outcome;
  claim.owner = verdict.outcome === 'granted' ? claim.record.owner : verdict.found?.owner;
  if (claim.isLate) next.claims.splice(index, 1);
}

export function answered(pair: Pair, next: ExploredState, index: number): void {
  const [claim] = next.claims.splice(index, 1);
  if (claim?.answer === undefined) return;
  const { side, id, answer, owner } = claim;
  pair.push(next, side, { kind: 'actionDone', id, claim: { answer, ...(owner === undefined ? {} : { owner }) } });
}

function giveUp(pair: Pair, next: ExploredState, index: number): void {
  const claim = next.claims[index];
  if (claim === undefined) return;
  if (claim.answer === undefined) claim.isLate = true;
  else next.claims.splice(index, 1);
  pair.push(next, claim.side, { kind: 'actionDone', id: claim.id, error: 'no answer in time' });
}

function commandMoves(pair: Pair, state: ExploredState, side: Side, moves: Move[]): void {
  const { mirror, asleep, writes } = state.nodes[side];
  const other = state.nodes[side === 0 ? 1 : 0];
  if (mirror === undefined || asleep) return;
  for (const command of COMMANDS) {
    // Who declares a copy good has looked: the other node is stopped, and has nothing more; and it is not cut off.
    const isIdle = other.mirror?.phase === 'STOP' && other.mirror.sequence === undefined && !other.asleep;
    const isSafe = isIdle && (state.acknowledged & ~writes) === 0 && !state.cut[0] && !state.cut[1];
    if (command.verb === 'prim' && !isSafe) continue;
    if (pair.automaton.refusalOf(mirror, command) !== undefined) continue;
    moves.push({
      label: `${NAMES[side]}: ${command.verb}`,
      run: (next) => {
        next.commands -= 1;
        pair.push(next, side, { kind: 'operator', command });
      },
    });
  }
}

function faultMoves(pair: Pair, state: ExploredState, side: Side, moves: Move[]): void {
  const node = state.nodes[side];
  const name = NAMES[side];
  if (!state.cut[side]) {
    moves.push(
      fault('deaf', `${name} is not heard any more`, (next) => {
        next.cut[side] = true;
        breakConnection(next);
      }),
    );
  }
  if (side === 0 && !state.cut[0] && !state.cut[1]) {
    moves.push(
      fault('cut', 'the nodes are cut off from each other', (next) => {
        next.cut = [true, true];
        breakConnection(next);
      }),
    );
  }
  if (!state.cutOff[side]) moves.push(fault('witness', `${name} does not reach the witness`, (next) => void (next.cutOff[side] = true)));
  if (node.mirror === undefined) return;
  moves.push(fault(`power of ${name}`, `${name} loses power`, (next) => cutPower(next, side)));
  if (node.asleep) return;
  moves.push(fault('sleep', `${name} falls asleep`, (next) => void (next.nodes[side].asleep = true)));
  const [first] = node.pending;
  if (first !== undefined) {
    moves.push(
      fault(`power of ${name}`, `${name} loses power after ${first.action.kind}`, (next) => {
        pair.effect(next, side);
        cutPower(next, side);
      }),
    );
  }
  const { mirror } = node;
  if (state.late[side] === undefined && !state.cut[side])
    moves.push(fault('order', `a report of ${name} is late`, (next) => void (next.late[side] = pair.automaton.reportOf(mirror))));
}

export function movedBy(state: ExploredState, move: Move): ExploredState {
  const next = copyOfState(state);
  move.run(next);
  return next;
}
