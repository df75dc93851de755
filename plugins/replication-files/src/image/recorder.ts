/**
 * Keeps the last consistent image of a secondary's tree while a resync changes it. Told of every change before it is made (by
 * `RecordingStore`, so nothing that a resync does can miss it), it writes down what was there, once for each name and object. Where that is
 * not possible (no reflinks, no room, too many changes) the image is given up and the resync goes on: it must never fail for it.
 *
 * It begins with a tree that is not marked as inconsistent, stays through every interruption of the resync, and ends with the mark.
 */
import { messageOf } from '@holdfast/sdk';
import { atimeOf, mtimeOf } from '../secondary/times.js';
import { isDirectory, isRegular, rootOf, type Handle } from '../store/handle.js';
import { EXCLUDED_ID, newObjectId } from '../store/object-id.js';
import { RESERVED_NAME, type Store } from '../store/store.js';
import { ENOENT, ESTALE, errnoName } from '../system/errno.js';
import { IMAGE_DIRECTORY } from '../resync/stash.js';
import { canClone, makeClone, removeClones } from './clones.js';
import { eraseImage, ImageLog, readImage, type ImageRecord, type ObjectRecord } from './image-log.js';

/** Names and objects of one image: each is some 150 bytes of memory. */
const RECORDS_MAX = 400_000;

export interface ImageFacts {
  readonly at: string;
  /** Names and objects that it would put back. */
  readonly changes: number;
}

export class ImageRecorder {
  readonly #store: Store;
  readonly #stateDirectory: string;
  readonly #log: (message: string) => void;
  #file: ImageLog | undefined;
  #at: string | undefined;
  readonly #names = new Set<string>();
  /** True: with its content. */
  readonly #objects = new Map<Handle, boolean>();
  /** Of an earlier run, until a resync begins. */
  #left: ImageFacts | undefined;
  readonly #own = new Set<Handle>();
  #pending: ImageRecord[] = [];
  /** While it works itself, and while nothing is recorded. */
  #isQuiet = true;
  /** What the resync has made, and has not completed. */
  isNew: (object: Handle) => boolean = () => false;

  /** @param log told why there is no image any more */
  constructor(store: Store, stateDirectory: string, log: (message: string) => void) {
    this.#store = store;
    this.#stateDirectory = stateDirectory;
    this.#log = log;
    const left = readImage(stateDirectory);
    if (left === undefined || !isOf(left.header.roots, store)) return;
    this.#left = { at: left.header.at, changes: left.records.length };
  }

  /** What can be promoted. */
  get facts(): ImageFacts | undefined {
    return this.#at === undefined ? this.#left : { at: this.#at, changes: this.#names.size + this.#objects.size };
  }

  /** A resync begins. @param isConsistent the tree is whole; otherwise the image of an interrupted resync is kept, if there is one */
  begin(isConsistent: boolean): void {
    this.#stop();
    try {
      if (isConsistent) this.#start();
      else this.#resume();
    } catch (error) {
      this.abandon(messageOf(error));
    }
  }

  /** The resync is over, or it is interrupted: what is changed now is not written down. */
  pause(): void {
    this.#isQuiet = true;
  }

