/**
 * Names, from the source to the target, in two movements. CLEAR: everything that is not the same object under the same name goes to the
 * target's stash, so that whatever moved can be found there by its id. PLACE: every name gets its object: from the stash, as a further
 * link, or new; new files are copied then, new directories listed and placed in turn.
 *
 * A directory is found on the target by its id. The source tells its place (BIND) only when no name on the way is touched and not cleared
 * yet: otherwise it could point to another directory of the same name.
 */
import type { DirtyDirectory, DirtySet } from '../journal/dirty-set.js';
import { isDirectory, type Handle } from '../store/handle.js';
import { ENOENT, errnoName } from '../system/errno.js';
import { isRootObject } from '../wire/limits.js';
import { STATUS, type Answer, type Entry } from '../wire/messages.js';
import { Fifo } from './fifo.js';
import { ResyncError, type RequestFlow, type Steps } from './flow.js';
import { placeOfDirectory, type Place } from './location.js';
import type { ContentJob, ContentSender } from './source-content.js';
import type { Found, SourceTree } from './source-tree.js';

const CHUNK_ENTRIES = 512;
const CHUNK_BYTES = 256 << 10;

interface TouchedDirectory {
  readonly handle: Handle;
  readonly id: bigint;
  readonly names: ReadonlySet<string>;
  readonly isWhole: boolean;
  readonly isAlive: boolean;
  readonly depth: number;
}

interface PlaceJob {
  readonly directory: Handle;
  /** `all`: the directory is new on the target. */
  readonly names: readonly string[] | 'all';
}

export class NameSender {
  /** Directories whose attributes must be sent when everything in them is in place. */
  readonly #stampLater = new Map<Handle, bigint>();
  /** Objects that the target knows in this session; during a comparison the tree remembers that. */
  readonly #known = new Set<bigint>();
  readonly #asked = new Set<bigint>();
  readonly #walked = new Set<bigint>();
  readonly #toWalk = new Fifo<Handle>();
  readonly #toPlace = new Fifo<PlaceJob>();
  readonly #content = new Fifo<ContentJob>();
  /** Names of this round that are not cleared on the target yet. */
  #uncleared = new Map<Handle, ReadonlySet<string>>();
  /**
   * Objects copied as a whole in this round: nothing that was touched before needs another look. A walk over everything has nothing
   * that was touched before.
   */
  #copied: Set<Handle> | undefined;
  /** New files with several names: the names met so far. A name that nobody touched would be missing here. */
  readonly #links = new Map<bigint, { readonly handle: Handle; isNew: boolean; readonly names: Map<string, Handle> }>();
  objectsTotal = 0;
  /** Sizes of all regular files that a complete walk has met. */
  bytesInTree = 0;

  constructor(
    private readonly tree: SourceTree,
    private readonly flow: RequestFlow,
    private readonly content: ContentSender,
    private readonly pending: DirtySet,
    private readonly mode: 'journal' | 'compare',
  ) {
    tree.tracksIds = mode === 'compare';
  }

  isKnown(object: bigint): boolean {
    return isRootObject(object) || (this.mode === 'journal' ? this.#known.has(object) : this.tree.isKnownThere(object));
  }

  #know(object: bigint): void {
    if (this.mode === 'journal') this.#known.add(object);
    else this.tree.noteKnownThere(object);
  }

  wasCopied(file: Handle): boolean {
    return this.#copied?.has(file) === true;
  }

  /** Compares everything. */
  *walkAll(): Steps {
    for (const root of this.tree.store.roots) this.#toWalk.push(root);
    yield* this.#drain();
  }

