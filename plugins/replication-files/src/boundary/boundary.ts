/**
 * The boundary between what is replicated and what is each node's own, in the trees of a store: rules are about paths, the rest of the
 * replication knows objects by handle. The place of each directory is kept; the kernel knows the path of those that are not.
 */
import { isDirectory, rootOf, type Handle } from '../store/handle.js';
import { placeOfDirectory } from '../resync/location.js';
import type { Store } from '../store/store.js';
import { Rules, type Exclusion, type Place } from './rules.js';

/** Directories whose place is kept; all are forgotten beyond. */
const PLACES_MAX = 100_000;

export class Boundary {
  readonly #store: Store;
  /** For each root; undefined where everything is replicated. */
  readonly #rules: readonly (Rules | undefined)[];
  readonly #places = new Map<Handle, Place>();
  /** Grows when places change. */
  version = 0;

  /** @param exclusions for each root of the store; none: everything is replicated */
  constructor(store: Store, exclusions: readonly (readonly Exclusion[])[] = []) {
    this.#store = store;
    this.#rules = store.roots.map((_root, index) => {
      const own = exclusions[index] ?? [];
      return own.length === 0 ? undefined : new Rules(own);
    });
  }

  /** Whether anything is excluded in the root of an object. */
  applies(handle: Handle): boolean {
    return this.#rules[rootOf(handle)] !== undefined;
  }

  /** Whether what has this name is each node's own. @param isOfDirectory what is there, or would be */
  excludes(directory: Handle, name: Uint8Array, isOfDirectory: boolean): boolean {
    const rules = this.#rules[rootOf(directory)];
    return rules?.isExcluded(this.#place(rules, directory), name, isOfDirectory) ?? false;
  }

  /** A directory by its place; one that was removed is not excluded. */
  excludesDirectory(directory: Handle): boolean {
    const rules = this.#rules[rootOf(directory)];
    return rules !== undefined && this.#place(rules, directory).isExcluded;
  }

  /** Whether a directory under the second name would have the same names excluded in it as under the first. */
  isSamePlace(directory: Handle, name: Uint8Array, newDirectory: Handle, newName: Uint8Array): boolean {
    const rules = this.#rules[rootOf(directory)];
    if (rules === undefined) return true;
    const place = rules.enter(this.#place(rules, directory), name);
    return place.key === rules.enter(this.#place(rules, newDirectory), newName).key;
  }

  /** A directory has moved: nothing is sure about the places of what is below it. */
  moved(handle: Handle): void {
    if (!isDirectory(handle) || !this.applies(handle)) return;
    this.#places.clear();
    this.version += 1;
  }

  /**
   * Every object below a directory, and the directory first, with the side on which it would be if the directory had another name. The
   * attributes of each are in the store's `stat`.
   */
  visitAs(directory: Handle, newParent: Handle, newName: Uint8Array, visit: (handle: Handle, isExcluded: boolean) => void): void {
    const rules = this.#rules[rootOf(directory)];
    if (rules === undefined || this.#store.attributes(directory) < 0) return;
    const top = rules.enter(this.#place(rules, newParent), newName);
    visit(directory, top.isExcluded);
    const left = [{ handle: directory, place: top }];
    for (let at = left.pop(); at !== undefined; at = left.pop()) {
      for (const name of namesIn(this.#store, at.handle)) {
        const handle = this.#store.lookup(at.handle, name);
        if (typeof handle === 'number') continue;
        visit(handle, rules.isExcluded(at.place, name, isDirectory(handle)));
        if (isDirectory(handle)) left.push({ handle, place: rules.enter(at.place, name) });
      }
    }
  }

  #place(rules: Rules, directory: Handle): Place {
    const known = this.#places.get(directory);
    if (known !== undefined) return known;
    // Who asks about a name has often just met the object there.
    const { words } = this.#store.stat;
    const met = words.slice();
    const location = placeOfDirectory(this.#store, directory);
    words.set(met);
    // A root, or a directory that was removed: nothing can be in that.
    if (location === undefined) return rules.root;
    const place = rules.enter(this.#place(rules, location.parent), location.name);
    if (this.#places.size >= PLACES_MAX) this.#places.clear();
    this.#places.set(directory, place);
    return place;
  }
}

function namesIn(store: Store, directory: Handle): Buffer[] {
  const names: Buffer[] = [];
  for (let next: bigint | undefined = 0n; next !== undefined; ) {
    const batch: ReturnType<Store['readDirectory']> = store.readDirectory(directory, next);
    if (typeof batch === 'number') return names;
    names.push(...batch.entries.map((entry) => entry.name));
    next = batch.next;
  }
  return names;
}
