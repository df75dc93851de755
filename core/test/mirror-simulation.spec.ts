/** Random operators, power cuts and link losses against two simulated nodes: one server at a time, and every acknowledged write stays. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MirrorSimulator } from './mirror-simulator.js';

type Deed =
  | { readonly kind: 'run'; readonly ms: number }
  | {
      readonly kind:
        | 'power-cut'
        | 'boot'
        | 'start'
        | 'stop'
        | 'swap'
        | 'restart'
        | 'stopstart'
        | 'second'
        | 'fail'
        | 'link'
        | 'muffle'
        | 'sleep'
        | 'nap';
      readonly node: 'n1' | 'n2';
    }
  | { readonly kind: 'mend' };

const node = fc.constantFrom('n1' as const, 'n2' as const);
const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('run' as const), ms: fc.integer({ min: 1, max: 5000 }) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'power-cut' as const,
        'boot' as const,
        'start' as const,
        'stop' as const,
        'swap' as const,
        'restart' as const,
        'stopstart' as const,
        'second' as const,
        'fail' as const,
        'link' as const,
        'muffle' as const,
        'sleep' as const,
        'nap' as const,
      ),
      node,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'mend' as const }) },
);

/** Time passes in small pieces with a write at each, so that every moment of every sequence sees writes. */
function pass(simulator: MirrorSimulator, ms: number): void {
  for (let left = ms; left > 0; left -= 25) {
    simulator.run(Math.min(25, left));
    simulator.write();
    const serving = simulator.serving();
    assert.ok(serving.length <= 1, `two primaries at ${simulator.nowMs} ms: ${serving.join(', ')}`);
    const [server] = serving;
    if (server === undefined) continue;
    const there = new Set(simulator.node(server).disk.writes);
    const lost = simulator.acknowledged.filter((write) => !there.has(write));
    assert.deepEqual(lost, [], `acknowledged writes are missing on ${server} at ${simulator.nowMs} ms`);
  }
}

function play(simulator: MirrorSimulator, what: Deed): void {
  switch (what.kind) {
    case 'run':
      return pass(simulator, what.ms);
    case 'mend':
      return simulator.mendScripts();
    case 'power-cut':
      return simulator.powerCut(what.node);
    case 'boot':
      return simulator.boot(what.node);
    case 'fail':
      return simulator.failScript(what.node, 'start_prim');
    case 'sleep':
      simulator.pause(what.node);
      pass(simulator, 3500);
      return simulator.resume(what.node);
    case 'nap':
      simulator.pause(what.node);
      pass(simulator, 700);
      return simulator.resume(what.node);
    case 'muffle':
      return simulator.muffle(what.node, 1200);
    case 'link':
      return simulator.dropLink();
    case 'start':
      simulator.command(what.node, { verb: 'start', boot: false });
      return;
    case 'stop':
      simulator.command(what.node, { verb: 'stop', shutdown: false });
      return;
    case 'swap':
      simulator.command(what.node, { verb: 'swap' });
      return;
    case 'second':
      simulator.command(what.node, { verb: 'second', fullsync: false });
      return;
    case 'restart':
    case 'stopstart':
      simulator.command(what.node, { verb: what.kind, automatic: false });
      return;
  }
}

describe('mirror simulation', () => {
  it('never has two primaries and never loses an acknowledged write while the network holds', () => {
    const runs = Number(process.env['SIMULATION_RUNS'] ?? 300);
    fc.assert(
      fc.property(fc.array(deed, { minLength: 5, maxLength: 40 }), (deeds) => {
        const simulator = new MirrorSimulator();
        simulator.command('n1', { verb: 'prim' });
        pass(simulator, 2000);
        simulator.command('n2', { verb: 'start', boot: false });
        pass(simulator, 2000);
        for (const what of deeds) {
          play(simulator, what);
          pass(simulator, 25);
        }
      }),
      { numRuns: runs },
    );
  }).timeout(120_000);

  it('comes to one primary and one synchronised secondary by itself once both nodes are on and started', () => {
    fc.assert(
      fc.property(fc.array(deed, { minLength: 5, maxLength: 30 }), (deeds) => {
        const simulator = new MirrorSimulator();
        simulator.command('n1', { verb: 'prim' });
        pass(simulator, 2000);
        simulator.command('n2', { verb: 'start', boot: false });
        pass(simulator, 2000);
        for (const what of deeds) play(simulator, what);
        simulator.mendScripts();
        pass(simulator, 30_000);
        for (const name of ['n1', 'n2'] as const) {
          simulator.boot(name);
          pass(simulator, 100);
          simulator.command(name, { verb: 'start', boot: false });
        }
        pass(simulator, 40_000);
        const phases = [simulator.node('n1').state?.phase, simulator.node('n2').state?.phase].sort();
        assert.deepEqual(phases, ['PRIM', 'SECOND'], simulator.log.slice(-60).join('\n'));
      }),
      { numRuns: Number(process.env['SIMULATION_RUNS'] ?? 300) / 5 },
    );
  }).timeout(120_000);
});
