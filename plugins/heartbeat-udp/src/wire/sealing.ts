/**
 * Keys and seals. From the cluster key, HKDF-SHA256 derives one key per module, direction and link, and from that one key per
 * incarnation of the sender. Two consequences:
 * - a frame of another cluster, module, node, link, or one reflected to its own sender, does not open;
 * - an incarnation (incarnation.ts: never used twice) has a key of its own, so the nonce, a plain counter from 1, never
 *   repeats under one key, even after a restart.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { encodeHeader, HEADER_BYTES, type Header, KEY_ID_BYTES, TAG_BYTES } from './frame.js';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const KEY_BYTES = 32;
export const CLUSTER_KEY_BYTES = 32;

export interface Direction {
  readonly module: string;
  readonly from: string;
  readonly to: string;
  readonly link: string;
}

/** Tells frames of another cluster key from forged ones, for the operator's sake; it proves nothing. */
export function keyIdOf(clusterKey: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', clusterKey, '', 'holdfast heartbeat v1 key id', KEY_ID_BYTES));
}

export function directionKey(clusterKey: Uint8Array, direction: Direction): Buffer {
  // JSON of an array: no two different directions give the same text, whatever the names contain.
  const names = JSON.stringify([direction.module, direction.from, direction.to, direction.link]);
  return derive(clusterKey, '', `holdfast heartbeat v1 direction ${names}`);
}

export function incarnationKey(key: Buffer, incarnation: Uint8Array): Buffer {
  return derive(key, incarnation, 'holdfast heartbeat v1 incarnation');
}

/** Seals the frames of one incarnation on one link, each with the next counter. */
export class Sealer {
  readonly #key: Buffer;
  readonly #keyId: Buffer;
  readonly #incarnation: Buffer;
  #counter = 0;

  constructor(key: Buffer, keyId: Buffer, incarnation: Buffer) {
    this.#key = incarnationKey(key, incarnation);
    this.#keyId = keyId;
    this.#incarnation = incarnation;
  }

  seal(body: Uint8Array): Buffer {
    this.#counter += 1;
    const header = encodeHeader({ keyId: this.#keyId, incarnation: this.#incarnation, counter: this.#counter });
    const cipher = createCipheriv(CIPHER, this.#key, nonceOf(this.#counter), { authTagLength: TAG_BYTES });
    cipher.setAAD(header);
    return Buffer.concat([header, cipher.update(body), cipher.final(), cipher.getAuthTag()]);
  }
}

/** The body of a frame whose header was decoded from the same datagram, or undefined when it was not sealed with this key. */
export function unseal(datagram: Buffer, header: Header, key: Buffer): Buffer | undefined {
  const decipher = createDecipheriv(CIPHER, key, nonceOf(header.counter), { authTagLength: TAG_BYTES });
  decipher.setAAD(datagram.subarray(0, HEADER_BYTES));
  decipher.setAuthTag(datagram.subarray(datagram.length - TAG_BYTES));
  const opened = decipher.update(datagram.subarray(HEADER_BYTES, datagram.length - TAG_BYTES));
  try {
    return Buffer.concat([opened, decipher.final()]);
  } catch {
    return undefined;
  }
}

function derive(key: Uint8Array, salt: Uint8Array | string, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, KEY_BYTES));
}

function nonceOf(counter: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeBigUInt64BE(BigInt(counter), NONCE_BYTES - 8);
  return nonce;
}
