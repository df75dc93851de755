/** The source's tree as the resync reads it: every object with an id, what is under a name, and what must be said about an object. */
import type { Boundary } from '../boundary/boundary.js';
import { isDirectory, isRegular, typeOf, type Handle } from '../store/handle.js';
import { newObjectId } from '../store/object-id.js';
import type { Store } from '../store/store.js';
import { S_IFLNK } from '../system/constants.js';
import { errnoName, isGone } from '../system/errno.js';
import { SYMLINK_BYTES_MAX } from '../wire/limits.js';
import type { Attributes, Entry, Xattr } from '../wire/messages.js';
import { atimeOf, mtimeOf } from '../secondary/times.js';
import { ResyncError } from './flow.js';
import { MetObjects } from './met-objects.js';
import { xattrsOf } from './xattrs.js';

/** What is under a name, with what only the source needs to know. */
export interface Found {
  readonly entry: Entry;
  readonly handle: Handle | undefined;
  readonly size: number;
  readonly nlink: number;
}

export class SourceTree {
  /** Ids met so far, when `tracksIds`. */
  readonly #met = new MetObjects();
  /**
   * Two objects with one id (a copy made with its extended attributes while the module was stopped) would become hard links of each other
   * on the peer: while all objects are walked, the second gets an id of its own.
   */
  tracksIds = false;

  readonly #linkTarget = Buffer.alloc(SYMLINK_BYTES_MAX + 1);

  constructor(
    readonly store: Store,
    readonly boundary: Boundary,
  ) {}

  /** One batch of the names of what is replicated in a directory; undefined: it has gone. @throws ResyncError when it cannot be read */
  list(directory: Handle, offset: bigint): { readonly names: string[]; readonly next: bigint | undefined } | undefined {
    const batch = this.store.readDirectory(directory, offset);
    if (typeof batch === 'number') {
      if (isGone(batch)) return undefined;
      throw new ResyncError(`a directory cannot be listed: ${errnoName(batch)}; is the disk broken?`);
    }
    const names = batch.entries.filter(({ name }) => this.isReplicable(directory, name)).map(({ name }) => name.toString('latin1'));
    return { names, next: batch.next };
  }

  /** False for a name under which nothing can be replicated, whatever is there. */
  isReplicable(directory: Handle, name: Uint8Array): boolean {
    return !this.boundary.excludes(directory, name, true);
  }

  /** Of an object that was met, when `tracksIds`: whether the target has told that it has it. */
  isKnownThere(object: bigint): boolean {
    return this.#met.isKnownThere(object);
  }

  noteKnownThere(object: bigint): void {
    this.#met.noteKnownThere(object);
  }

  /**
   * Whether the object still has a name; its attributes are in `store.stat` then.
   * @throws ResyncError when the disk does not say: what cannot be read has not gone, and must not go on the peer
   */
  isAlive(handle: Handle): boolean {
    const outcome = this.store.attributes(handle);
    if (outcome < 0 && !isGone(outcome)) throw new ResyncError(`an object cannot be read: ${errnoName(outcome)}; is the disk broken?`);
    return outcome >= 0 && this.store.stat.nlink > 0;
  }

  /** The object's id, given now if it had none. Undefined: the object has gone. @throws ResyncError */
  id(handle: Handle): bigint | undefined {
    let id = this.store.readId(handle);
    if (id === 0n || (this.tracksIds && id > 0n && !this.#met.meet(id, handle))) {
      id = newObjectId();
      const outcome = this.store.writeId(handle, id);
      if (outcome < 0) id = BigInt(outcome);
    }
    if (id < 0n && isGone(Number(id))) return undefined;
    if (id < 0n) throw new ResyncError(`an object's id cannot be read or written: ${errnoName(Number(id))}`);
    if (this.tracksIds) this.#met.meet(id, handle);
    return id;
  }

  /** @throws ResyncError */
  find(directory: Handle, name: Buffer): Found {
    const handle = this.store.lookup(directory, name);
    if (typeof handle === 'number') {
      if (!isGone(handle)) throw new ResyncError(`"${name.toString()}" cannot be read: ${errnoName(handle)}`);
      return { entry: { name }, handle: undefined, size: 0, nlink: 0 };
    }
    const { mode, uid, gid, rdev, nlink } = this.store.stat;
    const size = isRegular(handle) ? this.store.stat.size : 0;
    if (this.boundary.excludes(directory, name, isDirectory(handle))) return { entry: { name }, handle: undefined, size: 0, nlink: 0 };
    const object = this.id(handle);
    const isLink = typeOf(handle) === S_IFLNK;
    const length = isLink ? this.store.readlink(handle, this.#linkTarget) : 0;
    if (object === undefined || (isLink && length <= 0)) return { entry: { name }, handle: undefined, size: 0, nlink: 0 };
    const target = Buffer.from(this.#linkTarget.subarray(0, length));
    return { entry: { name, what: { object, mode, uid, gid, rdev, target } }, handle, size, nlink };
  }

  /** Extended attributes as they travel. Undefined: the object has gone. @throws ResyncError */
  xattrs(handle: Handle): Xattr[] | undefined {
    const xattrs = xattrsOf(this.store, handle);
    if (typeof xattrs === 'number' && isGone(xattrs)) return undefined;
    if (typeof xattrs === 'number') throw new ResyncError(`extended attributes cannot be read: ${errnoName(xattrs)}; is the disk broken?`);
    return xattrs;
  }

  /** What can change of an object, but its content. Undefined: the object has gone. */
  attributes(handle: Handle, object: bigint): Attributes | undefined {
    if (!this.isAlive(handle)) return undefined;
    const xattrs = this.xattrs(handle);
    if (xattrs === undefined) return undefined;
    const { stat } = this.store;
    const { mode, uid, gid } = stat;
    const size = isRegular(handle) ? stat.size : 0;
    return { object, mode, uid, gid, size, atime: atimeOf(stat), mtime: mtimeOf(stat), xattrs };
  }
}
