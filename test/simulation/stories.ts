/** Stories that once went wrong, told directly: they stay the same whatever befalls the seeds. */
import type { Automaton } from './automaton.js';
import { calm } from './deeds.js';
import { copyOfDisk } from './node.js';
import { bringUp, pass, settle, tell, type Outcome } from './run.js';
import { Violation, World, type WorldOptions } from './world.js';

interface Story {
  readonly options: Partial<WorldOptions>;
  readonly play: (world: World) => void;
}

const OPTIONS: WorldOptions = {
  witness: 'strong',
  failover: true,
  defaultPrimary: 'alone',
  undecided: 'stop',
  operators: 'careful',
  partitions: true,
  images: true,
  differs: undefined,
};

const cut = (world: World, ...pairs: readonly (readonly [string, string])[]): void => {
  for (const [from, to] of pairs) {
    world.network.cut(from, to);
    world.network.cut(to, from);
  }
  world.replication.networkChanged();
};

const stop = { verb: 'stop', shutdown: false } as const;
const start = { verb: 'start', boot: false } as const;
const stopstart = { verb: 'stopstart', automatic: false } as const;

const UNTIL_MS_MAX = 20_000;

export const STORIES: Readonly<Record<string, Story>> = {
  'a node that slept does not start from consent of before, beside a peer that was promoted unseen': {
    options: {},
    play: (world) => {
      // Without the witness it is agreed that n1 goes on; then both stop with the same data.
      cut(world, ['n2', 'witness']);
      pass(world, 4000);
      for (const name of ['n1', 'n2']) world.powerCut(name);
      for (const name of ['n1', 'n2']) {
        world.boot(name);
        world.command(name, stop);
      }
      pass(world, 1500);
      world.network.heal();
      cut(world, ['n1', 'n2']);
      world.command('n2', { verb: 'prim' });
      pass(world, 1000);
      world.sleep('n1', 'agent');
      pass(world, 5000);
      world.wake('n1');
      world.command('n1', start);
      pass(world, 6000);
    },
  },
  'with a weak witness, a primary that is cut off from everything stops, and the other one goes on': {
    options: { witness: 'weak' },
    play: (world) => {
      cut(world, ['n1', 'n2'], ['n1', 'witness']);
      pass(world, 15_000);
      must(!world.replication.canAcknowledge(world.nodes.n1), 'n1 still acknowledges');
      must(world.replication.canAcknowledge(world.nodes.n2), 'n2 does not go on');
    },
  },
  'with undecided="continue", a primary that is cut off from everything goes on, and says so': {
    options: { undecided: 'continue' },
    play: (world) => {
      cut(world, ['n1', 'n2'], ['n1', 'witness']);
      pass(world, 15_000);
      for (const node of world.all) must(world.replication.canAcknowledge(node), `${node.name} does not go on`);
    },
  },
  'an empty node that replaced one waits for the other, and follows it': {
    options: { operators: 'reckless' },
    play: (world) => {
      world.powerCut('n2');
      pass(world, 3000);
      world.powerCut('n1');
      world.exchangeDisk('n2', world.emptyDisk());
      world.boot('n2');
      world.command('n2', start);
      pass(world, 6000);
      must(world.nodes.n2.state?.phase === 'WAIT', 'the empty node does not wait');
      must(world.nodes.n2.state?.reason.code === 'notUptodateFirstStart', 'the empty node does not say why it waits');
      world.boot('n1');
      pass(world, 15_000);
      must(world.nodes.n1.state?.phase === 'PRIM', 'the node with the data does not go on');
      must(world.replication.isComplete(world.nodes.n2), 'the empty node does not get the data');
    },
  },
  'a node restored from an old backup waits while the other is away, and never overwrites it': {
    options: { operators: 'reckless' },
    play: (world) => {
      const backup = copyOfDisk(world.nodes.n1.disk);
      world.powerCut('n1');
      pass(world, 6000);
      must(world.replication.canAcknowledge(world.nodes.n2), 'n2 does not take over');
      world.powerCut('n2');
      world.exchangeDisk('n1', backup);
      world.boot('n1');
      pass(world, 15_000);
      must(world.nodes.n1.state?.phase === 'WAIT', 'the restored node does not wait');
      world.boot('n2');
      pass(world, 15_000);
      for (const node of world.all) must(world.replication.isComplete(node), `${node.name} lacks acknowledged writes`);
    },
  },
  'nodes that a witness let go on both, because it was restored, find out when they meet': {
    options: { operators: 'reckless' },
    play: (world) => {
      const { record } = world.witness;
      world.isOverridden = true;
      cut(world, ['n1', 'n2'], ['n1', 'witness']);
      pass(world, 6000);
      must(world.replication.canAcknowledge(world.nodes.n2), 'n2 does not take over');
      world.network.heal();
      cut(world, ['n1', 'n2'], ['n2', 'witness']);
      world.witness.record = record;
      pass(world, 8000);
      world.network.heal();
      pass(world, 4000);
      must(!world.all.every((node) => world.replication.canAcknowledge(node)), 'both go on beside each other');
    },
  },
  'a primary goes on at once when its secondary is stopped': {
    options: {},
    play: (world) => {
      world.command('n2', stop);
      pass(world, 3000);
      must(world.replication.canAcknowledge(world.nodes.n1), 'n1 still holds its writes');
    },
  },
  'a copy counts as synchronised only while its own end of the link says so, whatever the primary said before': {
    options: { witness: 'none', partitions: false },
    play: (world) => {
      // n2 leaves and follows anew, and does not hear yet that n1 goes on without it.
      for (const node of world.all) node.scriptMsMax = 5;
      world.network.cut('n1', 'n2');
      world.command('n2', stopstart);
      pass(world, 1900);
      world.powerCut('n1');
      pass(world, 6000);
      must(!world.replication.canAcknowledge(world.nodes.n2), 'n2 goes on without what n1 acknowledged');
    },
  },
  'what the witness granted stays granted, although the primary still hears the secondary as it was': {
    options: {},
    play: (world) => {
      const { n1, n2 } = world.nodes;
      // The application is idle, so that only heartbeats get lost: n2 asks, and n1 sees its grant before it hears of it.
      n1.accepting = false;
      world.network.cut('n1', 'n2');
      until(world, () => world.witness.record?.owner === 'n2');
      world.sleep('n2', 'agent');
      pass(world, 1500);
      cut(world, ['n1', 'n2'], ['n2', 'witness']);
      n1.accepting = true;
      world.wake('n2');
      pass(world, 6000);
      must(world.replication.canAcknowledge(n2), 'n2 does not take over');
      must(!world.replication.canAcknowledge(n1), 'n1 goes on as well');
    },
  },
  'a goodbye of a primary that could not write down that it leaves lets nobody go on': {
    options: {},
    play: (world) => {
      // Without the witness it is agreed that only n1 goes on, and so n1 does when it is back.
      cut(world, ['n2', 'witness']);
      pass(world, 4000);
      world.nodes.n1.failingWrites = 1;
      // Of its end n2 hears nothing but the goodbye.
      world.network.cut('n1', 'n2');
      world.command('n1', { verb: 'stop', shutdown: true });
      until(world, () => world.nodes.n1.state?.phase === 'STOP');
      world.network.heal();
      world.sayGoodbye('n1');
      pass(world, 20);
      cut(world, ['n1', 'n2'], ['n2', 'witness']);
      pass(world, 3000);
      world.boot('n1');
      pass(world, 6000);
      must(!world.replication.canAcknowledge(world.nodes.n2), 'n2 goes on by itself');
    },
  },
  'a primary whose secondary had become whole before it died begins a new reign, which the other one knows to be newer': {
    options: {},
    play: (world) => {
      const { n1, n2 } = world.nodes;
      world.powerCut('n2');
      pass(world, 6000);
      world.boot('n2');
      // n2 has written down that it is whole, n1 has not.
      until(world, () => n2.disk.durable.condition === 'uptodate' && n2.disk.durable.lineage.current === n1.disk.durable.lineage.current);
      world.powerCut('n1');
      world.command('n2', stop);
      pass(world, 2000);
      world.boot('n1');
      pass(world, 8000);
      must(world.replication.canAcknowledge(n1), 'n1 does not go on');
      world.command('n1', stop);
      pass(world, 2500);
      world.command('n2', start);
      pass(world, 6000);
      must(n2.state?.reason.code === 'peerStoppedNewer', 'n2 does not say that n1 has newer data');
    },
  },
  'a secondary that had agreed not to ask does not ask after an offer of its own that nobody heard': {
    options: {},
    play: (world) => {
      const { n1, n2 } = world.nodes;
      // Without the witness it is agreed that only n1 goes on; n1 restarts, hears nothing, and goes on.
      cut(world, ['n2', 'witness']);
      pass(world, 4000);
      world.powerCut('n1');
      world.network.heal();
      world.network.cut('n2', 'n1');
      world.boot('n1');
      // n2 hears that n1 waits, and offers to go on itself.
      until(world, () => n2.disk.durable.agreement.holder === 'n2');
      cut(world, ['n1', 'n2']);
      until(world, () => n1.state?.phase === 'ALONE');
      cut(world, ['n1', 'witness']);
      pass(world, 8000);
      must(world.replication.canAcknowledge(n1), 'n1 does not go on');
      must(n2.state?.reason.code === 'notUptodatePeerSilent', 'n2 does not wait for n1');
    },
  },
  'a partial copy whose primary is lost goes on as it was before its resync, and overwrites nothing when that one comes back': {
    options: { witness: 'none', partitions: false, operators: 'reckless' },
    play: (world) => {
      const { n1, n2 } = world.nodes;
      world.command('n2', stop);
      pass(world, 3000);
      const before = [...n2.disk.writes];
      world.command('n2', start);
      until(world, () => n2.disk.inconsistent);
      world.powerCut('n1');
      until(world, () => n2.state?.reason.code === 'notUptodateInconsistent');
      world.isOverridden = true;
      must(world.command('n2', { verb: 'prim' }) !== undefined, 'a partial copy is promoted as it is');
      must(world.command('n2', { verb: 'prim', image: true }) === undefined, 'the image is refused');
      until(world, () => world.replication.canAcknowledge(n2));
      must(
        before.every((write) => n2.disk.writes.has(write)),
        'n2 is not what it was',
      );
      world.boot('n1');
      pass(world, 6000);
      must(n1.state?.reason.code === 'splitBrain', 'n1 does not wait');
    },
  },
  'a primary that slept holds its writes, and gives way to a copy that an operator declared good meanwhile': {
    options: { witness: 'none', operators: 'reckless' },
    play: (world) => {
      const { n1, n2 } = world.nodes;
      world.command('n2', stop);
      pass(world, 3000);
      world.command('n2', start);
      until(world, () => n2.disk.inconsistent);
      world.sleep('n1', 'node');
      // It will find its link lost before it hears of what happened.
      cut(world, ['n1', 'n2']);
      until(world, () => n2.state?.reason.code === 'notUptodateInconsistent');
      world.isOverridden = true;
      must(world.command('n2', { verb: 'prim', image: true }) === undefined, 'the image is refused');
      until(world, () => world.replication.canAcknowledge(n2));
      world.wake('n1');
      pass(world, 500);
      world.network.heal();
      pass(world, 10_000);
      must(n1.state?.phase === 'WAIT' && n1.state.reason.code === 'splitBrain', 'n1 does not wait');
      must(world.replication.canAcknowledge(n2), 'n2 does not go on');
    },
  },
  'of two nodes with new disks that are both declared good at one moment only one goes on': {
    options: { witness: 'none', operators: 'reckless' },
    play: (world) => {
      world.isOverridden = true;
      for (const name of ['n1', 'n2']) {
        world.powerCut(name);
        world.exchangeDisk(name, world.emptyDisk());
        world.boot(name);
        world.command(name, start);
      }
      until(world, () => world.all.every(({ state }) => state?.reason.code === 'notUptodateFirstStart'));
      // n1 hears that n2 is declared good, and is declared good itself before n2 can know.
      world.command('n2', { verb: 'prim' });
      pass(world, 1);
      world.command('n1', { verb: 'prim' });
      for (let passedMs = 0; passedMs < 3000; passedMs += 1) {
        pass(world, 1);
        must(!world.all.every(({ state }) => state?.phase === 'ALONE'), 'both go on');
      }
      must(
        world.all.some(({ state }) => state?.phase === 'ALONE' || state?.phase === 'PRIM'),
        'nobody goes on',
      );
    },
  },
  'a secondary that finds out about a split brain keeps its changes while it leaves': {
    options: { operators: 'reckless' },
    play: (world) => {
      const { n1, n2 } = world.nodes;
      const backup = copyOfDisk(n2.disk);
      world.powerCut('n1');
      pass(world, 6000);
      world.boot('n1');
      until(world, () => n2.state?.phase === 'PRIM' && n1.state?.quality === 'Ready');
      world.replication.dropLink();
      until(world, () => n1.disk.durable.condition !== 'uptodate');
      // n2 is put back to what it was before it took over, and declared good, before n1 misses it.
      world.network.cut('n2', 'n1');
      world.powerCut('n2');
      world.exchangeDisk('n2', backup);
      world.boot('n2');
      world.command('n2', { verb: 'prim' });
      until(world, () => n2.state?.phase === 'ALONE' && n2.state.quality === 'Ready');
      must(n1.state?.phase === 'SECOND', 'n1 is not SECOND any more');
      n1.scriptMsMax = 2000;
      world.network.heal();
      until(world, () => n1.state?.phase === 'WAIT' && n1.state.reason.code === 'splitBrain');
    },
  },
};

/** As soon as it is true; it has to come true. */
function until(world: World, condition: () => boolean): void {
  for (let passedMs = 0; !condition(); passedMs += 1) {
    must(passedMs < UNTIL_MS_MAX, `never comes true: ${condition.toString()}`);
    pass(world, 1);
  }
}

function must(condition: boolean, otherwise: string): void {
  if (!condition) throw new Violation(otherwise);
}

export function tellStory(automaton: Automaton, name: string, seed: number): Outcome {
  const story = STORIES[name];
  if (story === undefined) throw new Error(`there is no story "${name}"`);
  const world = new World(automaton, seed, { ...OPTIONS, ...story.options }, false);
  return tell(world, seed, () => {
    bringUp(world);
    pass(world, 6000);
    story.play(world);
    calm(world);
    settle(world);
  });
}
