/**
 * The memory that a primary leaves to its successor when it is killed: flags, what the kernel knows (node-log.ts), and what may differ
 * from the peer (recent-log.ts). Everything is written before it can be observed from outside, and every log has its length apart, stored
 * last: a record that was not finished does not count.
 *
 * When anything cannot be recorded the whole memory is declared useless, and the death of this process ends as it would without it.
 */
import { randomFillSync } from 'node:crypto';
import { close, fallocate } from '../system/calls.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '../system/constants.js';
import { createMemory, mapMemory } from '../system/shared-memory.js';

const MAGIC = 0x48464d59;
/** A successor of another version must not believe what it cannot read. */
const VERSION = 2;

const WORD = { magic: 0, version: 1, survives: 2, kernelResends: 3, paired: 4, features: 5, secrets: 8 } as const;
const SECRET_WORDS = 4;
/** Words of the header from here on belong to the logs. */
export const NODE_LOG_WORDS_AT = 32;
export const RECENT_LOG_WORDS_AT = 64;
export const COUNT_LOG_WORDS_AT = 96;
export const EXCHANGE_LOG_WORDS_AT = 100;

// Room, not memory: a page costs something only once it is written.
const HEADER_BYTES = 4096;
export const EXCHANGE_LOG_AT = 1024;
export const EXCHANGE_LOG_BYTES = HEADER_BYTES - EXCHANGE_LOG_AT;
export const COUNT_LOG_BYTES = 1 << 20;
export const LOOKUPS_BYTES = 64 << 20;
export const NODE_LOG_BYTES = 512 << 20;
export const NODE_LOGS = 2;
export const RECENT_AREA_BYTES = 128 << 20;
export const RECENT_AREAS = 4;
export const COUNT_LOG_AT = HEADER_BYTES;
export const LOOKUPS_AT = COUNT_LOG_AT + COUNT_LOG_BYTES;
export const NODE_LOG_AT = LOOKUPS_AT + LOOKUPS_BYTES;
export const RECENT_AREA_AT = NODE_LOG_AT + NODE_LOGS * NODE_LOG_BYTES;
const MEMORY_BYTES = RECENT_AREA_AT + RECENT_AREAS * RECENT_AREA_BYTES;

export class ContinuityMemory {
  readonly fd: number;
  readonly buffer: ArrayBuffer;
  readonly #words: Uint32Array<ArrayBuffer>;

  private constructor(fd: number, buffer: ArrayBuffer) {
    this.fd = fd;
    this.buffer = buffer;
    this.#words = this.words(0, HEADER_BYTES);
  }

  /** @returns undefined when the system gives none */
  static create(): ContinuityMemory | undefined {
    const fd = createMemory('holdfast', MEMORY_BYTES);
    const memory = fd < 0 ? undefined : ContinuityMemory.#map(fd);
    if (memory === undefined) return undefined;
    const words = memory.#words;
    randomFillSync(new Uint8Array(memory.buffer, WORD.secrets * 4, SECRET_WORDS * 4));
    words[WORD.version] = VERSION;
    words[WORD.survives] = 1;
    Atomics.store(words, WORD.magic, MAGIC);
    return memory;
  }

  /** @param fd what `create` made in another process @returns undefined: it cannot be believed */
  static adopt(fd: number): ContinuityMemory | undefined {
    const memory = ContinuityMemory.#map(fd);
    if (memory === undefined) return undefined;
    const words = memory.#words;
    const isUsable = words[WORD.magic] === MAGIC && words[WORD.version] === VERSION && words[WORD.survives] === 1;
    return isUsable && words[WORD.kernelResends] === 1 ? memory : undefined;
  }

  static #map(fd: number): ContinuityMemory | undefined {
    const buffer = mapMemory(fd, MEMORY_BYTES);
    return typeof buffer === 'number' ? undefined : new ContinuityMemory(fd, buffer);
  }

  /** Gives the pages back. What is mapped stays, and is zeros. */
  release(): void {
    fallocate(this.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, MEMORY_BYTES);
    close(this.fd);
  }

  words(at: number, bytes: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.buffer, at, bytes >> 2);
  }

  bytes(at: number, bytes: number): Buffer<ArrayBuffer> {
    return Buffer.from(this.buffer, at, bytes);
  }

  get header(): Uint32Array<ArrayBuffer> {
    return this.#words;
  }

  get survives(): boolean {
    return this.#words[WORD.survives] === 1;
  }

  /** Something could not be recorded. */
  giveUp(): void {
    Atomics.store(this.#words, WORD.survives, 0);
  }

  /** The kernel sends requests without an answer again when it is asked to (Linux 6.9 and later). */
  kernelResends(): void {
    Atomics.store(this.#words, WORD.kernelResends, 1);
  }

  /** What was agreed with the kernel in INIT, which it does not send again. */
  get fuseFeatures(): number {
    return this.#words[WORD.features] as number;
  }

  set fuseFeatures(features: number) {
    Atomics.store(this.#words, WORD.features, features >>> 0);
  }

  /** The peer may believe that it has everything: nothing may be acknowledged without it. */
  get isPaired(): boolean {
    return this.#words[WORD.paired] === 1;
  }

  set isPaired(isPaired: boolean) {
    Atomics.store(this.#words, WORD.paired, isPaired ? 1 : 0);
  }

  get secrets(): Uint32Array {
    return this.#words.subarray(WORD.secrets, WORD.secrets + SECRET_WORDS);
  }
}
