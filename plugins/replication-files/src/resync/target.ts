/**
 * The resync engine's end on the secondary: makes its tree what the source says, one request at a time. It decides nothing about content;
 * it knows which local object is which of the source's, by id.
 *
 * An object that PLACE makes gets its id only with its ATTRIBUTES, which the source sends last: an object without id is not complete, and
 * a resync that was interrupted starts it again, a regular file from what there is of it. The durable mark "inconsistent" is set before the
 * first change and cleared after the last is on the disk.
 */
import type { Boundary } from '../boundary/boundary.js';
import type { ImageRecorder } from '../image/recorder.js';
import type { InconsistentMarker } from '../journal/marker.js';
import type { Bindings } from '../secondary/bindings.js';
import type { SyncPool } from '../secondary/applier.js';
import { atimeOf, mtimeOf, timesBuffer } from '../secondary/times.js';
import { isDirectory, isRegular, rootOf, typeOf, type Handle } from '../store/handle.js';
import type { AttributeChange, Store } from '../store/store.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, S_IFLNK, S_IFMT } from '../system/constants.js';
import { EALREADY, EEXIST, EINVAL, ELOOP, ENODATA, ENOENT, ENOSPC, EOPNOTSUPP, ESTALE, isFull, isGone } from '../system/errno.js';
import { WireError } from '../wire/bytes.js';
import { SYMLINK_BYTES_MAX } from '../wire/limits.js';
import {
  STATUS,
  type Answer,
  type Entry,
  type Attributes,
  type NewObject,
  type ResyncRequest,
  type SmallObject,
  type Status,
  type TimeSpec,
} from '../wire/messages.js';
import { digestsOf } from './content.js';
import type { KeptTree } from './kept-tree.js';
import { placeOfDirectory } from './location.js';
import { willNeed } from './read-ahead.js';
import { must, Stash, TargetError } from './stash.js';
import type { Trash } from './trash.js';
import { makeXattrs } from './xattrs.js';

type Of<Kind extends ResyncRequest['kind']> = Extract<ResyncRequest, { kind: Kind }>;
export type TargetRequest = Exclude<ResyncRequest, Of<'resync-sync'> | Of<'resync-finish'>>;

export interface TargetOptions {
  readonly store: Store;
  readonly boundary: Boundary;
  readonly marker: InconsistentMarker;
  readonly pool: SyncPool;
  readonly bindings: Bindings;
  readonly trash: Trash;
  /** What is overwritten is kept first; undefined: nobody wants it. */
  readonly kept?: KeptTree | undefined;
  /** Preserves what is changed; undefined: nobody does. */
  readonly image: ImageRecorder | undefined;
}

const ZEROS = Buffer.alloc(1 << 20);

export class ResyncTarget {
  readonly #store: Store;
  readonly #boundary: Boundary;
  readonly #marker: InconsistentMarker;
  readonly #bindings: Bindings;
  readonly #image: ImageRecorder | undefined;
  #mode: 'journal' | 'compare' = 'journal';
  /** The source knows that a new file may have content here already. */
  #resumes = false;
  #stashes: Stash[] = [];
  /** Objects of this session that are not complete yet. */
  readonly #incomplete = new Map<Handle, bigint>();
  /** Names seen so far in directories that are listed completely. */
  readonly #listed = new Map<bigint, Set<string>>();
  readonly #linkTarget = Buffer.alloc(SYMLINK_BYTES_MAX + 1);
  readonly #trash: Trash;
  #kept: KeptTree | undefined;

  constructor({ store, boundary, marker, bindings, trash, kept, image }: TargetOptions) {
    this.#trash = trash;
    this.#kept = kept;
    this.#store = store;
    this.#boundary = boundary;
    this.#marker = marker;
    this.#bindings = bindings;
    this.#image = image;
    if (image !== undefined) image.isNew = (object) => this.#incomplete.has(object);
  }

