/**
 * What befalls a simulated pair: faults, operators and the way back to calm. A careful operator does what a human may do at any time, and
 * looks before he overrides; what a reckless one does is in `reckless.ts`.
 */
import type { Command } from '@holdfast/core/decide';
import type { SimulatedNode } from './node.js';
import { RECKLESS } from './reckless.js';
import type { World } from './world.js';

const NAPS_MS = [300, 900, 1500, 3500, 9000];
const SCRIPTS = ['start_prim', 'start_both', 'start_second', 'prestart'] as const;

export interface Deed {
  readonly weight: number;
  /** Only with a witness that excludes two primaries, or where less is promised. */
  readonly partitions?: true;
  readonly run: (world: World, node: SimulatedNode) => void;
}

const command = (weight: number, make: (world: World) => Command): Deed => ({
  weight,
  run: (world, node) => void world.command(node.name, make(world)),
});

const cut = (world: World, from: string, to: string): void => {
  // An operator who declared a copy good keeps the nodes in each other's sight until both have it.
  if (world.promoted !== undefined) return;
  world.tell('net', `cut ${from} > ${to}`);
  world.network.cut(from, to);
  world.replication.networkChanged();
};

const DEEDS: readonly Deed[] = [
  { weight: 5, run: cutPower },
  { weight: 6, run: (world, node) => world.boot(node.name) },
  {
    weight: 3,
    run: (world, node) => {
      node.diesAtEffect = node.isOn && !world.isSheltered(node);
    },
  },
  {
    weight: 1,
    run: (world) => {
      for (const node of world.all) cutPower(world, node);
    },
  },
  nap('node'),
  nap('agent'),
  { weight: 2, run: (world) => world.replication.dropLink() },
  {
    weight: 3,
    partitions: true,
    run: (world) => {
      cut(world, 'n1', 'n2');
      cut(world, 'n2', 'n1');
    },
  },
  { weight: 3, partitions: true, run: (world, node) => cut(world, node.name, node.peer) },
  { weight: 2, partitions: true, run: (world, node) => cut(world, node.name, 'witness') },
  { weight: 2, partitions: true, run: (world, node) => cut(world, 'witness', node.name) },
  {
    weight: 1,
    partitions: true,
    run: (world, node) => {
      // The switch of one node.
      for (const other of [node.peer, 'witness']) {
        cut(world, node.name, other);
        cut(world, other, node.name);
      }
    },
  },
  { weight: 6, partitions: true, run: (world) => calmNetwork(world) },
  {
    weight: 2,
    run: (world) => {
      // Without a witness, bad weather alone may make two primaries.
      const isStrong = mayPart(world);
      const delayMsMax = world.random.pick(isStrong ? [50, 400, 1500] : [50, 400]);
      world.network.weather = {
        delayMsMax,
        loss: world.random.pick(isStrong ? [0, 0.1, 0.3] : [0, 0.05]),
        duplication: world.random.pick([0, 0.2]),
      };
      world.tell('net', `weather ${JSON.stringify(world.network.weather)}`);
    },
  },
  {
    weight: 2,
    run: (world) => {
      world.witness.isUp = !world.witness.isUp;
      world.tell('witness', world.witness.isUp ? 'is up' : 'is down');
    },
  },
  {
    weight: 1,
    run: (world) => {
      world.witness.record = undefined;
      world.tell('witness', 'forgets');
    },
  },
  { weight: 1, run: (world, node) => node.drift(world.random.pick([0.97, 1, 1.03])) },
  { weight: 1, run: (world, node) => node.jumpWallClock(world.random.between(-100_000_000, 100_000_000)) },
  { weight: 1, run: (world, node) => void (node.scriptMsMax = world.random.pick([60, 500, 6000])) },
  { weight: 1, run: (world, node) => void node.failing.add(world.random.pick(SCRIPTS)) },
  { weight: 1, run: (world, node) => void (node.failingWrites = world.random.between(1, 2)) },
  { weight: 2, run: (_world, node) => node.failing.clear() },
  { weight: 4, run: start },
  command(3, () => ({ verb: 'stop', shutdown: false })),
  command(2, () => ({ verb: 'swap' })),
  command(1, () => ({ verb: 'restart', automatic: false })),
  command(1, () => ({ verb: 'stopstart', automatic: false })),
  command(1, () => ({ verb: 'second', fullsync: false })),
  { weight: 1, run: giveUp },
  {
    weight: 1,
    run: (world, node) => {
      world.command(node.name, { verb: 'stop', shutdown: true });
      world.later(node, 4000, () => world.sayGoodbye(node.name));
    },
  },
  { weight: 2, run: promote },
  {
    weight: 1,
    run: (world, node) => {
      const { phase } = node.state ?? {};
      if (phase === 'STOP' || phase === undefined || !node.isOn) return;
      const value = 'down';
      const action = world.random.pick(['restart', 'stopstart', 'wait', 'stop'] as const);
      world.tell(node.name, `resource down: ${action}`);
      world.push(node, { kind: 'resource', name: 'proc.m', value, detail: 'told so', action });
    },
  },
];

