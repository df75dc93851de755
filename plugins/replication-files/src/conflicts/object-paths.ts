/**
 * Under which paths objects were met in a resync, as applications know them. Directories know their place; of a file nobody does but who
 * has just looked it up.
 */
import { readlinkSync } from 'node:fs';
import { isDirectory, rootOf, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';

const SLASH = Buffer.from('/');

interface Name {
  readonly parent: Handle;
  readonly name: Buffer;
}

export class ObjectPaths {
  readonly #store: Store;
  readonly #directories: readonly string[];
  readonly #names = new Map<Handle, Name[]>();
  /** Paths that objects had before they were put aside. */
  readonly #left = new Map<Handle, Buffer[]>();

  constructor(store: Store, directories: readonly string[]) {
    this.#store = store;
    this.#directories = directories;
  }

  met(handle: Handle, parent: Handle, name: Buffer): void {
    if (isDirectory(handle)) return;
    const known = this.#names.get(handle);
    const isKnown = known?.some((other) => other.parent === parent && other.name.equals(name)) === true;
    if (isKnown) return;
    const own = { parent, name: Buffer.from(name) };
    if (known === undefined) this.#names.set(handle, [own]);
    else known.push(own);
  }

  /** It is about to lose this name. @returns its path under it */
  left(handle: Handle, parent: Handle, name: Buffer): Buffer {
    const path = this.join(parent, name);
    this.leftFrom(handle, path);
    this.#names.delete(handle);
    return path;
  }

  leftFrom(handle: Handle, path: Buffer): void {
    const known = this.#left.get(handle);
    if (known === undefined) this.#left.set(handle, [path]);
    else known.push(path);
  }

  /** Its path, or the one that it had. */
  of(handle: Handle): Buffer {
    const [left] = this.#left.get(handle) ?? [];
    if (left !== undefined) return left;
    const [name] = this.#names.get(handle) ?? [];
    return name === undefined ? this.#now(handle) : this.join(name.parent, name.name);
  }

  /** Further paths of it. */
  others(handle: Handle): Buffer[] {
    const named = (this.#names.get(handle) ?? []).map(({ parent, name }) => this.join(parent, name));
    return [...(this.#left.get(handle) ?? []), ...named].slice(1);
  }

  join(parent: Handle, name: Buffer): Buffer {
    return Buffer.concat([this.of(parent), SLASH, name]);
  }

  /** As the kernel tells it, with the place that applications know instead of ours. */
  #now(handle: Handle): Buffer {
    const root = rootOf(handle);
    const directory = Buffer.from(this.#directories[root] ?? '');
    const fd = this.#store.descriptor(handle);
    if (fd < 0) return directory;
    const path = readlinkSync(`/proc/self/fd/${fd}`, 'buffer');
    const aside = readlinkSync(`/proc/self/fd/${this.#store.rootFd(root)}`, 'buffer');
    if (path.subarray(0, aside.length).equals(aside)) return Buffer.concat([directory, path.subarray(aside.length)]);
    return Buffer.concat([directory, SLASH, path.subarray(path.lastIndexOf(0x2f) + 1)]);
  }
}
