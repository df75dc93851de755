/** Modifications of one object: content, size, attributes. */
import type { ReplyTo } from '../fuse/device.js';
import * as fuse from '../fuse/protocol.js';
import type { TouchRecorder } from '../journal/dirty-set.js';
import { mtimeOf } from '../secondary/times.js';
import type { AttributeChange, Store } from '../store/store.js';
import { SEEK_SET, UTIME_OMIT } from '../system/constants.js';
import { EFBIG } from '../system/errno.js';
import type { TimeSpec } from '../wire/messages.js';
import { touchObject, type LiveBody, type Modification, type Trees } from './modification.js';
import type { Node } from './node.js';

/** Every file system takes a file of this size. */
const LARGE_BYTES = 2 ** 31;

export abstract class ObjectModification implements Modification {
  readonly to: ReplyTo;
  protected readonly node: Node;

  constructor(to: ReplyTo, node: Node) {
    this.to = to;
    this.node = node;
  }

  prepare(trees: Trees): number {
    if (this.node.isLocal) return 0;
    // The peer, where it is not so, would be modified first.
    const outcome = trees.store.checkMutable(this.node.handle, true);
    if (outcome < 0) return -outcome;
    const id = trees.nodes.ensureId(this.node);
    return id < 0n ? Number(-id) : 0;
  }

  get isLocal(): boolean {
    return this.node.isLocal;
  }

  get concerns(): readonly Node[] {
    return [this.node];
  }

  cancel(): void {
    // Nothing was assumed.
  }

  fail(errno: number): void {
    this.to.device.replyError(this.to, errno);
  }

  /**
   * A kernel that writes back knows when the application has written, and tells it where that differs from what it was told last: the
   * time at which content comes from the kernel is not to be seen, not even when it is the only later one.
   */
  protected keepingTimes(store: Store, change: () => number): number {
    const isKept = this.to.device.writesBack && store.attributes(this.node.handle) >= 0;
    const times = isKept ? timesBuffer(undefined, mtimeOf(store.stat)) : undefined;
    const outcome = change();
    if (times !== undefined && outcome >= 0) store.setAttributes(this.node.handle, { times });
    return outcome;
  }

  abstract body(): LiveBody;
  abstract apply(trees: Trees): number;
  abstract touch(recorder: TouchRecorder): void;
  abstract reply(trees: Trees): void;
}

export class WriteModification extends ObjectModification {
  readonly isPartialWhenFailed = true;
  readonly #offset: number;
  readonly #data: Buffer;
  readonly #release: (() => void) | undefined;

  /** @param release gives the buffer of `data` back; called once, after reply or cancel */
  constructor(to: ReplyTo, node: Node, offset: number, data: Buffer, release: (() => void) | undefined) {
    super(to, node);
    this.#offset = offset;
    this.#data = data;
    this.#release = release;
  }

  /** What the file system could never take is refused before the peer, which acknowledges first, fails with it. */
  override prepare(trees: Trees): number {
    const end = this.#offset + this.#data.length;
    if (end > LARGE_BYTES && trees.store.seek(this.node.handle, end, SEEK_SET) < 0) return EFBIG;
    return super.prepare(trees);
  }

