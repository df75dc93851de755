/** When an address counts as free for a start that takes over from nobody. */
import assert from 'node:assert/strict';
import type { VirtualIp } from '@holdfast/sdk';
import { AddressProbe } from '../src/engine/address-probe.js';

const IGNORE = (): void => undefined;

/** An address whose owner is asked for by the number of the question. */
function addressOf(ownerAt: (question: number) => string | undefined): { readonly address: VirtualIp; questions: () => number } {
  let questions = 0;
  const address: VirtualIp = {
    probe: async () => {
      const owner = ownerAt(questions);
      questions += 1;
      const named = { address: '10.0.0.9', interface: 'eth0' };
      return [owner === undefined ? { ...named, state: 'absent' } : { ...named, state: 'conflict', otherOwner: owner }];
    },
    acquire: async () => undefined,
    renew: IGNORE,
    verify: async () => [],
    release: async () => undefined,
    onConflict: IGNORE,
    close: async () => undefined,
  };
  return { address, questions: () => questions };
}

describe('the probe of addresses', () => {
  const taken = { code: 'HF_VIP_TAKEN', message: /10\.0\.0\.9 is answered by another host \(02:00:00:00:00:01\)/ };
  const owner = '02:00:00:00:00:01';

  it('asks once where nobody has answered so far', async () => {
    const { address, questions } = addressOf(() => undefined);
    await new AddressProbe({ addresses: [address], monotonicMs: () => 0, isNeedless: () => false }).assertFree();
    assert.equal(questions(), 1);
  });

  it('does not believe that an address is free when its owner is silent for the moment in which it moves', async () => {
    const { address } = addressOf((question) => (question === 1 || question === 2 ? undefined : owner));
    let nowMs = 0;
    const probe = new AddressProbe({ addresses: [address], monotonicMs: () => (nowMs += 10), isNeedless: () => false, silenceMs: 100 });
    await assert.rejects(probe.assertFree(), taken);
    await assert.rejects(probe.assertFree(), taken);
  });

  it('believes it when the owner was silent for the whole time, and then at once the next time', async () => {
    const { address, questions } = addressOf((question) => (question === 0 ? owner : undefined));
    let nowMs = 0;
    const probe = new AddressProbe({ addresses: [address], monotonicMs: () => (nowMs += 30), isNeedless: () => false, silenceMs: 100 });
    await assert.rejects(probe.assertFree(), taken);
    await probe.assertFree();
    assert.ok(questions() > 3, `${questions()} questions`);
    const before = questions();
    await probe.assertFree();
    assert.equal(questions(), before + 1);
  });

  it('ends early when nobody waits for it', async () => {
    const { address, questions } = addressOf(() => owner);
    const probe = new AddressProbe({ addresses: [address], monotonicMs: () => 0, isNeedless: () => questions() > 0 });
    await assert.rejects(probe.assertFree(), taken);
    await probe.assertFree();
    assert.equal(questions(), 1);
  });
});
