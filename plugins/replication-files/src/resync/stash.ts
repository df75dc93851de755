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
import { EINVAL, ELOOP, ENOENT, ENOSPC, errnoName, isFull } from '../system/errno.js';
import { Removal, TRASH, type Trash } from './trash.js';

/** Clones of what a resync changes, see image/. */
export const IMAGE_DIRECTORY = Buffer.from('image');
const STASH = Buffer.from('stash');
const GIVEN_UP_PER_STEP = 1000;
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
  readonly #trash: Trash;
  /** Of what is given up. */
  readonly #removal: Removal;

  /** Opens the stash and takes over what an interrupted resync left in it. @throws TargetError */
  constructor(store: Store, root: number, trash: Trash) {
    this.#store = store;
    this.#root = root;
    this.#trash = trash;
    this.#removal = new Removal(store);
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

  /** All that is here. @throws TargetError */
  objects(): Handle[] {
    const directory = this.#directory;
    if (directory === undefined) return [];
    return this.#list(directory).flatMap((name) => {
      const handle = this.#store.lookup(directory, name);
      return typeof handle === 'number' ? [] : [handle];
    });
  }

  /**
   * Puts away what is under a name. On a full disk there may be no room even for that: then it is given up at once, what the source still
   * has is made and copied anew.
   * @param object its id; 0n: it has none, nobody will ask for it @param mayGiveUp false: what is here may be lost for nobody
   */
  put(parent: Handle, name: Buffer, handle: Handle, object: bigint, mayGiveUp: boolean): void {
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
    if (isFull(outcome) && mayGiveUp) {
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
    this.#removal.begin(handle, parent, name);
    while (this.#removal.isUnderWay) if (!this.#removal.step()) throw new TargetError(what, ENOSPC);
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

  /** The image of the tree before the resync is superfluous. Best-effort: what stays is removed by the next resync. */
  putImageAside(): void {
    const reserved = this.#store.lookup(this.#store.roots[this.#root] as Handle, RESERVED_NAME);
    const image = typeof reserved === 'number' ? reserved : this.#store.lookup(reserved, IMAGE_DIRECTORY);
    if (typeof reserved !== 'number' && typeof image !== 'number') this.discard(reserved, IMAGE_DIRECTORY);
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
    this.#trash.filled();
    must('clearing the stash', this.#store.rename(this.#reserved(), STASH, trash, Buffer.from(newObjectId().toString(16)), 0));
    this.#directory = undefined;
  }

  /**
   * Makes room on a full disk: what is in the stash is given up, a little at a time. What the source still has is made and copied anew.
   * @returns false when there is nothing to give up
   */
  giveUpSome(): boolean {
    if (this.#removal.isUnderWay) return this.#removal.step();
    if (this.#trash.removeSome()) return true;
    this.#byId.clear();
    const directory = this.#directory;
    if (directory === undefined) return false;
    const names = this.#list(directory);
    for (const name of names.slice(0, GIVEN_UP_PER_STEP)) {
      const handle = this.#store.lookup(directory, name);
      if (typeof handle === 'number') continue;
      if (isDirectory(handle)) {
        this.#removal.begin(handle, directory, name);
        return this.#removal.step();
      }
      if (this.#store.unlink(directory, name) < 0) return false;
      this.#store.release(handle);
    }
    return names.length > 0;
  }

  /** Removes a directory that is not in the stash, bit by bit: in one step for those who look. @returns 0 or -errno */
  discard(parent: Handle, name: Buffer): number {
    const trash = this.#makeDirectory(TRASH);
    if (typeof trash === 'number') return trash;
    this.#trash.filled();
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
