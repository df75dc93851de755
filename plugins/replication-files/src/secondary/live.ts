/**
 * One modification of the primary, applied to the secondary's tree. Every outcome is an errno, 0 for success; what was touched goes into
 * the recent set, also when it failed half-way. An object that the secondary should know and does not, or that is another object than the
 * primary means, is a divergence: thrown, because nothing that follows could be trusted.
 */
import { HoldfastError } from '@holdfast/sdk';
import type { Boundary } from '../boundary/boundary.js';
import type { RecentSet } from '../journal/dirty-set.js';
import { isDirectory, rootOf, type Handle } from '../store/handle.js';
import type { AttributeChange, Store } from '../store/store.js';
import { RENAME_EXCHANGE, S_IFDIR, S_IFMT } from '../system/constants.js';
import { EEXIST, EINVAL, EIO, ENOENT, ENOTEMPTY } from '../system/errno.js';
import { VALID, type LiveRequest } from '../wire/messages.js';
import type { Bindings } from './bindings.js';
import { Incoming } from './incoming.js';
import { timesBuffer } from './times.js';

type Of<Kind extends LiveRequest['kind']> = Extract<LiveRequest, { kind: Kind }>;
/** What is applied at once; FSYNC and CHECKPOINT wait for a disk. */
export type Modification = Exclude<LiveRequest, Of<'fsync'> | Of<'checkpoint'>>;

/** The trees are not what the primary thinks they are. */
export class DivergedError extends HoldfastError {
  constructor(message: string, details: Readonly<Record<string, unknown>> = {}) {
    super('HF_REPLICATION_DIVERGED', `${message}; was the directory changed while the module was stopped?`, details);
    this.name = 'DivergedError';
  }
}

export class LiveOperations {
  readonly #incoming: Incoming;
  /** Objects without a name, pinned: nothing else keeps them alive. */
  readonly #withoutName = new Map<bigint, Handle>();

  constructor(
    private readonly store: Store,
    private readonly bindings: Bindings,
    private readonly recent: RecentSet,
    private readonly boundary: Boundary,
    /** Removes a directory with all that is in it. @returns 0 or -errno */
    private readonly discard: (parent: Handle, name: Buffer, directory: Handle) => number,
  ) {
    this.#incoming = new Incoming(store);
  }

  /** The session has ended: nothing that was staged, or has no name, will get one. */
  end(): void {
    this.#incoming.clear();
    for (const object of [...this.#withoutName.keys()]) this.#forget(object);
  }

  /** @returns 0 or a positive errno @throws DivergedError */
  apply(request: Modification): number {
    switch (request.kind) {
      case 'introduce':
        return this.#introduce(request);
      case 'create':
        return this.#create(request);
      case 'stage':
        return this.#stage(request);
      case 'adopt':
        return this.#adopt(request);
      case 'link':
        return this.#link(request);
      case 'unlink':
      case 'rmdir':
        return this.#remove(request);
      case 'rename':
        return this.#rename(request);
      case 'create-unnamed':
        return this.#createUnnamed(request);
      case 'forget':
        this.#forget(request.object);
        return 0;
      case 'whiteout':
        return this.#whiteout(request);
      case 'setxattr':
      case 'removexattr':
        return this.#changeXattr(request);
      case 'setattr':
        return this.#setAttributes(request);
      case 'write':
        return this.#write(request);
      case 'fallocate':
        return this.#fallocate(request);
      case 'times':
        return this.#times(request);
    }
  }

  /** The handle, or undefined when the object was removed before. @throws DivergedError when it was never known */
  existing(object: bigint): Handle | undefined {
    const handle = this.bindings.handle(object);
    if (handle === undefined && !this.bindings.knows(object)) throw new DivergedError(`object ${object.toString(16)} was never introduced`);
    return handle;
  }

  #directory(object: bigint): Handle {
    const handle = this.existing(object);
    if (handle === undefined) throw new DivergedError(`directory ${object.toString(16)} was removed before`);
    return handle;
  }

  #introduce({ object, parent, name }: Of<'introduce'>): number {
    const directory = this.#directory(parent);
    const handle = this.store.lookup(directory, name);
    const where = `"${name.toString()}" in directory ${parent.toString(16)}`;
    if (typeof handle === 'number') throw new DivergedError(`object ${object.toString(16)} is not there: no ${where}`);
    const id = this.store.readId(handle);
    if (id === 0n) {
      const outcome = this.store.writeId(handle, object);
      if (outcome < 0) return -outcome;
    } else if (id !== object) {
      throw new DivergedError(`${where} is object ${id.toString(16)}, the primary has ${object.toString(16)} there`);
    }
    this.bindings.bind(object, handle, directory, name);
    return 0;
  }

