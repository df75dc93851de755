/**
 * What the kernel knows of the mounted trees: one node per inode that it has looked up and not forgotten. A node keeps the object's
 * handle, its replication id once known, and every name that was seen for it, kept right on rename and unlink: the names are how the
 * object is introduced to a peer.
 */
import { HoldfastError } from '@holdfast/sdk';
import type { Boundary } from '../boundary/boundary.js';
import type { Continuity, Inheritance, KeptObject, RequestName } from '../continuity/continuity.js';
import { NodeLog, requestKey, type LoggedNode, type NodeRef } from '../continuity/node-log.js';
import { isDirectory, rootOf, type Handle } from '../store/handle.js';
import { newObjectId, rootId } from '../store/object-id.js';
import type { Store } from '../store/store.js';
import { ROOT_NODE_ID } from '../fuse/protocol.js';
import { close as closeFd } from '../system/calls.js';
import { hashOfBytes, HashIndex } from '../store/hash-index.js';
import { Node, type NodeName } from './node.js';

/** Names that are remembered of one object with many hard links; older ones are dropped. */
const NAMES_MAX = 64;

/** Hears of what the application creates, and of what it moves or links: a verification must not miss what changes its place. */
export interface NodeFollower {
  created(node: Node): void;
  moved(node: Node): void;
}

export class NodeTable {
  follower: NodeFollower | undefined;
  readonly #store: Store;
  readonly #boundary: Boundary;
  readonly #continuity: Continuity | undefined;
  readonly #log: NodeLog | undefined;
  /** Lookups that a predecessor counted for requests which it did not answer. */
  #counted: Map<string, readonly number[]> | undefined;
  readonly #roots: readonly Node[];
  readonly #slots: (Node | undefined)[] = [undefined, undefined];
  readonly #free: number[] = [];
  /** Roots are not in it. */
  readonly #byHandle = new HashIndex((nodeId) => hashOfBytes((this.#slots[nodeId] as Node).handle));
  #generation = 0;
  /** The kernel has forgotten an object that never got a name. */
  onUnnamedGone: (node: Node) => void = () => undefined;

