import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { activeRule } from '../src/decide/mirror/resources.js';
import { createMirror, durableAtFirst, step } from '../src/decide/mirror/step.js';
import { holds, writeExpression } from '../src/decide/rules/expression.js';
import { advance, due, RULE_PROGRESS_EMPTY } from '../src/decide/rules/progress.js';
import { decodeReport, encodeReport } from '../src/engine/heartbeat-payload.js';
import { reportOf } from '../src/decide/mirror/report.js';
import type { MirrorSettings } from '../src/decide/mirror/types.js';
import type { FailoverConfiguration, RuleExpression, Tally } from '../src/model/rules.js';
import { MIRROR_SETTINGS } from './mirror-fixture.js';
import { mirror, parse } from './config-fixtures.js';
import { MirrorSimulator } from './mirror-simulator.js';
import { processorMs } from './processor-time.js';

const NAMES = ['tcp.a', 'ping.b', 'custom.c'];

function failover(rules: string): FailoverConfiguration {
  const tcp = '<check><tcp ident="x"><to addr="10.0.0.1" port="80"/></tcp></check>';
  const { configuration } = parse(mirror(`${tcp}<failover><![CDATA[${rules}]]></failover>`), { resourcesOf: () => NAMES });
  assert.ok(configuration.failover !== undefined);
  return configuration.failover;
}

function tally(change: Partial<Tally>): Tally {
  return { init: 0, up: 0, down: 0, unknown: 0, pending: 0, ...change };
}

const settings: MirrorSettings = { ...MIRROR_SETTINGS, hasAddresses: true, swapLimitMs: 10_000, configuration: 'c'.repeat(64) };

