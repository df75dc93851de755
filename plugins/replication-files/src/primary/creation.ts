/** Modifications that make an object: under a name, or without one (O_TMPFILE). */
import { isRepeated } from '../continuity/continuity.js';
import type { ReplyTo } from '../fuse/device.js';
import type { TouchRecorder } from '../journal/dirty-set.js';
import { isDirectory, isRegular, typeOf, type Handle } from '../store/handle.js';
import { EXCLUDED_ID } from '../store/object-id.js';
import type { NewObject, Store } from '../store/store.js';
import { S_IFDIR, S_IFMT, S_ISGID, S_ISUID } from '../system/constants.js';
import { ESTALE } from '../system/errno.js';
import type { LiveBody, Trees } from './modification.js';
import { NameModification } from './namespace.js';
import type { Node } from './node.js';

const NOTHING = Buffer.alloc(0);

export class CreateModification extends NameModification {
  protected object: NewObject;
  readonly #opens: boolean;
  protected node: Node | undefined;

  /** @param opens the request was CREATE: the answer carries an open file too */
  constructor(to: ReplyTo, parent: Node, name: Buffer, object: Omit<NewObject, 'id'>, opens: boolean) {
    super(to, parent, name);
    this.object = { ...object, id: 0n };
    this.#opens = opens;
  }

  protected get isOfDirectory(): boolean {
    return (this.object.mode & S_IFMT) === S_IFDIR;
  }

  override prepare(trees: Trees): number {
    this.concerns = [this.parent];
    this.object = { ...this.object, id: trees.nodes.newId(this.to) };
    return super.prepare(trees);
  }

  body(): LiveBody {
    const { mode, uid, gid, rdev, target, id } = this.object;
    return { kind: 'create', parent: this.parent.id, name: this.name, object: id, mode, uid, gid, rdev, target: target ?? NOTHING };
  }

  /** Session in which the peer created it too; 0: it did not. */
  createdInSession = 0;

  apply(trees: Trees): number {
    const { store, nodes } = trees;
    const isExcluded = this.isLocal;
    const object = isExcluded ? { ...this.object, id: EXCLUDED_ID } : this.object;
    const handle = (isRepeated(this.to) ? this.#made(trees, isExcluded) : undefined) ?? store.create(this.parent.handle, this.name, object);
    if (typeof handle === 'number') return handle;
    const node = nodes.meet(this.parent, this.name, handle);
    this.node = isExcluded ? node : this.known(node);
    if (!isExcluded) nodes.follower?.created(node);
    return 0;
  }

  /**
   * What the first attempt has made. A half-made object is removed: it has no id yet, or one that a resync gave it since. The kernel cannot
   * know it, because it holds the name until it is answered; what it knows was there before, and is in the way.
   */
  #made({ store, nodes }: Trees, isExcluded: boolean): Handle | undefined {
    const handle = store.lookup(this.parent.handle, this.name);
    if (typeof handle === 'number') return undefined;
    const id = store.readId(handle);
    const isMarked = store.isMarkedExcluded(handle);
    if (isExcluded ? isMarked : id === this.object.id) return this.#finished(store, handle) < 0 ? undefined : handle;
    const isHalfMade = id === 0n || (id > 0n && typeOf(handle) === (this.object.mode & S_IFMT) && nodes.find(handle) === undefined);
    if (!isHalfMade || isMarked) return undefined;
    if (isDirectory(handle)) store.rmdir(this.parent.handle, this.name);
    else if (store.attributes(handle) >= 0 && (!isRegular(handle) || store.stat.size === 0)) store.unlink(this.parent.handle, this.name);
    return undefined;
  }

  /** The owner comes after the id. @returns 0 or -errno */
  #finished(store: Store, handle: Handle): number {
    const outcome = store.attributes(handle);
    const { uid, mode } = this.object;
    const privileges = isRegular(handle) ? mode & (S_ISUID | S_ISGID) : 0;
    const isFinished = store.stat.uid === uid && (store.stat.mode & privileges) === privileges;
    if (outcome < 0 || isFinished) return outcome;
    return store.setAttributes(handle, { uid, ...(privileges === 0 ? {} : { mode: store.stat.mode | privileges }) });
  }

  override touch(recorder: TouchRecorder): void {
    super.touch(recorder);
    // Its times are those of this node until a checkpoint: a resync before that must look at it, also when the peer has the object.
    if (this.node !== undefined) recorder.touchAttributes(this.node.handle, this.parent.handle, this.name);
  }

  protected known(node: Node): Node {
    node.id = this.object.id;
    node.introducedIn = this.createdInSession;
    return node;
  }

  override reply({ store }: Trees): void {
    const node = this.node as Node;
    // `store.stat` was filled by the creation, but the journal may have used it since.
    if (store.attributes(node.handle) < 0) {
      this.to.device.replyError(this.to, ESTALE);
      return;
    }
    if (this.#opens) this.to.device.replyCreated(this.to, node.nodeId, node.generation, store.stat);
    else this.to.device.replyEntry(this.to, node.nodeId, node.generation, store.stat);
  }
}

/** O_TMPFILE: the peer makes an object without a name too, so that what is written to it is there when it gets one. */
export class CreateUnnamedModification extends CreateModification {
  constructor(to: ReplyTo, parent: Node, object: Omit<NewObject, 'id'>) {
    super(to, parent, NOTHING, object, true);
  }

  override body(): LiveBody {
    const { mode, uid, gid, rdev, id } = this.object;
    return { kind: 'create-unnamed', parent: this.parent.id, object: id, mode, uid, gid, rdev, target: NOTHING };
  }

  /** It has no name that could be excluded. */
  override get isLocal(): boolean {
    return this.parent.isExcluded;
  }

  override apply({ store, nodes }: Trees): number {
    const isExcluded = this.isLocal;
    const handle = store.createUnnamed(this.parent.handle, isExcluded ? { ...this.object, id: EXCLUDED_ID } : this.object);
    if (typeof handle === 'number') return handle;
    const node = nodes.meetUnnamed(handle);
    this.node = isExcluded ? node : this.known(node);
    return 0;
  }

  override touch(): void {
    // Nothing of it outlives a crash of either node.
  }
}
