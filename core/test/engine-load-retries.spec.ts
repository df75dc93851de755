import assert from 'node:assert/strict';
import { LoadRetries } from '../src/engine/load-retries.js';

const MODULE = { name: 'm', id: 1 };

describe('retries of loading a module', () => {
  it('go on until it is loaded, and end then', async () => {
    let calls = 0;
    await new Promise<void>((loaded) => {
      const retries = new LoadRetries((entry) => {
        assert.equal(entry, MODULE);
        calls += 1;
        if (calls < 3) return Promise.reject(new Error('the disk is full'));
        loaded();
        return Promise.resolve();
      }, 1);
      retries.add(MODULE);
    });
    assert.equal(calls, 3);
  });

  it('end when an operator takes the module into his hands, and when the agent ends', async () => {
    const tried: string[] = [];
    const retries = new LoadRetries(({ name }) => {
      tried.push(name);
      return Promise.reject(new Error('the disk is full'));
    }, 1);
    retries.add(MODULE);
    retries.forget('m');
    const other = new LoadRetries(() => Promise.resolve(), 1);
    other.add(MODULE);
    other.close();
    other.add(MODULE);
    // A timer that was set later and as long is due later: those before it were not.
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(tried, []);
  });
});
