/** One seed: a pair comes up, things befall it for a while, then it must be whole again or say what it waits for. */
import { Random } from '@holdfast/sdk/testkit';
import type { Automaton } from './automaton.js';
import { befall, calm, start } from './deeds.js';
import type { SimulatedNode } from './node.js';
import { Violation, World, type WorldOptions } from './world.js';

const FAULTS_MS = 25_000;
const CALM_MS = 60_000;
const WRITE_MS_MAX = 400;
const HUMAN_ATTEMPTS = 3;

/** Reasons to wait that only a human can end. */
const HUMAN = new Set([
  'splitBrain',
  'splitBrainWaiting',
  'peerRunsOlderData',
  'notUptodateFirstStart',
  'notUptodateInconsistent',
  'noGoodCopy',
  'secondOnly',
  'peerStoppedNewer',
]);

export interface Outcome {
  readonly seed: number;
  readonly steps: number;
  readonly violation?: string;
  readonly transcript?: readonly string[];
}

export function optionsOf(seed: number): WorldOptions {
  const random = new Random(seed ^ 0x5eed);
  const witness = random.pick(['strong', 'strong', 'strong', 'strong', 'strong', 'strong', 'none', 'weak'] as const);
  return {
    witness,
    failover: random.chance(0.9),
    defaultPrimary: random.pick(['alone', 'alone', 'n1', 'lastprim']),
    undecided: witness !== 'none' && random.chance(0.06) ? 'continue' : 'stop',
    operators: random.chance(0.2) ? 'reckless' : 'careful',
    partitions: witness === 'strong' || random.chance(0.5),
    images: random.chance(0.7),
    differs: random.chance(0.1) ? random.pick(['heartbeatTimeoutMs', 'defaultPrimary'] as const) : undefined,
  };
}

export function runSeed(automaton: Automaton, seed: number, isTold = false): Outcome {
  const world = new World(automaton, seed, optionsOf(seed), isTold);
  return tell(world, seed, () => play(world));
}

/** What comes of a story. */
export function tell(world: World, seed: number, story: () => void): Outcome {
  try {
    story();
    return { seed, steps: world.steps, ...(world.transcript === undefined ? {} : { transcript: world.transcript }) };
  } catch (error) {
    const violation = error instanceof Violation || error instanceof Error ? error.message : String(error);
    if (world.transcript !== undefined && !(error instanceof Violation))
      world.tell('!', error instanceof Error ? (error.stack ?? error.message) : violation);
    world.tell('!', violation);
    return { seed, steps: world.steps, violation, ...(world.transcript === undefined ? {} : { transcript: world.transcript }) };
  }
}

function play(world: World): void {
  const { schedule, random } = world;
  bringUp(world);
  pass(world, random.between(0, 6000));
  world.isAlike = world.options.differs === undefined;
  for (const node of world.all) world.configure(node);
  const endMs = schedule.nowMs + FAULTS_MS;
  while (schedule.nowMs < endMs) {
    befall(world);
    pass(world, random.pick([1, 10, 60, 300, 1000, 3000]));
  }
  calm(world);
  settle(world);
}

/** Clients write, n1 is primary, n2 is started. */
export function bringUp(world: World): void {
  const { schedule, random } = world;
  const write = (): void => {
    world.replication.write();
    schedule.after(1 + random.below(WRITE_MS_MAX), write);
  };
  write();
  world.command('n1', { verb: 'prim' });
  pass(world, 1500);
  world.command('n2', { verb: 'start', boot: false });
}

export function pass(world: World, forMs: number): void {
  const endMs = world.schedule.nowMs + forMs;
  while (world.schedule.step(endMs)) world.check();
}

export function settle(world: World): void {
  for (let attempt = 0; ; attempt += 1) {
    if (becomesWhole(world)) return;
    const isExplained = world.isOverridden && world.all.some(({ state }) => HUMAN.has(state?.reason.code ?? 'off'));
    if (!isExplained || attempt === HUMAN_ATTEMPTS) break;
    // What a human must do is said; it has to be enough.
    decideAsHuman(world);
  }
  const words = world.all.map((node) => `${node.name} ${describe(node.state)}`).join(', ');
  throw new Violation(`not whole ${CALM_MS} ms after the last fault or command: ${words}`);
}

/** One copy is declared good, unless somebody goes on already, and the changes of the other are given up. */
function decideAsHuman(world: World): void {
  const leads = ({ state }: SimulatedNode): boolean => state?.phase === 'ALONE' || state?.phase === 'PRIM';
  const chosen = world.all.find(leads) ?? world.nodes.n1;
  const declare = (image: boolean): void => {
    if (leads(chosen)) return;
    world.command(chosen.name, { verb: 'prim', force: true, ...(image && { image }) });
    pass(world, 10_000);
  };
  if (chosen.facts.image !== undefined) declare(true);
  // An image of a copy that was never synchronised is refused: then the copy as it is.
  declare(false);
  if (world.other(chosen).state?.phase !== 'SECOND') world.command(chosen.peer, { verb: 'second', fullsync: true });
}

function becomesWhole(world: World): boolean {
  const endMs = world.schedule.nowMs + CALM_MS;
  while (world.schedule.nowMs < endMs) {
    for (const node of world.all) {
      world.boot(node.name);
      const { state } = node;
      if (state?.phase === 'STOP' && state.sequence === undefined) start(world, node);
    }
    pass(world, 2000);
    if (isWhole(world)) return true;
  }
  return false;
}

function describe(state: World['nodes']['n1']['state']): string {
  return state === undefined ? 'off' : `${state.phase} (${state.quality}) ${state.reason.code}`;
}

function isWhole(world: World): boolean {
  const phases = world.all.map(({ state }) => `${state?.phase} ${state?.quality}`).sort();
  if (phases.join() !== 'PRIM Ready,SECOND Ready') return false;
  if (!world.replication.areSame()) return false;
  for (const node of world.all)
    if (!world.isOverridden && !world.replication.isComplete(node))
      throw new Violation(`${node.name} is whole without all acknowledged writes`);
  return true;
}