  /** The tree is whole again: the image is not needed any more. Its clones are left for whoever removes what the resync left. */
  end(): void {
    const hadOne = this.facts !== undefined;
    this.#stop();
    if (hadOne) eraseImage(this.#stateDirectory);
  }

  /** Gives the image up, and its room back. @returns whether there was one */
  abandon(why: string): boolean {
    if (this.facts === undefined) return false;
    this.#stop();
    eraseImage(this.#stateDirectory);
    for (let root = 0; root < this.#store.roots.length; root += 1) removeClones(this.#store, root);
    this.#log(`the last consistent image of this copy is given up: ${why}`);
    return true;
  }

  /** Before `name` of a directory becomes another. */
  beforeName(directory: Handle, name: Uint8Array): void {
    if (this.#isQuiet || this.#own.has(directory) || this.isNew(directory)) return;
    const text = Buffer.from(name).toString('latin1');
    const key = `${directory}/${text}`;
    if (this.#names.has(key)) return;
    this.#work(() => {
      const object = this.#store.lookup(directory, name);
      if (typeof object === 'number' && object !== -ENOENT) throw new Error(`a name cannot be read: ${errnoName(object)}`);
      this.#names.add(key);
      this.#pending.push({ kind: 'name', directory, name: text, ...(typeof object !== 'number' && { object }) });
    });
    this.beforeAttributes(directory);
  }

  /** Before attributes of an object become others. */
  beforeAttributes(object: Handle): void {
    if (this.#isQuiet || this.#objects.has(object) || this.#own.has(object) || this.isNew(object)) return;
    this.#work(() => {
      const record = this.#recordOf(object);
      if (record === undefined) return;
      this.#objects.set(object, false);
      this.#pending.push(record);
    });
  }

  /** Before the content of a file becomes another. */
  beforeContent(file: Handle): void {
    if (this.#isQuiet || this.#objects.get(file) === true || this.isNew(file)) return;
    this.beforeAttributes(file);
    if (!isRegular(file) || !this.#objects.has(file)) return;
    this.#work(() => {
      const clone = newObjectId().toString(16);
      const outcome = makeClone(this.#store, rootOf(file), file, clone);
      if (outcome === -ESTALE) return;
      if (outcome < 0) throw new Error(`a file cannot be cloned: ${errnoName(outcome)}`);
      this.#objects.set(file, true);
      this.#pending.push({ kind: 'content', object: file, clone });
    });
  }

  /** Before a name goes: what has no other would be lost. */
  beforeRemoval(directory: Handle, name: Uint8Array): void {
    if (this.#isQuiet || this.#store.isReserved(directory, name)) return;
    this.#work(() => {
      const object = this.#store.lookup(directory, name);
      if (typeof object === 'number' || this.isNew(object)) return;
      if (isDirectory(object) || this.#store.stat.nlink <= 1) throw new Error('there is no room for what the resync replaces');
    });
    this.beforeName(directory, name);
  }

  /** A directory of Holdfast's own was made. */
  made(parent: Handle, object: Handle): void {
    if (this.#own.has(parent) && isDirectory(object)) this.#own.add(object);
  }

  /** What was written down since the last time is durable when this returns. */
  commit(): void {
    if (this.#pending.length === 0) return;
    const records = this.#pending;
    this.#pending = [];
    try {
      this.#file?.append(records);
      if (this.#names.size + this.#objects.size > RECORDS_MAX)
        this.abandon(`the resync changes more than ${RECORDS_MAX} names and objects`);
    } catch (error) {
      this.abandon(messageOf(error));
    }
  }

  #start(): void {
    eraseImage(this.#stateDirectory);
    const store = this.#store;
    for (let root = 0; root < store.roots.length; root += 1) {
      if (!canClone(store, root)) return;
      removeClones(store, root);
    }
    this.#at = new Date().toISOString();
    this.#file = ImageLog.create(this.#stateDirectory, store.roots, this.#at);
    this.#watch();
    // Whatever is done with our own directory in them changes their times for a moment.
    for (const root of store.roots) this.beforeAttributes(root);
    this.commit();
  }

  #resume(): void {
    const content = readImage(this.#stateDirectory);
    if (content === undefined || !isOf(content.header.roots, this.#store)) return;
    this.#file = ImageLog.resume(this.#stateDirectory, content);
    this.#at = content.header.at;
    for (const record of content.records) {
      if (record.kind === 'name') this.#names.add(`${record.directory}/${record.name}`);
      else if (record.kind === 'object') this.#objects.set(record.object, false);
    }
    for (const record of content.records) if (record.kind === 'content') this.#objects.set(record.object, true);
    this.#watch();
  }

  #watch(): void {
    const { roots } = this.#store;
    for (const root of roots) {
      const reserved = this.#store.lookup(root, RESERVED_NAME);
      if (typeof reserved === 'number') continue;
      this.#own.add(reserved);
      for (const name of ['stash', 'trash', 'incoming', IMAGE_DIRECTORY.toString()]) {
        const directory = this.#store.lookup(reserved, Buffer.from(name));
        if (typeof directory !== 'number') this.#own.add(directory);
      }
    }
    this.#isQuiet = false;
  }

  #stop(): void {
    this.#isQuiet = true;
    this.#file?.close();
    this.#file = undefined;
    this.#at = undefined;
    this.#left = undefined;
    this.#names.clear();
    this.#objects.clear();
    this.#own.clear();
    this.#pending = [];
  }

  /** Looks at the tree without being told of it, and without changing what the caller has looked at. */
  #work(step: () => void): void {
    if (this.#file === undefined) return;
    const { words } = this.#store.stat;
    const seen = words.slice();
    this.#isQuiet = true;
    try {
      step();
      this.#isQuiet = false;
    } catch (error) {
      this.abandon(messageOf(error));
    } finally {
      words.set(seen);
    }
  }

  #recordOf(object: Handle): ObjectRecord | undefined {
    const { stat, xattrs: of } = this.#store;
    const outcome = this.#store.attributes(object);
    // It has gone: whatever is done with it now changes nothing.
    if (outcome === -ESTALE) return undefined;
    const names = of.names(object);
    if (outcome < 0 || typeof names === 'number') throw new Error('an object cannot be read');
    const { mode, uid, gid } = stat;
    const [atime, mtime] = [atimeOf(stat), mtimeOf(stat)];
    const xattrs = names.map((name): readonly [string, string] => {
      const value = of.value(object, name);
      if (typeof value === 'number') throw new Error(`an extended attribute cannot be read: ${errnoName(value)}`);
      return [name, value.toString('base64')];
    });
    const isRoot = this.#store.roots.includes(object);
    const id = this.#store.isMarkedExcluded(object) ? EXCLUDED_ID : this.#store.readId(object);
    return {
      kind: 'object',
      object,
      mode,
      uid,
      gid,
      atime: [atime.seconds, atime.nanoseconds],
      mtime: [mtime.seconds, mtime.nanoseconds],
      ...(!isRoot && { id: id.toString(16) }),
      era: isRoot ? 0 : this.#store.readEra(object),
      xattrs,
    };
  }
}

export function isOf(roots: readonly Handle[], store: Store): boolean {
  return roots.length === store.roots.length && roots.every((root, index) => root === store.roots[index]);
}
