/**
 * Bytes of the activity log: a file of two slots of fixed size, written in place, so that making a record durable needs no room, no new
 * block and no change of metadata. A slot is a header and records; the slot with the highest sequence that is complete counts.
 *
 * Header: magic, version, sequence, base generation, crc32. Record: `u16 length | u16 type | u32 crc32` and the payload; the sum
 * starts from sequence and position, so that what an earlier use of the slot left does not count. The content that a slot starts with ends
 * with a mark: without it the slot is not complete.
 */
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter } from '../wire/bytes.js';
import type { Handle } from '../store/handle.js';
import { GranuleRanges } from './ranges.js';

export const SLOT_BYTES = 1 << 20;
export const SLOTS = 2;
const MAGIC = Buffer.from('HFACTV\r\n');
const VERSION = 1;
const GENERATION_BYTES = 16;
export const SLOT_HEADER_BYTES = MAGIC.length + 8 + GENERATION_BYTES + 4;
const RECORD_HEADER_BYTES = 8;
const PAYLOAD_BYTES_MAX = 1024;
/** No record is longer. */
export const RECORD_BYTES_MAX = RECORD_HEADER_BYTES + PAYLOAD_BYTES_MAX;

const RECORD = { directory: 1, object: 2, extents: 3, era: 4, everything: 5, complete: 6 } as const;

export interface ActiveObject {
  readonly parent: Handle | undefined;
  /** Latin1. */
  readonly name: string | undefined;
  /** In units of extents. */
  readonly extents: GranuleRanges;
}

/** What a slot says: everything that may have reached the disk of this node and not yet both. */
export interface Activity {
  /** Generation that both nodes had. */
  readonly base: string;
  /** Directories whose names may differ, with their ids. */
  readonly directories: Map<Handle, bigint>;
  readonly objects: Map<Handle, ActiveObject>;
  /** Objects that were made in one of these are suspect as a whole, and are found in the directories above. */
  readonly eras: Set<number>;
  /** There was more than a slot can hold. */
  everything: boolean;
}

export class SlotWriter {
  readonly #to = new ByteWriter(4096);
  readonly #payload = new ByteWriter(512);
  readonly #sequence: number;
  #position = 0;

  constructor(sequence: number, base: string) {
    this.#sequence = sequence;
    const header = Buffer.alloc(SLOT_HEADER_BYTES);
    let at = MAGIC.copy(header);
    at = header.writeUInt32LE(VERSION, at);
    at = header.writeUInt32LE(sequence >>> 0, at);
    at += header.write(base, at, 'hex');
    header.writeUInt32LE(crc32(header.subarray(0, at)), at);
    this.#to.raw(header);
    this.#position = SLOT_HEADER_BYTES;
  }

  /** Where the next record will be. */
  get position(): number {
    return this.#position;
  }

  get isEmpty(): boolean {
    return this.#to.length === 0;
  }

  directory(directory: Handle, id: bigint): void {
    const payload = this.#begin();
    text(payload, directory);
    payload.u64(id);
    this.#end(RECORD.directory);
  }

  object(object: Handle, parent: Handle | undefined, name: string | undefined): void {
    const payload = this.#begin();
    text(payload, object);
    text(payload, name === undefined ? '' : (parent ?? ''));
    text(payload, parent === undefined ? '' : (name ?? ''));
    this.#end(RECORD.object);
  }

  extents(object: Handle, start: number, end: number): void {
    const payload = this.#begin();
    text(payload, object);
    payload.size(start);
    payload.size(end);
    this.#end(RECORD.extents);
  }

  era(era: number): void {
    this.#begin().u32(era);
    this.#end(RECORD.era);
  }

  everything(): void {
    this.#begin();
    this.#end(RECORD.everything);
  }

  complete(): void {
    this.#begin();
    this.#end(RECORD.complete);
  }

  /** What was appended since the last `take`, and where in the slot it belongs; valid until the next append. */
  take(): { readonly bytes: Buffer; readonly at: number } {
    const bytes = this.#to.view();
    this.#to.clear();
    return { bytes, at: this.#position - bytes.length };
  }

  #begin(): ByteWriter {
    this.#payload.clear();
    return this.#payload;
  }

  #end(type: number): void {
    const payload = this.#payload.view();
    this.#to.u16(payload.length);
    this.#to.u16(type);
    this.#to.u32(sumOf(this.#sequence, this.#position, type, payload));
    this.#to.raw(payload);
    this.#position += RECORD_HEADER_BYTES + payload.length;
  }
}

/**
 * Never throws. @returns undefined when no slot is complete, with the reason; `sequence` is where a writer goes on
 */
