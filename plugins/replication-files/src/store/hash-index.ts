/**
 * Finds rows of a table by a hash of what they hold: an open-addressed array of row numbers, 4 bytes for each place. A Map of as many
 * objects takes ten times as much, and there can be millions.
 */

const PLACES_MIN = 1024;

export class HashIndex {
  /** Row numbers plus one; 0: free. */
  #places = new Uint32Array(PLACES_MIN);
  #count = 0;
  readonly #hashOf: (row: number) => number;

  /** @param hashOf what a row is found by, of 32 bits; must not change while the row is in here */
  constructor(hashOf: (row: number) => number) {
    this.#hashOf = hashOf;
  }

  get count(): number {
    return this.#count;
  }

  /** @returns the row that `isIt`, or -1 */
  find(hash: number, isIt: (row: number) => boolean): number {
    const places = this.#places;
    const mask = places.length - 1;
    for (let at = spread(hash) & mask; ; at = (at + 1) & mask) {
      const row = (places[at] as number) - 1;
      if (row < 0 || isIt(row)) return row;
    }
  }

  /** The row must not be in here. */
  add(row: number): void {
    this.#count += 1;
    if (this.#count * 4 > this.#places.length * 3) this.#grow();
    this.#put(row);
  }

  /** The row must be in here. */
  remove(row: number): void {
    const places = this.#places;
    const mask = places.length - 1;
    let hole = spread(this.#hashOf(row)) & mask;
    while (places[hole] !== row + 1) hole = (hole + 1) & mask;
    // What comes behind without a gap moves up, as far as it may: nothing marks where something was.
    for (let at = (hole + 1) & mask; places[at] !== 0; at = (at + 1) & mask) {
      const home = spread(this.#hashOf((places[at] as number) - 1)) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      places[hole] = places[at] as number;
      hole = at;
    }
    places[hole] = 0;
    this.#count -= 1;
  }

  clear(): void {
    this.#places = new Uint32Array(PLACES_MIN);
    this.#count = 0;
  }

  #put(row: number): void {
    const places = this.#places;
    const mask = places.length - 1;
    let at = spread(this.#hashOf(row)) & mask;
    while (places[at] !== 0) at = (at + 1) & mask;
    places[at] = row + 1;
  }

  #grow(): void {
    const before = this.#places;
    this.#places = new Uint32Array(before.length * 2);
    for (const place of before) if (place !== 0) this.#put(place - 1);
  }
}

/** Lets every bit count. */
function spread(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return mixed ^ (mixed >>> 15);
}

/** Of a string of bytes. */
export function hashOfBytes(latin1: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < latin1.length; index += 1) hash = Math.imul(hash ^ latin1.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
