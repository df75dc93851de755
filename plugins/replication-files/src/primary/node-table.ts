/**
 * What the kernel knows of the mounted trees: one node per inode that it has looked up and not forgotten. A node keeps the object's
 * handle, its replication id once known, and every name that was seen for it, kept right on rename and unlink: the names are how the
 * object is introduced to a peer.
 */
import type { Boundary } from '../boundary/boundary.js';
import { isDirectory, type Handle } from '../store/handle.js';
import { newObjectId, rootId } from '../store/object-id.js';
import type { Store } from '../store/store.js';
import { ROOT_NODE_ID } from '../fuse/protocol.js';

/** Names that are remembered of one object with many hard links; older ones are dropped. */
const NAMES_MAX = 64;

export interface NodeName {
  readonly parent: Node;
  readonly name: Buffer;
}

export class Node {
  readonly nodeId: number;
  readonly generation: number;
  readonly handle: Handle;
  /** Replication id; 0n: not known yet. */
  id = 0n;
  /** Session in which the peer learned the id. */
  introducedIn = 0;
  readonly names: NodeName[] = [];
  /** Lookups that the kernel has not forgotten. */
  lookups = 0;
  /** Names in the table below this directory. */
  children = 0;
  /** The last name is gone, or going: kept alive by a pinned descriptor, modified locally only. */
  orphan = false;
  /** Every known name is outside of what is replicated: modified locally only. */
  isExcluded = false;
  /** Has no name yet (O_TMPFILE): kept alive by a pinned descriptor. */
  unnamed = false;

  /** Modified without the peer, which does not have it. */
  get isLocal(): boolean {
    return this.orphan || this.isExcluded || (this.unnamed && this.introducedIn === 0);
  }

  constructor(nodeId: number, generation: number, handle: Handle) {
    this.nodeId = nodeId;
    this.generation = generation;
    this.handle = handle;
  }
}

/** Hears of what the application creates, and of what it moves or links: a verification must not miss what changes its place. */
export interface NodeFollower {
  created(node: Node): void;
  moved(node: Node): void;
}

export class NodeTable {
  follower: NodeFollower | undefined;
  readonly #store: Store;
  readonly #boundary: Boundary;
  readonly #roots: readonly Node[];
  readonly #slots: (Node | undefined)[] = [undefined, undefined];
  readonly #free: number[] = [];
  readonly #byHandle = new Map<Handle, Node>();
  #generation = 0;
  /** The kernel has forgotten an object that never got a name. */
  onUnnamedGone: (node: Node) => void = () => undefined;

