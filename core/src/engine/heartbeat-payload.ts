/**
 * A node report as bytes in a heartbeat, and back. What arrives was authenticated by the transport, but is still checked field by field.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { FIGURE_UNITS, HEARTBEAT_PAYLOAD_BYTES_MAX } from '@holdfast/sdk';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { NodeReport } from '../model/report.js';
import { WITNESSES_LENGTH_MAX } from './mirror-settings.js';
import { FIGURES_TOLD_MAX } from './resource-figures.js';

/** Of the resources that failover rules name as the peer's; the configuration allows fewer. */
const TALLIES_MAX = 256;

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
    'agreement',
    'witness',
    'yielded',
    'formerPrimary',
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
    agreement: {
      type: 'object',
      required: ['number', 'mode', 'holder', 'settled', 'epoch'],
      properties: {
        number: { type: 'integer', minimum: 0 },
        mode: { enum: ['witness', 'primary-only'] },
        holder: { type: 'string', maxLength: 255 },
        settled: { type: 'boolean' },
        epoch: { type: 'integer', minimum: 0 },
      },
    },
    witness: { enum: ['none', 'up', 'down'] },
    yielded: { type: 'boolean' },
    formerPrimary: { type: 'boolean' },
    splitBrain: { enum: ['manual', 'keep-primary', 'keep-newest'] },
    deciding: {
      type: 'object',
      required: ['heartbeatTimeoutMs', 'witnesses', 'defaultPrimary'],
      properties: {
        heartbeatTimeoutMs: { type: 'integer', minimum: 0 },
        witnesses: { type: 'string', maxLength: WITNESSES_LENGTH_MAX },
        defaultPrimary: { type: 'string', maxLength: 255 },
      },
    },
    seenGeneration: GENERATION,
    blocked: { const: true },
    tallies: {
      type: 'array',
      maxItems: TALLIES_MAX,
      items: { type: 'array', minItems: 4, maxItems: 4, items: { type: 'integer', minimum: 0, maximum: 1_000_000 } },
    },
    figures: {
      type: 'array',
      maxItems: FIGURES_TOLD_MAX,
      items: {
        type: 'array',
        minItems: 4,
        maxItems: 4,
        items: false,
        prefixItems: [{ type: 'string', maxLength: 255 }, { type: 'string', maxLength: 32 }, { type: 'number' }, { enum: FIGURE_UNITS }],
      },
    },
  },
} as const;

const isReport = new Ajv2020({ strict: true }).compile<NodeReport>(SCHEMA);

/** Without its figures where it would be too long with them. @throws Error when it is too long even so */
export function encodeReport(report: NodeReport): Buffer {
  const payload = deflateRawSync(JSON.stringify(report), { level: 1 });
  if (payload.length > HEARTBEAT_PAYLOAD_BYTES_MAX && report.figures !== undefined) {
    const { figures: _tooMuch, ...bare } = report;
    return encodeReport(bare);
  }
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
