import assert from 'node:assert/strict';
import { beginGeneration, LINEAGE_EMPTY } from '../src/model/generation.js';
import { refusalOf } from '../src/decide/mirror/commands.js';
import { createMirror, durableAtFirst, step } from '../src/decide/mirror/step.js';
import type { Action, Durable, MirrorEvent, MirrorSettings, MirrorState, ReplicationFacts } from '../src/decide/mirror/types.js';
import { MIRROR_SETTINGS } from './mirror-fixture.js';

const AT = '2026-03-01T10:00:00.000Z';
const SETTINGS: MirrorSettings = {
  ...MIRROR_SETTINGS,
  module: 'ledger',
  node: 'n2',
  peer: 'n1',
  undecidedLimitMs: 10_000,
  claimDelayMs: 1000,
  configuration: 'digest',
};
const DURABLE: Durable = {
  ...durableAtFirst(true),
  lineage: beginGeneration(LINEAGE_EMPTY, 'first', 0),
  condition: 'inconsistent',
  lastRole: 'secondary',
};

function stopped(facts: Partial<ReplicationFacts>, durable: Durable = DURABLE): MirrorState {
  const state = createMirror(SETTINGS, durable, { nowMs: 0, wallMs: 0 });
  return { ...state, replication: { ...state.replication, inconsistent: true, ...facts } };
}

describe('prim on a copy that is partly synchronised', () => {
  it('is refused, and says that there is an image, of when, and what it costs', () => {
    assert.match(
      refusalOf(stopped({ image: AT }), { verb: 'prim' }) ?? '',
      /"prim --image" puts it back to 2026-03-01.*gives up what n1 wrote/,
    );
    assert.doesNotMatch(refusalOf(stopped({}), { verb: 'prim' }) ?? '', /image/);
  });

  it('is refused with --image where there is none, where nothing is to be put back, and on a copy that never was one', () => {
    const image = { verb: 'prim', image: true } as const;
    assert.match(refusalOf(stopped({}), image) ?? '', /no image/);
    assert.match(refusalOf(stopped({ inconsistent: false, image: AT }, { ...DURABLE, condition: 'outdated' }), image) ?? '', /use "prim"/);
    assert.match(refusalOf(stopped({ image: AT }, { ...DURABLE, lineage: LINEAGE_EMPTY }), image) ?? '', /never synchronised/);
    assert.match(refusalOf(stopped({}), { ...image, force: true }) ?? '', /no image/);
    assert.equal(refusalOf(stopped({ image: AT }), image), undefined);
  });

  it('begins a new generation from the one that the image is of, and has the tree put back before anything else', () => {
    let state = stopped({ image: AT });
    let nowMs = 0;
    const done: Action[] = [];
    const play = (event: Record<string, unknown>): void => {
      nowMs += 50;
      const transition = step(state, { ...event, nowMs, wallMs: nowMs, freshGeneration: 'second' } as unknown as MirrorEvent);
      state = transition.state;
      for (const { id, action } of transition.actions) {
        done.push(action);
        if (action.kind === 'becomePrimary') state = { ...state, replication: { role: 'primary', link: 'none', inconsistent: false } };
        play({ kind: 'actionDone', id });
      }
    };
    play({ kind: 'operator', command: { verb: 'prim', image: true } });
    for (let ticks = 0; ticks < 200 && state.phase !== 'ALONE'; ticks += 1) play({ kind: 'tick' });
    assert.equal(state.phase, 'ALONE');
    const promoted = done.find((action) => action.kind === 'becomePrimary');
    assert.deepEqual(promoted, {
      kind: 'becomePrimary',
      term: { generation: 'second', epoch: 2 },
      base: 'first',
      fresh: true,
      image: true,
    });
    assert.equal(state.durable.lineage.history.includes('first'), true);
    const persisted = done.findIndex((action) => action.kind === 'persist' && action.durable.lineage.current === 'second');
    assert.ok(persisted >= 0 && persisted < done.indexOf(promoted));
  });
});
