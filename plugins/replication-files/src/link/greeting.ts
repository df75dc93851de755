/** The two lines that open a link: HELLO from the primary, WELCOME or REFUSED from the secondary. Bounded JSON, every field checked. */
import type { Mark } from '../journal/checkpoint-mark.js';
import { WireError } from '../wire/bytes.js';

export const GREETING_BYTES_MAX = 4096;

export interface Hello {
  readonly protocol: number;
  readonly module: string;
  readonly node: string;
  readonly epoch: number;
  /** 32 hexadecimal digits. */
  readonly generation: string;
  /** `second`: a write is acknowledged on receipt; `none`: when it has been applied. */
  readonly async: 'second' | 'none';
  readonly mode: 'journal' | 'compare';
  /** The replicated directories, in order: both nodes must mean the same. */
  readonly roots: readonly string[];
  /** Digest of what is excluded in each of them: both nodes must mean the same. */
  readonly exclusions: string;
  /** How far the checkpoints of the last session had come; absent: not known. */
  readonly mark?: Mark;
}

export type RefusalCode = 'deposed' | 'version' | 'module' | 'roots' | 'exclusions' | 'busy';

export type Reply = { readonly welcome: true } | { readonly welcome: false; readonly code: RefusalCode; readonly message: string };

const REFUSALS: readonly string[] = ['deposed', 'version', 'module', 'roots', 'exclusions', 'busy'] satisfies RefusalCode[];

export function encodeGreeting(value: Hello | Reply): string {
  return `${JSON.stringify(value)}\n`;
}

/** @throws WireError */
export function decodeHello(line: string): Hello {
  const fields = fieldsOf(line);
  const { protocol, module, node, epoch, generation, async, mode, roots, exclusions, mark } = fields;
  if (
    isCount(protocol) &&
    isText(module, 255) &&
    isText(node, 255) &&
    isCount(epoch) &&
    typeof generation === 'string' &&
    /^[0-9a-f]{32}$/.test(generation) &&
    (async === 'second' || async === 'none') &&
    (mode === 'journal' || mode === 'compare') &&
    Array.isArray(roots) &&
    roots.length > 0 &&
    roots.length <= 255 &&
    roots.every((root): root is string => isText(root, 4095)) &&
    isText(exclusions, 64) &&
    (mark === undefined || isMark(mark))
  ) {
    return { protocol, module, node, epoch, generation, async, mode, roots, exclusions, ...(mark === undefined ? {} : { mark }) };
  }
  throw new WireError('a HELLO with missing or wrong fields');
}

/** @throws WireError */
export function decodeReply(line: string): Reply {
  const { welcome, code, message } = fieldsOf(line);
  if (welcome === true) return { welcome };
  if (welcome === false && typeof code === 'string' && REFUSALS.includes(code) && isText(message, 1024)) {
    return { welcome, code: code as RefusalCode, message };
  }
  throw new WireError('an answer to HELLO with missing or wrong fields');
}

function fieldsOf(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new WireError('a greeting that is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new WireError('a greeting that is no object');
  return value as Record<string, unknown>;
}

function isMark(value: unknown): value is Mark {
  if (typeof value !== 'object' || value === null) return false;
  const { generation, session, number, confirmed } = value as Record<string, unknown>;
  return isText(generation, 32) && isText(session, 128) && isCount(number) && isCount(confirmed);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isText(value: unknown, max: number): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= max;
}
