/**
 * One state of the explored pair, as data: both automata, their disks, the connection between them, the witness, and what is under way. Two
 * states that differ only in names of generations, in absolute times and in what is shown to people are the same one.
 */
import type { ClaimAnswer, Durable, IssuedAction, MirrorState, NodeReport, ReplicationFacts, WitnessRecord } from '@holdfast/core/decide';

export type Side = 0 | 1;
export const SIDES: readonly Side[] = [0, 1];
export const NAMES = ['n1', 'n2'] as const;

/** Ages beyond these decide nothing: the longest limit of the settings, and the one of what counts for the heartbeat timeout only. */
const AGE_MS_MAX = 4500;
const SHORT_AGE_MS_MAX = 2250;

export interface ExploredNode {
  /** Absent: without power. */
  mirror: MirrorState | undefined;
  asleep: boolean;
  durable: Durable;
  /** Client writes on the disk, one bit each. */
  writes: number;
  partial: boolean;
  journal: string | undefined;
  facts: ReplicationFacts;
  accepting: boolean;
  /** Writes that wait for permission. */
  held: number;
  /** Actions whose effect others can notice; all the rest is done at once. */
  pending: IssuedAction[];
}

/** The replication connection; a broken one exists until both ends have noticed. */
export interface Connection {
  primary: Side;
  isOpen: boolean;
  ends: [boolean, boolean];
  stage: 'resync' | 'image' | 'confirm' | 'connected';
  /** The copy under way to the secondary. */
  image: number;
  /** One write that the primary sent and that is not acknowledged; and whether the secondary has it. */
  flight: number;
  hasArrived: boolean;
}

export interface Claim {
  side: Side;
  id: number;
  from: string;
  record: WitnessRecord;
  /** Given up by the node, but still under way. */
  isLate: boolean;
  /** Carried out; the answer is under way. */
  answer: ClaimAnswer | undefined;
  owner: string | undefined;
}

export interface ExploredState {
  nowMs: number;
  nodes: [ExploredNode, ExploredNode];
  connection: Connection | undefined;
  /** Whether the direction from a side to the other is cut; from a side to the witness and back. */
  cut: [boolean, boolean];
  cutOff: [boolean, boolean];
  record: WitnessRecord | undefined;
  claims: Claim[];
  /** A report of each side that is late: it arrives after what was sent later, or never. */
  late: [NodeReport | undefined, NodeReport | undefined];
  acknowledged: number;
  made: number;
  faults: number;
  commands: number;
  /** How many each side has begun: their names do not depend on what happens elsewhere. */
  generations: [number, number];
}

export function copyOfState(state: ExploredState): ExploredState {
  const [one, other] = state.nodes;
  return {
    ...state,
    nodes: [
      { ...one, pending: [...one.pending] },
      { ...other, pending: [...other.pending] },
    ],
    connection: state.connection === undefined ? undefined : { ...state.connection, ends: [...state.connection.ends] },
    cut: [...state.cut],
    cutOff: [...state.cutOff],
    claims: state.claims.map((claim) => ({ ...claim })),
    late: [...state.late],
    generations: [...state.generations],
  };
}

const texts = new WeakMap<object, string>();

/** Most parts of a state are shared with thousands of others. */
function textOf(value: object | undefined): string {
  if (value === undefined) return '-';
  const known = texts.get(value);
  if (known !== undefined) return known;
  const text = JSON.stringify(value, withoutWords);
  texts.set(value, text);
  return text;
}

function withoutWords(key: string, value: unknown): unknown {
  return key === 'reason' || key === 'settle' ? undefined : value;
}

/** The same for two states from which the same can follow. */
export function keyOf(state: ExploredState): string {
  const { nowMs, acknowledged, made, faults, commands, record, connection, cut, cutOff, late, nodes, claims, generations } = state;
  const underWay = claims.map(({ id: _id, ...claim }) => claim);
  const small = [acknowledged, made, faults, commands, connection, cut, cutOff, underWay, generations];
  const parts = [textOf(record), textOf(late[0]), textOf(late[1]), JSON.stringify(small)];
  for (const node of nodes) nodeKey(node, nowMs, parts);
  return parts.join('|');
}

function nodeKey(node: ExploredNode, nowMs: number, parts: string[]): void {
  const { mirror, asleep, durable, writes, partial, journal, facts, accepting, held, pending } = node;
  parts.push(textOf(durable), `${asleep} ${writes} ${partial} ${journal} ${accepting} ${held} ${facts.role} ${facts.link}`);
  for (const { action } of pending) parts.push(textOf(action));
  if (mirror === undefined) return;
  const age = (atMs: number): number => Math.min(AGE_MS_MAX, nowMs - atMs);
  const shortAge = (atMs: number): number => Math.min(SHORT_AGE_MS_MAX, nowMs - atMs);
  const { detector, sequence, claim, witness } = mirror;
  parts.push(textOf(mirror.durable), textOf(mirror.peer), textOf(witness.record), `${witness.reachable} ${mirror.phase} ${mirror.quality}`);
  parts.push(
    `${detector.goodbye} ${shortAge(detector.tickMs)} ${age(detector.sinceMs)} ${shortAge(detector.heardMs['default'] ?? -AGE_MS_MAX)}`,
  );
  if (claim !== undefined)
    parts.push(`${claim.generation} ${shortAge(claim.askedMs)} ${claim.actionId === undefined} ${claim.answer} ${claim.owner}`);
  const blocked = Math.max(0, mirror.blockedUntilMs - nowMs);
  parts.push(`${shortAge(mirror.armIssuedMs)} ${age(mirror.startedMs)} ${shortAge(mirror.connectIssuedMs)} ${blocked}`);
  const { successor, intent, forced, handingOver, withdrawn, offered } = mirror;
  parts.push(`${successor} ${intent} ${forced} ${handingOver} ${withdrawn} ${offered} ${mirror.groups.join()}`, textOf(mirror.queue));
  if (sequence === undefined) return;
  const isWaiting = sequence.waitingFor === undefined;
  parts.push(textOf(sequence.steps), `${sequence.name} ${sequence.at} ${age(sequence.stepSinceMs)} ${isWaiting} ${sequence.refused}`);
}
