import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { decodeReport, encodeReport } from '../src/engine/heartbeat-payload.js';
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
  seenGeneration: generation(),
};

describe('heartbeat payload', () => {
  it('carries a report with the longest history and gives it back unchanged', () => {
    assert.deepEqual(decodeReport(encodeReport(REPORT)), REPORT);
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
