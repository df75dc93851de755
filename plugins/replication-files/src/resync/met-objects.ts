/**
 * The ids that a walk over everything has met, each with the object that had it: as numbers, 16 bytes for each, because a tree has
 * millions. Of the object's handle only a hash of 63 bits is kept: enough to know that another one has the same id. The last bit says
 * that the target knows the object too.
 */
import type { Handle } from '../store/handle.js';
import { HashIndex, hashOfBytes } from '../store/hash-index.js';
import { highOfLast, lowOf } from '../store/id-words.js';

/** Id (low, high) and hash of the handle (two words, but for the last bit). */
const WORDS = 4;
const KNOWN_THERE = 1;
const ROWS_MIN = 1024;

export class MetObjects {
  #rows = new Uint32Array(ROWS_MIN * WORDS);
  #count = 0;
  readonly #index = new HashIndex((row) => this.#rows[row * WORDS] as number);

  isKnownThere(object: bigint): boolean {
    const row = this.#find(object);
    return row >= 0 && ((this.#rows[row * WORDS + 3] as number) & KNOWN_THERE) !== 0;
  }

  /** The target has told that it has the object. */
  noteKnownThere(object: bigint): void {
    const row = this.#find(object);
    if (row >= 0) this.#rows[row * WORDS + 3] = (this.#rows[row * WORDS + 3] as number) | KNOWN_THERE;
  }

  /** @returns false: another object has been met with this id */
  meet(object: bigint, handle: Handle): boolean {
    const known = this.#find(object);
    const first = hashOfBytes(handle);
    const second = otherHashOf(handle);
    if (known >= 0)
      return this.#rows[known * WORDS + 2] === first && ((this.#rows[known * WORDS + 3] as number) & ~KNOWN_THERE) >>> 0 === second;
    const at = this.#count * WORDS;
    if (at === this.#rows.length) this.#grow();
    this.#rows[at] = lowOf(object);
    this.#rows[at + 1] = highOfLast();
    this.#rows[at + 2] = first;
    this.#rows[at + 3] = second;
    this.#index.add(this.#count);
    this.#count += 1;
    return true;
  }

  #find(object: bigint): number {
    const low = lowOf(object);
    const high = highOfLast();
    return this.#index.find(low, (row) => this.#rows[row * WORDS] === low && this.#rows[row * WORDS + 1] === high);
  }

  #grow(): void {
    const grown = new Uint32Array(this.#rows.length * 2);
    grown.set(this.#rows);
    this.#rows = grown;
  }
}

/** Independent of `hashOfBytes`. */
function otherHashOf(latin1: string): number {
  let hash = 0;
  for (let index = latin1.length - 1; index >= 0; index -= 1) hash = (Math.imul(hash, 0x9e3779b1) + latin1.charCodeAt(index) + 1) | 0;
  return ((hash ^ (hash >>> 15)) & ~KNOWN_THERE) >>> 0;
}
