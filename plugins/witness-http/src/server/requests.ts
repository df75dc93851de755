/**
 * One request of a cluster whose key is proved: which question it is, and the answer as a document. Knows nothing of sockets; whatever
 * cannot be understood is refused before anything is looked at.
 */
import { HoldfastError, type WitnessClaim, checkWitnessClaim, checkWitnessRecord, witnessRecordOf } from '@holdfast/sdk';
import { MODULE_CHARS_MAX } from '../protocol.js';
import type { Membership } from './clusters.js';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** @param body the request's body as it came */
export async function answer(method: string, url: string, body: string, membership: Membership): Promise<Answer> {
  try {
    const match = /^\/v1\/records\/([^/?#]+)(\/claim)?$/.exec(url);
    const module = match?.[1] === undefined ? undefined : moduleOf(match[1]);
    if (module === undefined) return failure(404, 'HF_WITNESS_PROTOCOL', 'there is nothing at this address');
    const store = await membership.store;
    const question = `${method}${match?.[2] ?? ''}`;
    switch (question) {
      case 'GET':
        return { status: 200, body: { record: store.read(module) ?? null } };
      case 'PUT': {
        const record = recordOf(parsed(body));
        return { status: 200, body: await store.arm(module, record) };
      }
      case 'POST/claim': {
        const claim = claimOf(parsed(body));
        return { status: 200, body: await store.claim(module, claim) };
      }
      default:
        return failure(405, 'HF_WITNESS_PROTOCOL', 'this address does not take this method');
    }
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return failure(error.code === 'HF_WITNESS_INVALID' ? 400 : 503, error.code, error.message.slice(error.code.length + 2));
  }
}

export function failure(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}

function moduleOf(encoded: string): string | undefined {
  try {
    const module = decodeURIComponent(encoded);
    return module.length <= MODULE_CHARS_MAX ? module : undefined;
  } catch {
    return undefined;
  }
}

function parsed(body: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // Said below.
  }
  throw new HoldfastError('HF_WITNESS_INVALID', 'the body is no JSON object');
}

function recordOf(value: unknown): WitnessClaim['record'] {
  const record = witnessRecordOf(value);
  // Throws for what is none, with the rule in its sentence.
  if (record === undefined) checkWitnessRecord(value as WitnessClaim['record']);
  return record ?? { generation: '', owner: '', epoch: 0 };
}

function claimOf(value: Readonly<Record<string, unknown>>): WitnessClaim {
  const claim = { from: value['from'] as string, record: recordOf(value['record']) };
  checkWitnessClaim(claim);
  return claim;
}
