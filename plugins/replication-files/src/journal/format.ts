/**
 * Bytes of the journal file.
 *
 * Header: magic, version, base generation, boot id, crc32. Then records: `u32 length | u32 check of the length | u32 crc32 of the payload |
 * payload`; both sums start from the record's position, so that a record elsewhere does not count. A record that the end of the file cuts
 * is a torn last write: it is left out. Anything else that does not fit is damage: a flipped length cannot pass as a torn record, because
 * the length has a check of its own.
 */
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter } from '../wire/bytes.js';
import { DirtySet } from './dirty-set.js';

const MAGIC = Buffer.from('HFJRNL\r\n');
const VERSION = 1;
const GENERATION_BYTES = 16;
const BOOT_ID_BYTES = 16;
export const HEADER_BYTES = MAGIC.length + 4 + GENERATION_BYTES + BOOT_ID_BYTES + 4;
const RECORD_HEADER_BYTES = 12;
const RECORD_BYTES_MAX = 4096;

const RECORD = { name: 1, object: 2, range: 3, whole: 4, clean: 5, directory: 6 } as const;

export interface JournalHeader {
  /** 32 hexadecimal digits. */
  readonly base: string;
  /** 32 hexadecimal digits. */
  readonly bootId: string;
}

export type JournalContent =
  | { readonly usable: true; readonly header: JournalHeader; readonly set: DirtySet; readonly isClean: boolean }
  | { readonly usable: false; readonly reason: string };

export function encodeHeader(header: JournalHeader): Buffer {
  const out = Buffer.alloc(HEADER_BYTES);
  let at = MAGIC.copy(out);
  at = out.writeUInt32LE(VERSION, at);
  at += out.write(header.base, at, 'hex');
  at += out.write(header.bootId, at, 'hex');
  out.writeUInt32LE(crc32(out.subarray(0, at)), at);
  return out;
}

/** Records to bytes; `position` is where in the file the next one will be. */
export class RecordWriter {
  readonly #to = new ByteWriter(4096);
  readonly #payload = new ByteWriter(512);
  #position: number;

  constructor(position: number) {
    this.#position = position;
  }

  get isEmpty(): boolean {
    return this.#to.length === 0;
  }

  /** Position in the file after everything that was appended. */
  get position(): number {
    return this.#position;
  }

  name(directory: string, directoryId: bigint, name: string): void {
    const payload = this.#begin(RECORD.name);
    text(payload, directory);
    payload.u64(directoryId);
    text(payload, name);
    this.#end();
  }

  directory(directory: string, directoryId: bigint): void {
    const payload = this.#begin(RECORD.directory);
    text(payload, directory);
    payload.u64(directoryId);
    this.#end();
  }

  object(object: string, parent: string | undefined, name: string | undefined): void {
    const payload = this.#begin(RECORD.object);
    text(payload, object);
    text(payload, name === undefined ? '' : (parent ?? ''));
    text(payload, parent === undefined ? '' : (name ?? ''));
    this.#end();
  }

  range(object: string, start: number, end: number): void {
    const payload = this.#begin(RECORD.range);
    text(payload, object);
    payload.size(start);
    payload.size(end);
    this.#end();
  }

  whole(object: string): void {
    text(this.#begin(RECORD.whole), object);
    this.#end();
  }

  clean(): void {
    this.#begin(RECORD.clean);
    this.#end();
  }

  /** What was appended since the last `take`; valid until the next append. */
  take(): Buffer {
    const bytes = this.#to.view();
    this.#to.clear();
    return bytes;
  }

  #begin(type: number): ByteWriter {
    this.#payload.clear();
    this.#payload.u8(type);
    return this.#payload;
  }

  #end(): void {
    const payload = this.#payload.view();
    this.#to.u32(payload.length);
    this.#to.u32(lengthCheck(payload.length, this.#position));
    this.#to.u32(crc32(payload, seed(this.#position)));
    this.#to.raw(payload);
    this.#position += RECORD_HEADER_BYTES + payload.length;
  }
}

