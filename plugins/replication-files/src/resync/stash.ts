/**
 * Where a resync's target puts what is not, or not yet, in its place: `<root>/.holdfast/stash`, one entry per object, named by its id. A
 * rename into the stash costs nothing whatever is below, and an object that the source has somewhere else is found there by its id. What
 * is left at the end is not on the source: it goes to `<root>/.holdfast/trash` in one rename and is removed bit by bit afterwards.
 */
import { HoldfastError } from '@holdfast/sdk';
import { atimeOf, mtimeOf, timesBuffer } from '../secondary/times.js';
import { isDirectory, type Handle } from '../store/handle.js';
import { newObjectId } from '../store/object-id.js';
import { RESERVED_NAME, type Store } from '../store/store.js';
import { EDQUOT, EINVAL, ELOOP, ENOENT, ENOSPC, errnoName } from '../system/errno.js';

const STASH = Buffer.from('stash');
const TRASH = Buffer.from('trash');
const REMOVED_PER_TICK = 1000;
const ID_TEXT = /^[0-9a-f]{16}$/;

/** A local step of the resync's target failed: full disk, I/O error. */
export class TargetError extends HoldfastError {
  constructor(what: string, errno: number) {
    const code = Math.abs(errno);
    super('HF_REPLICATION_TARGET', `${what}: ${errnoName(code)}; is the disk full or broken?`, { errno: code });
    this.name = 'TargetError';
  }
}

/** @throws TargetError for a negative outcome */
export function must(what: string, outcome: number): number {
  if (outcome < 0) throw new TargetError(what, outcome);
  return outcome;
}

/** No room for a name or a directory. */
export function isFull(outcome: number): boolean {
  return outcome === -ENOSPC || outcome === -EDQUOT;
}

/** What is Holdfast's own must not show in the times of the root. @throws TargetError */
export function keepingRootTimes<T>(store: Store, root: number, action: () => T): T {
  const handle = store.roots[root] as Handle;
  must('reading attributes', store.attributes(handle));
  const times = timesBuffer(atimeOf(store.stat), mtimeOf(store.stat));
  const outcome = action();
  must('setting times', store.setAttributes(handle, { times }));
  return outcome;
}

interface Stashed {
  readonly handle: Handle;
  readonly name: Buffer;
}

/** The stash of one root. */
export class Stash {
  readonly #store: Store;
  readonly #root: number;
  /** Made when it is needed first. */
  #directory: Handle | undefined;
  readonly #byId = new Map<bigint, Stashed>();
  /** The way down to what is being removed. */
  #removing: { readonly directory: Handle; readonly parent: Handle; readonly name: Buffer }[] = [];

  /** Opens the stash and takes over what an interrupted resync left in it. @throws TargetError */
  constructor(store: Store, root: number) {
    this.#store = store;
    this.#root = root;
    const directory = this.#lookUp(STASH);
    this.#directory = directory;
    if (directory === undefined) return;
    for (const name of this.#list(directory)) {
      const text = name.toString('latin1');
      const handle = store.lookup(directory, name);
      if (typeof handle !== 'number' && ID_TEXT.test(text)) this.#byId.set(BigInt(`0x${text}`), { handle, name });
    }
  }

  /** The object with this id, when it is here. */
  get(object: bigint): Handle | undefined {
    return this.#byId.get(object)?.handle;
  }

  /**
   * Puts away what is under a name. On a full disk there may be no room even for that: then it is given up at once, what the source still
   * has is made and copied anew.
   * @param object its id; 0n: it has none, nobody will ask for it
   */
  put(parent: Handle, name: Buffer, handle: Handle, object: bigint): void {
    const known = this.#byId.get(object);
    if (known?.handle === handle && !isDirectory(handle)) {
      // A further hard link of what is here already.
      must('removing a further link', this.#store.unlink(parent, name));
      return;
    }
    const isFindable = object !== 0n && known === undefined;
    const text = (isFindable ? object : newObjectId()).toString(16).padStart(16, '0');
    const stashed = { handle, name: Buffer.from(isFindable ? text : `${text}-unknown`) };
    const outcome = this.#moveIn(parent, name, stashed.name);
    if (isFull(outcome)) {
      this.#removeWhole(parent, name, handle);
      return;
    }
    must(`putting "${name.toString()}" aside`, outcome);
    if (isFindable) this.#byId.set(object, stashed);
  }

  #moveIn(parent: Handle, name: Buffer, stashedName: Buffer): number {
    const directory = this.#directory ?? this.#makeDirectory(STASH);
    if (typeof directory === 'number') return directory;
    this.#directory = directory;
    return this.#store.rename(parent, name, directory, stashedName, 0);
  }

