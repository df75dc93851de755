/** Figures of checks: of this node, what travels of them, and of the other one as it is heard. */
import assert from 'node:assert/strict';
import type { Figure } from '@holdfast/sdk';
import { FIGURES_TOLD_MAX, PEER_FIGURES_FRESH_MS, ResourceFigures } from '../src/engine/resource-figures.js';

const FSYNC: Figure = { name: 'fsync', value: 4.12345, unit: 'ms' };

describe('figures', () => {
  it('travel rounded, a bounded number of them, and only what is a figure', () => {
    const figures = new ResourceFigures(() => 0);
    const told = (): typeof figures.told => figures.told;
    assert.equal(told(), undefined);
    figures.set('disk.data', [FSYNC, { ...FSYNC, name: 'Bad name' }, { ...FSYNC, name: 'a', value: Number.NaN }]);
    assert.deepEqual(told(), [['disk.data', 'fsync', 4.123, 'ms']]);
    for (let index = 0; index < FIGURES_TOLD_MAX; index += 1) figures.set(`disk.a${index}`, [FSYNC]);
    assert.equal(told()?.length, FIGURES_TOLD_MAX);
    assert(!told()?.some(([resource]) => resource === 'disk.data'), 'the last by name has no room');
    for (let index = 0; index < FIGURES_TOLD_MAX; index += 1) figures.set(`disk.a${index}`);
    figures.set('disk.data', []);
    assert.equal(told(), undefined);
  });

  it('of the other node are known while it is heard and runs the same configuration', () => {
    let nowMs = 1000;
    const figures = new ResourceFigures(() => nowMs);
    assert.equal(figures.ofPeer('disk.data', 'fsync'), undefined);
    const report = { configuration: 'a', figures: [['disk.data', 'fsync', 7, 'ms']] as const };
    figures.hear(report, 'a', nowMs);
    assert.deepEqual(figures.ofPeer('disk.data', 'fsync'), { name: 'fsync', value: 7, unit: 'ms' });
    assert.equal(figures.ofPeer('disk.data', 'other'), undefined);
    nowMs += PEER_FIGURES_FRESH_MS + 1;
    assert.equal(figures.ofPeer('disk.data', 'fsync'), undefined, 'it is silent');
    figures.hear(report, 'a', nowMs);
    assert.equal(figures.ofPeer('disk.data', 'fsync')?.value, 7);
    figures.hear(report, 'b', nowMs);
    assert.equal(figures.ofPeer('disk.data', 'fsync'), undefined, 'another configuration may mean something else');
    figures.hear(report, 'a', nowMs);
    figures.forgetPeer();
    assert.equal(figures.ofPeer('disk.data', 'fsync'), undefined, 'it is lost');
    figures.hear(report, 'a', nowMs);
    assert.equal(figures.ofPeer('disk.data', 'fsync')?.value, 7, 'it is back');
    figures.hear({ configuration: 'a' }, 'a', nowMs);
    assert.equal(figures.ofPeer('disk.data', 'fsync'), undefined, 'its check measures nothing any more');
  });
});
