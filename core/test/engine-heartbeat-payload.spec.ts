import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { decodeReport, encodeReport } from '../src/engine/heartbeat-payload.js';
import { FIGURES_TOLD_MAX } from '../src/engine/resource-figures.js';
import { LINEAGE_HISTORY_MAX } from '../src/model/generation.js';
import type { NodeReport } from '../src/model/report.js';

const generation = (): string => randomBytes(16).toString('hex');

const REPORT: NodeReport = {
  node: 'n1',
  module: 'ledger',
  phase: 'ALONE',
  quality: 'Ready',
  lineage: { current: generation(), epoch: 7, history: Array.from({ length: LINEAGE_HISTORY_MAX }, generation) },
  condition: 'uptodate',
  lastRole: 'primary',
  forkedAs: 'secondary',
  link: 'holding',
  journalSince: generation(),
  configuration: 'c'.repeat(64),
  handingOver: false,
  claiming: true,
  agreement: { number: 7, mode: 'witness', holder: 'n1', settled: true, epoch: 3 },
  witness: 'up',
  yielded: false,
  formerPrimary: true,
  deciding: { heartbeatTimeoutMs: 2000, witnesses: 'http {"address":"10.0.0.9:9454"}', defaultPrimary: 'alone' },
  seenGeneration: generation(),
};

describe('heartbeat payload', () => {
  it('carries a report with the longest history and gives it back unchanged', () => {
    assert.deepEqual(decodeReport(encodeReport(REPORT)), REPORT);
  });

  it('carries figures, and leaves them out rather than not being sent', () => {
    const figures = [['disk.data', 'fsync', 4.125, 'ms']] as const;
    assert.deepEqual(decodeReport(encodeReport({ ...REPORT, figures })), { ...REPORT, figures });
    const noise = (bytes: number): string => randomBytes(bytes).toString('base64').slice(0, 250);
    const many = Array.from({ length: FIGURES_TOLD_MAX }, () => [noise(188), noise(24), Math.random(), 'ms'] as const);
    const tallies = Array.from(
      { length: 256 },
      () => [1, 2, 3, 4].map(() => Math.floor(Math.random() * 1_000_000)) as [number, number, number, number],
    );
    const crowded = { ...REPORT, tallies };
    assert.deepEqual(decodeReport(encodeReport({ ...crowded, figures: many })), crowded);
    for (const wrong of [
      [['disk.a', 'fsync', 1]],
      [['disk.a', 'fsync', '1', 'ms']],
      [['disk.a', 'fsync', 1, 'km']],
      Array(33).fill(figures[0]),
    ]) {
      assert.equal(decodeReport(deflateRawSync(JSON.stringify({ ...REPORT, figures: wrong }))), undefined);
    }
  });

  it('refuses garbage, truncation, bombs and reports of another shape, without throwing', () => {
    const good = encodeReport(REPORT);
    for (let length = 0; length < good.length - 1; length += 7) assert.equal(decodeReport(good.subarray(0, length)), undefined);
    assert.equal(decodeReport(deflateRawSync(Buffer.alloc(10_000_000))), undefined);
    for (const change of [{ phase: 'KING' }, { lineage: {} }, { node: 5 }, { condition: null }]) {
      assert.equal(decodeReport(deflateRawSync(JSON.stringify({ ...REPORT, ...change }))), undefined);
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => decodeReport(bytes) === undefined));
  });
});