describe('an expression of a failover rule', () => {
  const compare = (selector: string, is: 'up' | 'down', negated = false): RuleExpression => ({
    kind: 'compare',
    scope: 'local',
    selector,
    is,
    negated,
  });
  const view = (tallies: Record<string, Tally>): Parameters<typeof holds>[1] => ({ local: tallies, remote: undefined, clustered: false });

  it('means all by * and any by ?, and nothing where no resource is', () => {
    const some = view({ 'tcp.*': tally({ up: 1, down: 2 }), 'tcp.?': tally({ up: 1, down: 2 }), 'ip.*': tally({}) });
    assert.equal(holds(compare('tcp.*', 'down'), some), false);
    assert.equal(holds(compare('tcp.?', 'down'), some), true);
    assert.equal(holds(compare('tcp.*', 'down', true), some), false);
    assert.equal(holds(compare('tcp.?', 'down', true), some), true);
    assert.equal(holds(compare('tcp.*', 'down'), view({ 'tcp.*': tally({ down: 10_000 }) })), true);
    for (const negated of [false, true]) {
      assert.equal(holds(compare('ip.*', 'up', negated), some), false);
      assert.equal(holds(compare('ip.nothing', 'up', negated), some), false);
    }
  });

  it('is written as it can be read again, whatever it is', () => {
    const leaf = fc.record({
      kind: fc.constant('compare' as const),
      scope: fc.constantFrom('local' as const, 'remote' as const),
      selector: fc.constantFrom('tcp.a', 'tcp.*', 'ping.?', 'custom.c'),
      is: fc.constantFrom('up' as const, 'down' as const, 'init' as const, 'unknown' as const),
      negated: fc.boolean(),
    });
    const { tree } = fc.letrec<{ tree: RuleExpression }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.constant({ kind: 'cluster' as const }),
        fc.record({ kind: fc.constant('not' as const), of: tie('tree') }),
        fc.record({ kind: fc.constantFrom('and' as const, 'or' as const), of: fc.array(tie('tree'), { minLength: 2, maxLength: 3 }) }),
      ),
    }));
    fc.assert(
      fc.property(tree, (expression) => {
        const text = writeExpression(expression);
        const [rule] = failover(`a: if (${text}) then stop();`).rules;
        assert.ok(rule !== undefined);
        assert.equal(writeExpression(rule.when), text);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a failover rule over time', () => {
  const rules = failover('a: if (tcp.a == down) then restart(); constructor: if (tcp.a == up) then stop();');
  const view = (value: 'up' | 'down'): Parameters<typeof advance>[2] => ({
    local: { 'tcp.a': tally({ [value]: 1 }) },
    remote: undefined,
    clustered: true,
  });

  it('is due when it held for the handle time, and a gap in looking begins anew', () => {
    let progress = advance(rules, RULE_PROGRESS_EMPTY, view('down'), 0);
    for (let nowMs = 50; nowMs < 5000; nowMs += 50) {
      progress = advance(rules, progress, view('down'), nowMs);
      assert.deepEqual(due(rules, progress, nowMs), []);
    }
    progress = advance(rules, progress, view('down'), 5000);
    assert.deepEqual(
      due(rules, progress, 5000).map(({ label }) => label),
      ['a'],
    );
    progress = advance(rules, progress, view('down'), 60_000);
    assert.deepEqual(due(rules, progress, 60_000), [], 'nobody looked for a minute');
  });

  it('may have a label that objects have too', () => {
    const down = advance(rules, RULE_PROGRESS_EMPTY, view('down'), 0);
    assert.deepEqual(Object.keys(down.sinceMs), ['a']);
    assert.deepEqual(
      due(rules, down, 5000).map(({ label }) => label),
      ['a'],
    );
  });
});

describe('ten thousand resources', () => {
  it('that go down at once are decided about in a moment', () => {
    const clock = { nowMs: 1000, wallMs: 1000 };
    let state = createMirror(settings, durableAtFirst(true), clock);
    const started = processorMs();
    for (let index = 0; index < 10_000; index += 1) {
      const name = `tcp.r${index}`;
      const action = index === 9_999 ? 'wait' : 'restart';
      ({ state } = step(state, { kind: 'resource', name, value: 'down', detail: 'refused', action, ...clock, freshGeneration: 'f' }));
    }
    const tookMs = processorMs() - started;
    assert.ok(Object.keys(state.resources).length <= 100);
    assert.equal(state.resources['tcp.r9999']?.action, 'wait', 'the gravest always has room');
    assert.ok(tookMs < 5_000, `${Math.round(tookMs)} ms`);
  });

  it('of a peer fit into a heartbeat: only counts of what rules name travel', () => {
    const names = Array.from({ length: 256 }, (_, index) => `tcp.${'x'.repeat(60)}${index}`);
    const conditions = Array.from({ length: 4 }, (_, rule) => names.slice(rule * 64, rule * 64 + 64).map((name) => `remote.${name} == up`));
    const rules = failover(conditions.map((list, rule) => `r${rule}: if (${list.join(' && ')}) then noaction();`).join('\n'));
    assert.equal(rules.remote.length, 256);
    const random = (index: number): number => (index * 7919) % 10_001;
    const tallies = Object.fromEntries(
      rules.remote.map((name, index) => [name, tally({ up: random(index), down: random(index + 1), unknown: random(index + 2) })]),
    );
    const history = Array.from({ length: 64 }, (_, index) => createHash('sha256').update(`${index}`).digest('hex').slice(0, 32));
    const durable = { ...durableAtFirst(true), lineage: { current: 'f'.repeat(32), epoch: 70, history } };
    const fresh = createMirror({ ...settings, rules }, durable, { nowMs: 1000, wallMs: 1000 });
    const facts = { tallies, waiting: { pending: [], down: [] } };
    const { state } = step(fresh, { kind: 'ruleFacts', facts, nowMs: 1000, wallMs: 1000, freshGeneration: 'f' });
    const payload = encodeReport(reportOf(state));
    assert.ok(payload.length < 8192, `${payload.length} bytes`);
    assert.deepEqual(decodeReport(payload)?.tallies?.[0], [0, random(0), random(1), random(2)]);
  });
});

describe('the rule that is shown', () => {
  it('is the one that keeps the module waiting, else the gravest that holds', () => {
    const watched = [{ resource: 'ping.b', action: 'wait' as const, phase: 'pre' }];
    const rules = failover('seen: if (tcp.a == down) then noaction(); graver: if (custom.c == down) then stop();');
    const simulator = new MirrorSimulator({ rules, watched });
    const shown = (): unknown => {
      const { state } = simulator.node('n1');
      return state === undefined ? undefined : activeRule(state);
    };
    simulator.verdict('n1', 'ping.b', 'down');
    simulator.command('n1', { verb: 'start', boot: false });
    simulator.run(1_000);
    assert.deepEqual(shown(), { label: 'p_b', action: 'wait' });
    assert.match(simulator.command('n1', { verb: 'prim' }) ?? '', /failover rule p_b keeps the module waiting/);
    simulator.verdict('n1', 'ping.b', 'up');
    simulator.run(1_000);
    assert.equal(shown(), undefined);
    simulator.command('n1', { verb: 'prim' });
    simulator.verdict('n1', 'tcp.a', 'down');
    simulator.run(2_000);
    assert.deepEqual(shown(), { label: 'seen', action: 'noaction' });
    simulator.verdict('n1', 'custom.c', 'down');
    simulator.run(2_000);
    assert.deepEqual(shown(), { label: 'graver', action: 'stop' });
  });
});

describe('resources that flap at random under random rules', () => {
  const actions = ['restart', 'stopstart', 'stop', 'wait', 'swap', 'noaction'] as const;
  const conditions = [
    'tcp.a == down',
    'ping.b == down',
    'custom.c != up',
    'remote.tcp.a == up && local.tcp.a == down',
    '!cluster() || custom.c == unknown',
    'tcp.? == down && remote.custom.c == up',
  ];

  it('never lead to two nodes that serve, nor to more automatic actions than maxloop allows', function () {
    this.timeout(60_000);
    const rule = fc.record({ when: fc.constantFrom(...conditions), action: fc.constantFrom(...actions) });
    const change = fc.record({
      node: fc.constantFrom('n1', 'n2'),
      resource: fc.constantFrom(...NAMES),
      value: fc.constantFrom('up' as const, 'down' as const, 'unknown' as const),
      forMs: fc.integer({ min: 10, max: 7_000 }),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(rule, { selector: ({ when }) => when, minLength: 1, maxLength: 4 }),
        fc.array(change, { minLength: 10, maxLength: 40 }),
        fc.constantFrom('wait' as const, 'restart' as const, 'stopstart' as const),
        (rules, changes, action) => {
          const text = rules.map(({ when, action: what }, index) => `r${index}: if (${when}) then ${what}();`).join('\n');
          const watched = [
            { resource: 'ping.b', action: 'wait' as const, phase: 'pre' },
            { resource: 'tcp.a', action, phase: 'prim' },
            { resource: 'custom.c', action: 'noaction' as const, phase: 'both' },
          ];
          const simulator = new MirrorSimulator({ rules: failover(text), watched });
          for (const node of ['n1', 'n2']) for (const name of NAMES) simulator.verdict(node, name, 'up');
          simulator.command('n1', { verb: 'prim' });
          simulator.command('n2', { verb: 'start', boot: false });
          simulator.run(5_000);
          for (const { node, resource, value, forMs } of changes) {
            simulator.verdict(node, resource, value);
            for (let passed = 0; passed < forMs; passed += 200) {
              simulator.run(Math.min(200, forMs - passed));
              assert.ok(simulator.serving().length <= 1, `both serve:\n${simulator.log.slice(-40).join('\n')}`);
            }
          }
          for (const node of ['n1', 'n2']) {
            const acted = simulator.log.filter(
              (line) => line.includes(` ${node} because: failover rule r`) || line.includes(` ${node} because: resource `),
            );
            const counted = acted.filter((line) => !/: (noaction|stop)$/.test(line) && !/wants a swap|keeps the module/.test(line));
            assert.ok(counted.length <= 3, counted.join('\n'));
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});