  #create(request: Of<'create'>): number {
    const { parent, name, object, mode, uid, gid, rdev, target } = request;
    const directory = this.#directory(parent);
    this.recent.touchName(directory, parent, name);
    const handle = this.store.create(directory, name, { mode, uid, gid, rdev, target: target.length > 0 ? target : undefined, id: object });
    if (typeof handle === 'number') return -handle;
    // Its times are those of this node until a checkpoint: a resync before that must look at it.
    this.recent.touchAttributes(handle, directory, name);
    this.bindings.bind(object, handle, directory, name);
    return 0;
  }

  #stage({ root, mode, uid, gid, rdev, target, object }: Of<'stage'>): number {
    if (root >= this.store.roots.length || (mode & S_IFMT) === S_IFDIR) return EINVAL;
    const handle = this.#incoming.create(root, { mode, uid, gid, rdev, target: target.length > 0 ? target : undefined, id: object });
    if (typeof handle === 'number') return -handle;
    this.bindings.bind(object, handle);
    return 0;
  }

  #adopt({ object, parent, name, flags }: Of<'adopt'>): number {
    const directory = this.#directory(parent);
    const handle = this.existing(object);
    if (handle === undefined) return ENOENT;
    const replaced = this.store.lookup(directory, name);
    const replacedIsLast = typeof replaced !== 'number' && this.#isLastName(replaced);
    this.recent.touchName(directory, parent, name);
    const outcome = this.#incoming.adopt(rootOf(handle), object, directory, name, flags);
    if (outcome < 0) return -outcome;
    this.recent.touchAttributes(handle, directory, name);
    this.bindings.moved(handle, directory, name);
    if (typeof replaced !== 'number') this.#unnamed(replaced, replacedIsLast);
    return 0;
  }

  #link({ object, parent, name }: Of<'link'>): number {
    const directory = this.#directory(parent);
    const handle = this.existing(object);
    if (handle === undefined) return ENOENT;
    const known = this.bindings.place(object);
    if (known.parent !== undefined && known.name !== undefined) {
      const knownParent = this.bindings.idOf(known.parent) ?? this.store.readId(known.parent);
      if (knownParent > 0n) this.recent.touchName(known.parent, knownParent, known.name);
    }
    this.recent.touchName(directory, parent, name);
    const outcome = this.store.link(handle, directory, name);
    if (outcome >= 0 && this.#withoutName.delete(object)) {
      this.store.unpin(handle);
      this.bindings.moved(handle, directory, name);
      this.recent.touchAttributes(handle, directory, name);
    }
    return errnoOf(outcome);
  }

  #createUnnamed({ parent, object, mode, uid, gid, rdev }: Of<'create-unnamed'>): number {
    const handle = this.store.createUnnamed(this.#directory(parent), { mode, uid, gid, rdev, target: undefined, id: object });
    if (typeof handle === 'number') return -handle;
    this.bindings.bind(object, handle);
    this.#withoutName.set(object, handle);
    return 0;
  }

  #forget(object: bigint): void {
    const handle = this.#withoutName.get(object);
    if (handle === undefined) return;
    this.#withoutName.delete(object);
    this.bindings.removed(handle);
    this.store.unpin(handle);
    this.store.release(handle);
  }

  #remove({ kind, parent, name }: Of<'unlink'> | Of<'rmdir'>): number {
    const directory = this.#directory(parent);
    const handle = this.store.lookup(directory, name);
    if (typeof handle === 'number') return -handle;
    const isLast = this.#isLastName(handle);
    this.recent.touchName(directory, parent, name);
    let outcome = kind === 'unlink' ? this.store.unlink(directory, name) : this.store.rmdir(directory, name);
    if (isInTheWay(outcome) && this.#discardExcluded(directory, name, handle)) outcome = 0;
    if (outcome >= 0) this.#unnamed(handle, isLast);
    return errnoOf(outcome);
  }

  /** Of the object that `lookup` just met. */
  #isLastName(handle: Handle): boolean {
    const isLast = isDirectory(handle) || this.store.stat.nlink === 1;
    if (isLast) this.store.lastCloses.expect(handle, this.store.stat);
    return isLast;
  }

  #unnamed(handle: Handle, wasLast: boolean): void {
    if (!wasLast) return;
    this.bindings.removed(handle);
    // A descriptor that is left open would keep the blocks of a removed file.
    this.store.release(handle);
  }

  #rename(request: Of<'rename'>): number {
    return this.#move(request, (directory, newDirectory) =>
      this.store.rename(directory, request.name, newDirectory, request.newName, request.flags),
    );
  }

  #whiteout(request: Of<'whiteout'>): number {
    const { name, newName, flags, uid, gid, object } = request;
    return this.#move(request, (directory, newDirectory) => {
      const left = this.store.whiteout(directory, name, newDirectory, newName, flags, { uid, gid, id: object });
      if (typeof left === 'number') return left;
      this.recent.touchAttributes(left, directory, name);
      this.bindings.bind(object, left, directory, name);
      return 0;
    });
  }

  #move(
    { parent, name, newParent, newName, flags }: Of<'rename'> | Of<'whiteout'>,
    step: (directory: Handle, newDirectory: Handle) => number,
  ): number {
    const directory = this.#directory(parent);
    const newDirectory = this.#directory(newParent);
    const moved = this.store.lookup(directory, name);
    const replaced = this.store.lookup(newDirectory, newName);
    const replacedIsLast = typeof replaced !== 'number' && this.#isLastName(replaced);
    this.recent.touchName(directory, parent, name);
    this.recent.touchName(newDirectory, newParent, newName);
    let outcome = step(directory, newDirectory);
    if (flags === 0 && isInTheWay(outcome) && typeof replaced !== 'number' && this.#discardExcluded(newDirectory, newName, replaced)) {
      outcome = step(directory, newDirectory);
    }
    // Two names of one object: rename(2) succeeds and does nothing.
    if (outcome < 0 || typeof moved === 'number' || moved === replaced) return errnoOf(outcome);
    this.bindings.moved(moved, newDirectory, newName);
    this.boundary.moved(moved);
    if (typeof replaced === 'number') return 0;
    if (flags === RENAME_EXCHANGE) this.bindings.moved(replaced, directory, name);
    else this.#unnamed(replaced, replacedIsLast);
    return 0;
  }

  /**
   * The primary removes a directory that was empty there; what is still in it here is excluded, this node's own, and goes with it: the
   * removal must not fail for what the application cannot see.
   */
  #discardExcluded(parent: Handle, name: Buffer, directory: Handle): boolean {
    if (!isDirectory(directory) || !this.boundary.applies(directory)) return false;
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch: ReturnType<Store['readDirectory']> = this.store.readDirectory(directory, next);
      if (typeof batch === 'number') return false;
      for (const entry of batch.entries) {
        const handle = this.store.lookup(directory, entry.name);
        if (typeof handle !== 'number' && !this.boundary.excludes(directory, entry.name, isDirectory(handle))) return false;
      }
      next = batch.next;
    }
    return this.discard(parent, name, directory) >= 0;
  }

  #setAttributes({ object, valid, mode, uid, gid, size, atime, mtime }: Of<'setattr'>): number {
    const handle = this.existing(object);
    if (handle === undefined) return 0;
    const { parent, name } = this.bindings.place(object);
    if ((valid & VALID.size) !== 0) {
      const outcome = this.store.attributes(handle);
      if (outcome < 0) return -outcome;
      // What is cut off may come back as zeros by a later extension.
      const before = this.store.stat.size;
      if (size < before) this.recent.touchData(handle, size, before - size, parent, name);
    }
    this.recent.touchAttributes(handle, parent, name);
    const change: AttributeChange = {
      ...((valid & VALID.mode) !== 0 && { mode }),
      ...((valid & VALID.uid) !== 0 && { uid }),
      ...((valid & VALID.gid) !== 0 && { gid }),
      ...((valid & VALID.size) !== 0 && { size }),
      ...((valid & (VALID.atime | VALID.mtime)) !== 0 && {
        times: timesBuffer((valid & VALID.atime) !== 0 ? atime : undefined, (valid & VALID.mtime) !== 0 ? mtime : undefined),
      }),
    };
    return errnoOf(this.store.setAttributes(handle, change));
  }

  #changeXattr(request: Of<'setxattr'> | Of<'removexattr'>): number {
    const handle = this.existing(request.object);
    if (handle === undefined) return 0;
    const { parent, name } = this.bindings.place(request.object);
    this.recent.touchAttributes(handle, parent, name);
    if (request.kind === 'removexattr') return errnoOf(this.store.xattrs.remove(handle, request.name));
    return errnoOf(this.store.setXattr(handle, request.name, request.value, request.flags, request.clearsSetgid));
  }

  #write({ object, offset, data }: Of<'write'>): number {
    const handle = this.existing(object);
    if (handle === undefined) return 0;
    const { parent, name } = this.bindings.place(object);
    this.recent.touchData(handle, offset, data.length, parent, name);
    const outcome = this.store.write(handle, offset, data);
    if (outcome < 0) return -outcome;
    return outcome === data.length ? 0 : EIO;
  }

  #fallocate({ object, mode, offset, length }: Of<'fallocate'>): number {
    const handle = this.existing(object);
    if (handle === undefined) return 0;
    const { parent, name } = this.bindings.place(object);
    this.recent.touchData(handle, offset, length, parent, name);
    return errnoOf(this.store.fallocate(handle, mode, offset, length));
  }

  #times({ stamps }: Of<'times'>): number {
    let errno = 0;
    for (const { object, atime, mtime } of stamps) {
      const handle = this.bindings.handle(object);
      if (handle === undefined) continue;
      const outcome = this.store.setAttributes(handle, { times: timesBuffer(atime, mtime) });
      if (outcome < 0) errno = -outcome;
    }
    return errno;
  }
}

function isInTheWay(outcome: number): boolean {
  return outcome === -ENOTEMPTY || outcome === -EEXIST;
}

/** Failures are outcomes like any other: the primary compares them with its own. */
function errnoOf(outcome: number): number {
  return outcome < 0 ? -outcome : 0;
}
