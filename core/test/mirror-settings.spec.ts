/** Other settings for an automaton that runs: between two sequences, and never what was opened or agreed upon. */
import assert from 'node:assert/strict';
import { RULE_PROGRESS_EMPTY } from '../src/decide/rules/progress.js';
import { type FailoverConfiguration, RULE_FACTS_EMPTY } from '../src/model/rules.js';
import { createMirror, durableAtFirst, step } from '../src/decide/mirror/step.js';
import type { MirrorSettings, MirrorState } from '../src/decide/mirror/types.js';
import { MIRROR_SETTINGS } from './mirror-fixture.js';

const SETTINGS: MirrorSettings = { ...MIRROR_SETTINGS, module: 'ledger', replicated: false, configuration: 'old' };
const OTHER: MirrorSettings = { ...SETTINGS, maxLoop: 9, heartbeatTimeoutMs: 5000, configuration: 'new' };
const CLOCK = { nowMs: 1000, wallMs: 1000, freshGeneration: 'ab' };

function stopped(): MirrorState {
  return createMirror(SETTINGS, durableAtFirst(false), CLOCK);
}

describe('the settings of an automaton', () => {
  it('are replaced as a whole between two sequences, and the detector counts with the new timeout', () => {
    const { state, actions } = step(stopped(), { kind: 'settings', settings: OTHER, ...CLOCK });
    assert.deepEqual(state.settings, OTHER);
    assert.equal(state.detector.timeoutMs, 5000);
    assert.deepEqual(actions, []);
  });

  it('stay as they are while a sequence is under way', () => {
    const { state: starting } = step(stopped(), { kind: 'operator', command: { verb: 'start', boot: false }, ...CLOCK });
    assert.ok(starting.sequence !== undefined);
    const { state } = step(starting, { kind: 'settings', settings: OTHER, ...CLOCK });
    assert.deepEqual(state.settings, SETTINGS);
    assert.deepEqual(state.sequence, starting.sequence);
  });

  it('bring other failover rules with the facts that these need, and each must hold anew', () => {
    const selector = 'tcp.web';
    const when = { kind: 'compare', scope: 'local', selector, is: 'down', negated: false } as const;
    const rules = (label: string): FailoverConfiguration => ({
      extends: true,
      periodMs: 200,
      handleTimeMs: 1000,
      rules: [{ label, when, action: 'noaction' }],
      disabled: [],
      local: [selector],
      remote: [],
    });
    const facts = { ...RULE_FACTS_EMPTY, tallies: { [selector]: { init: 0, up: 0, down: 1, unknown: 0, pending: 0 } } };
    const before: MirrorState = {
      ...stopped(),
      settings: { ...SETTINGS, rules: rules('old') },
      ruleProgress: { evaluatedMs: 900, sinceMs: { old: 500 }, refused: ['old'] },
    };
    const { state } = step(before, { kind: 'settings', settings: { ...OTHER, rules: rules('new') }, facts, ...CLOCK });
    assert.deepEqual(state.ruleProgress, RULE_PROGRESS_EMPTY);
    assert.deepEqual(state.ruleFacts, facts);
    const same = step(before, { kind: 'settings', settings: { ...OTHER, rules: rules('old') }, ...CLOCK }).state;
    assert.deepEqual(same.ruleProgress.sinceMs, { old: 500 }, 'the same rules hold on');
    const none = step(before, { kind: 'settings', settings: OTHER, ...CLOCK }).state;
    assert.equal(none.settings.rules, undefined);
    assert.deepEqual(none.ruleProgress, RULE_PROGRESS_EMPTY);
  });

  it('cannot make another module of it', () => {
    for (const change of [{ peer: 'n3' }, { replicated: true }, { hasAddresses: true }, { witness: 'strong' as const }]) {
      assert.throws(() => step(stopped(), { kind: 'settings', settings: { ...OTHER, ...change }, ...CLOCK }), /cannot change/);
    }
  });
});
