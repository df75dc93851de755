/** What drivers of virtual addresses are told between the decisions that take and release them. */
import assert from 'node:assert/strict';
import type { Readiness, VirtualIp } from '@holdfast/sdk';
import { createMirror, durableAtFirst } from '../src/decide/mirror/step.js';
import type { MirrorState } from '../src/decide/mirror/types.js';
import { AddressKeeper } from '../src/engine/address-keeper.js';
import { ResourceBook } from '../src/engine/resource-book.js';
import { MIRROR_SETTINGS } from './mirror-fixture.js';

const IGNORE = (): void => undefined;
const SETTINGS = { ...MIRROR_SETTINGS, hasAddresses: true };
const PRIMARY: MirrorState = {
  ...createMirror(SETTINGS, durableAtFirst(true), { nowMs: 0, wallMs: 0 }),
  phase: 'PRIM',
  quality: 'Ready',
  addresses: 'acquired',
  groups: ['both', 'prim'],
};
const DEPOSED: MirrorState = {
  ...PRIMARY,
  sequence: {
    name: 'deposed',
    steps: [],
    at: 0,
    stepSinceMs: 0,
    onAbort: 'ignore',
    settle: { quality: 'NotReady', reason: PRIMARY.reason },
    leaving: false,
  },
};

describe('the keeper of addresses', () => {
  it('tells a driver that the application serves, and that it does not where the addresses were given up', () => {
    const told: Readiness[] = [];
    const released: string[] = [];
    let state = PRIMARY;
    const address: VirtualIp = {
      probe: async () => [],
      acquire: async () => undefined,
      renew: IGNORE,
      ready: (readiness) => told.push(readiness),
      verify: async () => [],
      release: async () => void released.push('released'),
      onConflict: IGNORE,
      close: async () => undefined,
    };
    const keeper = new AddressKeeper({
      addresses: [address],
      resources: new ResourceBook(),
      diagnostics: { debug: IGNORE, info: IGNORE, warn: IGNORE, error: IGNORE },
      write: IGNORE,
      state: () => state,
      observed: IGNORE,
    });
    keeper.decided();
    assert.deepEqual(told.pop(), { isReady: true, detail: 'PRIM (Ready)' });
    state = DEPOSED;
    keeper.decided();
    assert.deepEqual(released, ['released']);
    const { isReady, detail } = told.pop() ?? { isReady: true, detail: '' };
    assert.equal(isReady, false);
    assert.match(detail, /^PRIM \(Ready\), and it is not decided/);
  });
});
