import assert from 'node:assert/strict';
import type { ReplicationStatus, VerifyResult } from '@holdfast/sdk';
import { verificationRefusal, VerificationEvents } from '../src/engine/verification.js';

const CONNECTED: ReplicationStatus = { role: 'primary', link: 'connected', inconsistent: false };
const PROGRESS = { id: 'v2', phase: 'comparing', objectsDone: 0, bytesDone: 0, bytesPerSecond: 0, differences: 0 } as const;
const RESULT: VerifyResult = {
  id: 'v2',
  outcome: 'identical',
  node: 'n1',
  at: '2026-11-20T14:02:00.000Z',
  durationMs: 1500,
  objects: 10,
  bytes: 1000,
  differences: 0,
  listed: [],
  repaired: 0,
};

describe('verification in the agent', () => {
  it('is refused with the reason unless the node is a connected primary where none runs', () => {
    assert.equal(verificationRefusal(CONNECTED, 'n2'), undefined);
    assert.match(verificationRefusal(undefined, 'n2') ?? '', /replicates nothing/);
    assert.match(verificationRefusal({ ...CONNECTED, role: 'secondary' }, 'n2') ?? '', /run it on n2/);
    assert.match(verificationRefusal({ ...CONNECTED, role: 'stopped', link: 'none' }, 'n2') ?? '', /stopped/);
    assert.match(verificationRefusal({ ...CONNECTED, link: 'holding' }, 'n2') ?? '', /holding/);
    assert.match(verificationRefusal({ ...CONNECTED, verification: { progress: PROGRESS } }, 'n2') ?? '', /already/);
  });

  it('is told once: its beginning, its result, a result after a repair, and why there is none', () => {
    const events = new VerificationEvents(undefined, 'n1');
    const levels = (...parameters: Parameters<VerificationEvents['take']>): string[] =>
      events.take(...parameters).map(({ level, text }) => `${level} ${text}`);
    assert.deepEqual(levels({ progress: PROGRESS }), ['I both copies are being compared']);
    assert.deepEqual(levels({ progress: { ...PROGRESS, objectsDone: 5 } }), []);
    const listed = [{ directory: '/data', path: 'a', differs: ['mode'], detail: 'mode 0644 here, 0600 there' }];
    const different = { ...RESULT, outcome: 'different', differences: 30, listed } as const;
    const alarm = levels({ progress: PROGRESS, last: different });
    assert.match(alarm[0] ?? '', /^C 30 objects differ: 10 objects.*verify --repair/);
    assert.deepEqual(alarm.slice(1), ['C differs: /data/a: mode 0644 here, 0600 there', 'C and 29 more']);
    const repaired = { ...RESULT, at: '2026-11-20T14:03:00.000Z', repaired: 30 };
    assert.deepEqual(levels({ last: repaired }), ['E both copies are identical, 30 repaired: 10 objects, 1000 bytes compared in 1.5 s']);
    assert.deepEqual(levels({ last: repaired }), []);
    const failure = { id: 'v3', at: '2026-11-20T14:04:00.000Z', code: 'HF_X', message: 'the link was lost' };
    assert.deepEqual(levels({ last: repaired, failure }), ['E the verification ended without a result: the link was lost']);
  });

  it('is no news when it was there at the start, and only information when the other node made it', () => {
    const events = new VerificationEvents({ last: RESULT }, 'n2');
    assert.deepEqual(events.take({ last: RESULT }), []);
    const [line] = events.take({ last: { ...RESULT, id: 'v9', outcome: 'different', differences: 1 } });
    assert.deepEqual([line?.level, line?.text.startsWith('n1 tells: 1 objects differ')], ['I', true]);
  });
});
