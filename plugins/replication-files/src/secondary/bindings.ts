/**
 * Which local object an id of the peer means, for one session. An object becomes known by INTRODUCE, CREATE or by the resync; its last
 * known place is kept with it, because a further hard link must name an old name too. An object that was removed stays known for a while:
 * a write that the application made before the removal may still be on its way, and is nothing to complain about.
 */
import type { Handle } from '../store/handle.js';
import { PackedObjects } from './packed-objects.js';

/** Where an object was last known to be. */
interface KnownPlace {
  readonly parent: Handle | undefined;
  readonly name: Buffer | undefined;
}

const NOWHERE: KnownPlace = { parent: undefined, name: undefined };

export class Bindings {
  #objects = new PackedObjects();
  /** What was asked for last is often asked for again. */
  #last: (KnownPlace & { readonly object: bigint; readonly handle: Handle }) | undefined;
  /** Ids of removed objects: since the last checkpoint, and before it. */
  #gone: bigint[] = [];
  #goneBefore: bigint[] = [];

  /** @param roots handles of the replicated directories: ids 1, 2, … */
  constructor(private readonly roots: readonly Handle[]) {
    this.clear();
  }

  /** Whether the object is or was known. */
  knows(object: bigint): boolean {
    return this.#objects.find(object) >= 0;
  }

  /** The handle of an object that exists. */
  handle(object: bigint): Handle | undefined {
    return this.#existing(object)?.handle;
  }

  place(object: bigint): KnownPlace {
    return this.#existing(object) ?? NOWHERE;
  }

  #existing(object: bigint): (KnownPlace & { readonly handle: Handle }) | undefined {
    if (this.#last?.object === object) return this.#last;
    const row = this.#objects.find(object);
    if (row < 0 || this.#objects.isGone(row)) return undefined;
    this.#last = { object, handle: this.#objects.handle(row), parent: this.#objects.parent(row), name: this.#objects.name(row) };
    return this.#last;
  }

  idOf(handle: Handle): bigint | undefined {
    const row = this.#objects.findHandle(handle);
    return row < 0 ? undefined : this.#objects.id(row);
  }

  bind(object: bigint, handle: Handle, parent?: Handle, name?: Buffer): void {
    this.#last = undefined;
    this.#objects.set(object, handle, parent, name);
  }

  moved(handle: Handle, parent: Handle, name: Buffer): void {
    this.#last = undefined;
    const row = this.#objects.findHandle(handle);
    if (row >= 0) this.#objects.move(row, parent, name);
  }

  /** The object's last name is gone. */
  removed(handle: Handle): void {
    this.#last = undefined;
    const row = this.#objects.findHandle(handle);
    if (row < 0) return;
    this.#gone.push(this.#objects.id(row));
    this.#objects.markGone(row);
  }

  /** Forgets removed objects that were removed before the last checkpoint but one. */
  checkpoint(): void {
    for (const id of this.#goneBefore) {
      const row = this.#objects.find(id);
      if (row >= 0 && this.#objects.isGone(row)) this.#objects.remove(row);
    }
    this.#goneBefore = this.#gone;
    this.#gone = [];
  }

  /** Only the roots are known. */
  clear(): void {
    this.#last = undefined;
    this.#objects = new PackedObjects();
    this.#gone = [];
    this.#goneBefore = [];
    this.roots.forEach((root, index) => this.bind(BigInt(index + 1), root));
  }
}
