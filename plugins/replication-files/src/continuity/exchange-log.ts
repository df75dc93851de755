/**
 * Which object an exchange of two names was to move: afterwards both names exist as before, and only this tells whether a repeated request
 * was carried out. The last few are enough: an exchange locks its directories until it is answered.
 */
import type { Handle } from '../store/handle.js';
import * as at from './memory.js';
import type { ContinuityMemory } from './memory.js';

/** The number of the request in two words, the length of the handle, the handle. */
const ENTRY_BYTES = 192;
const ENTRIES = Math.floor(at.EXCHANGE_LOG_BYTES / ENTRY_BYTES);
const NEXT = at.EXCHANGE_LOG_WORDS_AT;

export class ExchangeLog {
  readonly #header: Uint32Array<ArrayBuffer>;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #bytes: Buffer<ArrayBuffer>;

  constructor(memory: ContinuityMemory) {
    this.#header = memory.header;
    this.#words = memory.words(at.EXCHANGE_LOG_AT, at.EXCHANGE_LOG_BYTES);
    this.#bytes = memory.bytes(at.EXCHANGE_LOG_AT, at.EXCHANGE_LOG_BYTES);
  }

  /** Before it is carried out. */
  begins(uniqueLow: number, uniqueHigh: number, moved: Handle): void {
    const index = (this.#header[NEXT] as number) % ENTRIES;
    const w = (index * ENTRY_BYTES) >> 2;
    this.#words[w + 2] = 0;
    this.#words[w] = uniqueLow;
    this.#words[w + 1] = uniqueHigh & 0x7fffffff;
    this.#bytes.write(moved, index * ENTRY_BYTES + 12, 'latin1');
    Atomics.store(this.#words, w + 2, moved.length);
    Atomics.store(this.#header, NEXT, index + 1);
  }

  /** @returns what the request was to move, if it had begun */
  movedBy(uniqueLow: number, uniqueHigh: number): Handle | undefined {
    for (let index = 0; index < ENTRIES; index += 1) {
      const w = (index * ENTRY_BYTES) >> 2;
      const length = this.#words[w + 2] as number;
      if (length === 0 || this.#words[w] !== uniqueLow >>> 0 || this.#words[w + 1] !== (uniqueHigh & 0x7fffffff)) continue;
      return this.#bytes.toString('latin1', index * ENTRY_BYTES + 12, index * ENTRY_BYTES + 12 + length);
    }
    return undefined;
  }

  copyFrom(other: ExchangeLog): void {
    this.#words.set(other.#words);
    this.#header[NEXT] = other.#header[NEXT] as number;
  }
}
