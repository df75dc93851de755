/**
 * What may differ between the nodes: names in directories, and content or attributes of objects. Keyed by local file handles, which need
 * no path and survive renames. Its size is bounded by what was touched, not by how often.
 *
 * A touched name means: compare what is under this name on both nodes. It is recorded for both ends of a rename and for a new and a known
 * old name of a hard link, so that a resync meets every object that moved. A directory's id is kept with its names, because the id of a
 * directory that was removed can no longer be read.
 */
import type { Handle } from '../store/handle.js';
import { GRANULE_BYTES } from '../wire/limits.js';
import { GranuleRanges, granulesOf, RANGES_MAX } from './ranges.js';

export interface DirtyDirectory {
  readonly id: bigint;
  /** Any name may differ: compare all of them. */
  isWhole: boolean;
  /** Names as latin1 strings: any bytes. */
  readonly names: Set<string>;
}

export interface DirtyObject {
  /** The content may differ anywhere: compare all of it. */
  whole: boolean;
  readonly ranges: GranuleRanges;
  /** Where the object was when it was first touched: a hint. */
  readonly parent: Handle | undefined;
  readonly name: string | undefined;
}

/** What records modifications: a DirtySet, or the journal that also writes them down. Each call returns true when that was news. */
export interface TouchRecorder {
  touchName(directory: Handle, directoryId: bigint, name: Uint8Array): boolean;
  /** Content; size and times are always looked at too. `parent` and `name`: where the object is, when known. */
  touchData(object: Handle, offset: number, length: number, parent?: Handle, name?: Uint8Array): boolean;
  /** All content: truncation, or nothing more precise is known. */
  touchWhole(object: Handle, parent?: Handle, name?: Uint8Array): boolean;
  /** Mode, owner, times, size. */
  touchAttributes(object: Handle, parent?: Handle, name?: Uint8Array): boolean;
}

export class DirtySet implements TouchRecorder {
  readonly #rangesMax: number;
  #directories = new Map<Handle, DirtyDirectory>();
  #objects = new Map<Handle, DirtyObject>();
  #names = 0;
  #granules = 0;

  /** @param rangesMax intervals of one object beyond which it is taken as a whole */
  constructor(rangesMax = RANGES_MAX) {
    this.#rangesMax = rangesMax;
  }

  get directories(): ReadonlyMap<Handle, DirtyDirectory> {
    return this.#directories;
  }

  get objects(): ReadonlyMap<Handle, DirtyObject> {
    return this.#objects;
  }

  get isEmpty(): boolean {
    return this.#directories.size === 0 && this.#objects.size === 0;
  }

  get nameCount(): number {
    return this.#names;
  }

  /** Content that ranges name; of an object that is taken as a whole: what its ranges named before. */
  get rangeBytes(): number {
    return this.#granules * GRANULE_BYTES;
  }

  touchName(directory: Handle, directoryId: bigint, name: Uint8Array): boolean {
    return this.addName(directory, directoryId, latin1(name));
  }

  /** All names of a directory. */
  addDirectory(directory: Handle, directoryId: bigint): boolean {
    const known = this.#directory(directory, directoryId);
    if (known.isWhole) return false;
    known.isWhole = true;
    return true;
  }

  addName(directory: Handle, directoryId: bigint, name: string): boolean {
    const known = this.#directory(directory, directoryId);
    if (known.names.has(name)) return false;
    known.names.add(name);
    this.#names += 1;
    return true;
  }

  touchData(object: Handle, offset: number, length: number, parent?: Handle, name?: Uint8Array): boolean {
    const { start, end } = granulesOf(offset, length);
    return this.addRange(object, start, end, parent, name === undefined ? undefined : latin1(name));
  }

  /** @param end exclusive granule number; an empty range still makes the object dirty */
  addRange(object: Handle, start: number, end: number, parent?: Handle, name?: string): boolean {
    const isNew = !this.#objects.has(object);
    const entry = this.#entry(object, parent, name);
    if (entry.whole) return isNew;
    const before = entry.ranges.granules;
    const changed = entry.ranges.add(start, end);
    this.#granules += entry.ranges.granules - before;
    if (entry.ranges.count > this.#rangesMax) entry.whole = true;
    return changed || isNew;
  }

  touchWhole(object: Handle, parent?: Handle, name?: Uint8Array): boolean {
    return this.addWhole(object, parent, name === undefined ? undefined : latin1(name));
  }

  addWhole(object: Handle, parent?: Handle, name?: string): boolean {
    const entry = this.#entry(object, parent, name);
    if (entry.whole) return false;
    entry.whole = true;
    return true;
  }

  touchAttributes(object: Handle, parent?: Handle, name?: Uint8Array): boolean {
    return this.addRange(object, 0, 0, parent, name === undefined ? undefined : latin1(name));
  }

  /** Adds everything that another set names. */
  merge(other: DirtySet): void {
    for (const [directory, { id, isWhole, names }] of other.directories) {
      if (isWhole) this.addDirectory(directory, id);
      for (const name of names) this.addName(directory, id, name);
    }
    for (const [object, { whole, ranges, parent, name }] of other.objects) {
      if (whole) this.addWhole(object, parent, name);
      else {
        this.addRange(object, 0, 0, parent, name);
        for (const { start, end } of ranges) this.addRange(object, start, end);
      }
    }
  }

  /** Moves everything into a new set; this one is empty then. */
  take(): DirtySet {
    const taken = new DirtySet(this.#rangesMax);
    taken.#directories = this.#directories;
    taken.#objects = this.#objects;
    taken.#names = this.#names;
    taken.#granules = this.#granules;
    this.#directories = new Map();
    this.#objects = new Map();
    this.#names = 0;
    this.#granules = 0;
    return taken;
  }

  #directory(directory: Handle, id: bigint): DirtyDirectory {
    let known = this.#directories.get(directory);
    if (known === undefined) {
      known = { id, isWhole: false, names: new Set() };
      this.#directories.set(directory, known);
    }
    return known;
  }

  #entry(object: Handle, parent: Handle | undefined, name: string | undefined): DirtyObject {
    let entry = this.#objects.get(object);
    if (entry === undefined) {
      entry = { whole: false, ranges: new GranuleRanges(), parent, name };
      this.#objects.set(object, entry);
    }
    return entry;
  }
}

