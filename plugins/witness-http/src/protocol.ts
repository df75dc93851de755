/**
 * What client and server agree on. HTTP/1.1 inside TLS 1.3 with a pre-shared key: the identity that a connection proves is the name of
 * its cluster, and a request can name no other. JSON in, JSON out:
 *
 *     GET  /v1/records/MODULE                                   → { record: {generation, owner, epoch} | null }
 *     PUT  /v1/records/MODULE        {generation, owner, epoch} → { outcome: armed } | { outcome: refused, found }
 *     POST /v1/records/MODULE/claim  { from, record }           → { outcome: granted } | { outcome: refused, found? }
 *     GET  /v1/health
 *
 * Anything but 200 carries { error: { code, message } } and says nothing about the record.
 */
import { hkdfSync } from 'node:crypto';
import { HoldfastError } from '@holdfast/sdk';

export const PORT_DEFAULT = 9600;
export const BODY_BYTES_MAX = 4 * 1024;
/** As long as the longest field, and each character may need six in JSON; more is no answer of ours. */
export const ANSWER_BYTES_MAX = 16 * 1024;
export const CLUSTER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const MODULE_CHARS_MAX = 64;

/** The only suite: its hash is the one of the pre-shared key. */
export const TLS_OPTIONS = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const;

const KEY_BYTES = 32;

/** The pre-shared key of a key file's text. @throws HoldfastError HF_WITNESS_AUTHENTICATION; never with the text in its message */
export function preSharedKey(text: string, file: string): Buffer {
  const digits = text.trim();
  if (!/^[0-9a-fA-F]{64}$/.test(digits)) {
    const message = `${file} must hold ${KEY_BYTES * 2} hexadecimal digits, as "holdfast witness add" printed them`;
    throw new HoldfastError('HF_WITNESS_AUTHENTICATION', message, { file });
  }
  return Buffer.from(hkdfSync('sha256', Buffer.from(digits, 'hex'), new Uint8Array(0), 'holdfast witness', KEY_BYTES));
}
