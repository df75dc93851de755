/**
 * Operators' sequences, each interrupted at every point: between any two effects of either node one of them loses its power, or the
 * nodes lose each other. Whatever was under way, the pair must become whole again.
 */
import type { Command } from '@holdfast/core/decide';
import type { Automaton } from './automaton.js';
import { calm } from './deeds.js';
import { bringUp, pass, settle, tell, type Outcome } from './run.js';
import { World, type WorldOptions } from './world.js';

type Deed = readonly [node: 'n1' | 'n2', command: Command, thenMs: number];

const start: Command = { verb: 'start', boot: false };
const stop: Command = { verb: 'stop', shutdown: false };
const swap: Command = { verb: 'swap' };
const restart: Command = { verb: 'restart', automatic: false };
const stopstart: Command = { verb: 'stopstart', automatic: false };
const prim: Command = { verb: 'prim' };
const second: Command = { verb: 'second', fullsync: false };

/** n1 is primary and n2 its secondary when they begin. */
const SEQUENCES: Readonly<Record<string, readonly Deed[]>> = {
  'stop of the secondary, start': [
    ['n2', stop, 1500],
    ['n2', start, 3000],
  ],
  'stop of the primary, start': [
    ['n1', stop, 2500],
    ['n1', start, 3000],
  ],
  swap: [['n1', swap, 5000]],
  'swap and back': [
    ['n1', swap, 4000],
    ['n2', swap, 4000],
  ],
  'swap, and a stop in it': [
    ['n1', swap, 60],
    ['n1', stop, 2500],
  ],
  'restart on both': [
    ['n1', restart, 50],
    ['n2', restart, 2000],
  ],
  'stopstart of the primary': [['n1', stopstart, 4000]],
  'stopstart of the secondary': [['n2', stopstart, 3000]],
  'stop of both, start of the first': [
    ['n2', stop, 1500],
    ['n1', stop, 2000],
    ['n1', start, 3000],
    ['n2', start, 3000],
  ],
  'stop of both, prim': [
    ['n2', stop, 1500],
    ['n1', stop, 2000],
    ['n1', prim, 3000],
    ['n2', second, 3000],
  ],
};

const CRASHES: Readonly<Record<string, (world: World) => void>> = {
  'n1 loses power': (world) => world.powerCut('n1'),
  'n2 loses power': (world) => world.powerCut('n2'),
  'both lose power': (world) => {
    world.powerCut('n1');
    world.powerCut('n2');
  },
  'the replication breaks': (world) => world.replication.dropLink(),
};

/** Only with a witness: without one they make two primaries. */
const PARTITIONS: typeof CRASHES = {
  'the nodes are cut off from each other': (world) => {
    world.network.cut('n1', 'n2');
    world.network.cut('n2', 'n1');
    world.replication.networkChanged();
  },
  'n1 is cut off from everything': (world) => {
    for (const [from, to] of [
      ['n1', 'n2'],
      ['n2', 'n1'],
      ['n1', 'witness'],
      ['witness', 'n1'],
    ] as const)
      world.network.cut(from, to);
    world.replication.networkChanged();
  },
};

const OPTIONS: Omit<WorldOptions, 'witness'> = {
  failover: true,
  defaultPrimary: 'alone',
  undecided: 'stop',
  operators: 'careful',
  partitions: true,
  images: true,
  differs: undefined,
};

export interface Interrupted extends Outcome {
  readonly witness: WorldOptions['witness'];
  readonly sequence: string;
  readonly interruption: string;
  /** After so many effects. */
  readonly at: number;
}

/** Every sequence with every interruption at every point. `seed`: how long things take. */
export function* interruptAll(automaton: Automaton, seed: number): Generator<Interrupted> {
  yield* interruptWith(automaton, seed, 'strong', { ...CRASHES, ...PARTITIONS });
  yield* interruptWith(automaton, seed, 'none', CRASHES);
}

function* interruptWith(
  automaton: Automaton,
  seed: number,
  witness: WorldOptions['witness'],
  interruptions: typeof CRASHES,
): Generator<Interrupted> {
  for (const [sequence, deeds] of Object.entries(SEQUENCES)) {
    for (const [interruption, interrupt] of Object.entries(interruptions)) {
      for (let at = 1; ; at += 1) {
        let effects = 0;
        const world = new World(automaton, seed, { ...OPTIONS, witness }, false);
        const outcome = tell(world, seed, () => {
          bringUp(world);
          pass(world, 6000);
          world.afterEffect = () => {
            effects += 1;
            if (effects === at) interrupt(world);
          };
          for (const [node, command, thenMs] of deeds) {
            world.command(node, command);
            pass(world, thenMs);
          }
          if (effects < at) return;
          pass(world, 4000);
          calm(world);
          settle(world);
        });
        if (outcome.violation === undefined && effects < at) break;
        yield { ...outcome, witness, sequence, interruption, at };
      }
    }
  }
}