  #removeWhole(parent: Handle, name: Buffer, handle: Handle): void {
    const what = `removing "${name.toString()}" from a full disk`;
    if (!isDirectory(handle)) {
      must(what, this.#store.unlink(parent, name));
      this.#store.release(handle);
      return;
    }
    this.#removing = [{ directory: handle, parent, name }];
    while (this.#removing.length > 0) if (!this.#remove()) throw new TargetError(what, ENOSPC);
  }

  /** Moves a directory to its place. @returns false: not possible there at this moment */
  takeDirectory(object: bigint, parent: Handle, name: Buffer): boolean {
    const stashed = this.#byId.get(object);
    if (stashed === undefined) throw new Error('a directory was taken that is not in the stash');
    const outcome = this.#store.rename(this.#directory as Handle, stashed.name, parent, name, 0);
    if (outcome === -EINVAL || outcome === -ELOOP) return false;
    must(`placing "${name.toString()}"`, outcome);
    this.#byId.delete(object);
    return true;
  }

  /** The object has a name in the tree again. */
  drop(object: bigint): void {
    const stashed = this.#byId.get(object);
    if (stashed === undefined) return;
    must('removing a stashed link', this.#store.unlink(this.#directory as Handle, stashed.name));
    this.#byId.delete(object);
  }

  /** Everything that is still here is superfluous. @throws TargetError */
  putAside(): void {
    this.#byId.clear();
    if (this.#directory === undefined) return;
    const trash = this.#makeDirectory(TRASH);
    if (typeof trash === 'number') {
      // No room for a second directory: removed where it is.
      if (!isFull(trash)) throw new TargetError('making the trash', trash);
      while (this.giveUpSome());
      return;
    }
    must('clearing the stash', this.#store.rename(this.#reserved(), STASH, trash, Buffer.from(newObjectId().toString(16)), 0));
    this.#directory = undefined;
  }

  /** Removes a bounded number of superfluous objects. @returns false when nothing is left */
  removeSome(): boolean {
    const root = this.#store.roots[this.#root] as Handle;
    if (this.#removing.length > 0) return this.#remove();
    const reserved = this.#store.lookup(root, RESERVED_NAME);
    if (typeof reserved === 'number') return false;
    const trash = this.#store.lookup(reserved, TRASH);
    if (typeof trash !== 'number') {
      this.#removing.push({ directory: trash, parent: reserved, name: TRASH });
      return this.#remove();
    }
    // Fails while a stash is in it.
    this.#keepingTimes(() => this.#store.rmdir(root, RESERVED_NAME));
    return false;
  }

  /**
   * Makes room on a full disk: what is in the stash is given up, a little at a time. What the source still has is made and copied anew.
   * @returns false when there is nothing to give up
   */
  giveUpSome(): boolean {
    if (this.removeSome()) return true;
    this.#byId.clear();
    const directory = this.#directory;
    if (directory === undefined) return false;
    const names = this.#list(directory);
    for (const name of names.slice(0, REMOVED_PER_TICK)) {
      const handle = this.#store.lookup(directory, name);
      if (typeof handle === 'number') continue;
      if (isDirectory(handle)) {
        this.#removing.push({ directory: handle, parent: directory, name });
        return this.#remove();
      }
      if (this.#store.unlink(directory, name) < 0) return false;
      this.#store.release(handle);
    }
    return names.length > 0;
  }

  /** Goes on with what `#removing` leads to. */
  #remove(): boolean {
    const store = this.#store;
    for (let left = REMOVED_PER_TICK; left > 0; left -= 1) {
      const top = this.#removing.at(-1);
      if (top === undefined) return true;
      const batch = store.readDirectory(top.directory, 0n);
      const entries = typeof batch === 'number' ? [] : batch.entries;
      let below = false;
      for (const { name } of entries.slice(0, left)) {
        const handle = store.lookup(top.directory, name);
        below = typeof handle !== 'number' && isDirectory(handle);
        if (below) {
          this.#removing.push({ directory: handle as Handle, parent: top.directory, name });
          break;
        }
        if (store.unlink(top.directory, name) < 0) return this.#cannotRemove();
        if (typeof handle !== 'number') store.release(handle);
        left -= 1;
      }
      if (below || entries.length > 0) continue;
      if (store.rmdir(top.parent, top.name) < 0) return this.#cannotRemove();
      store.release(top.directory);
      this.#removing.pop();
    }
    return true;
  }

  /** Something that is immutable, or a broken disk: it stays in the reserved directory, where it only costs space. */
  #cannotRemove(): boolean {
    this.#removing = [];
    return false;
  }

  /** Removes a directory that is not in the stash, bit by bit: in one step for those who look. @returns 0 or -errno */
  discard(parent: Handle, name: Buffer): number {
    const trash = this.#makeDirectory(TRASH);
    if (typeof trash === 'number') return trash;
    return this.#store.rename(parent, name, trash, Buffer.from(newObjectId().toString(16)), 0);
  }

  #reserved(): Handle {
    const reserved = this.#keepingTimes(() => this.#store.reservedDirectory(this.#root));
    if (typeof reserved === 'number') throw new TargetError('making the reserved directory', reserved);
    return reserved;
  }

  #keepingTimes<T>(action: () => T): T {
    return keepingRootTimes(this.#store, this.#root, action);
  }

  /** A directory in the reserved one, if it is there. */
  #lookUp(name: Buffer): Handle | undefined {
    const reserved = this.#store.lookup(this.#store.roots[this.#root] as Handle, RESERVED_NAME);
    const found = typeof reserved === 'number' ? reserved : this.#store.lookup(reserved, name);
    if (typeof found !== 'number') return found;
    if (found !== -ENOENT) throw new TargetError(`opening ${name.toString()}`, found);
    return undefined;
  }

  /** @returns -errno when there is no room */
  #makeDirectory(name: Buffer): Handle | number {
    const found = this.#lookUp(name);
    if (found !== undefined) return found;
    const reserved = this.#keepingTimes(() => this.#store.reservedDirectory(this.#root));
    if (typeof reserved === 'number') return reserved;
    return this.#store.create(reserved, name, { mode: 0o040700, uid: 0, gid: 0, rdev: 0, target: undefined, id: newObjectId() });
  }

  #list(directory: Handle): Buffer[] {
    const names: Buffer[] = [];
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch = this.#store.readDirectory(directory, next);
      if (typeof batch === 'number') throw new TargetError('listing the stash', batch);
      names.push(...batch.entries.map((entry) => entry.name));
      next = batch.next;
    }
    return names;
  }
}
