/**
 * Bytes to messages. Whatever the bytes are, the outcome is messages within their bounds or a `WireError`: a name is one component and
 * not reserved, an id is not zero, a type is one that exists, and every message is exactly as long as it says.
 */
import { ByteReader, WireError } from './bytes.js';
import {
  CONTENTS_GRANULES_MAX,
  DATA_BYTES_MAX,
  DIGEST_BYTES,
  DIGEST_SPAN_BYTES_MAX,
  ENTRIES_MAX,
  GRANULE_BYTES,
  isRootObject,
  LISTED_MAX,
  NAME_BYTES_MAX,
  REASON_BYTES_MAX,
  RESERVED_NAME,
  RESULT_BYTES_MAX,
  SMALL_BYTES_MAX,
  SMALL_OBJECTS_MAX,
  STAMPS_MAX,
  SYMLINK_BYTES_MAX,
  XATTR_INLINE_BYTES_MAX,
  XATTR_NAME_BYTES_MAX,
  XATTR_VALUE_BYTES_MAX,
  XATTRS_MAX,
} from './limits.js';
import { MESSAGE_HEADER_BYTES, STATUS, TYPE, VALID } from './messages.js';
import type {
  Attributes,
  Entry,
  Listed,
  Message,
  NewObject,
  SmallObject,
  Stamp,
  Subject,
  TimeSpec,
  VerifyRequest,
  Xattr,
} from './messages.js';
import { isReplicatedXattr } from './xattr-names.js';

const KIND = new Map<number, Message['kind']>(Object.entries(TYPE).map(([kind, type]) => [type, kind as Message['kind']]));
const VALID_ALL = Object.values(VALID).reduce((sum, bit) => sum | bit, 0);
const STATUS_MAX = Math.max(...Object.values(STATUS));
/** S_IFMT values: fifo, character, directory, block, regular, link, socket. */
const FILE_TYPES = new Set([0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000]);
const LINK_TYPE = 0o120000;
const REGULAR_TYPE = 0o100000;
const ERRNO_MAX = 4095;

/**
 * All messages of one record, in order. Data, content of small files, statuses and digests are views into `record`; names are copies.
 * @throws WireError
 */
export function decodeMessages(record: Buffer): Message[] {
  const messages: Message[] = [];
  let at = 0;
  while (at < record.length) {
    if (record.length - at < MESSAGE_HEADER_BYTES) throw new WireError(`truncated: ${record.length - at} bytes are no message header`);
    const length = record.readUInt32LE(at);
    if (length < MESSAGE_HEADER_BYTES || length > record.length - at) {
      throw new WireError(`a message of ${length} bytes in a record that has ${record.length - at} left`);
    }
    messages.push(decodeMessage(record.subarray(at, at + length)));
    at += length;
  }
  return messages;
}

function decodeMessage(bytes: Buffer): Message {
  const from = new ByteReader(bytes);
  from.u32();
  const type = from.u32();
  const kind = KIND.get(type);
  if (kind === undefined) throw new WireError(`message type ${type} does not exist`);
  const message = decodeBody(from, kind, from.size());
  from.end();
  return message;
}

