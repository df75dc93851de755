/**
 * Objects that the primary sends before they have a name: `<root>/.holdfast/incoming`, one entry per object, named by its id. They stay
 * there until they are adopted; what is left when a session ends was never named, and is removed.
 */
import { keepingRootTimes } from '../resync/stash.js';
import { isDirectory, type Handle } from '../store/handle.js';
import { newObjectId } from '../store/object-id.js';
import { RESERVED_NAME, type NewObject, type Store } from '../store/store.js';

const INCOMING = Buffer.from('incoming');

export class Incoming {
  readonly #store: Store;
  /** By root. */
  readonly #directories = new Map<number, Handle>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** @returns the new object, or -errno */
  create(root: number, object: NewObject): Handle | number {
    const directory = this.#directories.get(root) ?? this.#open(root);
    if (typeof directory === 'number') return directory;
    this.#directories.set(root, directory);
    return this.#store.create(directory, nameOf(object.id), object);
  }

  /** @returns 0 or -errno */
  adopt(root: number, id: bigint, parent: Handle, name: Uint8Array, flags: number): number {
    const directory = this.#directories.get(root) ?? this.#open(root);
    return typeof directory === 'number' ? directory : this.#store.rename(directory, nameOf(id), parent, name, flags);
  }

  /** Removes what nobody adopted, also of an earlier process. Best-effort: what stays costs space and is tried again. */
  clear(): void {
    this.#directories.clear();
    for (const [root, handle] of this.#store.roots.entries()) this.#clearRoot(root, handle);
  }

  #clearRoot(root: number, handle: Handle): void {
    const reserved = this.#store.lookup(handle, RESERVED_NAME);
    const directory = typeof reserved === 'number' ? reserved : this.#store.lookup(reserved, INCOMING);
    if (typeof reserved === 'number' || typeof directory === 'number') return;
    this.#empty(directory);
    this.#store.rmdir(reserved, INCOMING);
    try {
      // Fails while something else is in it.
      keepingRootTimes(this.#store, root, () => this.#store.rmdir(handle, RESERVED_NAME));
    } catch {
      // The times of the root cannot be kept: only they are other than before.
    }
  }

  #empty(directory: Handle): void {
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch: ReturnType<Store['readDirectory']> = this.#store.readDirectory(directory, next);
      if (typeof batch === 'number') return;
      for (const { name } of batch.entries) {
        const handle = this.#store.lookup(directory, name);
        if (typeof handle === 'number' || isDirectory(handle)) continue;
        this.#store.unlink(directory, name);
        this.#store.release(handle);
      }
      next = batch.next;
    }
  }

  #open(root: number): Handle | number {
    const reserved = keepingRootTimes(this.#store, root, () => this.#store.reservedDirectory(root));
    if (typeof reserved === 'number') return reserved;
    const found = this.#store.lookup(reserved, INCOMING);
    if (typeof found !== 'number') return found;
    return this.#store.create(reserved, INCOMING, { mode: 0o040700, uid: 0, gid: 0, rdev: 0, target: undefined, id: newObjectId() });
  }
}

function nameOf(id: bigint): Buffer {
  return Buffer.from(id.toString(16).padStart(16, '0'));
}
