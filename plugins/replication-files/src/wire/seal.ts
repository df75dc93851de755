/**
 * Records: AES-256-GCM around a batch of messages. `u32 length of the clear text | cipher text | 16-byte tag`. The nonce is the record's
 * number in its direction, the length is authenticated with it: a record that was changed, repeated, left out or reordered does not open.
 * Keys are made for one connection and one direction, so that a nonce is never used twice.
 */
import { createCipheriv, createDecipheriv, type CipherGCM, type DecipherGCM } from 'node:crypto';
import { WireError } from './bytes.js';
import { RECORD_BYTES_MAX } from './limits.js';

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
export const LENGTH_BYTES = 4;
const NONCE_BYTES = 12;
/** The cipher allocates what it returns: memory for small pieces is used again, for a large one the system maps (and clears) new pages. */
const PIECE_BYTES = 64 << 10;

class Nonce {
  readonly bytes = Buffer.alloc(NONCE_BYTES);
  private count = 0;

  next(): Buffer {
    this.bytes.writeUInt32LE(this.count % 0x1_0000_0000, 0);
    this.bytes.writeUInt32LE(Math.floor(this.count / 0x1_0000_0000), 4);
    this.count += 1;
    return this.bytes;
  }
}

/** Runs `from` through the cipher into `into`, which may be the same bytes. */
function transform(cipher: CipherGCM | DecipherGCM, from: Buffer, into: Buffer): void {
  for (let at = 0; at < from.length; at += PIECE_BYTES) into.set(cipher.update(from.subarray(at, at + PIECE_BYTES)), at);
}

export class RecordSealer {
  private readonly nonce = new Nonce();
  private readonly record = Buffer.from(new ArrayBuffer(LENGTH_BYTES + RECORD_BYTES_MAX + TAG_BYTES));

  constructor(private readonly key: Buffer) {}

  /** The record that carries `clear`, which may be reused at once; the record is valid until the next one is sealed. */
  seal(clear: Buffer): Buffer {
    if (clear.length === 0 || clear.length > RECORD_BYTES_MAX) throw new RangeError(`a record of ${clear.length} bytes`);
    const end = LENGTH_BYTES + clear.length;
    this.record.writeUInt32LE(clear.length, 0);
    const cipher = createCipheriv('aes-256-gcm', this.key, this.nonce.next());
    cipher.setAAD(this.record.subarray(0, LENGTH_BYTES));
    transform(cipher, clear, this.record.subarray(LENGTH_BYTES, end));
    cipher.final();
    this.record.set(cipher.getAuthTag(), end);
    return this.record.subarray(0, end + TAG_BYTES);
  }
}

export class RecordOpener {
  private readonly nonce = new Nonce();

  constructor(private readonly key: Buffer) {}

  /**
   * Length in bytes of the whole record that starts `bytes`; undefined when not even its length is there.
   * @throws WireError when no record may be that long
   */
  recordBytes(bytes: Buffer): number | undefined {
    if (bytes.length < LENGTH_BYTES) return undefined;
    const length = bytes.readUInt32LE(0);
    if (length === 0 || length > RECORD_BYTES_MAX) throw new WireError(`a record of ${length} bytes`);
    return LENGTH_BYTES + length + TAG_BYTES;
  }

  /**
   * Clear text of one whole record, in the place of its cipher text: a view.
   * @throws WireError when it is not the next record that the peer sealed; the bytes are worthless then
   */
  open(record: Buffer): Buffer {
    const end = record.length - TAG_BYTES;
    const decipher = createDecipheriv('aes-256-gcm', this.key, this.nonce.next(), { authTagLength: TAG_BYTES });
    decipher.setAAD(record.subarray(0, LENGTH_BYTES));
    decipher.setAuthTag(record.subarray(end));
    const content = record.subarray(LENGTH_BYTES, end);
    transform(decipher, content, content);
    try {
      decipher.final();
    } catch {
      throw new WireError('a record that does not authenticate');
    }
    return content;
  }
}
