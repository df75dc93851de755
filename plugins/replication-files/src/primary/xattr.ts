/** Extended attributes: what is read is answered from the backing tree, what changes is a modification like any other. */
import { isRepeated } from '../continuity/continuity.js';
import type { FuseDevice, ReplyTo, RequestBuffer } from '../fuse/device.js';
import type { TouchRecorder } from '../journal/dirty-set.js';
import type { Store } from '../store/store.js';
import { refusal } from '../store/xattrs.js';
import { E2BIG, EEXIST, ENODATA } from '../system/errno.js';
import { XATTR_VALUE_BYTES_MAX } from '../wire/limits.js';
import { isAcl } from '../wire/xattr-names.js';
import { ObjectModification } from './content.js';
import { touchObject, type LiveBody, type Trees } from './modification.js';
import type { Node } from './node.js';

const SIZE_REPLY_BYTES = 8;
const SETXATTR_IN_BYTES = 8;
/** With `setxattr_flags`, where the kernel has them. */
const SETXATTR_EXT_IN_BYTES = 16;
const SETXATTR_ACL_KILL_SGID = 1;

/** GETXATTR into the device's payload. @returns bytes or -errno */
export function readXattr(store: Store, device: FuseDevice, node: Node, request: RequestBuffer): number {
  const length = request.word(40);
  const name = request.name(48).toString('latin1');
  const room = Math.min(length, XATTR_VALUE_BYTES_MAX);
  return sized(device, length, store.xattrs.get(node.handle, name, device.payload, room));
}

/** LISTXATTR into the device's payload. Names of `trusted.*` are for root alone, as everywhere. @returns bytes or -errno */
export function listXattrs(store: Store, device: FuseDevice, node: Node, request: RequestBuffer): number {
  const length = request.word(40);
  return sized(device, length, store.xattrs.list(node.handle, device.payload, length, request.uid === 0));
}

/** A request with room for nothing asks for the size. */
function sized(device: FuseDevice, length: number, outcome: number): number {
  if (outcome < 0 || length > 0) return outcome;
  device.payload.writeBigUInt64LE(BigInt(outcome), 0);
  return SIZE_REPLY_BYTES;
}

/** SETXATTR. @returns errno for what cannot be a modification */
export function setXattrRequest(to: ReplyTo, node: Node, request: RequestBuffer): SetXattrModification | number {
  const fixed = to.device.hasSetXattrFlags ? SETXATTR_EXT_IN_BYTES : SETXATTR_IN_BYTES;
  const size = request.word(40);
  const rawName = request.name(40 + fixed);
  const name = rawName.toString('latin1');
  const valueAt = 40 + fixed + rawName.length + 1;
  if (size > XATTR_VALUE_BYTES_MAX || valueAt + size > request.length) return E2BIG;
  const refused = refusal(name);
  if (refused !== 0) return refused;
  const clearsSetgid = to.device.hasSetXattrFlags && (request.word(48) & SETXATTR_ACL_KILL_SGID) !== 0;
  const value = Buffer.from(request.bytes.subarray(valueAt, valueAt + size));
  return new SetXattrModification(to, node, { name, value, flags: request.word(44), clearsSetgid });
}

export function removeXattrRequest(to: ReplyTo, node: Node, request: RequestBuffer): RemoveXattrModification | number {
  const name = request.name(40).toString('latin1');
  const refused = refusal(name);
  return refused === 0 ? new RemoveXattrModification(to, node, name) : refused;
}

export abstract class XattrModification extends ObjectModification {
  touch(recorder: TouchRecorder): void {
    touchObject(this.node, (parent, name) => recorder.touchAttributes(this.node.handle, parent, name));
  }

  reply(): void {
    this.to.device.replyError(this.to, 0);
  }
}

interface NewXattr {
  readonly name: string;
  readonly value: Buffer;
  readonly flags: number;
  readonly clearsSetgid: boolean;
}

export class SetXattrModification extends XattrModification {
  readonly #change: NewXattr;

  constructor(to: ReplyTo, node: Node, change: NewXattr) {
    super(to, node);
    this.#change = change;
  }

  body(): LiveBody {
    return { kind: 'setxattr', object: this.node.id, ...this.#change };
  }

  apply({ store }: Trees): number {
    const { name, value, flags, clearsSetgid } = this.#change;
    const outcome = store.setXattr(this.node.handle, name, value, flags, clearsSetgid);
    if (outcome !== -EEXIST || !isRepeated(this.to)) return outcome;
    // The first attempt may have made it.
    const known = store.xattrs.value(this.node.handle, name);
    return typeof known !== 'number' && known.equals(value) ? 0 : outcome;
  }
}

export class RemoveXattrModification extends XattrModification {
  readonly #name: string;

  constructor(to: ReplyTo, node: Node, name: string) {
    super(to, node);
    this.#name = name;
  }

  /** A request that comes again cannot tell whether it was the first attempt that removed it: one that removes nothing ends here. */
  override prepare(trees: Trees): number {
    const refused = super.prepare(trees);
    // An ACL is removed where there is none, too.
    if (refused !== 0 || isRepeated(this.to) || isAcl(this.#name)) return refused;
    return trees.store.xattrs.value(this.node.handle, this.#name) === -ENODATA ? ENODATA : 0;
  }

  body(): LiveBody {
    return { kind: 'removexattr', object: this.node.id, name: this.#name };
  }

  apply({ store }: Trees): number {
    const outcome = store.xattrs.remove(this.node.handle, this.#name);
    // The first attempt may have removed it.
    return outcome === -ENODATA && isRepeated(this.to) ? 0 : outcome;
  }
}
