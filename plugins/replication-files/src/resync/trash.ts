/**
 * What is superfluous in a replicated directory: `<root>/.holdfast/trash`. It comes there in one rename, whatever is below it, and is
 * removed bit by bit afterwards, in either role and without a peer too; and at once when the disk is full: until then it has the room that
 * those who removed it count on.
 */
import { atimeOf, mtimeOf, timesBuffer } from '../secondary/times.js';
import { isDirectory, type Handle } from '../store/handle.js';
import { RESERVED_NAME, type Store } from '../store/store.js';

export const TRASH = Buffer.from('trash');
const REMOVED_PER_STEP = 1000;

/** Removes one directory after the other, with all that is in it, a bounded number of objects at a time. */
export class Removal {
  readonly #store: Store;
  /** The way down to what is being removed. */
  #way: { readonly directory: Handle; readonly parent: Handle; readonly name: Buffer }[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  get isUnderWay(): boolean {
    return this.#way.length > 0;
  }

  begin(directory: Handle, parent: Handle, name: Buffer): void {
    this.#way.push({ directory, parent, name });
  }

  /** @returns false: there is something that cannot be removed, immutable or on a broken disk; it is left */
  step(): boolean {
    const store = this.#store;
    for (let left = REMOVED_PER_STEP; left > 0; left -= 1) {
      const top = this.#way.at(-1);
      if (top === undefined) return true;
      const batch = store.readDirectory(top.directory, 0n);
      const entries = typeof batch === 'number' ? [] : batch.entries;
      let below = false;
      for (const { name } of entries.slice(0, left)) {
        const handle = store.lookup(top.directory, name);
        below = typeof handle !== 'number' && isDirectory(handle);
        if (below) {
          this.begin(handle as Handle, top.directory, name);
          break;
        }
        if (typeof handle !== 'number') store.lastCloses.expect(handle, store.stat);
        if (store.unlink(top.directory, name) < 0) return this.#giveUp();
        if (typeof handle !== 'number') store.release(handle);
        left -= 1;
      }
      if (below || entries.length > 0) continue;
      if (store.rmdir(top.parent, top.name) < 0) return this.#giveUp();
      store.release(top.directory);
      this.#way.pop();
    }
    return true;
  }

  #giveUp(): boolean {
    this.#way = [];
    return false;
  }
}

/** The trash of all roots. */
export class Trash {
  readonly #store: Store;
  readonly #removals: readonly Removal[];
  /** A predecessor may have left something. */
  #mayHaveSome = true;

  constructor(store: Store) {
    this.#store = store;
    this.#removals = store.roots.map(() => new Removal(store));
  }

  /** Something was put into it. */
  filled(): void {
    this.#mayHaveSome = true;
  }

  /** Removes a bounded number of objects. @returns false when nothing is left that can be removed */
  removeSome(): boolean {
    if (this.#mayHaveSome) this.#mayHaveSome = this.#removals.map((removal, root) => this.#removeIn(root, removal)).includes(true);
    return this.#mayHaveSome;
  }

  #removeIn(root: number, removal: Removal): boolean {
    if (removal.isUnderWay) return removal.step();
    const store = this.#store;
    const directory = store.roots[root] as Handle;
    const reserved = store.lookup(directory, RESERVED_NAME);
    if (typeof reserved === 'number') return false;
    const trash = store.lookup(reserved, TRASH);
    if (typeof trash !== 'number') {
      removal.begin(trash, reserved, TRASH);
      return removal.step();
    }
    // Fails while something else is in it. What is Holdfast's own does not show in the times of the root.
    if (store.attributes(directory) < 0) return false;
    const times = timesBuffer(atimeOf(store.stat), mtimeOf(store.stat));
    if (store.rmdir(directory, RESERVED_NAME) >= 0) store.setAttributes(directory, { times });
    return false;
  }
}
