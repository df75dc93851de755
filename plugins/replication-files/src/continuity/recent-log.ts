/**
 * The primary's recent set in memory that survives it, in the records of the journal: one area for each part since a checkpoint was cut.
 * What an area names may be more than the set names, never less.
 */
import { decodeJournal, encodeHeader, HEADER_BYTES, RecordWriter } from '../journal/format.js';
import { DirtySet, type DirtyObject, type RecentMirror } from '../journal/dirty-set.js';
import type { Handle } from '../store/handle.js';
import { fallocate } from '../system/calls.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '../system/constants.js';
import * as at from './memory.js';
import type { ContinuityMemory } from './memory.js';

/** One word for the length of each area; 0: free. */
const LENGTH = at.RECENT_LOG_WORDS_AT;
/** Two cannot be told apart from the journal's own only by their base, which nothing reads here. */
const NO_ONE = '0'.repeat(32);

export class RecentLog implements RecentMirror {
  readonly #memory: ContinuityMemory;
  /** Areas of the parts before the last cut. */
  #previous: number[] = [];
  #current = -1;
  #bytes = Buffer.alloc(0);
  #end = 0;
  #writer = new RecordWriter(HEADER_BYTES);

  constructor(memory: ContinuityMemory) {
    this.#memory = memory;
    this.clear();
  }

  name(directory: Handle, directoryId: bigint, name: string): void {
    this.#writer.name(directory, directoryId, name);
    this.#append();
  }

  directory(directory: Handle, directoryId: bigint): void {
    this.#writer.directory(directory, directoryId);
    this.#append();
  }

  object(object: Handle, { parent, name, whole }: DirtyObject, start: number, end: number): void {
    this.#writer.object(object, parent, name);
    if (whole) this.#writer.whole(object);
    else if (end > start) this.#writer.range(object, start, end);
    this.#append();
  }

  cut(): void {
    const free = this.#free();
    // An area that is not changed holds both parts until the one after is forgotten: more than needed.
    if (free === undefined) return;
    this.#previous.push(this.#current);
    this.#begin(free);
  }

  forgetPrevious(): void {
    for (const area of this.#previous.splice(0)) this.#release(area);
  }

  clear(): void {
    this.#previous = [];
    for (let area = 0; area < at.RECENT_AREAS; area += 1) if (this.#length(area) > 0) this.#release(area);
    this.#begin(0);
  }

  #begin(area: number): void {
    this.#current = area;
    this.#bytes = this.#memory.bytes(at.RECENT_AREA_AT + area * at.RECENT_AREA_BYTES, at.RECENT_AREA_BYTES);
    this.#writer = new RecordWriter(HEADER_BYTES);
    this.#bytes.set(encodeHeader({ base: NO_ONE, bootId: NO_ONE }));
    this.#end = HEADER_BYTES;
    this.#store(area, this.#end);
  }

  #append(): void {
    const bytes = this.#writer.take();
    if (this.#end + bytes.length > at.RECENT_AREA_BYTES) {
      this.#memory.giveUp();
      return;
    }
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
    this.#store(this.#current, this.#end);
  }

  #free(): number | undefined {
    for (let area = 0; area < at.RECENT_AREAS; area += 1) if (this.#length(area) === 0) return area;
    return undefined;
  }

  #release(area: number): void {
    this.#store(area, 0);
    const start = at.RECENT_AREA_AT + area * at.RECENT_AREA_BYTES;
    fallocate(this.#memory.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, start, at.RECENT_AREA_BYTES);
  }

  #length(area: number): number {
    return this.#memory.header[LENGTH + area] as number;
  }

  #store(area: number, length: number): void {
    Atomics.store(this.#memory.header, LENGTH + area, length);
  }
}

/** Everything that a killed primary had recorded. @throws when it is damaged */
export function replayRecent(memory: ContinuityMemory): DirtySet {
  const all = new DirtySet();
  for (let area = 0; area < at.RECENT_AREAS; area += 1) {
    const length = memory.header[LENGTH + area] as number;
    if (length === 0) continue;
    const content = decodeJournal(memory.bytes(at.RECENT_AREA_AT + area * at.RECENT_AREA_BYTES, length));
    if (!content.usable) throw new Error(content.reason);
    all.merge(content.set);
  }
  return all;
}