function decodeBody(from: ByteReader, kind: Message['kind'], seq: number): Message {
  switch (kind) {
    case 'ping':
    case 'pong':
      return { kind, seq: lone(seq) };
    case 'failed':
      return { kind, seq: lone(seq), code: text(from), message: text(from) };
    case 'resync-sync':
    case 'resync-finish':
      return { kind, seq };
    case 'ack':
      return { kind, seq, errno: errno(from) };
    case 'introduce':
    case 'bind':
    case 'link': {
      const object = id(from);
      return { kind, seq, object, ...place(from) };
    }
    case 'stage':
      return { kind, seq, root: from.u8(), ...newObject(from) };
    case 'adopt': {
      const object = id(from);
      return { kind, seq, object, ...place(from), flags: atMost(from.u32(), 1, 'rename flags') };
    }
    case 'create':
      return { kind, seq, ...place(from), ...newObject(from) };
    case 'unlink':
    case 'rmdir':
      return { kind, seq, ...place(from) };
    case 'rename': {
      const { parent, name } = place(from);
      const to = place(from);
      return { kind, seq, parent, name, newParent: to.parent, newName: to.name, flags: atMost(from.u32(), 2, 'rename flags') };
    }
    case 'setattr':
      return {
        kind,
        seq,
        object: id(from),
        valid: atMost(from.u32(), VALID_ALL, 'valid bits'),
        mode: atMost(from.u32(), 0o177777, 'mode'),
        uid: from.u32(),
        gid: from.u32(),
        size: from.size(),
        atime: time(from),
        mtime: time(from),
      };
    case 'write':
    case 'data': {
      const object = id(from);
      const offset = from.size();
      return { kind, seq, object, offset, data: from.view(atMost(from.u32(), DATA_BYTES_MAX, 'data length')) };
    }
    case 'fallocate':
      return { kind, seq, object: id(from), mode: from.u32(), offset: from.size(), length: from.size() };
    case 'hole':
      return { kind, seq, object: id(from), offset: from.size(), length: from.size() };
    case 'digest': {
      const object = id(from);
      const offset = from.size();
      if (offset % GRANULE_BYTES !== 0) throw new WireError(`digest offset ${offset} is not a multiple of ${GRANULE_BYTES}`);
      return { kind, seq, object, offset, length: atMost(from.size(), DIGEST_SPAN_BYTES_MAX, 'digest span') };
    }
    case 'fsync':
      return { kind, seq, object: id(from), datasync: flag(from) };
    case 'checkpoint':
      return { kind, seq, phase: flag(from) ? 'done' : 'begin' };
    case 'create-unnamed': {
      const parent = id(from);
      const object = newObject(from);
      if ((object.mode & 0o170000) !== REGULAR_TYPE) throw new WireError(`mode 0${object.mode.toString(8)} for a file without a name`);
      return { kind, seq, parent, ...object };
    }
    case 'forget':
      return { kind, seq, object: id(from) };
    case 'setxattr':
      return {
        kind,
        seq,
        object: id(from),
        name: xattrName(from),
        value: xattrValue(from),
        flags: atMost(from.u8(), 3, 'setxattr flags'),
        clearsSetgid: flag(from),
      };
    case 'removexattr':
      return { kind, seq, object: id(from), name: xattrName(from) };
    case 'xattr':
      return { kind, seq, object: id(from), name: xattrName(from), value: xattrValue(from) };
    case 'whiteout': {
      const { parent, name } = place(from);
      const to = place(from);
      const flags = atMost(from.u8(), 1, 'whiteout flags');
      const object = id(from);
      if (isRootObject(object)) throw new WireError(`id ${object} of a root for a new object`);
      return { kind, seq, parent, name, newParent: to.parent, newName: to.name, flags, object, uid: from.u32(), gid: from.u32() };
    }
    case 'times': {
      const stamps: Stamp[] = [];
      for (let left = atMost(from.u32(), STAMPS_MAX, 'number of stamps'); left > 0; left -= 1) {
        stamps.push({ object: id(from), atime: time(from), mtime: time(from) });
      }
      return { kind, seq, stamps };
    }
    case 'resync-begin':
      return { kind, seq, mode: flag(from) ? 'compare' : 'journal' };
    case 'clear': {
      const directory = id(from);
      const bits = atMost(from.u8(), 7, 'clear flags');
      const parts = { complete: (bits & 1) !== 0, first: (bits & 2) !== 0, last: (bits & 4) !== 0 };
      return { kind, seq, directory, ...parts, entries: entries(from, directory) };
    }
    case 'place': {
      const directory = id(from);
      return { kind, seq, directory, entries: entries(from, directory) };
    }
    case 'attributes':
      return { kind, seq, ...attributes(from) };
    case 'small': {
      const objects: SmallObject[] = [];
      for (let left = atMost(from.u32(), SMALL_OBJECTS_MAX, 'number of small objects'); left > 0; left -= 1) objects.push(small(from));
      return { kind, seq, objects };
    }
    case 'statuses': {
      const error = errno(from);
      const statuses = from.view(atMost(from.u32(), ENTRIES_MAX, 'number of statuses'));
      if (statuses.some((status) => status > STATUS_MAX)) throw new WireError('an entry status that does not exist');
      return { kind, seq, errno: error, statuses };
    }
    case 'digests': {
      const error = errno(from);
      const size = from.size();
      const length = atMost(from.u32(), (DIGEST_SPAN_BYTES_MAX / GRANULE_BYTES) * DIGEST_BYTES, 'digests length');
      if (length % DIGEST_BYTES !== 0) throw new WireError(`digests of ${length} bytes`);
      return { kind, seq, errno: error, size, digests: from.view(length) };
    }
    default:
      return decodeVerification(from, kind, seq);
  }
}

type VerificationKind = VerifyRequest['kind'] | 'listing' | 'contents';

