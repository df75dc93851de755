/**
 * A farm report as bytes in a heartbeat, and back. What arrives was authenticated by the transport, but is still checked field by field:
 * maps that are not of the right size or names that the table does not have would be answered for by nobody, or by two.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { HEARTBEAT_PAYLOAD_BYTES_MAX } from '@holdfast/sdk';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { BUCKETS, FARM_GROUPS_MAX, FARM_NODES_MAX, type FarmReport } from '../model/farm.js';

const NAME = { type: 'string', maxLength: 255 } as const;
const INCARNATION = { type: 'string', minLength: 1, maxLength: 64 } as const;

function mapsOf(pattern: string): object {
  return { type: 'object', maxProperties: FARM_GROUPS_MAX, additionalProperties: { type: 'string', pattern } };
}

const SCHEMA = {
  type: 'object',
  required: ['node', 'module', 'phase', 'quality', 'configuration', 'incarnation', 'revision', 'offers', 'listening', 'heard'].concat([
    'leader',
    'accepts',
  ]),
  properties: {
    node: NAME,
    module: NAME,
    phase: { enum: ['STOP', 'WAIT', 'UP'] },
    quality: { enum: ['NotReady', 'Transient', 'Ready'] },
    configuration: { type: 'string', maxLength: 128 },
    incarnation: INCARNATION,
    revision: { type: 'integer', minimum: 0 },
    offers: { type: 'boolean' },
    listening: { type: 'boolean' },
    heard: { type: 'object', maxProperties: FARM_NODES_MAX, additionalProperties: INCARNATION },
    leader: NAME,
    table: {
      type: 'object',
      required: ['number', 'id', 'members', 'owners'],
      properties: {
        number: { type: 'integer', minimum: 1 },
        id: INCARNATION,
        members: {
          type: 'array',
          minItems: 1,
          maxItems: FARM_NODES_MAX,
          items: { type: 'object', required: ['node', 'incarnation'], properties: { node: NAME, incarnation: INCARNATION } },
        },
        owners: mapsOf(`^[0-${FARM_NODES_MAX - 1}-]{${BUCKETS}}$`),
      },
    },
    accepts: mapsOf(`^[01]{${BUCKETS}}$`),
  },
} as const;

const isReport = new Ajv2020({ strict: true }).compile<FarmReport>(SCHEMA);

export function encodeFarmReport(report: FarmReport): Buffer {
  const payload = deflateRawSync(JSON.stringify(report), { level: 1 });
  if (payload.length > HEARTBEAT_PAYLOAD_BYTES_MAX) throw new Error(`a report of ${payload.length} bytes does not fit into a heartbeat`);
  return payload;
}

/** @returns undefined for anything that is not a farm report of this version. */
export function decodeFarmReport(payload: Uint8Array): FarmReport | undefined {
  try {
    const text = inflateRawSync(payload, { maxOutputLength: 64 * 1024 }).toString('utf8');
    const report: unknown = JSON.parse(text);
    return isReport(report) ? report : undefined;
  } catch {
    return undefined;
  }
}
