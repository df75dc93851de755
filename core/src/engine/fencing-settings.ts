/**
 * What a node does when it cannot end what must end: `fencing.json` in the configuration folder, of this node alone. Without the file the
 * machine is booted with `systemctl reboot` where a module asks for it, and no watchdog is used.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { Ajv2020 } from 'ajv/dist/2020.js';

export type WatchdogMode = 'off' | 'automatic' | 'required';

export interface FencingSettings {
  readonly reboot: {
    /** Program and arguments. */
    readonly command: readonly string[];
    /** When the command fails: the kernel boots at once, without writing anything back. */
    readonly sysrq: boolean;
  };
  readonly watchdog: { readonly mode: WatchdogMode; readonly device: string };
}

export const FENCING_FILE = 'fencing.json';

const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: {
    reboot: {
      type: 'object',
      additionalProperties: false,
      properties: {
        command: { type: 'array', minItems: 1, maxItems: 32, items: { type: 'string', minLength: 1 } },
        sysrq: { type: 'boolean' },
      },
    },
    watchdog: {
      type: 'object',
      additionalProperties: false,
      properties: { mode: { enum: ['off', 'automatic', 'required'] }, device: { type: 'string', pattern: '^/' } },
    },
  },
} as const;

interface FencingFile {
  readonly reboot?: Partial<FencingSettings['reboot']>;
  readonly watchdog?: Partial<FencingSettings['watchdog']>;
}

const ajv = new Ajv2020({ strict: true });
const isFencing = ajv.compile<FencingFile>(SCHEMA);

/** @throws HoldfastError HF_FENCING_CONFIGURATION: a node that would not do what was written must not start */
export async function readFencingSettings(configDirectory: string): Promise<FencingSettings> {
  const file = join(configDirectory, FENCING_FILE);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '{}';
    throw new HoldfastError('HF_FENCING_CONFIGURATION', `${file} cannot be read: ${messageOf(error)}`, { file });
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HoldfastError('HF_FENCING_CONFIGURATION', `${file} is no JSON: ${messageOf(error)}`, { file });
  }
  if (!isFencing(value)) {
    throw new HoldfastError('HF_FENCING_CONFIGURATION', `${file}: ${ajv.errorsText(isFencing.errors, { dataVar: 'the document' })}`, {
      file,
    });
  }
  return {
    reboot: { command: value.reboot?.command ?? ['systemctl', 'reboot'], sysrq: value.reboot?.sysrq ?? false },
    watchdog: { mode: value.watchdog?.mode ?? 'off', device: value.watchdog?.device ?? '/dev/watchdog' },
  };
}
