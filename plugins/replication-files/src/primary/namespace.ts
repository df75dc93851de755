/** Modifications of directories: new names, names that go, names that move. */
import type { Boundary } from '../boundary/boundary.js';
import { isRepeated } from '../continuity/continuity.js';
import type { ReplyTo } from '../fuse/device.js';
import type { TouchRecorder } from '../journal/dirty-set.js';
import { isDirectory, type Handle } from '../store/handle.js';
import { EXCLUDED_ID } from '../store/object-id.js';
import type { Whiteout } from '../store/store.js';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from '../system/constants.js';
import { EEXIST, ENOENT, ENOTEMPTY, EPERM, EXDEV } from '../system/errno.js';
import type { LiveBody, Modification, Trees } from './modification.js';
import type { Node } from './node.js';
import { isEmpty, renameKind } from './rename-kind.js';

export abstract class NameModification implements Modification {
  readonly to: ReplyTo;
  protected readonly parent: Node;
  protected readonly name: Buffer;
  concerns: readonly Node[] = [];
  /** A request that came again, and that was carried out before: the peer need not hear of it, and it was named. */
  protected isDone = false;
  #boundary: Boundary | undefined;

  constructor(to: ReplyTo, parent: Node, name: Buffer) {
    this.to = to;
    this.parent = parent;
    this.name = Buffer.from(name);
  }

  prepare(trees: Trees): number {
    return this.prepareName(trees, false);
  }

  /** @param loses a name of the directory goes */
  protected prepareName(trees: Trees, loses: boolean): number {
    this.#boundary = trees.boundary;
    return checkDirectory(trees, this.parent, this.name, loses);
  }

  fail(errno: number): void {
    this.to.device.replyError(this.to, errno);
  }

  get isLocal(): boolean {
    return this.isDone || this.isOutside;
  }

  protected get isOutside(): boolean {
    return this.#boundary?.excludes(this.parent.handle, this.name, this.isOfDirectory) ?? false;
  }

  /** What has the name, or gets it. Valid after `prepare`. */
  protected abstract readonly isOfDirectory: boolean;

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

export class LinkModification extends NameModification {
  readonly #object: Node;
  #isFirstName = false;

  constructor(to: ReplyTo, parent: Node, name: Buffer, object: Node) {
    super(to, parent, name);
    this.#object = object;
  }

  protected get isOfDirectory(): boolean {
    return false;
  }

