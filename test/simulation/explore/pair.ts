/** What the explored nodes do with events and actions; deterministic, and every state is left as it was found. */
import type { Action, IssuedAction, MirrorEvent, MirrorSettings, NodeReport, ReplicationFacts } from '@holdfast/core/decide';
import type { Automaton } from '../automaton.js';
import { Violation } from '../world.js';
import { perform } from './replica.js';
import { NAMES, SIDES, type ExploredNode, type ExploredState, type Side } from './state.js';

type Fact = MirrorEvent extends infer E ? (E extends MirrorEvent ? Omit<E, 'nowMs' | 'wallMs' | 'freshGeneration'> : never) : never;

/** Short ones, so that a few steps of time reach beyond them. */
const SETTINGS = {
  module: 'm',
  replicated: true,
  hasAddresses: false,
  failover: true,
  defaultPrimary: 'alone',
  maxLoop: 3,
  loopIntervalMs: 24 * 3600 * 1000,
  heartbeatTimeoutMs: 2000,
  swapLimitMs: 3000,
  witness: 'strong',
  undecidedLimitMs: 4000,
  undecided: 'stop',
  claimDelayMs: 0,
  configuration: 'c',
} as const;

/** Actions that others can notice: which of them comes first may matter. */
const NOTICED = new Set<Action['kind']>([
  'persist',
  'becomePrimary',
  'becomeSecondary',
  'connectPeer',
  'disconnectPeer',
  'continueAlone',
  'stopReplica',
]);

/** Sequences that may begin a generation. */
const BEGINNERS = new Set(['alone', 'takeover', 'continue-alone', 'reclaim']);

export class Pair {
  steps = 0;

  constructor(readonly automaton: Automaton) {}

  settings(side: Side): MirrorSettings {
    return { ...SETTINGS, node: NAMES[side], peer: NAMES[side === 0 ? 1 : 0] };
  }

  off(): ExploredNode {
    return {
      mirror: undefined,
      asleep: false,
      durable: this.automaton.durableAtFirst(true),
      writes: 0,
      partial: false,
      journal: undefined,
      facts: { role: 'stopped', link: 'none', inconsistent: false },
      accepting: false,
      held: 0,
      pending: [],
    };
  }

  boot(state: ExploredState, side: Side): void {
    const node = state.nodes[side];
    const clock = { nowMs: state.nowMs, wallMs: state.nowMs };
    node.facts = factsOf(node, { role: 'stopped', link: 'none', inconsistent: false });
    node.mirror = this.automaton.createMirror(this.settings(side), node.durable, clock);
    this.push(state, side, { kind: 'replication', facts: node.facts });
    if (node.durable.started) this.push(state, side, { kind: 'operator', command: { verb: 'start', boot: true } });
  }

  push(state: ExploredState, side: Side, fact: Fact): void {
    const node = state.nodes[side];
    if (node.mirror === undefined) return;
    this.steps += 1;
    const { nowMs } = state;
    const before = node.mirror.sequence?.steps;
    const freshGeneration = `g${NAMES[side]}-${state.generations[side]}`;
    const event = { ...fact, nowMs, wallMs: nowMs, freshGeneration } as MirrorEvent;
    const { state: next, actions } = this.automaton.step(node.mirror, event);
    node.mirror = next;
    const steps = next.sequence?.steps;
    if (steps !== undefined && steps !== before && BEGINNERS.has(next.sequence?.name ?? '')) state.generations[side] += 1;
    for (const issued of actions) this.#begin(state, side, issued);
  }

  #begin(state: ExploredState, side: Side, issued: IssuedAction): void {
    const node = state.nodes[side];
    const { id, action } = issued;
    if (action.kind === 'becomePrimary' && action.force !== true && node.mirror?.replication.inconsistent === true)
      throw new Violation(`${NAMES[side]} becomes primary with a partial copy`);
    if (action.kind === 'claimWitness') {
      const { from, record } = action;
      state.claims.push({ side, id, from, record, isLate: false, answer: undefined, owner: undefined });
    } else if (action.kind === 'armWitness') {
      if (!state.cutOff[side] && (state.record === undefined || state.record.epoch <= action.record.epoch)) state.record = action.record;
      this.push(state, side, { kind: 'actionDone', id });
    } else if (NOTICED.has(action.kind)) {
      node.pending.push(issued);
    } else {
      if (action.kind === 'script' && action.script === 'start_prim') node.accepting = true;
      this.push(state, side, { kind: 'actionDone', id });
    }
  }

  /** The effect of the first action that waits, without its completion. */
  effect(state: ExploredState, side: Side): { readonly id: number; readonly error: string | undefined } {
    const node = state.nodes[side];
    const issued = node.pending.shift();
    if (issued === undefined) throw new Error('no action waits');
    const { id, action } = issued;
    if (action.kind === 'persist') node.durable = action.durable;
    return { id, error: action.kind === 'persist' ? undefined : perform(this, state, side, action) };
  }

  /** The replication shows something new to its own node. */
  show(state: ExploredState, side: Side, change: Partial<ReplicationFacts>): void {
    const node = state.nodes[side];
    node.facts = factsOf(node, { ...node.facts, ...change });
    this.push(state, side, { kind: 'replication', facts: node.facts });
  }

  /** What the other side has heard of this one is not what it would say now. */
  hasNews(state: ExploredState, from: Side): boolean {
    const { mirror } = state.nodes[from];
    const known = state.nodes[from === 0 ? 1 : 0].mirror?.peer;
    if (mirror === undefined) return false;
    if (known === undefined) return true;
    const report = this.automaton.reportOf(mirror);
    return (Object.keys(report) as (keyof NodeReport)[]).some((field) => report[field] !== known[field]);
  }

  hear(state: ExploredState, from: Side): void {
    const to = from === 0 ? 1 : 0;
    const { mirror } = state.nodes[from];
    if (mirror === undefined || state.nodes[to].mirror === undefined || state.nodes[to].asleep) return;
    state.late[from] = undefined;
    this.#heard(state, to, this.automaton.reportOf(mirror));
  }

  arrive(state: ExploredState, from: Side): void {
    const report = state.late[from];
    state.late[from] = undefined;
    if (report !== undefined) this.#heard(state, from === 0 ? 1 : 0, report);
  }

  #heard(state: ExploredState, to: Side, report: NonNullable<ExploredState['late'][0]>): void {
    const receivedMs = state.nowMs;
    this.push(state, to, { kind: 'heartbeat', link: 'default', receivedMs, agentTickAgeMs: 0, goodbye: false, report });
  }

  readWitness(state: ExploredState, side: Side): void {
    const { record } = state;
    const facts = state.cutOff[side] ? { reachable: false } : { reachable: true, ...(record === undefined ? {} : { record }) };
    this.push(state, side, { kind: 'witness', facts });
  }

  /** Time passes for everybody: ticks, and what is sent now and then where it passes. */
  pass(state: ExploredState, ms: number): void {
    state.nowMs += ms;
    const awake = SIDES.filter((side) => !state.nodes[side].asleep);
    for (const side of awake) this.push(state, side, { kind: 'tick' });
    for (const side of SIDES) if (!state.cut[side] && !state.nodes[side].asleep) this.hear(state, side);
    for (const side of awake) this.readWitness(state, side);
  }
}

function factsOf(node: ExploredNode, facts: ReplicationFacts): ReplicationFacts {
  const { journalSince: _old, ...rest } = facts;
  return { ...rest, inconsistent: node.partial, ...(node.journal === undefined ? {} : { journalSince: node.journal }) };
}
