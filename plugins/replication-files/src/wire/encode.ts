/** Messages to bytes: appended to the record that is being filled. The mirror of decode.ts. */
import type { ByteWriter } from './bytes.js';
import { MESSAGE_HEADER_BYTES, TYPE, VALID } from './messages.js';
import type { Attributes, Entry, Listed, Message, NewObject, Subject, TimeSpec, VerifyRequest, Xattr } from './messages.js';

/** Bytes that a message needs, at most: to decide whether it still fits into a record. */
export function encodedBytesMax(message: Message): number {
  switch (message.kind) {
    case 'write':
    case 'data':
      return MESSAGE_HEADER_BYTES + 32 + message.data.length;
    case 'clear':
    case 'place':
      return message.entries.reduce(
        (sum, entry) => sum + 64 + entry.name.length + (entry.what?.target.length ?? 0),
        MESSAGE_HEADER_BYTES + 32,
      );
    case 'setxattr':
    case 'xattr':
      return MESSAGE_HEADER_BYTES + 32 + message.name.length + message.value.length;
    case 'attributes':
      return MESSAGE_HEADER_BYTES + attributesBytesMax(message);
    case 'small':
      return message.objects.reduce(
        (sum, each) => sum + attributesBytesMax(each) + 8 + ('data' in each ? each.data : each.digest).length,
        MESSAGE_HEADER_BYTES + 16,
      );
    case 'times':
      return MESSAGE_HEADER_BYTES + 16 + message.stamps.length * 32;
    case 'statuses':
      return MESSAGE_HEADER_BYTES + 16 + message.statuses.length;
    case 'digests':
    case 'contents':
      return MESSAGE_HEADER_BYTES + 32 + message.digests.length;
    case 'verify-names':
      return message.names.reduce((sum, each) => sum + 1 + each.length, MESSAGE_HEADER_BYTES + 16);
    case 'verify-result':
      return MESSAGE_HEADER_BYTES + 8 + Buffer.byteLength(message.text);
    case 'listing':
      return message.objects.reduce(
        (sum, each) => sum + 96 + each.name.length + each.target.length + each.attributes.length,
        MESSAGE_HEADER_BYTES + 32,
      );
    default:
      return 8192;
  }
}

export function attributesBytesMax({ xattrs }: Attributes): number {
  return xattrs.reduce((sum, xattr) => sum + 8 + xattr.name.length + bytesOf(xattr).length, 96);
}

/** Appends one message. */
export function encodeMessage(to: ByteWriter, message: Message): void {
  const at = to.length;
  header(to, message);
  encodeBody(to, message);
  to.patchU32(at, to.length - at);
}

/** Appends a message that ends with data, without its data, which must follow. */
export function encodeBeforeData(to: ByteWriter, message: Extract<Message, { kind: 'write' | 'data' }>): void {
  const at = to.length;
  header(to, message);
  beforeData(to, message);
  to.patchU32(at, to.length - at + message.data.length);
}

function header(to: ByteWriter, message: Message): void {
  to.u32(0);
  to.u32(TYPE[message.kind]);
  to.size(message.seq);
}

function beforeData(to: ByteWriter, { object, offset, data }: Extract<Message, { kind: 'write' | 'data' }>): void {
  to.u64(object);
  to.size(offset);
  to.u32(data.length);
}

function names(to: ByteWriter, message: Extract<Message, { kind: 'rename' | 'whiteout' }>): void {
  to.u64(message.parent);
  name(to, message.name);
  to.u64(message.newParent);
  name(to, message.newName);
}

function encodeBody(to: ByteWriter, message: Message): void {
  switch (message.kind) {
    case 'ping':
    case 'pong':
    case 'resync-sync':
    case 'resync-finish':
      return;
    case 'ack':
      to.u32(message.errno);
      return;
    case 'failed':
      text(to, message.code);
      text(to, message.message);
      return;
    case 'introduce':
    case 'bind':
    case 'link':
      to.u64(message.object);
      to.u64(message.parent);
      name(to, message.name);
      return;
    case 'stage':
      to.u8(message.root);
      newObject(to, message);
      return;
    case 'adopt':
      to.u64(message.object);
      to.u64(message.parent);
      name(to, message.name);
      to.u32(message.flags);
      return;
    case 'create':
      to.u64(message.parent);
      name(to, message.name);
      newObject(to, message);
      return;
    case 'unlink':
    case 'rmdir':
      to.u64(message.parent);
      name(to, message.name);
      return;
    case 'rename':
      names(to, message);
      to.u32(message.flags);
      return;
    case 'setattr':
      to.u64(message.object);
      to.u32(message.valid & Object.values(VALID).reduce((sum, bit) => sum | bit, 0));
      to.u32(message.mode);
      to.u32(message.uid);
      to.u32(message.gid);
      to.size(message.size);
      time(to, message.atime);
      time(to, message.mtime);
      return;
    case 'write':
    case 'data':
      beforeData(to, message);
      to.raw(message.data);
      return;
    case 'fallocate':
      to.u64(message.object);
      to.u32(message.mode);
      to.size(message.offset);
      to.size(message.length);
      return;
    case 'hole':
    case 'digest':
      to.u64(message.object);
      to.size(message.offset);
      to.size(message.length);
      return;
    case 'fsync':
      to.u64(message.object);
      to.u8(message.datasync ? 1 : 0);
      return;
    case 'checkpoint':
      to.u8(message.phase === 'begin' ? 0 : 1);
      return;
    case 'create-unnamed':
      to.u64(message.parent);
      newObject(to, message);
      return;
    case 'forget':
      to.u64(message.object);
      return;
    case 'setxattr':
      to.u64(message.object);
      xattrName(to, message.name);
      value(to, message.value);
      to.u8(message.flags);
      to.u8(message.clearsSetgid ? 1 : 0);
      return;
    case 'removexattr':
      to.u64(message.object);
      xattrName(to, message.name);
      return;
    case 'xattr':
      to.u64(message.object);
      xattrName(to, message.name);
      value(to, message.value);
      return;
    case 'whiteout':
      names(to, message);
      to.u8(message.flags);
      to.u64(message.object);
      to.u32(message.uid);
      to.u32(message.gid);
      return;
    case 'times':
      to.u32(message.stamps.length);
      for (const stamp of message.stamps) {
        to.u64(stamp.object);
        time(to, stamp.atime);
        time(to, stamp.mtime);
      }
      return;
    case 'resync-begin':
      to.u8(message.mode === 'journal' ? 0 : 1);
      return;
    case 'clear':
      to.u64(message.directory);
      to.u8((message.complete ? 1 : 0) | (message.first ? 2 : 0) | (message.last ? 4 : 0));
      entries(to, message.entries);
      return;
    case 'place':
      to.u64(message.directory);
      entries(to, message.entries);
      return;
    case 'attributes':
      attributes(to, message);
      return;
    case 'small':
      to.u32(message.objects.length);
      for (const each of message.objects) {
        attributes(to, each);
        to.u8('data' in each ? 0 : 1);
        value(to, 'data' in each ? each.data : each.digest);
      }
      return;
    case 'statuses':
      to.u32(message.errno);
      to.u32(message.statuses.length);
      to.raw(message.statuses);
      return;
    case 'digests':
      to.u32(message.errno);
      to.size(message.size);
      to.u32(message.digests.length);
      to.raw(message.digests);
      return;
    default:
      encodeVerification(to, message);
  }
}

