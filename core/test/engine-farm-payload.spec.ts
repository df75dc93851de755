/** A farm report on the wire: whole, small enough with the most that a farm may have, and checked field by field. */
import assert from 'node:assert/strict';
import { deflateRawSync } from 'node:zlib';
import { HEARTBEAT_PAYLOAD_BYTES_MAX } from '@holdfast/sdk';
import { decodeFarmReport, encodeFarmReport } from '../src/engine/farm-payload.js';
import { BUCKETS, FARM_GROUPS_MAX, FARM_NODES_MAX, type FarmReport } from '../src/model/farm.js';
import { randomOf } from './farm-simulator.js';

const hex = (random: () => number): string => Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('');

/** Eight nodes with long names, eight groups, and tables that no compression helps. */
function largest(seed: number): FarmReport {
  const random = randomOf(seed);
  const nodes = Array.from({ length: FARM_NODES_MAX }, (_none, index) => `${'n'.repeat(62)}${index}`);
  const groups = Array.from({ length: FARM_GROUPS_MAX }, (_none, index) => `${'g'.repeat(31)}${index}`);
  const map = (digits: number): string => Array.from({ length: BUCKETS }, () => String(Math.floor(random() * digits))).join('');
  return {
    node: nodes[0] ?? '',
    module: 'm'.repeat(63),
    phase: 'UP',
    quality: 'Ready',
    configuration: hex(random) + hex(random),
    incarnation: hex(random),
    revision: 7,
    offers: true,
    listening: false,
    heard: Object.fromEntries(nodes.slice(1).map((node) => [node, hex(random)])),
    leader: nodes[0] ?? '',
    table: {
      number: 12,
      id: hex(random),
      members: nodes.map((node) => ({ node, incarnation: hex(random) })),
      owners: Object.fromEntries(groups.map((group) => [group, map(FARM_NODES_MAX)])),
    },
    accepts: Object.fromEntries(groups.map((group) => [group, map(2)])),
  };
}

describe('a farm report on the wire', () => {
  it('comes back as it was, and the largest one fits into a heartbeat', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const report = largest(seed);
      const payload = encodeFarmReport(report);
      assert.ok(payload.length <= HEARTBEAT_PAYLOAD_BYTES_MAX, `${payload.length} bytes`);
      assert.deepEqual(decodeFarmReport(payload), report);
    }
  });

  it('is refused when a map has not 256 places, an owner is not one of eight, or a field is missing or of another kind', () => {
    const { table, ...rest } = largest(1);
    assert.ok(table !== undefined);
    const spoiled: readonly object[] = [
      { ...rest, accepts: { all: '1'.repeat(BUCKETS - 1) } },
      { ...rest, accepts: { all: '2'.repeat(BUCKETS) } },
      { ...rest, table: { ...table, owners: { all: '8'.repeat(BUCKETS) } } },
      { ...rest, table: { ...table, number: 0 } },
      { ...rest, table: { ...table, members: [] } },
      { ...rest, phase: 'PRIM' },
      { ...rest, offers: 'yes' },
      { ...rest, heard: undefined },
    ];
    for (const report of spoiled) assert.equal(decodeFarmReport(deflateRawSync(JSON.stringify(report))), undefined, JSON.stringify(report));
    assert.ok(decodeFarmReport(deflateRawSync(JSON.stringify(rest))) !== undefined);
    assert.equal(decodeFarmReport(Buffer.from('garbage')), undefined);
  });
});