/** All records of a set, handed out in pieces of bounded size. */
export function* encodeSet(writer: RecordWriter, set: DirtySet): Generator<Buffer> {
  let count = 0;
  for (const [directory, { id, isWhole, names }] of set.directories) {
    if (isWhole) writer.directory(directory, id);
    for (const name of names) {
      writer.name(directory, id, name);
      count += 1;
      if (count % 1024 === 0) yield writer.take();
    }
  }
  for (const [object, { whole, ranges, parent, name }] of set.objects) {
    writer.object(object, parent, name);
    if (whole) writer.whole(object);
    else for (const { start, end } of ranges) writer.range(object, start, end);
    yield writer.take();
  }
  yield writer.take();
}

/**
 * Never throws: whatever the bytes are, the outcome is a set or a reason. Whether a journal that is not clean counts is the caller's
 * matter.
 */
export function decodeJournal(bytes: Buffer): JournalContent {
  const header = decodeHeader(bytes);
  if (typeof header === 'string') return { usable: false, reason: header };
  const set = new DirtySet();
  let at = HEADER_BYTES;
  let isClean = false;
  while (at < bytes.length) {
    if (isClean) return damaged(at, 'records after the end mark');
    if (bytes.length - at < RECORD_HEADER_BYTES) break;
    const length = bytes.readUInt32LE(at);
    if (bytes.readUInt32LE(at + 4) !== lengthCheck(length, at) || length > RECORD_BYTES_MAX)
      return damaged(at, 'a length that is not its check');
    const start = at + RECORD_HEADER_BYTES;
    if (bytes.length - start < length) break;
    const payload = bytes.subarray(start, start + length);
    if (bytes.readUInt32LE(at + 8) !== crc32(payload, seed(at))) return damaged(at, 'a checksum that does not hold');
    try {
      isClean = applyRecord(set, payload);
    } catch (error) {
      return damaged(at, error instanceof Error ? error.message : String(error));
    }
    at = start + length;
  }
  return { usable: true, header, set, isClean };
}

function decodeHeader(bytes: Buffer): JournalHeader | string {
  if (bytes.length < HEADER_BYTES) return `the journal has ${bytes.length} bytes, its header alone has ${HEADER_BYTES}`;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'the file is not a journal';
  const end = HEADER_BYTES - 4;
  if (bytes.readUInt32LE(end) !== crc32(bytes.subarray(0, end))) return 'the checksum of the journal header does not hold';
  const version = bytes.readUInt32LE(MAGIC.length);
  if (version !== VERSION) return `the journal has version ${version}, this program reads version ${VERSION}`;
  const at = MAGIC.length + 4;
  return {
    base: bytes.toString('hex', at, at + GENERATION_BYTES),
    bootId: bytes.toString('hex', at + GENERATION_BYTES, at + GENERATION_BYTES + BOOT_ID_BYTES),
  };
}

/** @returns true for the end mark */
function applyRecord(set: DirtySet, payload: Buffer): boolean {
  const from = new ByteReader(payload);
  const type = from.u8();
  let isClean = false;
  switch (type) {
    case RECORD.name: {
      const directory = readText(from);
      const id = from.u64();
      set.addName(directory, id, readText(from));
      break;
    }
    case RECORD.directory: {
      const directory = readText(from);
      set.addDirectory(directory, from.u64());
      break;
    }
    case RECORD.object: {
      const object = readText(from);
      const parent = readText(from);
      const name = readText(from);
      if (parent === '') set.addRange(object, 0, 0);
      else set.addRange(object, 0, 0, parent, name);
      break;
    }
    case RECORD.range: {
      const object = readText(from);
      const start = from.size();
      set.addRange(object, start, from.size());
      break;
    }
    case RECORD.whole:
      set.addWhole(readText(from));
      break;
    case RECORD.clean:
      isClean = true;
      break;
    default:
      throw new Error(`record type ${type} does not exist`);
  }
  from.end();
  return isClean;
}

function damaged(at: number, what: string): JournalContent {
  return { usable: false, reason: `the journal is damaged at byte ${at}: ${what}` };
}

function seed(position: number): number {
  return position >>> 0;
}

function lengthCheck(length: number, position: number): number {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt32LE(position >>> 0, 4);
  return crc32(bytes);
}

function text(to: ByteWriter, value: string): void {
  to.u16(value.length);
  to.raw(Buffer.from(value, 'latin1'));
}

function readText(from: ByteReader): string {
  return from.view(from.u16()).toString('latin1');
}