  body(): LiveBody {
    return { kind: 'write', object: this.node.id, offset: this.#offset, data: this.#data };
  }

  apply({ store }: Trees): number {
    const outcome = this.keepingTimes(store, () => store.write(this.node.handle, this.#offset, this.#data));
    return outcome < 0 ? outcome : 0;
  }

  touch(recorder: TouchRecorder): void {
    touchObject(this.node, (parent, name) => recorder.touchData(this.node.handle, this.#offset, this.#data.length, parent, name));
  }

  reply(): void {
    this.to.device.replyWritten(this.to, this.#data.length);
    this.#release?.();
  }

  override cancel(): void {
    this.#release?.();
  }
}

export class FallocateModification extends ObjectModification {
  readonly isPartialWhenFailed = true;
  readonly #mode: number;
  readonly #offset: number;
  readonly #length: number;

  constructor(to: ReplyTo, node: Node, mode: number, offset: number, length: number) {
    super(to, node);
    this.#mode = mode;
    this.#offset = offset;
    this.#length = length;
  }

  body(): LiveBody {
    return { kind: 'fallocate', object: this.node.id, mode: this.#mode, offset: this.#offset, length: this.#length };
  }

  apply({ store }: Trees): number {
    return this.keepingTimes(store, () => store.fallocate(this.node.handle, this.#mode, this.#offset, this.#length));
  }

  touch(recorder: TouchRecorder): void {
    touchObject(this.node, (parent, name) => recorder.touchData(this.node.handle, this.#offset, this.#length, parent, name));
  }

  reply(): void {
    this.to.device.replyError(this.to, 0);
  }
}

/** What SETATTR asks for; times are concrete ("now" was replaced by the time at which the request came). */
export interface RequestedAttributes {
  readonly valid: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly atime: TimeSpec;
  readonly mtime: TimeSpec;
}

export class AttributeModification extends ObjectModification {
  readonly #wanted: RequestedAttributes;
  #sizeBefore = 0;

  constructor(to: ReplyTo, node: Node, wanted: RequestedAttributes) {
    super(to, node);
    this.#wanted = wanted;
  }

  override prepare(trees: Trees): number {
    const refused = super.prepare(trees);
    // What may be cut off has to be named before it is.
    if (refused === 0 && this.#wanted.valid & fuse.FATTR_SIZE) this.#measure(trees);
    return refused;
  }

  #measure({ store }: Trees): void {
    this.#sizeBefore = store.attributes(this.node.handle) < 0 ? 0 : store.stat.size;
  }

  body(): LiveBody {
    return { kind: 'setattr', object: this.node.id, ...this.#wanted };
  }

  apply(trees: Trees): number {
    const { store } = trees;
    const { valid, mode, uid, gid, size, atime, mtime } = this.#wanted;
    const change: { -readonly [Key in keyof AttributeChange]: AttributeChange[Key] } = {};
    if (valid & fuse.FATTR_MODE) change.mode = mode;
    if (valid & fuse.FATTR_UID) change.uid = uid;
    if (valid & fuse.FATTR_GID) change.gid = gid;
    if (valid & fuse.FATTR_SIZE) {
      change.size = size;
      this.#measure(trees);
    }
    if (valid & (fuse.FATTR_ATIME | fuse.FATTR_MTIME)) {
      change.times = timesBuffer(valid & fuse.FATTR_ATIME ? atime : undefined, valid & fuse.FATTR_MTIME ? mtime : undefined);
    }
    return store.setAttributes(this.node.handle, change);
  }

  touch(recorder: TouchRecorder): void {
    touchObject(this.node, (parent, name) => {
      // After a cut the file may grow again over what the peer still has there.
      const cut = this.#wanted.valid & fuse.FATTR_SIZE ? this.#sizeBefore - this.#wanted.size : 0;
      if (cut > 0) recorder.touchData(this.node.handle, this.#wanted.size, cut, parent, name);
      else recorder.touchAttributes(this.node.handle, parent, name);
    });
  }

  reply({ store }: Trees): void {
    const outcome = store.attributes(this.node.handle);
    if (outcome < 0) this.to.device.replyError(this.to, -outcome);
    else this.to.device.replyAttributes(this.to, store.stat);
  }
}

export const EPOCH: TimeSpec = { seconds: 0, nanoseconds: 0 };

/** Two `struct timespec`; what is undefined stays. */
export function timesBuffer(atime: TimeSpec | undefined, mtime: TimeSpec | undefined): Buffer {
  const times = Buffer.alloc(32);
  for (const [at, time] of [
    [0, atime],
    [16, mtime],
  ] as const) {
    times.writeBigInt64LE(BigInt(time?.seconds ?? 0), at);
    times.writeBigInt64LE(BigInt(time?.nanoseconds ?? UTIME_OMIT), at + 8);
  }
  return times;
}
