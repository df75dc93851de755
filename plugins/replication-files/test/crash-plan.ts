/** Which sequences meet which crash: at random for a sample, in order for all of them. */
import type { Crash } from './crash-lab.js';
import { allSequences, someSequence, type Sequence } from './crash-operations.js';
import type { Random } from './random.js';

const SEQUENCES = 24;
/** About as many as the sequences send, one operation at a time. */
const RECORDS_MAX = 50;

const VICTIMS: readonly Pick<Crash, 'victim' | 'how'>[] = [
  { victim: 'primary', how: 'kill' },
  { victim: 'primary', how: 'power' },
  { victim: 'secondary', how: 'kill' },
  { victim: 'secondary', how: 'power' },
  { victim: 'link', how: 'kill' },
  { victim: 'both', how: 'kill' },
  { victim: 'both', how: 'power' },
];
const DIRECTIONS = ['to-secondary', 'to-primary'] as const;

export interface Cycle {
  readonly sequences: readonly Sequence[];
  readonly concurrency: number;
  readonly crash: Crash;
}

export function randomCycle(random: Random): Cycle {
  const concurrency = random.pick([1, 4, 24]);
  return {
    sequences: Array.from({ length: SEQUENCES }, () => someSequence(random)),
    concurrency,
    crash: {
      ...random.pick(VICTIMS),
      direction: random.pick(DIRECTIONS),
      records: random.below(RECORDS_MAX / (concurrency === 24 ? 3 : 1)),
    },
  };
}

/** `next` is told whether the last crash came before the last operation had returned. */
export type Cycles = Generator<Cycle, void, boolean>;

export function* randomCycles(random: Random): Cycles {
  for (;;) yield randomCycle(random);
}

/** Every sequence of one length, a batch at a time, one operation after the other: with every victim, at every record. */
export function* cyclesOfAll(length: number): Cycles {
  const all = [...allSequences(length)];
  for (let at = 0; at < all.length; at += SEQUENCES) {
    const sequences = all.slice(at, at + SEQUENCES);
    for (const direction of DIRECTIONS) {
      let isInterrupted = true;
      for (let records = 0; isInterrupted; records += 1) {
        isInterrupted = false;
        for (const victim of VICTIMS) {
          const crash = { ...victim, direction, records };
          isInterrupted = (yield { sequences, concurrency: 1, crash }) || isInterrupted;
        }
      }
    }
  }
}
