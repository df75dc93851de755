/** plugin.json: read with a size limit and checked against the manifest schema that the SDK publishes. No code of the plug-in runs. */
import { type ExtensionPoint, type PluginManifest, messageOf } from '@holdfast/sdk';
import type { ErrorObject } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { open } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { pluginError } from './errors.js';

export const MANIFEST_NAME = 'plugin.json';
/** For plugin.json and for each schema. */
export const JSON_BYTES_MAX = 64 * 1024;

export const EXTENSION_POINTS: readonly ExtensionPoint[] = [
  'heartbeatTransport',
  'virtualIpDriver',
  'replicationBackend',
  'checker',
  'witness',
];

const PROBLEMS_SHOWN_MAX = 5;

const validate = new Ajv2020({ strict: true, allErrors: true }).compile<PluginManifest>(
  createRequire(import.meta.url)('@holdfast/sdk/schemas/plugin.v1.json') as object,
);

/** @throws HoldfastError HF_PLUGIN_MANIFEST; `plugin` names the plug-in until its id is known to be good. */
export function checkManifest(value: unknown, plugin: string): PluginManifest {
  if (validate(value)) return value;
  const problems = (validate.errors ?? []).map(explain);
  const shown = problems.slice(0, PROBLEMS_SHOWN_MAX).join('; ');
  const more = problems.length > PROBLEMS_SHOWN_MAX ? `; and ${problems.length - PROBLEMS_SHOWN_MAX} more` : '';
  throw pluginError('HF_PLUGIN_MANIFEST', plugin, `has a plugin.json that breaks the manifest schema: ${shown}${more}`);
}

function explain(error: ErrorObject): string {
  const place = error.instancePath === '' ? 'manifest' : error.instancePath;
  const { additionalProperty, allowedValue, allowedValues } = error.params as Readonly<Record<string, unknown>>;
  if (typeof additionalProperty === 'string') return `${place} has the unknown key ${JSON.stringify(additionalProperty)}`;
  const allowed = error.keyword === 'const' ? allowedValue : error.keyword === 'enum' ? allowedValues : undefined;
  return `${place} ${error.message ?? 'is not valid'}${allowed === undefined ? '' : `: ${JSON.stringify(allowed)}`}`;
}

/** @throws Error when the file cannot be read, is larger than JSON_BYTES_MAX, or is not JSON. */
export async function readJson(file: string): Promise<unknown> {
  const handle = await open(file, 'r');
  try {
    const buffer = Buffer.alloc(JSON_BYTES_MAX + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    if (length > JSON_BYTES_MAX) throw new Error(`larger than ${JSON_BYTES_MAX} bytes`);
    return JSON.parse(buffer.toString('utf8', 0, length)) as unknown;
  } finally {
    await handle.close();
  }
}

/** The manifest of a folder; for messages the folder's name stands in for an id that is not known yet. */
export async function readManifest(file: string, folder: string): Promise<PluginManifest> {
  let value: unknown;
  try {
    value = await readJson(file);
  } catch (error) {
    throw pluginError('HF_PLUGIN_MANIFEST', folder, `has a plugin.json that cannot be read: ${messageOf(error)}`, error);
  }
  return checkManifest(value, folder);
}
