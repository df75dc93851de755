/** A node whose state cannot be written. */
import assert from 'node:assert/strict';
import { durableAtFirst } from '../src/decide/mirror/step.js';
import type { Durable } from '../src/decide/mirror/types.js';
import { StateKeeper } from '../src/engine/state-keeper.js';

describe('the keeper of a module’s state', () => {
  let nowMs = 0;
  let isBroken = false;
  let written: number[] = [];
  let changes: boolean[] = [];
  let keeper: StateKeeper;
  const stateOf = (count: number): Durable => ({ ...durableAtFirst(true), loop: { count, sinceWallMs: 0 } });
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  beforeEach(() => {
    nowMs = 0;
    isBroken = false;
    written = [];
    changes = [];
    let running = 0;
    const write = async (durable: Durable): Promise<void> => {
      running += 1;
      assert.equal(running, 1, 'writes do not overlap');
      await Promise.resolve();
      running -= 1;
      if (isBroken) throw new Error('EIO: i/o error, write');
      written.push(durable.loop.count);
    };
    keeper = new StateKeeper(
      { write },
      () => nowMs,
      (isFailing) => changes.push(isFailing),
    );
  });

  it('writes one state after the other, in their order', async () => {
    await Promise.all([keeper.write(stateOf(1)), keeper.write(stateOf(2)), keeper.write(stateOf(3))]);
    assert.deepEqual(written, [1, 2, 3]);
    assert.equal(keeper.isFailing, false);
    assert.deepEqual(changes, []);
  });

  it('fails from the first write that fails until one succeeds, and tries by itself once a second', async () => {
    isBroken = true;
    await assert.rejects(keeper.write(stateOf(1)), /EIO/);
    await settled();
    assert.equal(keeper.isFailing, true);
    nowMs = 500;
    isBroken = false;
    keeper.tick(stateOf(7));
    await settled();
    assert.deepEqual(written, [], 'not yet');
    nowMs = 1000;
    keeper.tick(stateOf(7));
    keeper.tick(stateOf(7));
    await settled();
    assert.deepEqual(written, [7]);
    assert.equal(keeper.isFailing, false);
    nowMs = 5000;
    keeper.tick(stateOf(7));
    await settled();
    assert.deepEqual(written, [7], 'nothing to repeat');
    assert.deepEqual(changes, [true, false]);
  });

  it('writes what comes after a failure', async () => {
    isBroken = true;
    await assert.rejects(keeper.write(stateOf(1)), /EIO/);
    isBroken = false;
    await keeper.write(stateOf(2));
    await settled();
    assert.equal(keeper.isFailing, false);
    assert.deepEqual(written, [2]);
  });
});
