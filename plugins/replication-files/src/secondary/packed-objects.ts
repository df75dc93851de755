/**
 * A table of objects by id and by handle, in a few arrays of numbers and bytes: some 70 bytes for each, where objects, strings and maps
 * take five times as much. A secondary knows every object that the primary has touched since they were connected, and during a
 * comparison every object that there is.
 */
import type { Handle } from '../store/handle.js';
import { hashOfBytes, HashIndex } from '../store/hash-index.js';
import { highOfLast, idOf, lowOf } from '../store/id-words.js';

/** Words of a row: id, hash of the handle, where its bytes are, number of the parent with the flags. */
const ID_LOW = 0;
const ID_HIGH = 1;
const HASH = 2;
const BYTES_AT = 3;
const PARENT = 4;
const WORDS = 5;
const GONE = 0x80000000;
/** Cannot be found by its handle. */
const DETACHED = 0x40000000;
const FLAGS = GONE | DETACHED;
const UNUSED = 0xffffffff;
const ROWS_MIN = 256;
const BYTES_MIN = 16 << 10;
/** Before handle and name: their lengths. */
const LENGTHS_BYTES = 2;

export class PackedObjects {
  #rows = new Uint32Array(ROWS_MIN * WORDS);
  #rowsEnd = 0;
  readonly #freeRows: number[] = [];
  #bytes = Buffer.alloc(BYTES_MIN);
  #bytesEnd = 0;
  #bytesUnused = 0;
  /** Directories in which something is: far fewer, and never forgotten. Their numbers begin with 1. */
  readonly #parents: Handle[] = [];
  readonly #parentNumbers = new Map<Handle, number>();
  readonly #byId = new HashIndex((row) => this.#word(row, ID_LOW));
  readonly #byHandle = new HashIndex((row) => this.#word(row, HASH));

  /** @returns the row of an object that is known, perhaps as one that is gone; or -1 */
  find(object: bigint): number {
    const low = lowOf(object);
    const high = highOfLast();
    return this.#byId.find(low, (row) => this.#word(row, ID_LOW) === low && this.#word(row, ID_HIGH) === high);
  }

  /** @returns the row of an object that is not gone, or -1 */
  findHandle(handle: Handle): number {
    const hash = hashOfBytes(handle);
    return this.#byHandle.find(hash, (row) => this.#word(row, HASH) === hash && this.handle(row) === handle);
  }

