/**
 * Records: AES-256-GCM around a batch of messages. `u32 length of the clear text | cipher text | 16-byte tag`. The nonce is the record's
 * number in its direction, the length is authenticated with it: a record that was changed, repeated, left out or reordered does not open.
 * Keys are made for one connection and one direction, so that a nonce is never used twice.
 */
import { GcmOpener, GcmSealer, KEY_BYTES, TAG_BYTES } from '../system/gcm.js';
import { WireError } from './bytes.js';
import { RECORD_BYTES_MAX } from './limits.js';

export { KEY_BYTES, TAG_BYTES };
export const LENGTH_BYTES = 4;
/** What a record has around its clear text. */
export const RECORD_EXTRA_BYTES = LENGTH_BYTES + TAG_BYTES;
const NONCE_BYTES = 12;

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

export class RecordSealer {
  private readonly nonce = new Nonce();
  private readonly gcm: GcmSealer;

  constructor(key: Buffer) {
    this.gcm = new GcmSealer(key);
  }

  /**
   * The record that carries the pieces of `clear`, which may be reused at once.
   * @param into where the record is made: RECORD_EXTRA_BYTES more than `clear` @returns the record, a view of `into`
   */
  seal(clear: readonly Buffer[], into: Buffer): Buffer {
    const length = clear.reduce((sum, piece) => sum + piece.length, 0);
    if (length === 0 || length > RECORD_BYTES_MAX) throw new RangeError(`a record of ${length} bytes`);
    const end = LENGTH_BYTES + length;
    const record = into.subarray(0, end + TAG_BYTES);
    record.writeUInt32LE(length, 0);
    this.gcm.seal(this.nonce.next(), record.subarray(0, LENGTH_BYTES), clear, record.subarray(LENGTH_BYTES, end), record.subarray(end));
    return record;
  }
}

export class RecordOpener {
  private readonly nonce = new Nonce();
  private readonly gcm: GcmOpener;

  constructor(key: Buffer) {
    this.gcm = new GcmOpener(key);
  }

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
    const content = record.subarray(LENGTH_BYTES, end);
    if (!this.gcm.open(this.nonce.next(), record.subarray(0, LENGTH_BYTES), content, content, record.subarray(end))) {
      throw new WireError('a record that does not authenticate');
    }
    return content;
  }
}
