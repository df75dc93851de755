/** When the application of a node serves: two real automata are driven, and looked at every 10 ms. */
import assert from 'node:assert/strict';
import { serves } from '../src/decide/mirror/serving.js';
import { MirrorSimulator } from './mirror-simulator.js';

const NODES = ['n1', 'n2'] as const;
const LOOK_MS = 10;
const START = { verb: 'start', boot: false } as const;

class Watched {
  readonly simulator = new MirrorSimulator();
  readonly ready: Record<string, boolean> = {};
  /** Every change, `n1 ready` or `n1 not ready`. */
  readonly changes: string[] = [];

  constructor() {
    for (const node of NODES) this.simulator.command(node, START);
    this.run(3000);
    this.simulator.command('n1', { verb: 'prim' });
    this.run(3000);
    assert.deepEqual(this.ready, { n1: true, n2: false });
    this.changes.length = 0;
  }

  run(forMs: number): void {
    for (let passedMs = 0; passedMs < forMs; passedMs += LOOK_MS) {
      this.simulator.run(LOOK_MS);
      for (const node of NODES) this.look(node);
    }
  }

  powerCut(node: (typeof NODES)[number]): void {
    this.simulator.powerCut(node);
    this.look(node);
  }

  private look(node: (typeof NODES)[number]): void {
    const { state } = this.simulator.node(node);
    const isReady = state !== undefined && serves(state, this.ready[node] ?? false);
    if (isReady !== (this.ready[node] ?? false)) this.changes.push(`${node} ${isReady ? 'ready' : 'not ready'}`);
    this.ready[node] = isReady;
    if (!isReady || state === undefined) return;
    assert.equal(state.addresses, 'acquired');
    const step = state.sequence?.steps[state.sequence.at];
    const script = step?.kind === 'act' && step.action.kind === 'script' ? step.action.script : '';
    assert.doesNotMatch(script, /^(start|stop)_(both|prim)$/, `${node} is ready while ${script} runs`);
  }
}

describe('the application of a mirror serves', () => {
  it('from the end of its start on, without a break while its peer is lost and comes back', () => {
    const watched = new Watched();
    watched.powerCut('n2');
    watched.run(10_000);
    watched.simulator.boot('n2');
    watched.simulator.command('n2', START);
    watched.run(10_000);
    assert.equal(watched.simulator.node('n1').state?.phase, 'PRIM');
    assert.deepEqual(watched.changes, []);
  });

  it('on the other node after a failover, and not before its scripts have ended', () => {
    const watched = new Watched();
    watched.powerCut('n1');
    watched.run(5000);
    assert.deepEqual(watched.changes, ['n1 not ready', 'n2 ready']);
  });

  it('on one node at a time in a swap', () => {
    const watched = new Watched();
    watched.simulator.command('n1', { verb: 'swap' });
    watched.run(5000);
    assert.deepEqual(watched.changes, ['n1 not ready', 'n2 ready']);
  });

  it('no more from the beginning of a stop or restart on', () => {
    const watched = new Watched();
    watched.simulator.command('n1', { verb: 'restart', automatic: false });
    watched.run(3000);
    assert.deepEqual(watched.changes, ['n1 not ready', 'n1 ready']);
    watched.simulator.command('n1', { verb: 'stop', shutdown: false });
    watched.run(LOOK_MS);
    assert.equal(watched.ready['n1'], false);
  });
});