  id(row: number): bigint {
    return idOf(this.#word(row, ID_LOW), this.#word(row, ID_HIGH));
  }

  handle(row: number): Handle {
    const at = this.#word(row, BYTES_AT);
    const from = at + LENGTHS_BYTES;
    return this.#bytes.toString('latin1', from, from + (this.#bytes[at] as number));
  }

  parent(row: number): Handle | undefined {
    return this.#parents[(this.#word(row, PARENT) & ~FLAGS) - 1];
  }

  /** A copy. */
  name(row: number): Buffer | undefined {
    const at = this.#word(row, BYTES_AT);
    const from = at + LENGTHS_BYTES + (this.#bytes[at] as number);
    const length = this.#bytes[at + 1] as number;
    return length === 0 ? undefined : Buffer.from(this.#bytes.subarray(from, from + length));
  }

  isGone(row: number): boolean {
    return (this.#word(row, PARENT) & GONE) !== 0;
  }

  /** An object that exists. It takes the id, and the handle, from what had them. */
  set(object: bigint, handle: Handle, parent?: Handle, name?: Uint8Array): void {
    const known = this.find(object);
    if (known >= 0) this.remove(known);
    const other = this.findHandle(handle);
    if (other >= 0) this.#detach(other, DETACHED);
    const row = this.#freeRows.pop() ?? this.#newRow();
    const at = row * WORDS;
    this.#rows[at + ID_LOW] = lowOf(object);
    this.#rows[at + ID_HIGH] = highOfLast();
    this.#rows[at + HASH] = hashOfBytes(handle);
    this.#rows[at + PARENT] = this.#numberOf(parent);
    this.#rows[at + BYTES_AT] = this.#append(handle, name);
    this.#byId.add(row);
    this.#byHandle.add(row);
  }

  /** It has another place. */
  move(row: number, parent: Handle, name: Uint8Array): void {
    const handle = this.handle(row);
    this.#dropBytes(row);
    const at = row * WORDS;
    this.#rows[at + PARENT] = ((this.#word(row, PARENT) & FLAGS) | this.#numberOf(parent)) >>> 0;
    this.#rows[at + BYTES_AT] = this.#append(handle, name);
  }

  /** Its last name has gone: it is known, but cannot be found by its handle. */
  markGone(row: number): void {
    this.#detach(row, GONE | DETACHED);
  }

  remove(row: number): void {
    this.#detach(row, DETACHED);
    this.#byId.remove(row);
    this.#dropBytes(row);
    this.#freeRows.push(row);
  }

  #detach(row: number, flags: number): void {
    const parent = this.#word(row, PARENT);
    if ((parent & DETACHED) === 0) this.#byHandle.remove(row);
    this.#rows[row * WORDS + PARENT] = (parent | flags) >>> 0;
  }

  #word(row: number, word: number): number {
    return this.#rows[row * WORDS + word] as number;
  }

  #newRow(): number {
    const at = this.#rowsEnd * WORDS;
    if (at === this.#rows.length) {
      const grown = new Uint32Array((this.#rowsEnd + (this.#rowsEnd >> 1)) * WORDS);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    this.#rows[at + BYTES_AT] = UNUSED;
    this.#rowsEnd += 1;
    return this.#rowsEnd - 1;
  }

  #numberOf(parent: Handle | undefined): number {
    if (parent === undefined) return 0;
    const known = this.#parentNumbers.get(parent);
    if (known !== undefined) return known;
    const number = this.#parents.push(parent);
    this.#parentNumbers.set(parent, number);
    return number;
  }

  #append(handle: Handle, name: Uint8Array | undefined): number {
    const length = LENGTHS_BYTES + handle.length + (name?.length ?? 0);
    this.#makeRoom(length);
    const at = this.#bytesEnd;
    this.#bytes[at] = handle.length;
    this.#bytes[at + 1] = name?.length ?? 0;
    this.#bytes.write(handle, at + LENGTHS_BYTES, 'latin1');
    if (name !== undefined) this.#bytes.set(name, at + LENGTHS_BYTES + handle.length);
    this.#bytesEnd += length;
    return at;
  }

  #dropBytes(row: number): void {
    this.#bytesUnused += this.#lengthAt(this.#word(row, BYTES_AT));
    this.#rows[row * WORDS + BYTES_AT] = UNUSED;
  }

  #lengthAt(at: number): number {
    return LENGTHS_BYTES + (this.#bytes[at] as number) + (this.#bytes[at + 1] as number);
  }

  /** Into a larger buffer, or one of the same size when half of this one is not used any more. */
  #makeRoom(length: number): void {
    if (this.#bytesEnd + length <= this.#bytes.length) return;
    const isHalfUnused = this.#bytesUnused * 2 > this.#bytes.length;
    const before = this.#bytes;
    this.#bytes = Buffer.alloc(isHalfUnused ? before.length : Math.ceil(before.length * 1.5) + length);
    let end = 0;
    for (let row = 0; row < this.#rowsEnd; row += 1) {
      const at = this.#word(row, BYTES_AT);
      if (at === UNUSED) continue;
      const bytes = LENGTHS_BYTES + (before[at] as number) + (before[at + 1] as number);
      before.copy(this.#bytes, end, at, at + bytes);
      this.#rows[row * WORDS + BYTES_AT] = end;
      end += bytes;
    }
    this.#bytesEnd = end;
    this.#bytesUnused = 0;
  }
}