function decodeVerification(from: ByteReader, kind: VerificationKind, seq: number): Message {
  switch (kind) {
    case 'verify-enter': {
      const as = from.u32();
      return { kind, seq, as, ...subject(from) };
    }
    case 'verify-list':
      return { kind, seq, slot: from.u32(), cursor: from.i64() };
    case 'verify-names': {
      const slot = from.u32();
      const names: Buffer[] = [];
      for (let left = atMost(from.u32(), LISTED_MAX, 'number of names'); left > 0; left -= 1) names.push(component(from, 0n));
      return { kind, seq, slot, names };
    }
    case 'verify-object':
      return { kind, seq, object: id(from) };
    case 'verify-content': {
      const where = subject(from);
      return { kind, seq, ...where, offset: granuleOffset(from.size(), 'content offset') };
    }
    case 'verify-result':
      return { kind, seq, text: from.view(atMost(from.u32(), RESULT_BYTES_MAX, 'result length')).toString('utf8') };
    case 'listing': {
      const error = errno(from);
      const hasNext = flag(from);
      const next = from.i64();
      const objects: Listed[] = [];
      for (let left = atMost(from.u32(), LISTED_MAX, 'number of objects'); left > 0; left -= 1) objects.push(listed(from));
      return { kind, seq, errno: error, next: hasNext ? next : undefined, objects };
    }
    case 'contents': {
      const error = errno(from);
      const size = from.size();
      const start = granuleOffset(from.size(), 'start of contents');
      const length = atMost(from.u32(), CONTENTS_GRANULES_MAX * DIGEST_BYTES, 'digests length');
      if (length % DIGEST_BYTES !== 0) throw new WireError(`digests of ${length} bytes`);
      return { kind, seq, errno: error, size, start, digests: from.copy(length) };
    }
  }
}

function granuleOffset(value: number, what: string): number {
  if (value % GRANULE_BYTES !== 0) throw new WireError(`${what} ${value} is not a multiple of ${GRANULE_BYTES}`);
  return value;
}

/** By id without a name, or by name without an id. */
function subject(from: ByteReader): Subject {
  const object = from.u64();
  const slot = from.u32();
  const length = from.u8();
  if (length === 0 ? object === 0n : object !== 0n) throw new WireError('an object that is named by id and name, or by neither');
  if (length === 0) return { object, slot, name: Buffer.alloc(0) };
  const name = from.copy(length);
  const refused = refusedName(name, false);
  if (refused !== undefined) throw new WireError(refused);
  return { object, slot, name };
}

/** A name may be missing: of an object that was asked for by id. */
function listed(from: ByteReader): Listed {
  const name = from.copy(from.u8());
  const refused = name.length === 0 ? undefined : refusedName(name, false);
  if (refused !== undefined) throw new WireError(refused);
  const object = from.u64();
  const mode = atMost(from.u32(), 0o177777, 'mode');
  const owner = { uid: from.u32(), gid: from.u32(), rdev: from.u32() };
  const size = from.size();
  const mtime = time(from);
  const ino = from.u64();
  const nlink = from.u32();
  const target = from.copy(atMost(from.u16(), SYMLINK_BYTES_MAX, 'length of a link target'));
  const attributes = from.copy(atMost(from.u8(), DIGEST_BYTES, 'length of a digest'));
  return { name, object, mode, ...owner, size, mtime, ino, nlink, target, attributes };
}

function lone(seq: number): 0 {
  if (seq !== 0) throw new WireError(`sequence number ${seq} on a message that has none`);
  return 0;
}

function id(from: ByteReader): bigint {
  const value = from.u64();
  if (value === 0n) throw new WireError('object id 0');
  return value;
}

function atMost(value: number, bound: number, what: string): number {
  if (value > bound) throw new WireError(`${what} ${value} is more than ${bound}`);
  return value;
}

function flag(from: ByteReader): boolean {
  return atMost(from.u8(), 1, 'flag') === 1;
}

function errno(from: ByteReader): number {
  return atMost(from.u32(), ERRNO_MAX, 'errno');
}

function text(from: ByteReader): string {
  return from.view(atMost(from.u16(), REASON_BYTES_MAX, 'text length')).toString('utf8');
}

function time(from: ByteReader): TimeSpec {
  return { seconds: from.signed(), nanoseconds: atMost(from.u32(), 999_999_999, 'nanoseconds') };
}

