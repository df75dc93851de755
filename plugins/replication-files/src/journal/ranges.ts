/**
 * Which granules of one file differ: sorted, disjoint, non-adjacent intervals of granule numbers. Bounded: beyond RANGES_MAX intervals the
 * caller gives up precision and takes the whole file, because a journal must not grow with the number of writes.
 */
import { GRANULE_BYTES } from '../wire/limits.js';

export const RANGES_MAX = 512;

export class GranuleRanges {
  /** start0, end0, start1, end1, … (ends exclusive). */
  readonly #bounds: number[] = [];
  #granules = 0;

  get count(): number {
    return this.#bounds.length / 2;
  }

  get granules(): number {
    return this.#granules;
  }

  /** @returns false when everything from `start` to `end` (exclusive) was in the set already */
  add(start: number, end: number): boolean {
    if (end <= start) return false;
    const first = this.#firstEndingAtOrAfter(start);
    if (first < this.#bounds.length && this.#start(first) <= start && this.#end(first) >= end) return false;
    let next = first;
    let from = start;
    let to = end;
    while (next < this.#bounds.length && this.#start(next) <= end) {
      this.#granules -= this.#end(next) - this.#start(next);
      from = Math.min(from, this.#start(next));
      to = Math.max(to, this.#end(next));
      next += 2;
    }
    this.#bounds.splice(first, next - first, from, to);
    this.#granules += to - from;
    return true;
  }

  has(granule: number): boolean {
    const at = this.#firstEndingAtOrAfter(granule + 1);
    return at < this.#bounds.length && this.#start(at) <= granule;
  }

  *[Symbol.iterator](): Generator<{ start: number; end: number }> {
    for (let i = 0; i < this.#bounds.length; i += 2) yield { start: this.#start(i), end: this.#end(i) };
  }

  /** Index of the first interval whose end is at or after `granule`: the first that an interval starting there can touch. */
  #firstEndingAtOrAfter(granule: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#end(middle * 2) < granule) low = middle + 1;
      else high = middle;
    }
    return low * 2;
  }

  #start(index: number): number {
    return this.#bounds[index] as number;
  }

  #end(index: number): number {
    return this.#bounds[index + 1] as number;
  }
}

/** Granules that a range of bytes touches. */
export function granulesOf(offset: number, length: number): { start: number; end: number } {
  return { start: Math.floor(offset / GRANULE_BYTES), end: length > 0 ? Math.ceil((offset + length) / GRANULE_BYTES) : 0 };
}
