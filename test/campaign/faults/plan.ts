/**
 * What goes wrong, and when. The plan of the N-th fault depends on the seed and on N only, so that a fault can be looked at again without
 * the ones before it; who is primary at that moment, and how the processes run, does not repeat.
 */
import { randomFrom } from '../power-cuts.js';

export type Role = 'primary' | 'secondary';

export type Kind =
  | `power-${Role | 'both'}`
  | `agent-kill-${Role}`
  | `replicator-kill-${Role}`
  | `sleep-${Role}`
  | `agent-sleep-${Role}`
  | 'cut-nodes'
  | 'cut-one-way'
  | 'cut-network'
  | 'cut-heartbeats'
  | 'cut-replication'
  | `isolate-${Role}`
  | 'loss'
  | `delay-${Role}`
  | `disk-full-${Role}`
  | `disk-failure-${Role}`
  | `clock-${Role}`
  | 'witness-kill'
  | 'witness-cut'
  | 'swap'
  | 'restart'
  | `stop-start-${Role}`;

export interface Deed {
  readonly kind: Kind;
  /** After the beginning of the fault. */
  readonly startMs: number;
  readonly durationMs: number;
  /** 0 to 1, for the choice that the kind leaves open: a direction, a network, the size of a jump. */
  readonly choice: number;
}

export interface PlannedFault {
  readonly number: number;
  /** The clients write undisturbed for so long before it. */
  readonly calmMs: number;
  /** One, or two that overlap. */
  readonly deeds: readonly Deed[];
}

interface Habit {
  readonly weight: number;
  readonly durationMs: readonly [number, number];
}

const habit = (weight: number, least: number, most: number): Habit => ({ weight, durationMs: [least, most] });

const HABITS: Readonly<Record<Kind, Habit>> = {
  'power-primary': habit(6, 0, 3000),
  'power-secondary': habit(4, 0, 3000),
  'power-both': habit(4, 0, 2000),
  'agent-kill-primary': habit(5, 0, 3000),
  'agent-kill-secondary': habit(3, 0, 3000),
  'replicator-kill-primary': habit(5, 500, 1000),
  'replicator-kill-secondary': habit(3, 500, 1000),
  'sleep-primary': habit(6, 1000, 5000),
  'sleep-secondary': habit(4, 1000, 5000),
  'agent-sleep-primary': habit(4, 1000, 5000),
  'agent-sleep-secondary': habit(3, 1000, 5000),
  'cut-nodes': habit(6, 300, 5000),
  'cut-one-way': habit(5, 300, 5000),
  'cut-network': habit(3, 300, 4000),
  'cut-heartbeats': habit(4, 300, 5000),
  'cut-replication': habit(4, 300, 4000),
  'isolate-primary': habit(5, 300, 5000),
  'isolate-secondary': habit(4, 300, 5000),
  loss: habit(5, 1000, 4000),
  'delay-primary': habit(3, 1000, 4000),
  'delay-secondary': habit(3, 1000, 4000),
  'disk-full-primary': habit(3, 1000, 3000),
  'disk-full-secondary': habit(3, 1000, 3000),
  'disk-failure-primary': habit(3, 1000, 4000),
  'disk-failure-secondary': habit(3, 1000, 4000),
  'clock-primary': habit(3, 500, 2000),
  'clock-secondary': habit(3, 500, 2000),
  'witness-kill': habit(3, 500, 3000),
  'witness-cut': habit(3, 500, 3000),
  swap: habit(4, 500, 1500),
  restart: habit(3, 500, 1500),
  'stop-start-primary': habit(3, 500, 2500),
  'stop-start-secondary': habit(3, 500, 2500),
};

export const KINDS = Object.keys(HABITS) as readonly Kind[];
const WEIGHTS = KINDS.reduce((sum, kind) => sum + HABITS[kind].weight, 0);

const CALM_MS: readonly [number, number] = [200, 800];
const OVERLAP_SHARE = 0.2;
/** A witness that is missed by nobody is a poor fault. */
const OVERLAP_SHARE_WITNESS = 0.6;
const OVERLAP_START_MS = 1500;
/** Most sleeps are short; some are as long as the snapshot of a virtual machine. */
const LONG_SLEEP_SHARE = 0.08;
const LONG_SLEEP_MS: readonly [number, number] = [10_000, 60_000];

/** @param number from 1 */
export function planFault(seed: number, number: number): PlannedFault {
  const random = randomFrom((Math.imul(seed, 0x9e3779b1) ^ Math.imul(number, 0x85ebca6b)) >>> 0);
  const between = ([least, most]: readonly [number, number]): number => Math.round(least + random() * (most - least));
  const deed = (startMs: number): Deed => {
    const kind = kindAt(random());
    const isLong = random() < LONG_SLEEP_SHARE && kind.startsWith('sleep-');
    return { kind, startMs, durationMs: between(isLong ? LONG_SLEEP_MS : HABITS[kind].durationMs), choice: random() };
  };
  const calmMs = between(CALM_MS);
  const first = deed(0);
  const share = first.kind.startsWith('witness-') ? OVERLAP_SHARE_WITNESS : OVERLAP_SHARE;
  const deeds = random() < share ? [first, deed(between([0, OVERLAP_START_MS]))] : [first];
  return { number, calmMs, deeds };
}

function kindAt(share: number): Kind {
  let rest = share * WEIGHTS;
  for (const kind of KINDS) {
    rest -= HABITS[kind].weight;
    if (rest < 0) return kind;
  }
  return 'power-primary';
}

/** How a fault is counted: by its kind, and two at a time by the first. */
export function titleOf({ deeds }: PlannedFault): string {
  return deeds.map(({ kind }) => kind).join(' + ');
}