  /** What these requests will change is written down at once, instead of one after the other. */
  foresee(requests: readonly { readonly kind: string }[]): void {
    if (this.#image === undefined) return;
    for (const request of requests as readonly TargetRequest[]) {
      if (request.kind === 'data' || request.kind === 'hole') {
        const file = this.#bindings.handle(request.object);
        if (file !== undefined) this.#image.beforeContent(file);
      } else if (request.kind === 'place') {
        const directory = this.#bindings.handle(request.directory);
        if (directory !== undefined) for (const { name } of request.entries) this.#image.beforeName(directory, name);
      }
    }
    this.#image.commit();
  }

  /** @throws TargetError when a local step fails */
  handle(request: TargetRequest): Answer {
    const { seq } = request;
    switch (request.kind) {
      case 'resync-begin':
        return { kind: 'ack', seq, errno: this.#begin(request.mode) };
      case 'bind':
        return { kind: 'ack', seq, errno: this.#bind(request) };
      case 'clear':
        return this.#clear(request);
      case 'place':
        return this.#place(request);
      case 'data':
        this.#data(request);
        return { kind: 'ack', seq, errno: 0 };
      case 'hole':
        this.#hole(this.#known(request.object), request.offset, request.length);
        return { kind: 'ack', seq, errno: 0 };
      case 'digest':
        return this.#digest(request);
      case 'small':
        // All of them at once, instead of one after the other.
        for (const small of request.objects) if ('digest' in small) willNeed(this.#store, this.#known(small.object), 0, small.size);
        return { kind: 'statuses', seq, errno: 0, statuses: Buffer.from(request.objects.map((object) => this.#small(object))) };
      case 'attributes':
        return { kind: 'ack', seq, errno: this.#attributes(request) ? 0 : ENODATA };
      case 'xattr': {
        const handle = this.#known(request.object);
        this.#kept?.beforeXattr(handle);
        if (this.#isAlive(handle))
          must(`setting the extended attribute ${request.name}`, this.#setXattr(handle, request.name, request.value));
        return { kind: 'ack', seq, errno: 0 };
      }
    }
  }

  /** What is in the stash is about to be removed: before the last round too, while the application does not wait. */
  keepRemoved(): void {
    this.#kept?.beforeRemoved(this.#stashes);
  }

  /** Everything is in its place: what is left in the stash is superfluous. Before the last syncfs. */
  putAside(): void {
    for (const stash of this.#stashes) stash.putAside();
  }

  /** The tree is whole and on the disk. */
  finish(): void {
    this.#kept?.finished();
    this.#kept = undefined;
    this.#marker.clear();
    this.#image?.end();
    for (const stash of this.#stashes) stash.putImageAside();
    this.#forget();
  }

  /** Removes a directory with all that is in it. @returns 0 or -errno */
  discard(parent: Handle, name: Buffer, directory: Handle): number {
    return this.#stashes[rootOf(directory)]?.discard(parent, name) ?? -EINVAL;
  }

  close(): void {
    this.#image?.pause();
    this.#forget();
  }

  /** @returns EINVAL when a journal cannot repair this tree; EALREADY: it has a part of what the journal names */
  #begin(mode: 'journal' | 'compare'): number {
    if (mode === 'journal' && this.#marker.needsCompare) return EINVAL;
    const wasInterrupted = mode === 'journal' && this.#marker.isSet;
    this.#image?.begin(!this.#marker.isSet);
    this.#marker.set('a resync has begun and has not finished', mode);
    this.#forget();
    this.#mode = mode;
    this.#resumes = wasInterrupted;
    this.#stashes = this.#store.roots.map((_root, index) => new Stash(this.#store, index, this.#trash));
    return wasInterrupted ? EALREADY : 0;
  }

  #forget(): void {
    this.#bindings.clear();
    this.#incomplete.clear();
    this.#listed.clear();
  }

  #bind({ object, parent, name }: Of<'bind'>): number {
    if (this.#find(object) !== undefined) return 0;
    const directory = this.#bindings.handle(parent);
    if (directory === undefined) return ENOENT;
    const handle = this.#store.lookup(directory, name);
    if (typeof handle === 'number') return -handle;
    const id = this.#store.readId(handle);
    if (id !== object && id !== 0n) return EEXIST;
    if (id === 0n) must('writing an id', this.#store.writeId(handle, object));
    this.#bindings.bind(object, handle);
    return 0;
  }

  /** An object that has a place, or is in the stash: bound from now on. */
  #find(object: bigint): Handle | undefined {
    const bound = this.#bindings.handle(object);
    if (bound !== undefined) return bound;
    for (const stash of this.#stashes) {
      const handle = stash.get(object);
      if (handle === undefined) continue;
      this.#bindings.bind(object, handle);
      return handle;
    }
    return undefined;
  }

  #known(object: bigint): Handle {
    const handle = this.#bindings.handle(object);
    if (handle === undefined) throw new WireError(`object ${object.toString(16)} is not known in this resync`);
    // It may have been in the stash and given up since: what the source still has is placed again in the next round.
    return handle;
  }

  #clear({ seq, directory: id, complete, first, last, entries }: Of<'clear'>): Answer {
    const directory = this.#find(id);
    if (directory === undefined || !isDirectory(directory)) return { kind: 'statuses', seq, errno: ENOENT, statuses: Buffer.alloc(0) };
    const statuses = Buffer.from(entries.map((entry) => this.#clearEntry(directory, entry)));
    if (complete) {
      const seen = first ? new Set<string>() : (this.#listed.get(id) ?? new Set<string>());
      for (const { name } of entries) seen.add(name.toString('latin1'));
      if (last) {
        this.#listed.delete(id);
        this.#stashOthers(directory, seen);
      } else {
        this.#listed.set(id, seen);
      }
    }
    return { kind: 'statuses', seq, errno: 0, statuses };
  }

  #clearEntry(directory: Handle, { name, what }: Entry): Status {
    const local = this.#store.lookup(directory, name);
    if (typeof local === 'number') {
      if (local !== -ENOENT) throw new TargetError(`looking up "${name.toString()}"`, local);
      return what === undefined ? STATUS.same : STATUS.missing;
    }
    if (what !== undefined && this.#isSame(local, what)) {
      this.#kept?.met(local, directory, name);
      return STATUS.same;
    }
    // It is made again, from what there is of it.
    if (what !== undefined && this.#isPartOf(local, what)) return STATUS.missing;
    // This node's own stays, unless something that is replicated needs its name.
    if (what === undefined && this.#boundary.excludes(directory, name, isDirectory(local))) return STATUS.same;
    this.#stashAway(directory, name, local);
    return what === undefined ? STATUS.same : STATUS.missing;
  }

  #stashOthers(directory: Handle, seen: ReadonlySet<string>): void {
    const others: Buffer[] = [];
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch = this.#store.readDirectory(directory, next);
      if (typeof batch === 'number') throw new TargetError('listing a directory', batch);
      for (const { name } of batch.entries) if (!seen.has(name.toString('latin1'))) others.push(name);
      next = batch.next;
    }
    const replicated = others.flatMap((name) => {
      const local = this.#store.lookup(directory, name);
      return typeof local === 'number' || this.#boundary.excludes(directory, name, isDirectory(local)) ? [] : [{ name, local }];
    });
    for (const { name } of replicated) this.#image?.beforeName(directory, name);
    this.#image?.commit();
    for (const { name, local } of replicated) this.#stashAway(directory, name, local);
  }

  #stashAway(parent: Handle, name: Buffer, handle: Handle): void {
    this.#kept?.beforeMoved(handle, parent, name);
    (this.#stashes[rootOf(handle)] as Stash).put(parent, name, handle, this.#idOf(handle), this.#kept === undefined);
    this.#boundary.moved(handle);
  }

  #idOf(handle: Handle): bigint {
    const id = this.#incomplete.get(handle) ?? this.#store.readId(handle);
    return id > 0n ? id : 0n;
  }

  /** Is the local object the one that the source has there? Binds it then. In compare mode an object that nobody claims becomes it. */
  #isSame(local: Handle, what: NewObject): boolean {
    if (typeOf(local) !== (what.mode & S_IFMT)) return false;
    const bound = this.#bindings.handle(what.object);
    if (bound !== undefined && bound !== local && this.#isAlive(bound)) return false;
    const id = this.#idOf(local);
    if (id !== what.object) {
      if (this.#mode === 'journal' || (id !== 0n && this.#find(id) === local) || !this.#hasSameNature(local, what)) return false;
      must('writing an id', this.#store.writeId(local, what.object));
    }
    this.#bindings.bind(what.object, local);
    return true;
  }

  /**
   * Is it what an interrupted resync had made of a new file? Without id it is not complete; whatever else it may be, the source compares
   * its content, and gives it all its attributes. One that is kept for somebody, or has a further name, is not touched.
   */
  #isPartOf(local: Handle, what: NewObject): boolean {
    if (!this.#resumes || this.#kept !== undefined || !isRegular(local) || typeOf(local) !== (what.mode & S_IFMT)) return false;
    if (this.#incomplete.has(local) || this.#store.readId(local) !== 0n || this.#store.isMarkedExcluded(local)) return false;
    return this.#find(what.object) === undefined && this.#store.attributes(local) >= 0 && this.#store.stat.nlink === 1;
  }

  /** What cannot be changed after creation: the target of a symbolic link, the number of a device. */
  #hasSameNature(local: Handle, { rdev, target }: NewObject): boolean {
    if (typeOf(local) === S_IFLNK) {
      const length = this.#store.readlink(local, this.#linkTarget);
      return length >= 0 && this.#linkTarget.subarray(0, length).equals(target);
    }
    return isDirectory(local) || isRegular(local) || (this.#store.attributes(local) >= 0 && this.#store.stat.rdev === rdev);
  }

  /** @throws TargetError when the disk does not say */
  #isAlive(handle: Handle): boolean {
    const outcome = this.#store.attributes(handle);
    if (outcome < 0 && !isGone(outcome)) throw new TargetError('reading an object', outcome);
    return outcome >= 0 && this.#store.stat.nlink > 0;
  }

  #place({ seq, directory: id, entries }: Of<'place'>): Answer {
    const directory = this.#find(id);
    if (directory === undefined || !isDirectory(directory)) return { kind: 'statuses', seq, errno: ENOENT, statuses: Buffer.alloc(0) };
    return { kind: 'statuses', seq, errno: 0, statuses: Buffer.from(entries.map((entry) => this.#placeEntry(directory, entry))) };
  }

  #placeEntry(directory: Handle, { name, what }: Entry): Status {
    const status = this.#clearEntry(directory, { name, ...(what && { what }) });
    if (status === STATUS.same || what === undefined) return STATUS.same;
    const known = this.#find(what.object);
    if (known !== undefined && typeOf(known) === (what.mode & S_IFMT) && this.#isAlive(known)) {
      return this.#putInPlace(directory, name, known, what.object) ? STATUS.moved : STATUS.later;
    }
    const partial = this.#store.lookup(directory, name);
    if (typeof partial !== 'number' && this.#isPartOf(partial, what)) {
      this.#bindings.bind(what.object, partial);
      this.#incomplete.set(partial, what.object);
      return STATUS.created;
    }
    const { mode, uid, gid, rdev, target } = what;
    const object = { mode, uid, gid, rdev, target: target.length > 0 ? target : undefined, id: 0n };
    let made: Handle | number = -ENOSPC;
    this.#withSpace(() => {
      made = this.#store.create(directory, name, object);
      return typeof made === 'number' ? made : 0;
    });
    if (typeof made === 'number') throw new TargetError(`creating "${name.toString()}"`, made);
    this.#bindings.bind(what.object, made);
    this.#incomplete.set(made, what.object);
    this.#kept?.made(made);
    return STATUS.created;
  }

  /** @returns false when a directory would have to go below itself: its way up is not in place yet */
  #putInPlace(parent: Handle, name: Buffer, handle: Handle, object: bigint): boolean {
    const stash = this.#stashes[rootOf(handle)] as Stash;
    if (!isDirectory(handle)) {
      must(`linking "${name.toString()}"`, this.#store.link(handle, parent, name));
      stash.drop(object);
      return true;
    }
    this.#boundary.moved(handle);
    if (stash.get(object) === handle) return stash.takeDirectory(object, parent, name);
    const place = placeOfDirectory(this.#store, handle);
    if (place === undefined) return false;
    const outcome = this.#store.rename(place.parent, place.name, parent, name, 0);
    if (outcome === -EINVAL || outcome === -ELOOP) return false;
    must(`moving "${name.toString()}"`, outcome);
    return true;
  }

  #data({ object, offset, data }: Of<'data'>): void {
    const file = this.#known(object);
    this.#kept?.beforeContent(file);
    if (this.#isAlive(file))
      must(
        'writing',
        this.#withSpace(() => this.#store.write(file, offset, data)),
      );
  }

  /** Tries again on a full disk as long as something superfluous can be given up. */
  #withSpace(step: () => number): number {
    for (;;) {
      const outcome = step();
      if (isFull(outcome) && this.#image?.abandon('the disk is full') === true) continue;
      if (!isFull(outcome) || this.#kept !== undefined || !this.#stashes.some((stash) => stash.giveUpSome())) return outcome;
    }
  }

  #hole(file: Handle, offset: number, length: number): void {
    this.#kept?.beforeContent(file);
    if (!this.#isAlive(file)) return;
    const end = Math.min(offset + length, this.#store.stat.size);
    if (end <= offset) return;
    const outcome = this.#store.fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, end - offset);
    if (outcome !== -EOPNOTSUPP) {
      must('punching a hole', outcome);
      return;
    }
    for (let at = offset; at < end; at += ZEROS.length) {
      must('writing zeros', this.#store.write(file, at, ZEROS.subarray(0, Math.min(ZEROS.length, end - at))));
    }
  }

  #digest({ seq, object, offset, length }: Of<'digest'>): Answer {
    const file = this.#known(object);
    if (!this.#isAlive(file)) return { kind: 'digests', seq, errno: 0, size: 0, digests: Buffer.alloc(0) };
    const { size } = this.#store.stat;
    if (size > offset + length) willNeed(this.#store, file, offset + length, length);
    const digests = digestsOf(this.#store, file, offset, length);
    if (digests === -ESTALE) return { kind: 'digests', seq, errno: 0, size: 0, digests: Buffer.alloc(0) };
    if (typeof digests === 'number') throw new TargetError('reading', digests);
    return { kind: 'digests', seq, errno: 0, size, digests };
  }

  #small(small: SmallObject): Status {
    const handle = this.#known(small.object);
    if (!this.#isAlive(handle)) return STATUS.same;
    if ('digest' in small) {
      const digests = digestsOf(this.#store, handle, 0, small.size);
      if (digests === -ESTALE) return STATUS.same;
      if (typeof digests === 'number') throw new TargetError('reading', digests);
      if (!digests.equals(small.digest)) return STATUS.different;
    } else if (small.data.length > 0) {
      const { data } = small;
      this.#kept?.beforeContent(handle);
      must(
        'writing',
        this.#withSpace(() => this.#store.write(handle, 0, data)),
      );
    }
    const isNew = this.#incomplete.has(handle);
    if (!this.#attributes(small)) return STATUS.different;
    // Nobody asks for it soon, and there are many of them.
    if (isNew) this.#store.release(handle);
    return STATUS.same;
  }

  /** @returns false: an extended attribute that was given by digest is another here */
  #attributes(wanted: Attributes): boolean {
    const { object, mode, uid, gid, size, atime, mtime, xattrs } = wanted;
    const handle = this.#known(object);
    if (!this.#isAlive(handle)) return true;
    this.#kept?.beforeAttributes(handle, wanted);
    const { stat } = this.#store;
    const isOwnerOther = stat.uid !== uid || stat.gid !== gid;
    const isSizeOther = isRegular(handle) && stat.size !== size;
    // In this order: another owner or size clears file capabilities, another owner or ACL changes the mode.
    must('setting owner and size', this.#store.setAttributes(handle, { ...(isOwnerOther && { uid, gid }), ...(isSizeOther && { size }) }));
    if (!makeXattrs(this.#store, handle, xattrs, (name, value) => this.#setXattr(handle, name, value))) return false;
    if (!this.#isAlive(handle)) return true;
    const isTimeOther = !isTime(atimeOf(stat), atime) || !isTime(mtimeOf(stat), mtime);
    const change: AttributeChange = {
      ...(stat.mode !== mode && typeOf(handle) !== S_IFLNK && { mode }),
      ...(isTimeOther && { times: timesBuffer(atime, mtime) }),
    };
    must('setting attributes', this.#store.setAttributes(handle, change));
    if (!this.#incomplete.has(handle)) return true;
    must('writing an id', this.#store.writeId(handle, object));
    this.#incomplete.delete(handle);
    return true;
  }

  #setXattr(handle: Handle, name: string, value: Buffer): number {
    return this.#withSpace(() => this.#store.xattrs.set(handle, name, value, 0));
  }
}

function isTime(a: TimeSpec, b: TimeSpec): boolean {
  return a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;
}