function encodeVerification(to: ByteWriter, message: VerifyRequest | Extract<Message, { kind: 'listing' | 'contents' }>): void {
  switch (message.kind) {
    case 'verify-enter':
      to.u32(message.as);
      subject(to, message);
      return;
    case 'verify-list':
      to.u32(message.slot);
      to.i64(message.cursor);
      return;
    case 'verify-names':
      to.u32(message.slot);
      to.u32(message.names.length);
      for (const each of message.names) name(to, each);
      return;
    case 'verify-object':
      to.u64(message.object);
      return;
    case 'verify-content':
      subject(to, message);
      to.size(message.offset);
      return;
    case 'verify-result': {
      const bytes = Buffer.from(message.text);
      to.u32(bytes.length);
      to.raw(bytes);
      return;
    }
    case 'listing':
      to.u32(message.errno);
      to.u8(message.next === undefined ? 0 : 1);
      to.i64(message.next ?? 0n);
      to.u32(message.objects.length);
      for (const each of message.objects) listed(to, each);
      return;
    case 'contents':
      to.u32(message.errno);
      to.size(message.size);
      to.size(message.start);
      to.u32(message.digests.length);
      to.raw(message.digests);
      return;
  }
}

function subject(to: ByteWriter, value: Subject): void {
  to.u64(value.object);
  to.u32(value.slot);
  name(to, value.name);
}

function listed(to: ByteWriter, value: Listed): void {
  name(to, value.name);
  to.u64(value.object);
  to.u32(value.mode);
  to.u32(value.uid);
  to.u32(value.gid);
  to.u32(value.rdev);
  to.size(value.size);
  time(to, value.mtime);
  to.u64(value.ino);
  to.u32(value.nlink);
  to.u16(value.target.length);
  to.raw(value.target);
  to.u8(value.attributes.length);
  to.raw(value.attributes);
}

function name(to: ByteWriter, bytes: Buffer): void {
  to.u8(bytes.length);
  to.raw(bytes);
}

function xattrName(to: ByteWriter, latin1: string): void {
  name(to, Buffer.from(latin1, 'latin1'));
}

function value(to: ByteWriter, bytes: Buffer): void {
  to.u32(bytes.length);
  to.raw(bytes);
}

function bytesOf(xattr: Xattr): Buffer {
  return 'value' in xattr ? xattr.value : xattr.digest;
}

function text(to: ByteWriter, value: string): void {
  const bytes = Buffer.from(value, 'utf8').subarray(0, 1024);
  to.u16(bytes.length);
  to.raw(bytes);
}

function time(to: ByteWriter, value: TimeSpec): void {
  to.signed(value.seconds);
  to.u32(value.nanoseconds);
}

function newObject(to: ByteWriter, value: NewObject): void {
  to.u64(value.object);
  to.u32(value.mode);
  to.u32(value.uid);
  to.u32(value.gid);
  to.u32(value.rdev);
  to.u16(value.target.length);
  to.raw(value.target);
}

function entries(to: ByteWriter, list: readonly Entry[]): void {
  to.u32(list.length);
  for (const entry of list) {
    name(to, entry.name);
    to.u8(entry.what ? 1 : 0);
    if (entry.what) newObject(to, entry.what);
  }
}

function attributes(to: ByteWriter, { object, mode, uid, gid, size, atime, mtime, xattrs }: Attributes): void {
  to.u64(object);
  to.u32(mode);
  to.u32(uid);
  to.u32(gid);
  to.size(size);
  time(to, atime);
  time(to, mtime);
  to.u32(xattrs.length);
  for (const xattr of xattrs) {
    xattrName(to, xattr.name);
    to.u8('value' in xattr ? 0 : 1);
    value(to, bytesOf(xattr));
  }
}
