/** The replay window against a model that remembers every number. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ReplayWindow, WINDOW_FRAMES } from '../src/wire/replay-window.js';

describe('replay window', () => {
  it('admits each number once, in any order within the window', () => {
    const window = new ReplayWindow();
    for (const counter of [1, 3, 2, 70, 69, 5]) {
      assert.ok(window.admits(counter), `${counter} is new`);
      window.record(counter);
      assert.ok(!window.admits(counter), `${counter} was taken`);
    }
  });

  it('refuses numbers that fell out of the window, and zero, negative and unsafe ones', () => {
    const window = new ReplayWindow();
    window.record(WINDOW_FRAMES + 10);
    assert.ok(!window.admits(10));
    assert.ok(window.admits(11));
    for (const counter of [0, -1, 1.5, Number.MAX_SAFE_INTEGER + 1, Number.NaN]) assert.ok(!window.admits(counter));
  });

  it('does not spend a number by asking', () => {
    const window = new ReplayWindow();
    assert.ok(window.admits(7));
    assert.ok(window.admits(7));
  });

  it('agrees with a model that remembers everything, over jumps of any size', () => {
    const step = fc.oneof(fc.integer({ min: -1100, max: 3 }), fc.integer({ min: 1, max: 2200 }), fc.constant(1));
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 300 }), (steps) => {
        const window = new ReplayWindow();
        const taken = new Set<number>();
        let highest = 0;
        for (const delta of steps) {
          const counter = highest + delta;
          const expected = counter >= 1 && !taken.has(counter) && (counter > highest || highest - counter < WINDOW_FRAMES);
          assert.equal(window.admits(counter), expected, `counter ${counter}, highest ${highest}`);
          if (!expected) continue;
          window.record(counter);
          taken.add(counter);
          highest = Math.max(highest, counter);
        }
      }),
    );
  });
});