export function decodeActivity(bytes: Buffer): { activity: Activity | undefined; reason: string | undefined; sequence: number } {
  let newest: { activity: Activity; sequence: number } | undefined;
  let damage: string | undefined;
  let sequence = 0;
  for (let slot = 0; slot < SLOTS; slot += 1) {
    const part = bytes.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES);
    const header = decodeSlotHeader(part);
    if (header === undefined) continue;
    sequence = Math.max(sequence, header.sequence);
    if (newest !== undefined && newest.sequence > header.sequence) continue;
    const decoded = decodeSlot(part, header);
    if (typeof decoded === 'string') damage = `slot ${slot}: ${decoded}`;
    else if (decoded !== undefined) newest = { activity: decoded, sequence: header.sequence };
  }
  // A damaged slot may be the newest one: an older one must not be believed then.
  if (damage !== undefined) return { activity: undefined, reason: damage, sequence };
  return { activity: newest?.activity, reason: newest === undefined ? 'no slot is complete' : undefined, sequence };
}

interface SlotHeader {
  readonly sequence: number;
  readonly base: string;
}

function decodeSlotHeader(slot: Buffer): SlotHeader | undefined {
  if (slot.length < SLOT_HEADER_BYTES || !slot.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const end = SLOT_HEADER_BYTES - 4;
  if (slot.readUInt32LE(end) !== crc32(slot.subarray(0, end))) return undefined;
  let at = MAGIC.length;
  if (slot.readUInt32LE(at) !== VERSION) return undefined;
  at += 4;
  return {
    sequence: slot.readUInt32LE(at),
    base: slot.toString('hex', at + 4, at + 4 + GENERATION_BYTES),
  };
}

/** @returns undefined: not complete; a string: damaged */
function decodeSlot(slot: Buffer, { sequence, base }: SlotHeader): Activity | string | undefined {
  const activity: Activity = { base, directories: new Map(), objects: new Map(), eras: new Set(), everything: false };
  let isComplete = false;
  let at = SLOT_HEADER_BYTES;
  for (;;) {
    const record = recordAt(slot, at, sequence);
    if (record === undefined) break;
    try {
      if (applyRecord(activity, record.type, record.payload)) isComplete = true;
    } catch (error) {
      return `byte ${at}: ${error instanceof Error ? error.message : String(error)}`;
    }
    at = record.next;
  }
  // The first record that does not hold is the end, or damage: only damage has good records behind it.
  for (let behind = at + 1; behind < slot.length - RECORD_HEADER_BYTES; behind += 1) {
    if (recordAt(slot, behind, sequence) !== undefined) return isComplete ? `byte ${at}: a checksum that does not hold` : undefined;
  }
  return isComplete ? activity : undefined;
}

function recordAt(slot: Buffer, at: number, sequence: number): { type: number; payload: Buffer; next: number } | undefined {
  if (at + RECORD_HEADER_BYTES > slot.length) return undefined;
  const length = slot.readUInt16LE(at);
  const type = slot.readUInt16LE(at + 2);
  const next = at + RECORD_HEADER_BYTES + length;
  if (type === 0 || type > RECORD.complete || length > PAYLOAD_BYTES_MAX || next > slot.length) return undefined;
  const payload = slot.subarray(at + RECORD_HEADER_BYTES, next);
  return slot.readUInt32LE(at + 4) === sumOf(sequence, at, type, payload) ? { type, payload, next } : undefined;
}

/** @returns true for the mark that ends a slot's first content */
function applyRecord(activity: Activity, type: number, payload: Buffer): boolean {
  const from = new ByteReader(payload);
  switch (type) {
    case RECORD.directory: {
      const directory = readText(from);
      activity.directories.set(directory, from.u64());
      break;
    }
    case RECORD.object: {
      const object = readText(from);
      const parent = readText(from);
      const name = readText(from);
      const place = parent === '' ? { parent: undefined, name: undefined } : { parent, name };
      if (!activity.objects.has(object)) activity.objects.set(object, { ...place, extents: new GranuleRanges() });
      break;
    }
    case RECORD.extents: {
      const object = readText(from);
      const start = from.size();
      const known = activity.objects.get(object) ?? { parent: undefined, name: undefined, extents: new GranuleRanges() };
      known.extents.add(start, from.size());
      activity.objects.set(object, known);
      break;
    }
    case RECORD.era:
      activity.eras.add(from.u32());
      break;
    case RECORD.everything:
      activity.everything = true;
      break;
    case RECORD.complete:
      return true;
    default:
      throw new Error(`record type ${type} does not exist`);
  }
  from.end();
  return false;
}

function sumOf(sequence: number, position: number, type: number, payload: Buffer): number {
  const seed = Buffer.alloc(12);
  seed.writeUInt32LE(sequence >>> 0, 0);
  seed.writeUInt32LE(position, 4);
  seed.writeUInt16LE(type, 8);
  seed.writeUInt16LE(payload.length, 10);
  return crc32(payload, crc32(seed));
}

function text(to: ByteWriter, value: string): void {
  to.u16(value.length);
  to.raw(Buffer.from(value, 'latin1'));
}

function readText(from: ByteReader): string {
  return from.view(from.u16()).toString('latin1');
}