  /** One round over the touched names. */
  *sendTouched(set: DirtySet): Steps {
    this.#copied = new Set();
    const touched = [...set.directories].flatMap(([handle, dirty]) => this.#touchedDirectory(handle, dirty) ?? []);
    touched.sort((a, b) => a.depth - b.depth);
    this.objectsTotal += set.nameCount;
    this.#uncleared = new Map(touched.map(({ handle, names }) => [handle, names]));
    let left = touched;
    for (let isProgress = true; isProgress && left.length > 0; ) {
      const unresolved: TouchedDirectory[] = [];
      const before = left.length;
      for (const directory of left) yield* this.#clearTouched(directory, unresolved);
      yield* this.flow.settled();
      left = unresolved;
      isProgress = unresolved.length < before;
    }
    this.#settleUnresolved(left);
    yield* this.#drain();
  }

  /** Undefined for a directory that was moved out of what is replicated. */
  #touchedDirectory(handle: Handle, { id, names, isWhole }: DirtyDirectory): TouchedDirectory | undefined {
    const { boundary } = this.tree;
    const gone = { handle, id, names, isWhole, isAlive: false, depth: Number.MAX_SAFE_INTEGER };
    if (!this.tree.isAlive(handle)) return id === 0n ? undefined : gone;
    if (boundary.excludesDirectory(handle)) return undefined;
    const all = isWhole ? [...names, ...this.#namesIn(handle)] : [...names];
    const replicable = all.filter((name) => this.tree.isReplicable(handle, Buffer.from(name, 'latin1')));
    // It has another id than when it was touched if it was compared, or moved over the boundary, since.
    return { ...gone, id: this.tree.id(handle) ?? id, names: new Set(replicable), isAlive: true, depth: this.#depth(handle) };
  }

  /**
   * Directories that were not found on the target. One that is still there is new, and its names are placed; one whose way is touched
   * again waits for the next round, and so do those that were removed meanwhile: they may be below it. Otherwise a removed directory was
   * never on the target.
   */
  #settleUnresolved(left: readonly TouchedDirectory[]): void {
    const unclear = new Set(left.filter(({ handle, isAlive }) => isAlive && !this.introduce(handle)));
    for (const directory of left) {
      const { handle, id, names, isWhole, isAlive } = directory;
      if (isAlive && unclear.has(directory) && isWhole) this.pending.addDirectory(handle, id);
      if (isAlive && !unclear.has(directory)) this.#toPlace.push({ directory: handle, names: [...names] });
      else if (isAlive || unclear.size > 0) for (const name of names) this.pending.addName(handle, id, name);
    }
  }

  *#namesIn(directory: Handle): Generator<string> {
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch: ReturnType<SourceTree['list']> = this.tree.list(directory, next);
      if (batch === undefined) return;
      yield* batch.names;
      next = batch.next;
    }
  }

  /** Attributes of directories, when everything in them is in place. */
  *stampDirectories(): Steps {
    for (const [directory, id] of this.#stampLater) {
      yield* this.flow.room();
      if (this.isKnown(id)) this.content.sendAttributes(directory, id);
    }
    this.#stampLater.clear();
  }

  stampLater(directory: Handle, object: bigint): void {
    this.#stampLater.set(directory, object);
  }

  /** With modifications frozen: false when a new file has a name that neither node's journal knows. */
  hasAllLinks(): boolean {
    for (const { handle, isNew, names } of this.#links.values()) {
      if (!isNew || !this.tree.isAlive(handle)) continue;
      const { nlink } = this.tree.store.stat;
      let found = 0;
      for (const [key, directory] of names) {
        const name = Buffer.from(key.slice(key.indexOf('/') + 1), 'latin1');
        if (this.tree.store.lookup(directory, name) === handle) found += 1;
      }
      if (found < nlink) return false;
    }
    return true;
  }

  /** Makes a directory known on the target, by telling the way to it. @returns false when the way is not clear at this moment */
  introduce(directory: Handle): boolean {
    const way: { readonly id: bigint; readonly place: Place }[] = [];
    for (let at = directory; ; ) {
      const id = this.tree.id(at);
      if (id === undefined) return false;
      if (this.isKnown(id) || this.#asked.has(id)) break;
      const place = placeOfDirectory(this.tree.store, at);
      if (place === undefined || this.#isUnclear(place)) return false;
      way.push({ id, place });
      at = place.parent;
    }
    return way.reverse().every(({ id, place }) => this.bind(id, place));
  }

  /** Tells where an object is. @returns false when that cannot be said at this moment */
  bind(object: bigint, { parent, name }: Place): boolean {
    const parentId = this.tree.id(parent);
    if (parentId === undefined || this.#isUnclear({ parent, name })) return false;
    this.#requestBind(object, parentId, name);
    return true;
  }

  /**
   * Asks whether the target has met an object whose place cannot be told: one of its names was removed, so that it is in the stash, and
   * has another name that nobody touched. An object that is not known can be in no directory, least of all in itself.
   */
  askFor(object: bigint): void {
    this.#requestBind(object, object, Buffer.from('unknown'));
  }

  #requestBind(object: bigint, parent: bigint, name: Buffer): void {
    this.#asked.add(object);
    this.flow.request({ kind: 'bind', object, parent, name }, (answer) => {
      this.#asked.delete(object);
      if (answer.errno === 0) this.#know(object);
    });
  }

  #isUnclear({ parent, name }: Place): boolean {
    const text = name.toString('latin1');
    return this.#uncleared.get(parent)?.has(text) === true || this.pending.directories.get(parent)?.names.has(text) === true;
  }

  #depth(directory: Handle): number {
    let depth = 0;
    for (let at = placeOfDirectory(this.tree.store, directory); at !== undefined; at = placeOfDirectory(this.tree.store, at.parent))
      depth += 1;
    return depth;
  }

  *#clearTouched(directory: TouchedDirectory, unresolved: TouchedDirectory[]): Steps {
    const { handle, id, names, isAlive } = directory;
    const complete = directory.isWhole && isAlive;
    if (isAlive && !this.introduce(handle)) {
      unresolved.push(directory);
      return;
    }
    if (isAlive) this.#stampLater.set(handle, id);
    this.#uncleared.delete(handle);
    let isKnown = true;
    const missing: string[] = [];
    const all = [...names];
    for (let at = 0, isLast = false; !isLast && (complete || at < all.length); ) {
      yield* this.flow.room();
      const chunk = this.#chunk(handle, all, at, isAlive);
      const first = complete && at === 0;
      at += chunk.length;
      const isEnd = at >= all.length;
      isLast = isEnd;
      const entries = chunk.map((found) => found.entry);
      this.flow.request({ kind: 'clear', directory: id, complete, first, last: complete && isEnd, entries }, (answer) => {
        if (answer.errno === 0) {
          this.#know(id);
          for (const name of this.#cleared(handle, chunk, answer)) missing.push(name);
        } else {
          this.#expectUnknown(answer);
          isKnown = false;
        }
        if (!isEnd) return;
        if (!isKnown) {
          this.#uncleared.set(handle, names);
          unresolved.push(directory);
        } else if (missing.length > 0) {
          this.#toPlace.push({ directory: handle, names: missing });
        }
      });
    }
  }

  /** As many entries as fit into one message, from `names[at]` on. */
  #chunk(directory: Handle, names: readonly string[], at: number, isAlive: boolean): Found[] {
    const chunk: Found[] = [];
    let bytes = 0;
    for (let i = at; i < names.length && chunk.length < CHUNK_ENTRIES && bytes < CHUNK_BYTES; i += 1) {
      const name = Buffer.from(names[i] as string, 'latin1');
      const found = isAlive ? this.tree.find(directory, name) : { entry: { name }, handle: undefined, size: 0, nlink: 0 };
      bytes += 64 + name.length + (found.entry.what?.target.length ?? 0);
      chunk.push(found);
    }
    return chunk;
  }

  /** @returns the names that the target lacks */
  #cleared(directory: Handle, chunk: readonly Found[], answer: Answer): string[] {
    const missing: string[] = [];
    this.#forEachStatus(chunk, answer, (found, what, status) => {
      if (status === STATUS.missing) missing.push(found.entry.name.toString('latin1'));
      else if (what !== undefined) this.#isThere(directory, found, what.object, false);
    });
    return missing;
  }

  #forEachStatus(chunk: readonly Found[], answer: Answer, each: (found: Found, what: Entry['what'], status: number) => void): void {
    if (answer.kind !== 'statuses' || answer.statuses.length !== chunk.length) {
      throw new ResyncError(`the peer answered for ${answer.kind === 'statuses' ? answer.statuses.length : 'no'} of ${chunk.length} names`);
    }
    chunk.forEach((found, index) => each(found, found.entry.what, answer.statuses[index] as number));
  }

  #expectUnknown(answer: Answer): void {
    if (answer.errno !== ENOENT) throw new ResyncError(`the peer cannot work on a directory: ${errnoName(answer.errno)}`);
  }

  /** An object is in its place on the target, with whatever content it has there. */
  #isThere(directory: Handle, found: Found, object: bigint, isNew: boolean): void {
    const { handle, nlink, entry } = found;
    if (handle === undefined) return;
    this.#know(object);
    if ((nlink > 1 || this.#links.has(object)) && !isDirectory(handle)) this.#noteLink(directory, entry.name, handle, object, isNew);
    if (isNew && isDirectory(handle)) {
      this.#walked.add(object);
      this.#stampLater.set(handle, object);
      this.#toPlace.push({ directory: handle, names: 'all' });
    } else if (isNew) {
      this.#copied?.add(handle);
      this.#content.push({ handle, object, isNew });
    } else if (this.mode === 'compare') {
      if (isDirectory(handle)) this.#toWalk.push(handle);
      else this.#content.push({ handle, object, isNew });
    }
  }

  #noteLink(directory: Handle, name: Buffer, handle: Handle, object: bigint, isNew: boolean): void {
    if (this.mode === 'compare') return;
    const known = this.#links.get(object) ?? { handle, isNew, names: new Map<string, Handle>() };
    known.isNew ||= isNew;
    known.names.set(`${this.tree.id(directory) ?? 0n}/${name.toString('latin1')}`, directory);
    this.#links.set(object, known);
  }

  /** Walks, places and copies until nothing is left to do. */
  *#drain(): Steps {
    for (;;) {
      const later: PlaceJob[] = [];
      yield* this.#walkQueued();
      for (let job = this.#toPlace.shift(); job !== undefined; job = this.#toPlace.shift()) {
        if (this.introduce(job.directory)) yield* this.#place(job);
        else later.push(job);
        yield* this.content.send(this.#content);
        if (this.#toPlace.isEmpty) yield* this.flow.settled();
      }
      yield* this.flow.settled();
      // What could not be placed now will be in the next round, when its way is clear.
      for (const job of later) this.#again(job);
      if (this.#toWalk.isEmpty && this.#toPlace.isEmpty && this.#content.isEmpty) return;
    }
  }

  #again({ directory, names }: PlaceJob): void {
    const id = this.tree.isAlive(directory) ? this.tree.id(directory) : undefined;
    if (id === undefined || names === 'all') return;
    for (const name of names) this.pending.addName(directory, id, name);
  }

  *#walkQueued(): Steps {
    for (let directory = this.#toWalk.shift(); directory !== undefined; directory = this.#toWalk.shift()) {
      yield* this.#walk(directory);
      yield* this.content.send(this.#content);
      if (this.#toWalk.isEmpty) yield* this.flow.settled();
    }
    yield* this.content.send(this.#content);
  }

  /** Compares one directory with the target's: all names. */
  *#walk(directory: Handle): Steps {
    const id = this.tree.isAlive(directory) ? this.tree.id(directory) : undefined;
    if (id === undefined || this.#walked.has(id)) return;
    this.#walked.add(id);
    this.#stampLater.set(directory, id);
    const missing: string[] = [];
    for (let next: bigint | undefined = 0n, isFirst = true; next !== undefined; ) {
      const batch: ReturnType<SourceTree['list']> = this.tree.list(directory, next);
      if (batch === undefined) return;
      next = batch.next;
      const isEnd = next === undefined;
      const { names } = batch;
      this.objectsTotal += names.length;
      for (let at = 0; at < names.length || isEnd; ) {
        yield* this.flow.room();
        const chunk = this.#chunk(directory, names, at, true);
        at += chunk.length;
        const isLast = isEnd && at >= names.length;
        this.bytesInTree += chunk.reduce((sum, found) => sum + found.size / Math.max(1, found.nlink), 0);
        const present = chunk.filter((found) => found.entry.what !== undefined);
        const entries = present.map((found) => found.entry);
        this.flow.request({ kind: 'clear', directory: id, complete: true, first: isFirst, last: isLast, entries }, (answer) => {
          if (answer.errno !== 0) throw new ResyncError(`the peer lost a directory during the resync: ${errnoName(answer.errno)}`);
          missing.push(...this.#cleared(directory, present, answer));
          if (isLast && missing.length > 0) this.#toPlace.push({ directory, names: missing });
        });
        isFirst = false;
        if (isLast) break;
      }
    }
  }

  *#place({ directory, names }: PlaceJob): Steps {
    const id = this.tree.isAlive(directory) ? this.tree.id(directory) : undefined;
    if (id === undefined) return;
    this.#uncleared.delete(directory);
    this.#stampLater.set(directory, id);
    if (names !== 'all') {
      yield* this.#placeNames(directory, id, names);
      return;
    }
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch: ReturnType<SourceTree['list']> = this.tree.list(directory, next);
      if (batch === undefined) return;
      next = batch.next;
      const listed = batch.names;
      this.objectsTotal += listed.length;
      yield* this.#placeNames(directory, id, listed);
    }
  }

  *#placeNames(directory: Handle, id: bigint, listed: readonly string[]): Steps {
    // A name that is touched again comes in the next round, together with the other names of what is under it now.
    const again = this.pending.directories.get(directory)?.names;
    const names = again === undefined ? listed : listed.filter((name) => !again.has(name));
    for (let at = 0; at < names.length; ) {
      yield* this.flow.room();
      const chunk = this.#chunk(directory, names, at, true);
      at += chunk.length;
      this.flow.request({ kind: 'place', directory: id, entries: chunk.map((found) => found.entry) }, (answer) => {
        if (answer.errno === 0) {
          this.#know(id);
          this.#placed(directory, id, chunk, answer);
          return;
        }
        this.#expectUnknown(answer);
        for (const { entry } of chunk) this.pending.touchName(directory, id, entry.name);
      });
    }
  }

  #placed(directory: Handle, id: bigint, chunk: readonly Found[], answer: Answer): void {
    this.#forEachStatus(chunk, answer, (found, what, status) => {
      if (what === undefined) return;
      if (status === STATUS.created || status === STATUS.moved) this.content.objectsSent += 1;
      if (this.mode === 'compare') this.bytesInTree += status === STATUS.created ? found.size / Math.max(1, found.nlink) : 0;
      if (status === STATUS.later || status === STATUS.missing) this.pending.touchName(directory, id, found.entry.name);
      else if (status === STATUS.created) this.#isThere(directory, found, what.object, true);
      else this.#isThere(directory, found, what.object, false);
    });
  }
}
