/** Modifications of directories: new names, names that go, names that move. */
import type { ReplyTo } from '../fuse/device.js';
import type { TouchRecorder } from '../journal/dirty-set.js';
import { isDirectory, type Handle } from '../store/handle.js';
import { newObjectId, type NewObject } from '../store/store.js';
import { RENAME_EXCHANGE } from '../system/constants.js';
import { ENOENT, EPERM, ESTALE } from '../system/errno.js';
import type { LiveBody, Modification, Trees } from './modification.js';
import type { Node } from './node-table.js';

abstract class NameModification implements Modification {
  readonly to: ReplyTo;
  protected readonly parent: Node;
  protected readonly name: Buffer;
  concerns: readonly Node[] = [];
  readonly isLocal: boolean = false;

  constructor(to: ReplyTo, parent: Node, name: Buffer) {
    this.to = to;
    this.parent = parent;
    this.name = Buffer.from(name);
  }

  prepare(trees: Trees): number {
    return checkDirectory(trees, this.parent, this.name);
  }

  touch(recorder: TouchRecorder): void {
    recorder.touchName(this.parent.handle, this.parent.id, this.name);
  }

  reply(_trees: Trees): void {
    this.to.device.replyError(this.to, 0);
  }

  cancel(_trees: Trees): void {
    // Nothing was assumed.
  }

  abstract body(): LiveBody;
  abstract apply(trees: Trees): number;
}

export class CreateModification extends NameModification {
  readonly #object: NewObject;
  readonly #opens: boolean;
  #node: Node | undefined;

  /** @param opens the request was CREATE: the answer carries an open file too */
  constructor(to: ReplyTo, parent: Node, name: Buffer, object: Omit<NewObject, 'id'>, opens: boolean) {
    super(to, parent, name);
    this.#object = { ...object, id: newObjectId() };
    this.#opens = opens;
  }

  override prepare(trees: Trees): number {
    this.concerns = [this.parent];
    return super.prepare(trees);
  }

  body(): LiveBody {
    const { mode, uid, gid, rdev, target, id } = this.#object;
    return { kind: 'create', parent: this.parent.id, name: this.name, object: id, mode, uid, gid, rdev, target: target ?? NOTHING };
  }

  /** Session in which the peer created it too; 0: it did not. */
  createdInSession = 0;

