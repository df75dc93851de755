/**
 * Which local object an id of the peer means, for one session. An object becomes known by INTRODUCE, CREATE or by the resync; its last
 * known place is kept with it, because a further hard link must name an old name too. An object that was removed stays known for a while:
 * a write that the application made before the removal may still be on its way, and is nothing to complain about.
 */
import type { Handle } from '../store/handle.js';

export interface Binding {
  readonly handle: Handle;
  parent: Handle | undefined;
  name: Buffer | undefined;
  isGone: boolean;
}

export class Bindings {
  readonly #byId = new Map<bigint, Binding>();
  readonly #byHandle = new Map<Handle, bigint>();
  /** Ids of removed objects: since the last checkpoint, and before it. */
  #gone: bigint[] = [];
  #goneBefore: bigint[] = [];

  /** @param roots handles of the replicated directories: ids 1, 2, … */
  constructor(private readonly roots: readonly Handle[]) {
    this.clear();
  }

  get(object: bigint): Binding | undefined {
    return this.#byId.get(object);
  }

  /** The handle of an object that exists. */
  handle(object: bigint): Handle | undefined {
    const binding = this.#byId.get(object);
    return binding === undefined || binding.isGone ? undefined : binding.handle;
  }

  idOf(handle: Handle): bigint | undefined {
    return this.#byHandle.get(handle);
  }

  bind(object: bigint, handle: Handle, parent?: Handle, name?: Buffer): void {
    this.#byId.set(object, { handle, parent, name, isGone: false });
    this.#byHandle.set(handle, object);
  }

  moved(handle: Handle, parent: Handle, name: Buffer): void {
    const id = this.#byHandle.get(handle);
    const binding = id === undefined ? undefined : this.#byId.get(id);
    if (binding === undefined) return;
    binding.parent = parent;
    binding.name = name;
  }

  /** The object's last name is gone. */
  removed(handle: Handle): void {
    const id = this.#byHandle.get(handle);
    if (id === undefined) return;
    const binding = this.#byId.get(id);
    if (binding !== undefined) binding.isGone = true;
    this.#byHandle.delete(handle);
    this.#gone.push(id);
  }

  /** Forgets removed objects that were removed before the last checkpoint but one. */
  checkpoint(): void {
    for (const id of this.#goneBefore) if (this.#byId.get(id)?.isGone === true) this.#byId.delete(id);
    this.#goneBefore = this.#gone;
    this.#gone = [];
  }

  /** Only the roots are known. */
  clear(): void {
    this.#byId.clear();
    this.#byHandle.clear();
    this.#gone = [];
    this.#goneBefore = [];
    this.roots.forEach((root, index) => this.bind(BigInt(index + 1), root));
  }
}
