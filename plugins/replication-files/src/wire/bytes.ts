/**
 * Bounded little-endian reading and writing. The reader throws `WireError` instead of reading past its end, so that a decoder is a plain
 * sequence of reads; the writer grows its buffer, so that an encoder is a plain sequence of writes.
 */
import { HoldfastError } from '@holdfast/sdk';

/** Bytes from the peer that no correct peer sends: garbage, truncation, a value out of its bounds. */
export class WireError extends HoldfastError {
  constructor(message: string, details: Readonly<Record<string, unknown>> = {}) {
    super('HF_REPLICATION_FRAME', `${message}; the peer runs another version, or something else connected to the port`, details);
    this.name = 'WireError';
  }
}

const TWO_32 = 0x1_0000_0000;
/** Offsets and lengths stay exact as numbers, and inside what a file offset may be. */
const SAFE_HIGH = 0x1f_ffff;

export class ByteReader {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  get left(): number {
    return this.bytes.length - this.at;
  }

  u8(): number {
    return this.bytes.readUInt8(this.take(1));
  }

  u16(): number {
    return this.bytes.readUInt16LE(this.take(2));
  }

  u32(): number {
    return this.bytes.readUInt32LE(this.take(4));
  }

  i32(): number {
    return this.bytes.readInt32LE(this.take(4));
  }

  /** Unsigned 64-bit value below 2^53: offsets, lengths, sequence numbers. */
  size(): number {
    const at = this.take(8);
    const high = this.bytes.readUInt32LE(at + 4);
    if (high > SAFE_HIGH) throw new WireError(`a size of more than 2^53 (high word ${high})`);
    return high * TWO_32 + this.bytes.readUInt32LE(at);
  }

  /** Signed 64-bit value between -2^53 and 2^53: seconds. */
  signed(): number {
    const value = Number(this.bytes.readBigInt64LE(this.take(8)));
    if (!Number.isSafeInteger(value)) throw new WireError(`a signed value of more than 2^53 (${value})`);
    return value;
  }

  i64(): bigint {
    return this.bytes.readBigInt64LE(this.take(8));
  }

  u64(): bigint {
    return this.bytes.readBigUInt64LE(this.take(8));
  }

  /** The next bytes, without a copy. */
  view(length: number): Buffer {
    const at = this.take(length);
    return this.bytes.subarray(at, at + length);
  }

  /** The next bytes, copied: for what outlives the record. */
  copy(length: number): Buffer {
    return Buffer.from(this.view(length));
  }

  end(): void {
    if (this.left !== 0) throw new WireError(`${this.left} bytes too many`);
  }

  private take(length: number): number {
    if (length > this.left) throw new WireError(`truncated: ${length} bytes wanted, ${this.left} left`);
    const at = this.at;
    this.at += length;
    return at;
  }
}

export class ByteWriter {
  private bytes: Buffer;
  private used = 0;

  constructor(capacity = 256) {
    this.bytes = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.used;
  }

  u8(value: number): void {
    const at = this.room(1);
    this.bytes.writeUInt8(value, at);
  }

  u16(value: number): void {
    const at = this.room(2);
    this.bytes.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.room(4);
    this.bytes.writeUInt32LE(value, at);
  }

  i32(value: number): void {
    const at = this.room(4);
    this.bytes.writeInt32LE(value, at);
  }

  size(value: number): void {
    const at = this.room(8);
    this.bytes.writeUInt32LE(value % TWO_32, at);
    this.bytes.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
  }

  signed(value: number): void {
    const at = this.room(8);
    this.bytes.writeBigInt64LE(BigInt(value), at);
  }

  i64(value: bigint): void {
    const at = this.room(8);
    this.bytes.writeBigInt64LE(value, at);
  }

  u64(value: bigint): void {
    const at = this.room(8);
    this.bytes.writeBigUInt64LE(value, at);
  }

  raw(data: Uint8Array): void {
    const at = this.room(data.length);
    this.bytes.set(data, at);
  }

  /** Overwrites four bytes written before: a length known only afterwards. */
  patchU32(at: number, value: number): void {
    this.bytes.writeUInt32LE(value, at);
  }

  /** What was written, without a copy: valid until the next write after `clear`. */
  view(): Buffer {
    return this.bytes.subarray(0, this.used);
  }

  /** Forgets what was written and keeps the buffer. */
  clear(): void {
    this.used = 0;
  }

  /** Forgets everything after the first `length` bytes. */
  cut(length: number): void {
    this.used = length;
  }

  private room(length: number): number {
    const at = this.used;
    const wanted = at + length;
    if (wanted > this.bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(wanted, this.bytes.length * 2));
      this.bytes.copy(grown, 0, 0, at);
      this.bytes = grown;
    }
    this.used = wanted;
    return at;
  }
}