function mayPart({ options }: World): boolean {
  return options.witness === 'strong' || options.partitions;
}

function cutPower(world: World, node: SimulatedNode): void {
  if (!world.isSheltered(node)) world.powerCut(node.name);
}

function nap(what: 'node' | 'agent'): Deed {
  return {
    weight: 3,
    run: (world, node) => {
      if (world.isSheltered(node)) return;
      world.sleep(node.name, what);
      const { incarnation } = node;
      // Without a witness a node that sleeps longer is a dead one, and two primaries may be what follows.
      const longest = mayPart(world) ? 5 : 2;
      world.schedule.after(NAPS_MS[world.random.below(longest)] ?? 0, () => {
        if (node.incarnation === incarnation && node.isOn) world.wake(node.name);
      });
    },
  };
}

/** A node whose peer was promoted is started only where it hears it. */
export function start(world: World, node: SimulatedNode): void {
  if (world.options.operators === 'careful' && world.promoted === node.peer && !world.hears(node)) return;
  world.command(node.name, { verb: 'start', boot: false });
}

/** What an operator may say is the good copy: it has everything, and the other node is off or stopped. */
function promote(world: World, node: SimulatedNode): void {
  const other = world.other(node);
  if (world.promoted === node.peer) return;
  const isOtherIdle = !other.isOn || other.state?.phase === 'STOP';
  // He has looked at both: what the other holds is known here.
  const theirs = other.disk.durable.lineage.current;
  const { current, history } = node.disk.durable.lineage;
  if (theirs !== '' && theirs !== current && !history.includes(theirs)) return;
  if (!isOtherIdle || !world.replication.isComplete(node) || other.state?.sequence !== undefined) return;
  if (world.command(node.name, { verb: 'prim' }) !== undefined) return;
  if (world.options.operators === 'careful') world.promoted = node.name;
  else world.isOverridden = true;
}

/** He has looked: the primary has everything. */
function giveUp(world: World, node: SimulatedNode): void {
  const other = world.other(node);
  if (other.facts.role === 'primary' && world.replication.isComplete(other)) world.command(node.name, { verb: 'second', fullsync: true });
}

function calmNetwork(world: World): void {
  world.tell('net', 'is whole');
  world.network.heal();
}

interface Choice {
  readonly deeds: readonly Deed[];
  readonly weight: number;
}

/** Without and with partitions. */
function choices(deeds: readonly Deed[]): readonly [Choice, Choice] {
  const choice = (some: readonly Deed[]): Choice => ({ deeds: some, weight: some.reduce((sum, { weight }) => sum + weight, 0) });
  return [choice(deeds.filter(({ partitions }) => partitions !== true)), choice(deeds)];
}

const CAREFUL = choices(DEEDS);
const ANY = choices([...DEEDS, ...RECKLESS]);

export function befall(world: World): void {
  const { random } = world;
  const possible = world.options.operators === 'careful' ? CAREFUL[mayPart(world) ? 1 : 0] : ANY[mayPart(world) ? 1 : 0];
  let left = random.below(possible.weight);
  const deed = possible.deeds.find(({ weight }) => (left -= weight) < 0);
  deed?.run(world, world.node(random.pick(['n1', 'n2'])));
}

/** Everything works again, and an operator starts what is stopped. */
export function calm(world: World): void {
  calmNetwork(world);
  world.witness.isUp = true;
  if (world.promoted !== undefined) world.boot(world.promoted);
  world.isCalm = true;
  // What the nodes can settle by themselves stays.
  world.isAlike = world.options.differs !== 'defaultPrimary';
  for (const node of world.all) {
    node.diesAtEffect = false;
    node.failingWrites = 0;
    node.failing.clear();
    node.scriptMsMax = 60;
    world.wake(node.name);
    world.boot(node.name);
    world.configure(node);
  }
}