  override prepare(trees: Trees): number {
    if (this.#object.orphan) return ENOENT;
    this.#isFirstName = this.#object.unnamed;
    const outcome = trees.store.checkMutable(this.#object.handle, true);
    if (outcome < 0) return -outcome;
    // One file on both sides of the boundary would be replicated and not.
    const isOutside = trees.boundary.excludes(this.parent.handle, this.name, false);
    if (!this.#object.unnamed && this.#object.isExcluded !== isOutside && !this.#isThere(trees)) return EXDEV;
    this.concerns = [this.parent, this.#object];
    // `touch` names the directories of all its names by id.
    const failed = ensureIds(trees, [this.#object, ...this.#object.names.map(({ parent }) => parent)]);
    return failed === 0 ? super.prepare(trees) : failed;
  }

  body(): LiveBody {
    return { kind: 'link', object: this.#object.id, parent: this.parent.id, name: this.name };
  }

  /** The first attempt of a request that came again has made the name. */
  #isThere({ store }: Trees): boolean {
    return isRepeated(this.to) && store.lookup(this.parent.handle, this.name) === this.#object.handle;
  }

  apply(trees: Trees): number {
    const { store, nodes } = trees;
    let outcome = store.link(this.#object.handle, this.parent.handle, this.name);
    if (outcome === -EEXIST && this.#isThere(trees)) outcome = 0;
    if (outcome < 0) return outcome;
    if ((this.#object.unnamed || isRepeated(this.to)) && this.isLocal) {
      // The peer made it too, and will not hear of its name.
      nodes.onUnnamedGone(this.#object);
      store.writeId(this.#object.handle, EXCLUDED_ID);
      this.#object.id = 0n;
      this.#object.introducedIn = 0;
    }
    // The name first: a successor must not find an object that has neither a name nor a keeper.
    nodes.meet(this.parent, this.name, this.#object.handle);
    nodes.named(this.#object);
    if (!this.isLocal) nodes.follower?.moved(this.#object);
    return outcome;
  }

  override touch(recorder: TouchRecorder): void {
    super.touch(recorder);
    // Until now no checkpoint gave the peer its times, and what was touched of it may be forgotten.
    if (this.#isFirstName) recorder.touchAttributes(this.#object.handle, this.parent.handle, this.name);
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
export class Victim {
  readonly handle: Handle;
  readonly node: Node | undefined;
  /** No name is left afterwards. */
  readonly isLast: boolean;

  constructor(trees: Trees, handle: Handle) {
    this.handle = handle;
    this.node = trees.nodes.find(handle);
    this.isLast = isDirectory(handle) || trees.store.stat.nlink <= 1;
    if (this.isLast) trees.store.lastCloses.expect(handle, trees.store.stat);
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

  protected get isOfDirectory(): boolean {
    return this.#isDirectory;
  }

  override prepare(trees: Trees): number {
    const refused = this.prepareName(trees, true);
    if (refused !== 0) return refused;
    const handle = trees.store.lookup(this.parent.handle, this.name);
    if (handle === -ENOENT && isRepeated(this.to)) {
      this.isDone = true;
      return 0;
    }
    if (typeof handle === 'number') return -handle;
    if (trees.store.stat.isFixed) return EPERM;
    // What is in it may be excluded: the peer would not see that it must not go.
    if (this.#isDirectory && trees.boundary.applies(handle) && !isEmpty(trees.store, handle)) return ENOTEMPTY;
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
    if (this.isDone) {
      trees.nodes.removeNameAnywhere(this.parent, this.name);
      return 0;
    }
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
  /** Of the boundary, when it was looked at. */
  #version = 0;
  #whiteout: Whiteout;
  #left: Handle | undefined;

  /** @param owner of the whiteout that is left, if `flags` say so */
  constructor(to: ReplyTo, parent: Node, name: Buffer, newParent: Node, newName: Buffer, flags: number, owner: Omit<Whiteout, 'id'>) {
    super(to, parent, name);
    this.#whiteout = { ...owner, id: 0n };
    this.#newParent = newParent;
    this.#newName = Buffer.from(newName);
    this.#flags = flags;
  }

  override prepare(trees: Trees): number {
    const refused = this.prepareName(trees, true) || checkDirectory(trees, this.#newParent, this.#newName, true);
    if (refused !== 0) return refused;
    const { store, nodes } = trees;
    this.#whiteout = { ...this.#whiteout, id: nodes.newId(this.to) };
    if (isRepeated(this.to) && this.#wasDone(trees)) return 0;
    const moved = store.lookup(this.parent.handle, this.name);
    if (typeof moved === 'number') return -moved;
    if (store.stat.isFixed) return EPERM;
    this.#movedHandle = moved;
    this.#version = trees.boundary.version;
    this.#moved = nodes.find(moved);
    const there = store.lookup(this.#newParent.handle, this.#newName);
    const concerns = [this.parent, this.#newParent];
    if (this.#moved !== undefined) concerns.push(this.#moved);
    if (typeof there !== 'number') {
      if (store.stat.isFixed) return EPERM;
      // Two names of one object: POSIX wants nothing to happen.
      this.#isNothing = there === moved;
      if (this.#flags & RENAME_EXCHANGE) {
        this.#exchanged = nodes.find(there);
        if (this.#exchanged !== undefined) concerns.push(this.#exchanged);
      } else if (!this.#isNothing && (this.#flags & RENAME_NOREPLACE) === 0) {
        if (isDirectory(there) && trees.boundary.applies(there) && !isEmpty(store, there)) return ENOTEMPTY;
        this.#replaced = new Victim(trees, there);
        concerns.push(...this.#replaced.toIntroduce);
      }
    } else if (there !== -ENOENT) return -there;
    this.concerns = concerns;
    return ensureIds(trees, concerns);
  }

  /** Something has the old name afterwards too: only what was written down before tells whether it was carried out. */
  get #leavesOldName(): boolean {
    return (this.#flags & ~RENAME_NOREPLACE) !== 0;
  }

  /** The directories are locked until the request is answered: nobody else can have changed these names. */
  #wasDone({ store, nodes }: Trees): boolean {
    const atOldName = store.lookup(this.parent.handle, this.name);
    const atNewName = store.lookup(this.#newParent.handle, this.#newName);
    if (typeof atNewName === 'number') return false;
    if (this.#leavesOldName ? nodes.movedBefore(this.to) !== atNewName : atOldName !== -ENOENT) return false;
    this.isDone = true;
    this.#movedHandle = atNewName;
    this.#moved = nodes.find(atNewName);
    if (typeof atOldName !== 'number') this.#exchanged = nodes.find(atOldName);
    return true;
  }

  /** A whiteout that a killed process has left may lack its owner and its id: it is finished, and named again. */
  override get isLocal(): boolean {
    return this.isOutside || (this.isDone && !this.#isUnfinished);
  }

  get needsRepair(): string | undefined {
    return this.#isUnfinished ? 'a whiteout of the replicator that has ended is finished' : undefined;
  }

  get #isUnfinished(): boolean {
    return this.isDone && (this.#flags & RENAME_WHITEOUT) !== 0 && !this.isOutside;
  }

  body(): LiveBody {
    const flags = this.#flags & ~RENAME_WHITEOUT;
    const names = { parent: this.parent.id, name: this.name, newParent: this.#newParent.id, newName: this.#newName, flags };
    if (flags === this.#flags) return { kind: 'rename', ...names };
    const { uid, gid, id } = this.#whiteout;
    return { kind: 'whiteout', ...names, object: id, uid, gid };
  }

  protected get isOfDirectory(): boolean {
    return isDirectory(this.#movedHandle);
  }

  #crosses(trees: Trees): boolean {
    const from = { directory: this.parent.handle, name: this.name };
    return renameKind(trees, from, { directory: this.#newParent.handle, name: this.#newName }, this.#flags) !== 'same';
  }

  apply(trees: Trees): number {
    const { nodes } = trees;
    if (this.isDone) return this.#doneBefore(trees);
    // A directory above was moved while this waited.
    if (this.#version !== trees.boundary.version && this.#crosses(trees)) return -EXDEV;
    if (this.#leavesOldName) nodes.exchanges(this.to, this.#movedHandle);
    const outcome = this.#move(trees);
    if (outcome < 0 || this.#isNothing) return outcome;
    this.#replaced?.gone(trees, this.#newParent, this.#newName);
    // The new name first: a directory without any name would be dropped from the table.
    if (this.#moved !== undefined) nodes.addName(this.#moved, this.#newParent, this.#newName);
    if (this.#exchanged !== undefined) nodes.addName(this.#exchanged, this.parent, this.name);
    if (this.#moved !== undefined) nodes.removeName(this.#moved, this.parent, this.name);
    if (this.#exchanged !== undefined) nodes.removeName(this.#exchanged, this.#newParent, this.#newName);
    for (const node of [this.#moved, this.#exchanged]) if (node?.isExcluded === false) nodes.follower?.moved(node);
    return outcome;
  }

  #doneBefore(trees: Trees): number {
    const { nodes, boundary } = trees;
    if (this.#moved !== undefined) nodes.addName(this.#moved, this.#newParent, this.#newName);
    if (this.#exchanged !== undefined) nodes.addName(this.#exchanged, this.parent, this.name);
    nodes.removeNameAnywhere(this.#newParent, this.#newName, this.#moved);
    nodes.removeNameAnywhere(this.parent, this.name, this.#exchanged);
    if (this.isOfDirectory && boundary.applies(this.#movedHandle)) {
      boundary.moved(this.#movedHandle);
      nodes.judgeAll();
    }
    return (this.#flags & RENAME_WHITEOUT) === 0
      ? 0
      : this.#leave(trees.store.labelWhiteout(this.parent.handle, this.name, this.#whiteout));
  }

  #move({ store }: Trees): number {
    const { handle: from } = this.parent;
    const { handle: to } = this.#newParent;
    if ((this.#flags & RENAME_WHITEOUT) === 0) return store.rename(from, this.name, to, this.#newName, this.#flags);
    const left = store.whiteout(from, this.name, to, this.#newName, this.#flags & ~RENAME_WHITEOUT, this.#whiteout);
    return this.#leave(left);
  }

  #leave(left: Handle | number): number {
    if (typeof left === 'number') return left;
    this.#left = left;
    return 0;
  }

  override touch(recorder: TouchRecorder): void {
    super.touch(recorder);
    recorder.touchName(this.#newParent.handle, this.#newParent.id, this.#newName);
    if (this.#left !== undefined) recorder.touchAttributes(this.#left, this.parent.handle, this.name);
    // Other names of a file that moved: the resync finds it by its id under any of them.
    if (this.#moved === undefined || isDirectory(this.#movedHandle)) return;
    recorder.touchAttributes(this.#movedHandle, this.#newParent.handle, this.#newName);
  }

  override cancel(trees: Trees): void {
    this.#replaced?.stays(trees);
  }
}

/** @param loses a name of it goes @returns 0 or the errno for the application */
export function checkDirectory(trees: Trees, parent: Node, name: Buffer, loses: boolean): number {
  if (parent.orphan) return ENOENT;
  if (trees.store.isReserved(parent.handle, name)) return EPERM;
  const outcome = trees.store.checkMutable(parent.handle, loses);
  if (outcome < 0) return -outcome;
  if (parent.isExcluded) return 0;
  const id = trees.nodes.ensureId(parent);
  return id < 0n ? Number(-id) : 0;
}

export function ensureIds(trees: Trees, nodes: readonly Node[]): number {
  for (const node of nodes) {
    if (node.orphan || node.isExcluded) continue;
    const id = trees.nodes.ensureId(node);
    if (id < 0n) return Number(-id);
  }
  return 0;
}