function xattrName(from: ByteReader): string {
  const name = from.view(atMost(from.u8(), XATTR_NAME_BYTES_MAX, 'length of an attribute name')).toString('latin1');
  if (!isReplicatedXattr(name) || name.includes('\0')) throw new WireError(`the extended attribute ${JSON.stringify(name)}`);
  return name;
}

function xattrValue(from: ByteReader): Buffer {
  return from.copy(atMost(from.u32(), XATTR_VALUE_BYTES_MAX, 'length of an attribute value'));
}

function xattrs(from: ByteReader): Xattr[] {
  const list: Xattr[] = [];
  let inlineBytes = 0;
  for (let left = atMost(from.u32(), XATTRS_MAX, 'number of extended attributes'); left > 0; left -= 1) {
    const name = xattrName(from);
    const isDigest = flag(from);
    const bytes = xattrValue(from);
    if (isDigest && bytes.length !== DIGEST_BYTES) throw new WireError(`a digest of ${bytes.length} bytes`);
    inlineBytes += isDigest ? 0 : bytes.length;
    list.push(isDigest ? { name, digest: bytes } : { name, value: bytes });
  }
  atMost(inlineBytes, XATTR_INLINE_BYTES_MAX, 'bytes of attribute values');
  return list;
}

function attributes(from: ByteReader): Attributes {
  return {
    object: id(from),
    mode: fileMode(from),
    uid: from.u32(),
    gid: from.u32(),
    size: from.size(),
    atime: time(from),
    mtime: time(from),
    xattrs: xattrs(from),
  };
}

function small(from: ByteReader): SmallObject {
  const known = attributes(from);
  const isDigest = flag(from);
  const content = from.view(atMost(from.u32(), SMALL_BYTES_MAX, 'length of a small file'));
  atMost(known.size, SMALL_BYTES_MAX, 'size of a small file');
  if (content.length !== (isDigest ? DIGEST_BYTES : known.size)) throw new WireError(`${content.length} bytes for a file of ${known.size}`);
  if (content.length > 0 && (known.mode & 0o170000) !== REGULAR_TYPE) throw new WireError('content of what has none');
  return isDigest ? { ...known, digest: content } : { ...known, data: content };
}

function fileMode(from: ByteReader): number {
  const mode = atMost(from.u32(), 0o177777, 'mode');
  if (!FILE_TYPES.has(mode & 0o170000)) throw new WireError(`mode 0${mode.toString(8)} has no file type`);
  return mode;
}

function place(from: ByteReader): { parent: bigint; name: Buffer } {
  const parent = id(from);
  return { parent, name: component(from, parent) };
}

/** One component of a path: nothing that could lead out of the tree or into what is Holdfast's own. */
function component(from: ByteReader, parent: bigint): Buffer {
  const bytes = from.copy(atMost(from.u8(), NAME_BYTES_MAX, 'name length'));
  const refused = refusedName(bytes, isRootObject(parent));
  if (refused !== undefined) throw new WireError(refused);
  return bytes;
}

/** Why a name cannot be replicated; undefined when it can. */
export function refusedName(name: Buffer, inRoot: boolean): string | undefined {
  if (name.length === 0 || name.length > NAME_BYTES_MAX) return `a name of ${name.length} bytes`;
  if (name.includes(0) || name.includes(0x2f)) return 'a name with a slash or a zero byte';
  if (name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e))) return 'the name "." or ".."';
  if (inRoot && name.equals(RESERVED)) return `the reserved name ${RESERVED_NAME}`;
  return undefined;
}

const RESERVED = Buffer.from(RESERVED_NAME);

function newObject(from: ByteReader): NewObject {
  const object = id(from);
  if (isRootObject(object)) throw new WireError(`id ${object} of a root for a new object`);
  const mode = fileMode(from);
  const owner = { uid: from.u32(), gid: from.u32(), rdev: from.u32() };
  const target = from.copy(atMost(from.u16(), SYMLINK_BYTES_MAX, 'length of a link target'));
  const isLink = (mode & 0o170000) === LINK_TYPE;
  if (isLink !== target.length > 0 || target.includes(0)) throw new WireError('a link target that does not fit the type');
  return { object, mode, ...owner, target };
}

function entries(from: ByteReader, directory: bigint): Entry[] {
  const list: Entry[] = [];
  for (let left = atMost(from.u32(), ENTRIES_MAX, 'number of entries'); left > 0; left -= 1) {
    const name = component(from, directory);
    list.push(flag(from) ? { name, what: newObject(from) } : { name });
  }
  return list;
}
