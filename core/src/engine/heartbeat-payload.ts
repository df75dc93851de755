/**
 * A node report as bytes in a heartbeat, and back. What arrives was authenticated by the transport, but is still checked field by field.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { HEARTBEAT_PAYLOAD_BYTES_MAX } from '@holdfast/sdk';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { NodeReport } from '../model/report.js';

const GENERATION = { type: 'string', maxLength: 32 } as const;

const SCHEMA = {
  type: 'object',
  required: [
    'node',
    'module',
    'phase',
    'quality',
    'lineage',
    'condition',
    'lastRole',
    'forkedAs',
    'link',
    'configuration',
    'handingOver',
    'claiming',
    'seenGeneration',
  ],
  properties: {
    node: { type: 'string', maxLength: 255 },
    module: { type: 'string', maxLength: 255 },
    phase: { enum: ['STOP', 'WAIT', 'ALONE', 'PRIM', 'SECOND', 'UP'] },
    quality: { enum: ['NotReady', 'Transient', 'Ready'] },
    lineage: {
      type: 'object',
      required: ['current', 'epoch', 'history'],
      properties: {
        current: GENERATION,
        epoch: { type: 'integer', minimum: 0 },
        history: { type: 'array', maxItems: 64, items: GENERATION },
      },
    },
    condition: { enum: ['uptodate', 'outdated', 'inconsistent', 'none'] },
    lastRole: { enum: ['none', 'primary', 'secondary'] },
    forkedAs: { enum: ['none', 'primary', 'secondary'] },
    link: { enum: ['none', 'connecting', 'resynchronising', 'connected', 'holding'] },
    journalSince: GENERATION,
    configuration: { type: 'string', maxLength: 128 },
    handingOver: { type: 'boolean' },
    claiming: { type: 'boolean' },
    seenGeneration: GENERATION,
  },
} as const;

const isReport = new Ajv2020({ strict: true }).compile<NodeReport>(SCHEMA);

export function encodeReport(report: NodeReport): Buffer {
  const payload = deflateRawSync(JSON.stringify(report), { level: 1 });
  if (payload.length > HEARTBEAT_PAYLOAD_BYTES_MAX) throw new Error(`a report of ${payload.length} bytes does not fit into a heartbeat`);
  return payload;
}

/** @returns undefined for anything that is not a report of this version. */
export function decodeReport(payload: Uint8Array): NodeReport | undefined {
  try {
    const text = inflateRawSync(payload, { maxOutputLength: 64 * 1024 }).toString('utf8');
    const report: unknown = JSON.parse(text);
    return isReport(report) ? report : undefined;
  } catch {
    return undefined;
  }
}