  /** @param continuity where a successor of this process finds the table */
  constructor(store: Store, boundary: Boundary, continuity?: Continuity) {
    this.#store = store;
    this.#boundary = boundary;
    this.#continuity = continuity;
    this.#log = continuity === undefined ? undefined : new NodeLog(continuity.memory, () => this.#logged());
    this.#roots = store.roots.map((handle, index) => {
      const node = new Node(ROOT_NODE_ID, 0, handle);
      node.id = rootId(index);
      node.lookups = 1;
      return node;
    });
  }

  /** Takes over what a predecessor knew; the table is empty before. @throws HoldfastError when it cannot be right */
  inherit({ nodes, orphans, unnamed }: Inheritance): void {
    this.#generation = nodes.generation;
    for (const { nodeId, generation, handle, lookups } of nodes.nodes) {
      const node = new Node(nodeId, generation, handle);
      node.lookups = lookups;
      while (this.#slots.length <= nodeId) this.#slots.push(undefined);
      this.#slots[nodeId] = node;
      this.#byHandle.add(nodeId);
    }
    for (const { nodeId, names } of nodes.nodes) {
      const node = this.#slots[nodeId] as Node;
      for (const { parent: ref, name } of names) {
        const parent = 'root' in ref ? this.#roots[ref.root] : this.#slots[ref.nodeId];
        if (parent === undefined) throw inconsistent(`node ${nodeId} is below one that does not exist`);
        node.addName(parent, name);
      }
    }
    for (let nodeId = this.#slots.length - 1; nodeId > ROOT_NODE_ID; nodeId -= 1) {
      if (this.#slots[nodeId] === undefined) this.#free.push(nodeId);
    }
    for (const [nodeId, kept] of orphans) this.#inheritOrphan(nodeId, kept);
    for (const [nodeId, kept] of unnamed) this.#inheritUnnamed(nodeId, kept);
    for (const node of this.#all()) this.#judgeInherited(node);
    for (const node of this.#all()) this.#dropIfUnused(node);
    this.#counted = new Map(nodes.counted);
    this.#log?.rewrite();
  }

  /** A removal that was only prepared may never come again: what has a name is no orphan. */
  #inheritOrphan(nodeId: number, { generation, fd }: KeptObject): void {
    const node = this.#slots[nodeId];
    if (node?.generation === generation) {
      this.#store.adopt(node.handle, fd);
      if (this.#store.attributes(node.handle) < 0) throw inconsistent(`the orphan ${nodeId} cannot be read`);
      const hasName = node.names.some(({ parent, name }) => this.#store.lookup(parent.handle, name) === node.handle);
      const isGone = this.#store.attributes(node.handle) >= 0 && this.#store.stat.nlink === 0;
      if (!hasName && (isGone || isDirectory(node.handle))) {
        this.#store.pin(node.handle);
        node.orphan = true;
        return;
      }
    } else closeFd(fd);
    this.#continuity?.dropOrphan(nodeId, generation);
  }

  /** A link that was made may never be answered: what has a name is not unnamed. */
  #inheritUnnamed(nodeId: number, { generation, fd }: KeptObject): void {
    const node = this.#slots[nodeId];
    if (node?.generation === generation) {
      this.#store.adopt(node.handle, fd);
      if (this.#store.attributes(node.handle) < 0) throw inconsistent(`the unnamed object ${nodeId} cannot be read`);
      if (this.#store.stat.nlink === 0) {
        this.#store.pin(node.handle);
        node.unnamed = true;
        return;
      }
    } else closeFd(fd);
    this.#continuity?.dropUnnamed(nodeId, generation);
  }

  /** A request that was carried out and not answered may have changed its names: they count as far as they lead to it. */
  #judgeInherited(node: Node): void {
    const { handle } = node;
    if (this.isRoot(node) || node.unnamed || node.orphan || !this.#boundary.applies(handle)) return;
    const isThere = ({ parent, name }: NodeName): boolean => this.#store.lookup(parent.handle, name) === handle;
    for (let index = node.nameCount - 1; index >= 0; index -= 1) if (!isThere(node.nameAt(index))) this.#dropName(node, index);
    if (node.nameCount > 0) this.#judge(node);
    else node.isExcluded = isDirectory(handle) ? this.#boundary.excludesDirectory(handle) : this.#store.isMarkedExcluded(handle);
  }

  /** Lookups are counted for this request until `answered`. */
  serving(request: RequestName): void {
    this.#log?.serving(request.uniqueLow, request.uniqueHigh);
  }

  /** No answer is outstanding for which something was counted. */
  answered(): void {
    if (this.#counted === undefined) this.#log?.answered();
  }

  /** A request comes again: what was counted for it did not reach the kernel. */
  servedBefore({ root, uniqueLow, uniqueHigh }: RequestName): void {
    const key = requestKey(uniqueLow, uniqueHigh);
    const nodes = this.#counted?.get(key);
    if (nodes === undefined) return;
    this.#counted?.delete(key);
    this.#log?.recounts(uniqueLow, uniqueHigh);
    for (const nodeId of nodes) if (this.#slots[nodeId] !== undefined) this.forget(root, nodeId, 1);
  }

  /** The kernel has sent again all that it would. */
  allRepeated(): void {
    this.#counted = undefined;
  }

  /** A name that is gone, of whatever node the table believes to have it. Looks at every node. */
  removeNameAnywhere(parent: Node, name: Uint8Array, except?: Node): void {
    if (parent.children === 0) return;
    for (const node of this.#all()) {
      if (node !== except && node.indexOfName(parent, name) >= 0) this.removeName(node, parent, name);
    }
  }

  *#logged(): Generator<LoggedNode> {
    for (const node of this.#slots) {
      if (node === undefined) continue;
      const { nodeId, generation, handle, lookups, names } = node;
      yield { nodeId, generation, handle, lookups, names: names.map(loggedName) };
    }
  }

  /** @param root index of the mount that the request came from @throws when the kernel names a node that it has forgotten */
  get(root: number, nodeId: number): Node {
    const node = nodeId === ROOT_NODE_ID ? this.#roots[root] : this.#slots[nodeId];
    if (node === undefined) throw new Error(`the kernel asked for node ${nodeId}, which it had forgotten`);
    return node;
  }

  find(handle: Handle): Node | undefined {
    const nodeId = this.#byHandle.find(hashOfBytes(handle), (other) => (this.#slots[other] as Node).handle === handle);
    return nodeId < 0 ? this.#roots.find((root) => root.handle === handle) : this.#slots[nodeId];
  }

  /** Each node once. Nodes may be dropped meanwhile. */
  *#all(): Generator<Node> {
    yield* this.#roots;
    for (let nodeId = 0; nodeId < this.#slots.length; nodeId += 1) {
      const node = this.#slots[nodeId];
      if (node !== undefined) yield node;
    }
  }

  isRoot(node: Node): boolean {
    return node.nodeId === ROOT_NODE_ID;
  }

  /** The node of what was found (or made) under a name. The kernel counts one lookup more. */
  meet(parent: Node, name: Uint8Array, handle: Handle): Node {
    let node = this.find(handle);
    if (node === undefined) {
      node = this.#add(handle);
      node.addName(parent, name);
      this.#log?.met(node.nodeId, node.generation, handle, refOf(parent), name);
      this.#judge(node);
    } else this.addName(node, parent, name);
    this.#count(node);
    return node;
  }

  #count(node: Node): void {
    node.lookups += 1;
    if (this.#log !== undefined) {
      this.#log.lookups(node.nodeId, node.lookups);
      this.#log.counted(node.nodeId);
    }
  }

  /** The node of a new object without a name, whose handle is pinned. The kernel counts one lookup. */
  meetUnnamed(handle: Handle): Node {
    const node = this.#add(handle);
    node.unnamed = true;
    this.#log?.metUnnamed(node.nodeId, node.generation, handle);
    this.#count(node);
    this.#continuity?.keepUnnamed(node.nodeId, node.generation, this.#store.descriptor(handle));
    return node;
  }

  /** It has a name now. */
  named(node: Node): void {
    if (!node.unnamed) return;
    node.unnamed = false;
    this.#store.unpin(node.handle);
    this.#continuity?.dropUnnamed(node.nodeId, node.generation);
  }

  #add(handle: Handle): Node {
    const nodeId = this.#free.pop() ?? this.#slots.length;
    this.#generation = (this.#generation + 1) >>> 0;
    const node = new Node(nodeId, this.#generation, handle);
    this.#slots[nodeId] = node;
    this.#byHandle.add(nodeId);
    return node;
  }

  forget(root: number, nodeId: number, lookups: number): void {
    if (nodeId === ROOT_NODE_ID) return;
    const node = this.get(root, nodeId);
    node.lookups -= lookups;
    this.#log?.lookups(nodeId, node.lookups);
    this.#dropIfUnused(node);
  }

  addName(node: Node, parent: Node, name: Uint8Array): void {
    if (node.indexOfName(parent, name) >= 0) return;
    if (node.nameCount >= NAMES_MAX) this.#dropName(node, 0);
    node.addName(parent, name);
    this.#log?.named(node.nodeId, refOf(parent), name);
    this.#judge(node);
  }

  removeName(node: Node, parent: Node, name: Uint8Array): void {
    const index = node.indexOfName(parent, name);
    if (index >= 0) this.#dropName(node, index);
    this.#judge(node);
    this.#dropIfUnused(node);
  }

  /** The id of what a request creates; the same when the request comes again. */
  newId(request: RequestName): bigint {
    return this.#continuity?.objectId(request) ?? newObjectId();
  }

  /** Before two names are exchanged. */
  exchanges({ uniqueLow, uniqueHigh }: RequestName, moved: Handle): void {
    this.#continuity?.exchanges.begins(uniqueLow, uniqueHigh, moved);
  }

  /** @returns what a request that comes again was to move, if it had begun */
  movedBefore({ uniqueLow, uniqueHigh }: RequestName): Handle | undefined {
    return this.#continuity?.exchanges.movedBy(uniqueLow, uniqueHigh);
  }

  /** Directories have moved in a way that changes what is excluded below. */
  judgeAll(): void {
    for (const node of this.#all()) this.#judge(node);
  }

  /** A node without a name stays what it was. */
  #judge(node: Node): void {
    const { handle } = node;
    if (node.nameCount === 0 || !this.#boundary.applies(handle)) return;
    node.isExcluded = node.names.every(({ parent, name }) => this.#boundary.excludes(parent.handle, name, isDirectory(handle)));
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
    for (const node of this.#all()) {
      if (!this.isRoot(node)) node.id = 0n;
      if (node.unnamed) node.introducedIn = 0;
    }
  }

  /** Keeps an object alive whose last name goes. @returns false if it is gone already */
  makeOrphan(node: Node): boolean {
    if (node.orphan) return true;
    const fd = this.#store.pin(node.handle);
    if (fd < 0) return false;
    node.orphan = true;
    this.#continuity?.keepOrphan(node.nodeId, node.generation, fd);
    return true;
  }

  /** The last name stayed after all. */
  adopt(node: Node): void {
    if (!node.orphan) return;
    node.orphan = false;
    this.#store.unpin(node.handle);
    this.#continuity?.dropOrphan(node.nodeId, node.generation);
  }

  get size(): number {
    return this.#byHandle.count + this.#roots.length;
  }

  #dropName(node: Node, index: number): void {
    const parent = node.dropName(index);
    if (this.#slots[node.nodeId] === node) this.#log?.unnamed(node.nodeId, index);
    this.#dropIfUnused(parent);
  }

  #dropIfUnused(node: Node): void {
    if (node.lookups > 0 || node.children > 0 || this.isRoot(node) || this.#slots[node.nodeId] !== node) return;
    this.#byHandle.remove(node.nodeId);
    this.#slots[node.nodeId] = undefined;
    this.#log?.gone(node.nodeId);
    this.#free.push(node.nodeId);
    if (node.unnamed) {
      this.onUnnamedGone(node);
      this.named(node);
      this.#store.release(node.handle);
    }
    if (node.orphan) {
      this.adopt(node);
      this.#store.release(node.handle);
    }
    while (node.nameCount > 0) this.#dropName(node, node.nameCount - 1);
  }
}

/** The handle of a root carries its index too. */
function refOf(node: Node): NodeRef {
  return node.nodeId === ROOT_NODE_ID ? { root: rootOf(node.handle) } : node;
}

function loggedName({ parent, name }: NodeName): { parent: NodeRef; name: Buffer } {
  return { parent: refOf(parent), name };
}

function inconsistent(why: string): HoldfastError {
  return new HoldfastError('HF_REPLICATION_PROCESS', `what the predecessor left does not fit together: ${why}`);
}