/** Hears of all news of a recent set, to keep it where it survives this process. */
export interface RecentMirror {
  name(directory: Handle, directoryId: bigint, name: string): void;
  /** All names of it. */
  directory(directory: Handle, directoryId: bigint): void;
  /** @param entry the object's entry as it is now @param end exclusive granule number of what is new; an empty range: attributes */
  object(object: Handle, entry: DirtyObject, start: number, end: number): void;
  cut(): void;
  forgetPrevious(): void;
  clear(): void;
}

/**
 * Everything modified since the last checkpoint, on both nodes: what may differ when one of them crashes. A checkpoint cuts the set in two
 * at the same point of the stream on both nodes; when both file systems are flushed the older part is forgotten.
 */
export class RecentSet implements TouchRecorder {
  /** Flushed here, perhaps not on the other node. */
  #older = new DirtySet();
  #previous = new DirtySet();
  #current = new DirtySet();
  readonly #mirror: RecentMirror | undefined;

  constructor(mirror?: RecentMirror) {
    this.#mirror = mirror;
  }

  get isEmpty(): boolean {
    return this.#older.isEmpty && this.#previous.isEmpty && this.#current.isEmpty;
  }

  touchName(directory: Handle, directoryId: bigint, name: Uint8Array): boolean {
    const isNew = this.#current.touchName(directory, directoryId, name);
    if (isNew) this.#mirror?.name(directory, directoryId, latin1(name));
    return isNew;
  }

  touchData(object: Handle, offset: number, length: number, parent?: Handle, name?: Uint8Array): boolean {
    const isNew = this.#current.touchData(object, offset, length, parent, name);
    if (isNew && this.#mirror !== undefined) {
      const { start, end } = granulesOf(offset, length);
      this.#mirror.object(object, this.#current.objects.get(object) as DirtyObject, start, end);
    }
    return isNew;
  }

  touchWhole(object: Handle, parent?: Handle, name?: Uint8Array): boolean {
    const isNew = this.#current.touchWhole(object, parent, name);
    if (isNew) this.#mirror?.object(object, this.#current.objects.get(object) as DirtyObject, 0, 0);
    return isNew;
  }

  touchAttributes(object: Handle, parent?: Handle, name?: Uint8Array): boolean {
    const isNew = this.#current.touchAttributes(object, parent, name);
    if (isNew) this.#mirror?.object(object, this.#current.objects.get(object) as DirtyObject, 0, 0);
    return isNew;
  }

  /** Whether an object was modified: its times may still differ between the nodes. `name`: under which it is in `directory`. */
  isTouched(object: Handle, directory: Handle, name: string): boolean {
    return [this.#older, this.#previous, this.#current].some(
      (set) => set.objects.has(object) || set.directories.has(object) || set.directories.get(directory)?.names.has(name) === true,
    );
  }

  /** Starts a new part. @returns the part before the cut (with what an unfinished checkpoint left) */
  cut(): DirtySet {
    this.#previous.merge(this.#current);
    this.#current = new DirtySet();
    this.#mirror?.cut();
    return this.#previous;
  }

  /** Both nodes have flushed what was before the cut. */
  forgetPrevious(): void {
    this.#previous = new DirtySet();
    this.#mirror?.forgetPrevious();
  }

  /**
   * As `forgetPrevious`, but one checkpoint later. A secondary performs what is on its way at the cut before the cut, the primary after
   * it: there it is flushed, and gets its times, at the next checkpoint.
   */
  forgetOlder(): void {
    this.#older = this.#previous;
    this.#previous = new DirtySet();
  }

  /** Everything, as one set of its own. */
  all(): DirtySet {
    const all = new DirtySet();
    all.merge(this.#older);
    all.merge(this.#previous);
    all.merge(this.#current);
    return all;
  }

  clear(): void {
    this.#older = new DirtySet();
    this.#previous = new DirtySet();
    this.#current = new DirtySet();
    this.#mirror?.clear();
  }

  /** Adds what may differ for another reason than a modification of this process. */
  merge(known: DirtySet): void {
    for (const [directory, { id, isWhole, names }] of known.directories) {
      if (isWhole && this.#current.addDirectory(directory, id)) this.#mirror?.directory(directory, id);
      for (const name of names) this.touchName(directory, id, Buffer.from(name, 'latin1'));
    }
    for (const [object, { whole, ranges, parent, name }] of known.objects) {
      const at = [parent, name === undefined ? undefined : Buffer.from(name, 'latin1')] as const;
      this.touchAttributes(object, ...at);
      if (whole) this.touchWhole(object, ...at);
      else for (const { start, end } of ranges) this.touchData(object, start * GRANULE_BYTES, (end - start) * GRANULE_BYTES, ...at);
    }
  }
}

export function latin1(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
}
