/**
 * Copies of what small writes carry, in buffers that are used again: a buffer for each write would be most of what the garbage collector
 * has to do.
 */

/** Nearly all small writes are pages. */
const PAGE_BYTES = 4096;
const FREE_MAX = 64;

export class Copies {
  readonly #bytesMax: number;
  readonly #freePages: Buffer[] = [];
  readonly #freeLarger: Buffer[] = [];

  /** @param bytesMax of one copy */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** @returns the copy, and how to give it back: once, when nobody reads it any more */
  take(data: Buffer): { readonly copy: Buffer; readonly release: () => void } {
    const isPage = data.length <= PAGE_BYTES;
    const free = isPage ? this.#freePages : this.#freeLarger;
    const room = free.pop() ?? Buffer.from(new ArrayBuffer(isPage ? PAGE_BYTES : this.#bytesMax));
    data.copy(room);
    return {
      copy: data.length === room.length ? room : room.subarray(0, data.length),
      release: () => {
        if (free.length < FREE_MAX) free.push(room);
      },
    };
  }
}
