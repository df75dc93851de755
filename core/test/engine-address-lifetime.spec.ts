import assert from 'node:assert/strict';
import { addressLifetimeMs, addressOutlivesMs, leaseTimeoutMsMin } from '../src/model/address-lifetime.js';

describe('the lease of virtual addresses', () => {
  it('is whole seconds, and over before the peer takes them, for every timeout and pulse that the configuration accepts', () => {
    for (let timeoutMs = 200; timeoutMs <= 20_000; timeoutMs += 50) {
      assert.equal(addressLifetimeMs(timeoutMs) % 1000, 0);
      assert.ok(addressLifetimeMs(timeoutMs) >= 1000);
      for (const pulseMs of [20, 100, timeoutMs / 8, timeoutMs / 4]) {
        const isOver = addressOutlivesMs(timeoutMs, pulseMs) < timeoutMs;
        assert.equal(isOver, timeoutMs >= leaseTimeoutMsMin(pulseMs), `timeout ${timeoutMs} ms, pulse ${pulseMs} ms`);
      }
    }
  });

  it('holds for the default timeout and pulse with more than half a second to spare', () => {
    assert.equal(addressLifetimeMs(2000), 1000);
    assert.equal(addressOutlivesMs(2000, 100), 1450);
  });
});
