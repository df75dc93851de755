/** A secondary that slept hears at one moment that its primary went on without it, and that it has ended. */
import assert from 'node:assert/strict';
import { createMirror, durableAtFirst, step } from '../src/decide/mirror/step.js';
import { reportOf } from '../src/decide/mirror/report.js';
import type { Durable, MirrorState } from '../src/decide/mirror/types.js';
import type { NodeReport } from '../src/model/report.js';
import { MIRROR_SETTINGS } from './mirror-fixture.js';

const SETTINGS = { ...MIRROR_SETTINGS, node: 'n2', peer: 'n1', witness: 'strong' as const };
const DURABLE: Durable = {
  ...durableAtFirst(true),
  lineage: { current: 'a1', epoch: 1, history: [] },
  condition: 'uptodate',
  lastRole: 'secondary',
  started: true,
};

/** A whole secondary of generation a1, whose link is down. */
function secondary(): MirrorState {
  const first = createMirror(SETTINGS, DURABLE, { nowMs: 0, wallMs: 0 });
  return { ...first, phase: 'SECOND', quality: 'Ready', replication: { role: 'secondary', link: 'none', inconsistent: false } };
}

function goodbyeOf(current: string, history: readonly string[]): MirrorState {
  const state = secondary();
  const report: NodeReport = {
    ...reportOf(createMirror({ ...SETTINGS, node: 'n1', peer: 'n2' }, DURABLE, { nowMs: 0, wallMs: 0 })),
    phase: 'STOP',
    lineage: { current, epoch: 1 + history.length, history: [...history] },
    lastRole: 'primary',
    yielded: true,
  };
  const nowMs = 10_000;
  const heard = { kind: 'heartbeat', link: 'default', receivedMs: nowMs, agentTickAgeMs: 0, goodbye: true, report } as const;
  return step(state, { ...heard, nowMs, wallMs: nowMs, freshGeneration: 'f1' }).state;
}

describe('a secondary that hears its primary leave', () => {
  it('takes over when its copy is of the last generation that was', () => {
    assert.equal(goodbyeOf('a1', []).sequence?.name, 'takeover');
  });

  it('does not when the primary had begun another one without it', () => {
    const { sequence, reason } = goodbyeOf('b2', ['a1']);
    assert.notEqual(sequence?.name, 'takeover');
    assert.equal(sequence?.settle.reason.code ?? reason.code, 'takeoverRefused');
  });
});