  apply({ store, nodes }: Trees): number {
    const handle = store.create(this.parent.handle, this.name, this.#object);
    if (typeof handle === 'number') return handle;
    this.#node = nodes.meet(this.parent, this.name, handle);
    this.#node.id = this.#object.id;
    this.#node.introducedIn = this.createdInSession;
    nodes.follower?.created(this.#node);
    return 0;
  }

  override touch(recorder: TouchRecorder): void {
    super.touch(recorder);
    // Its times are those of this node until a checkpoint: a resync before that must look at it, also when the peer has the object.
    if (this.#node !== undefined) recorder.touchAttributes(this.#node.handle, this.parent.handle, this.name);
  }

  override reply({ store }: Trees): void {
    const node = this.#node as Node;
    // `store.stat` was filled by the creation, but the journal may have used it since.
    if (store.attributes(node.handle) < 0) {
      this.to.device.replyError(this.to, ESTALE);
      return;
    }
    if (this.#opens) this.to.device.replyCreated(this.to, node.nodeId, node.generation, store.stat);
    else this.to.device.replyEntry(this.to, node.nodeId, node.generation, store.stat);
  }
}

export class LinkModification extends NameModification {
  readonly #object: Node;

  constructor(to: ReplyTo, parent: Node, name: Buffer, object: Node) {
    super(to, parent, name);
    this.#object = object;
  }

  override prepare(trees: Trees): number {
    if (this.#object.orphan) return ENOENT;
    this.concerns = [this.parent, this.#object];
    // `touch` names the directories of all its names by id.
    const failed = ensureIds(trees, [this.#object, ...this.#object.names.map(({ parent }) => parent)]);
    return failed === 0 ? super.prepare(trees) : failed;
  }

  body(): LiveBody {
    return { kind: 'link', object: this.#object.id, parent: this.parent.id, name: this.name };
  }

  apply({ store, nodes }: Trees): number {
    const outcome = store.link(this.#object.handle, this.parent.handle, this.name);
    if (outcome < 0) return outcome;
    nodes.meet(this.parent, this.name, this.#object.handle);
    nodes.follower?.moved(this.#object);
    return outcome;
  }

  override touch(recorder: TouchRecorder): void {
    super.touch(recorder);
    // The old names too: the resync then meets the object under one that the peer has, and makes one link of them.
    for (const { parent, name } of this.#object.names) recorder.touchName(parent.handle, parent.id, name);
  }

  override reply({ store }: Trees): void {
    const outcome = store.attributes(this.#object.handle);
    if (outcome < 0) this.to.device.replyError(this.to, -outcome);
    else this.to.device.replyEntry(this.to, this.#object.nodeId, this.#object.generation, store.stat);
  }
}

/** The object under a name that goes: unlinked, removed or replaced. */
class Victim {
  readonly handle: Handle;
  readonly node: Node | undefined;
  /** No name is left afterwards. */
  readonly isLast: boolean;

  constructor(trees: Trees, handle: Handle) {
    this.handle = handle;
    this.node = trees.nodes.find(handle);
    this.isLast = isDirectory(handle) || trees.store.stat.nlink <= 1;
    // From now on it is modified locally only: the peer, which hears of the removal first, no longer has it.
    if (this.isLast && this.node !== undefined) trees.nodes.makeOrphan(this.node);
  }

  /** An object that keeps other names must be known by id while this one still leads to it. */
  get toIntroduce(): readonly Node[] {
    return this.node !== undefined && !this.isLast ? [this.node] : [];
  }

  gone({ store, nodes }: Trees, parent: Node, name: Buffer): void {
    if (this.node === undefined) {
      if (this.isLast) store.release(this.handle);
    } else nodes.removeName(this.node, parent, name);
  }

  stays({ nodes }: Trees): void {
    if (this.isLast && this.node !== undefined) nodes.adopt(this.node);
  }
}

export class RemoveModification extends NameModification {
  readonly #isDirectory: boolean;
  #victim: Victim | undefined;

  constructor(to: ReplyTo, parent: Node, name: Buffer, ofDirectory: boolean) {
    super(to, parent, name);
    this.#isDirectory = ofDirectory;
  }

  override prepare(trees: Trees): number {
    const refused = super.prepare(trees);
    if (refused !== 0) return refused;
    const handle = trees.store.lookup(this.parent.handle, this.name);
    if (typeof handle === 'number') return -handle;
    this.#victim = new Victim(trees, handle);
    const failed = ensureIds(trees, this.#victim.toIntroduce);
    if (failed !== 0) return failed;
    this.concerns = [this.parent, ...this.#victim.toIntroduce];
    return 0;
  }

  body(): LiveBody {
    return { kind: this.#isDirectory ? 'rmdir' : 'unlink', parent: this.parent.id, name: this.name };
  }

  apply(trees: Trees): number {
    const { store } = trees;
    const outcome = this.#isDirectory ? store.rmdir(this.parent.handle, this.name) : store.unlink(this.parent.handle, this.name);
    if (outcome >= 0) this.#victim?.gone(trees, this.parent, this.name);
    return outcome;
  }

  override cancel(trees: Trees): void {
    this.#victim?.stays(trees);
  }
}

export class RenameModification extends NameModification {
  readonly #newParent: Node;
  readonly #newName: Buffer;
  readonly #flags: number;
  #moved: Node | undefined;
  #movedHandle: Handle = '';
  #replaced: Victim | undefined;
  #exchanged: Node | undefined;
  #isNothing = false;

  constructor(to: ReplyTo, parent: Node, name: Buffer, newParent: Node, newName: Buffer, flags: number) {
    super(to, parent, name);
    this.#newParent = newParent;
    this.#newName = Buffer.from(newName);
    this.#flags = flags;
  }

  override prepare(trees: Trees): number {
    const refused = super.prepare(trees) || checkDirectory(trees, this.#newParent, this.#newName);
    if (refused !== 0) return refused;
    const { store, nodes } = trees;
    const moved = store.lookup(this.parent.handle, this.name);
    if (typeof moved === 'number') return -moved;
    this.#movedHandle = moved;
    this.#moved = nodes.find(moved);
    const there = store.lookup(this.#newParent.handle, this.#newName);
    const concerns = [this.parent, this.#newParent];
    if (this.#moved !== undefined) concerns.push(this.#moved);
    if (typeof there !== 'number') {
      // Two names of one object: POSIX wants nothing to happen.
      this.#isNothing = there === moved;
      if (this.#flags & RENAME_EXCHANGE) {
        this.#exchanged = nodes.find(there);
        if (this.#exchanged !== undefined) concerns.push(this.#exchanged);
      } else if (!this.#isNothing && this.#flags === 0) {
        this.#replaced = new Victim(trees, there);
        concerns.push(...this.#replaced.toIntroduce);
      }
    } else if (there !== -ENOENT) return -there;
    this.concerns = concerns;
    return ensureIds(trees, concerns);
  }

  body(): LiveBody {
    return {
      kind: 'rename',
      parent: this.parent.id,
      name: this.name,
      newParent: this.#newParent.id,
      newName: this.#newName,
      flags: this.#flags,
    };
  }

  apply(trees: Trees): number {
    const { store, nodes } = trees;
    const outcome = store.rename(this.parent.handle, this.name, this.#newParent.handle, this.#newName, this.#flags);
    if (outcome < 0 || this.#isNothing) return outcome;
    this.#replaced?.gone(trees, this.#newParent, this.#newName);
    // The new name first: a directory without any name would be dropped from the table.
    if (this.#moved !== undefined) nodes.addName(this.#moved, this.#newParent, this.#newName);
    if (this.#exchanged !== undefined) nodes.addName(this.#exchanged, this.parent, this.name);
    if (this.#moved !== undefined) nodes.removeName(this.#moved, this.parent, this.name);
    if (this.#exchanged !== undefined) nodes.removeName(this.#exchanged, this.#newParent, this.#newName);
    for (const node of [this.#moved, this.#exchanged]) if (node !== undefined) nodes.follower?.moved(node);
    return outcome;
  }

  override touch(recorder: TouchRecorder): void {
    super.touch(recorder);
    recorder.touchName(this.#newParent.handle, this.#newParent.id, this.#newName);
    // Other names of a file that moved: the resync finds it by its id under any of them.
    if (this.#moved === undefined || isDirectory(this.#movedHandle)) return;
    recorder.touchAttributes(this.#movedHandle, this.#newParent.handle, this.#newName);
  }

  override cancel(trees: Trees): void {
    this.#replaced?.stays(trees);
  }
}

const NOTHING = Buffer.alloc(0);

/** @returns 0 or the errno for the application */
function checkDirectory(trees: Trees, parent: Node, name: Buffer): number {
  if (parent.orphan) return ENOENT;
  if (trees.store.isReserved(parent.handle, name)) return EPERM;
  const id = trees.nodes.ensureId(parent);
  return id < 0n ? Number(-id) : 0;
}

function ensureIds(trees: Trees, nodes: readonly Node[]): number {
  for (const node of nodes) {
    if (node.orphan) continue;
    const id = trees.nodes.ensureId(node);
    if (id < 0n) return Number(-id);
  }
  return 0;
}
