/** Whether the replication is told that the core attends: an agent that slept must know its peer again first. */
import assert from 'node:assert/strict';
import { createDetector, detectorHeard, detectorTick, type DetectorState } from '../src/decide/detector.js';
import { createMirror, durableAtFirst } from '../src/decide/mirror/step.js';
import type { MirrorSettings, MirrorState } from '../src/decide/mirror/types.js';
import { Attention } from '../src/engine/attention.js';
import { MIRROR_SETTINGS } from './mirror-fixture.js';

const TIMEOUT_MS = 2000;
const SETTINGS: MirrorSettings = { ...MIRROR_SETTINGS, heartbeatTimeoutMs: TIMEOUT_MS };

function at(nowMs: number, detector: DetectorState): MirrorState {
  return { ...createMirror(SETTINGS, durableAtFirst(true), { nowMs, wallMs: 0 }), detector };
}

describe('the attention of the core', () => {
  const heard = (state: DetectorState, nowMs: number): DetectorState => detectorHeard(detectorTick(state, nowMs), 'lan', nowMs, 0, false);

  it('is there while ticks come and the peer is heard', () => {
    const attention = new Attention();
    const detector = heard(heard(createDetector(TIMEOUT_MS, 0), 50), 100);
    assert.equal(attention.decided(at(100, detector)), true);
    assert.equal(attention.decided(at(150, detectorTick(detector, 150))), true);
  });

  it('is not there after a sleep, until the peer is heard again: it may have taken over', () => {
    const attention = new Attention();
    let detector = heard(heard(createDetector(TIMEOUT_MS, 0), 50), 100);
    assert.equal(attention.decided(at(100, detector)), true);
    detector = detectorTick(detector, 10_100);
    assert.equal(attention.decided(at(10_100, detector)), false);
    // A frame that lay in a queue since before the sleep says nothing.
    assert.equal(attention.decided(at(10_150, detectorHeard(detectorTick(detector, 10_150), 'lan', 5000, 0, false))), false);
    assert.equal(attention.decided(at(10_200, heard(detector, 10_200))), true);
  });

  it('is there again after a sleep when the peer stays silent for the whole timeout', () => {
    const attention = new Attention();
    let detector = heard(heard(createDetector(TIMEOUT_MS, 0), 50), 100);
    assert.equal(attention.decided(at(100, detector)), true);
    let nowMs = 10_100;
    for (; nowMs < 10_100 + TIMEOUT_MS; nowMs += 50) {
      detector = detectorTick(detector, nowMs);
      assert.equal(attention.decided(at(nowMs, detector)), false, `at ${nowMs}`);
    }
    assert.equal(attention.decided(at(nowMs, detectorTick(detector, nowMs))), true);
  });

  it('needs no more than ticks after a short sleep, in which nobody can have taken over', () => {
    const attention = new Attention();
    const detector = heard(heard(createDetector(TIMEOUT_MS, 0), 50), 100);
    assert.equal(attention.decided(at(100, detector)), true);
    assert.equal(attention.decided(at(1600, detectorTick(detector, 1600))), true);
  });
});