  constructor(store: Store, boundary: Boundary) {
    this.#store = store;
    this.#boundary = boundary;
    this.#roots = store.roots.map((handle, index) => {
      const node = new Node(ROOT_NODE_ID, 0, handle);
      node.id = rootId(index);
      node.lookups = 1;
      this.#byHandle.set(handle, node);
      return node;
    });
  }

  /** @param root index of the mount that the request came from @throws when the kernel names a node that it has forgotten */
  get(root: number, nodeId: number): Node {
    const node = nodeId === ROOT_NODE_ID ? this.#roots[root] : this.#slots[nodeId];
    if (node === undefined) throw new Error(`the kernel asked for node ${nodeId}, which it had forgotten`);
    return node;
  }

  find(handle: Handle): Node | undefined {
    return this.#byHandle.get(handle);
  }

  isRoot(node: Node): boolean {
    return node.nodeId === ROOT_NODE_ID;
  }

  /** The node of what was found (or made) under a name. The kernel counts one lookup more. */
  meet(parent: Node, name: Uint8Array, handle: Handle): Node {
    const node = this.#byHandle.get(handle) ?? this.#add(handle);
    node.lookups += 1;
    this.addName(node, parent, name);
    return node;
  }

  /** The node of a new object without a name, whose handle is pinned. The kernel counts one lookup. */
  meetUnnamed(handle: Handle): Node {
    const node = this.#add(handle);
    node.lookups = 1;
    node.unnamed = true;
    return node;
  }

  /** It has a name now. */
  named(node: Node): void {
    if (!node.unnamed) return;
    node.unnamed = false;
    this.#store.unpin(node.handle);
  }

  #add(handle: Handle): Node {
    const nodeId = this.#free.pop() ?? this.#slots.length;
    this.#generation = (this.#generation + 1) >>> 0;
    const node = new Node(nodeId, this.#generation, handle);
    this.#slots[nodeId] = node;
    this.#byHandle.set(handle, node);
    return node;
  }

  forget(root: number, nodeId: number, lookups: number): void {
    if (nodeId === ROOT_NODE_ID) return;
    const node = this.get(root, nodeId);
    node.lookups -= lookups;
    this.#dropIfUnused(node);
  }

  addName(node: Node, parent: Node, name: Uint8Array): void {
    if (indexOfName(node, parent, name) >= 0) return;
    if (node.names.length >= NAMES_MAX) this.#dropName(node, 0);
    // A copy: the name came in a request buffer that is used again.
    node.names.push({ parent, name: Buffer.from(name) });
    parent.children += 1;
    this.#judge(node);
  }

  removeName(node: Node, parent: Node, name: Uint8Array): void {
    const index = indexOfName(node, parent, name);
    if (index >= 0) this.#dropName(node, index);
    this.#judge(node);
    this.#dropIfUnused(node);
  }

  /** Directories have moved in a way that changes what is excluded below. */
  judgeAll(): void {
    for (const node of this.#byHandle.values()) this.#judge(node);
  }

  /** A node without a name stays what it was. */
  #judge(node: Node): void {
    const { handle, names } = node;
    if (names.length === 0 || !this.#boundary.applies(handle)) return;
    node.isExcluded = names.every(({ parent, name }) => this.#boundary.excludes(parent.handle, name, isDirectory(handle)));
  }

  /** The object's id; gives it one if it has none. @returns the id, or -errno as a negative bigint */
  ensureId(node: Node): bigint {
    if (node.id !== 0n) return node.id;
    const id = this.#store.readId(node.handle);
    if (id !== 0n) {
      if (id > 0n) node.id = id;
      return id;
    }
    const fresh = newObjectId();
    const outcome = this.#store.writeId(node.handle, fresh);
    if (outcome < 0) return BigInt(outcome);
    node.id = fresh;
    return fresh;
  }

  /**
   * A new session. Ids are read again when they are needed: a comparison may have given objects new ones. A peer knows nothing of what had
   * no name when it was brought up to date.
   */
  forgetIds(): void {
    for (const node of this.#byHandle.values()) {
      if (!this.isRoot(node)) node.id = 0n;
      if (node.unnamed) node.introducedIn = 0;
    }
  }

  /** Keeps an object alive whose last name goes. @returns false if it is gone already */
  makeOrphan(node: Node): boolean {
    if (node.orphan || this.#store.pin(node.handle) < 0) return node.orphan;
    node.orphan = true;
    return true;
  }

  /** The last name stayed after all. */
  adopt(node: Node): void {
    if (!node.orphan) return;
    node.orphan = false;
    this.#store.unpin(node.handle);
  }

  get size(): number {
    return this.#byHandle.size;
  }

  #dropName(node: Node, index: number): void {
    const [dropped] = node.names.splice(index, 1);
    if (dropped === undefined) return;
    dropped.parent.children -= 1;
    this.#dropIfUnused(dropped.parent);
  }

  #dropIfUnused(node: Node): void {
    if (node.lookups > 0 || node.children > 0 || this.isRoot(node) || this.#slots[node.nodeId] !== node) return;
    this.#slots[node.nodeId] = undefined;
    this.#free.push(node.nodeId);
    this.#byHandle.delete(node.handle);
    if (node.unnamed) {
      this.onUnnamedGone(node);
      this.named(node);
      this.#store.release(node.handle);
    }
    if (node.orphan) {
      this.adopt(node);
      this.#store.release(node.handle);
    }
    while (node.names.length > 0) this.#dropName(node, node.names.length - 1);
  }
}

function indexOfName(node: Node, parent: Node, name: Uint8Array): number {
  for (let index = node.names.length - 1; index >= 0; index -= 1) {
    const known = node.names[index] as NodeName;
    if (known.parent === parent && known.name.equals(name)) return index;
  }
  return -1;
}
