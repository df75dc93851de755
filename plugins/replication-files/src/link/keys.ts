/**
 * Keys of a link. The cluster's 32-byte secret gives one pre-shared key per module for TLS; the finished TLS session gives, by its
 * exporter, keys that no other session has: one per direction of the data connection, and a cookie that ties the data connection to it.
 */
import { hkdfSync } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { KEY_BYTES } from '../wire/seal.js';

export const COOKIE_BYTES = 32;
const EXPORTER_LABEL = 'EXPORTER-holdfast-replication';

export interface LinkKeys {
  readonly toSecondary: Buffer;
  readonly toPrimary: Buffer;
  readonly cookie: Buffer;
}

export function moduleKey(secret: Uint8Array, module: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `holdfast replication ${module}`, KEY_BYTES));
}

/** The same on both ends of the session. */
export function exportKeys(socket: TLSSocket): LinkKeys {
  const all = socket.exportKeyingMaterial(2 * KEY_BYTES + COOKIE_BYTES, EXPORTER_LABEL, Buffer.alloc(0));
  return {
    toSecondary: Buffer.from(all.subarray(0, KEY_BYTES)),
    toPrimary: Buffer.from(all.subarray(KEY_BYTES, 2 * KEY_BYTES)),
    cookie: Buffer.from(all.subarray(2 * KEY_BYTES)),
  };
}
