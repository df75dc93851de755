import assert from 'node:assert/strict';
import { RetryDelay } from '../src/process/retry-delay.js';

describe('delay between attempts to reach the peer', () => {
  let nowMs: number;
  let delay: RetryDelay;
  beforeEach(() => {
    nowMs = 1000;
    delay = new RetryDelay(() => nowMs);
  });

  it('is none at first, grows to a second, and is short again after a connection', () => {
    assert.equal(delay.first(), 0);
    assert.deepEqual(
      Array.from({ length: 7 }, () => delay.next()),
      [50, 100, 200, 400, 800, 1000, 1000],
    );
    delay.connected();
    delay.lost('HF_REPLICATION_LINK_LOST');
    assert.equal(delay.next(), 50);
  });

  it('grows to ten seconds, over connections, while the peer loses them for its disk', () => {
    const rests: number[] = [];
    for (let loss = 0; loss < 7; loss += 1) {
      delay.connected();
      nowMs += 200;
      delay.lost('HF_REPLICATION_APPLY');
      // The core lets the lost peer go, and wants it back.
      rests.push(delay.first());
      nowMs += rests.at(-1) ?? 0;
      assert.equal(delay.first(), 0);
    }
    assert.deepEqual(rests, [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  });

  it('is short again when a connection has lasted', () => {
    for (const lastsMs of [100, 100, 60_000]) {
      delay.connected();
      nowMs += lastsMs;
      delay.connected();
      delay.lost('HF_REPLICATION_TARGET');
    }
    assert.equal(delay.first(), 1000);
  });
});
