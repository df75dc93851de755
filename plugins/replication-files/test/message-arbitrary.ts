/** Messages of every kind, with contents within their bounds: what a decoder must give back, and what mutation starts from. */
import fc from 'fast-check';
import { isReplicatedXattr } from '../src/wire/xattr-names.js';
import { refusedName } from '../src/wire/decode.js';
import { DIGEST_BYTES, GRANULE_BYTES } from '../src/wire/limits.js';
import type { Message } from '../src/wire/messages.js';

const seq = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const size = fc.oneof(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), fc.integer({ min: 0, max: 1 << 20 }));
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const id = fc.bigInt({ min: 256n, max: 0xffff_ffff_ffff_ffffn });
const name = fc
  .uint8Array({ minLength: 1, maxLength: 255 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x5f : byte))))
  .filter((bytes) => refusedName(bytes, true) === undefined);
const data = fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes));
const time = fc.record({ seconds: fc.integer({ min: -1e12, max: 1e12 }), nanoseconds: fc.integer({ min: 0, max: 999_999_999 }) });
const fileMode = fc
  .tuple(fc.constantFrom(0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o140000), fc.integer({ min: 0, max: 0o7777 }))
  .map(([type, bits]) => type | bits);
const newObject = fc.oneof(
  fc.record({ object: id, mode: fileMode, uid: u32, gid: u32, rdev: u32, target: fc.constant(Buffer.alloc(0)) }),
  fc.record({ object: id, mode: fc.constant(0o120777), uid: u32, gid: u32, rdev: u32, target: name }),
);
const entry = fc.oneof(fc.record({ name }), fc.record({ name, what: newObject }));
const xattrName = fc
  .tuple(fc.constantFrom('user.', 'trusted.', 'security.'), fc.stringMatching(/^[\x01-\xff]{1,200}$/))
  .map(([namespace, rest]) => namespace + rest)
  .filter((text) => isReplicatedXattr(text));
const digest = fc.uint8Array({ minLength: DIGEST_BYTES, maxLength: DIGEST_BYTES }).map((bytes) => Buffer.from(bytes));
const xattr = fc.oneof(
  fc.record({ name: xattrName, value: data }),
  fc.record({ name: fc.constantFrom('system.posix_acl_access', 'system.posix_acl_default'), digest }),
);
const smallObject = fc
  .record({
    object: id,
    mode: fileMode,
    uid: u32,
    gid: u32,
    size: fc.constant(0),
    atime: time,
    mtime: time,
    xattrs: fc.array(xattr, { maxLength: 3 }),
    content: data,
    digest: fc.option(digest, { nil: undefined }),
  })
  .map(({ content: bytes, digest: known, ...attributes }) => {
    const isFile = (attributes.mode & 0o170000) === 0o100000;
    if (isFile && known !== undefined) return { ...attributes, size: bytes.length, digest: known };
    return isFile ? { ...attributes, size: bytes.length, data: bytes } : { ...attributes, data: Buffer.alloc(0) };
  });
const errno = fc.integer({ min: 0, max: 4095 });
const flag = fc.boolean();
const kind = <K extends Message['kind']>(value: K): fc.Arbitrary<K> => fc.constant(value);

const slot = u32;
const granuleOffset = fc.integer({ min: 0, max: 1e6 }).map((n) => n * GRANULE_BYTES);
const subject = fc.oneof(
  fc.record({ object: id, slot, name: fc.constant(Buffer.alloc(0)) }),
  fc.record({ object: fc.constant(0n), slot, name }),
);
const digests = fc
  .integer({ min: 0, max: 8 })
  .chain((n) => fc.uint8Array({ minLength: n * DIGEST_BYTES, maxLength: n * DIGEST_BYTES }))
  .map((bytes) => Buffer.from(bytes));
const listed = fc.record({
  name: fc.oneof(name, fc.constant(Buffer.alloc(0))),
  object: fc.oneof(id, fc.constant(0n)),
  mode: fc.oneof(fileMode, fc.constant(0)),
  uid: u32,
  gid: u32,
  rdev: u32,
  size,
  mtime: time,
  ino: id,
  nlink: u32,
  target: fc.oneof(name, fc.constant(Buffer.alloc(0))),
  attributes: fc.uint8Array({ maxLength: DIGEST_BYTES }).map((bytes) => Buffer.from(bytes)),
});

export const message = fc
  .oneof(
    fc.record({ kind: kind('ping'), seq: fc.constant(0) }),
    fc.record({ kind: kind('pong'), seq: fc.constant(0) }),
    fc.record({ kind: kind('failed'), seq: fc.constant(0), code: fc.string({ maxLength: 50 }), message: fc.string({ maxLength: 200 }) }),
    fc.record({ kind: kind('ack'), seq, errno }),
    fc.record({ kind: fc.constantFrom('introduce', 'bind', 'link'), seq, object: id, parent: id, name }),
    fc
      .tuple(newObject, name, id, seq)
      .map(([object, given, parent, number]) => ({ kind: 'create', seq: number, parent, name: given, ...object })),
    fc.record({ kind: fc.constantFrom('unlink', 'rmdir'), seq, parent: id, name }),
    fc.record({ kind: kind('rename'), seq, parent: id, name, newParent: id, newName: name, flags: fc.constantFrom(0, 1, 2) }),
    fc.record({
      kind: kind('setattr'),
      seq,
      object: id,
      valid: fc.integer({ min: 0, max: 63 }),
      mode: fc.integer({ min: 0, max: 0o7777 }),
      uid: u32,
      gid: u32,
      size,
      atime: time,
      mtime: time,
    }),
    fc.record({ kind: fc.constantFrom('write', 'data'), seq, object: id, offset: size, data }),
    fc.record({ kind: kind('fallocate'), seq, object: id, mode: u32, offset: size, length: size }),
    fc
      .record({ kind: kind('stage'), seq, root: fc.integer({ min: 0, max: 255 }) })
      .chain((part) => newObject.map((what) => ({ ...part, ...what }))),
    fc.record({ kind: kind('adopt'), seq, object: id, parent: id, name, flags: fc.integer({ min: 0, max: 1 }) }),
    fc.record({ kind: kind('fsync'), seq, object: id, datasync: flag }),
    fc.record({ kind: kind('checkpoint'), seq, phase: fc.constantFrom('begin', 'done') }),
    fc.record({ kind: kind('times'), seq, stamps: fc.array(fc.record({ object: id, atime: time, mtime: time }), { maxLength: 20 }) }),
    fc.record({ kind: kind('resync-begin'), seq, mode: fc.constantFrom('journal', 'compare') }),
    fc.record({
      kind: kind('clear'),
      seq,
      directory: id,
      complete: flag,
      first: flag,
      last: flag,
      entries: fc.array(entry, { maxLength: 20 }),
    }),
    fc.record({ kind: kind('place'), seq, directory: id, entries: fc.array(entry, { maxLength: 20 }) }),
    fc.record({ kind: kind('hole'), seq, object: id, offset: size, length: size }),
    fc.record({
      kind: kind('digest'),
      seq,
      object: id,
      offset: fc.integer({ min: 0, max: 1e6 }).map((n) => n * GRANULE_BYTES),
      length: fc.integer({ min: 0, max: 4 << 20 }),
    }),
    fc.record({
      kind: kind('attributes'),
      seq,
      object: id,
      mode: fileMode,
      uid: u32,
      gid: u32,
      size,
      atime: time,
      mtime: time,
      xattrs: fc.array(xattr, { maxLength: 5 }),
    }),
    fc.record({ kind: kind('small'), seq, objects: fc.array(smallObject, { maxLength: 5 }) }),
    fc.record({ kind: kind('xattr'), seq, object: id, name: xattrName, value: data }),
    fc.record({
      kind: kind('setxattr'),
      seq,
      object: id,
      name: xattrName,
      value: data,
      flags: fc.constantFrom(0, 1, 2),
      clearsSetgid: flag,
    }),
    fc.record({ kind: kind('removexattr'), seq, object: id, name: xattrName }),
    fc.record({ kind: kind('forget'), seq, object: id }),
    fc.record({
      kind: kind('create-unnamed'),
      seq,
      parent: id,
      object: id,
      mode: fc.integer({ min: 0, max: 0o7777 }).map((bits) => 0o100000 | bits),
      uid: u32,
      gid: u32,
      rdev: u32,
      target: fc.constant(Buffer.alloc(0)),
    }),
    fc.record({
      kind: kind('whiteout'),
      seq,
      parent: id,
      name,
      newParent: id,
      newName: name,
      flags: fc.constantFrom(0, 1),
      object: id,
      uid: u32,
      gid: u32,
    }),
    fc.record({ kind: fc.constantFrom('resync-sync', 'resync-finish'), seq }),
    fc.record({
      kind: kind('statuses'),
      seq,
      errno,
      statuses: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 50 }).map((list) => Buffer.from(list)),
    }),
    fc.record({
      kind: kind('digests'),
      seq,
      errno,
      size,
      digests: fc
        .integer({ min: 0, max: 8 })
        .chain((n) => fc.uint8Array({ minLength: n * DIGEST_BYTES, maxLength: n * DIGEST_BYTES }))
        .map((bytes) => Buffer.from(bytes)),
    }),
    fc.tuple(subject, seq, slot).map(([where, number, as]) => ({ kind: 'verify-enter', seq: number, as, ...where })),
    fc.tuple(subject, seq, granuleOffset).map(([where, number, offset]) => ({ kind: 'verify-content', seq: number, offset, ...where })),
    fc.record({ kind: kind('verify-list'), seq, slot, cursor: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
    fc.record({ kind: kind('verify-names'), seq, slot, names: fc.array(name, { maxLength: 20 }) }),
    fc.record({ kind: kind('verify-object'), seq, object: id }),
    fc.record({ kind: kind('verify-result'), seq, text: fc.string({ maxLength: 2000 }).map((text) => Buffer.from(text).toString()) }),
    fc.record({
      kind: kind('listing'),
      seq,
      errno,
      next: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { nil: undefined }),
      objects: fc.array(listed, { maxLength: 20 }),
    }),
    fc.record({ kind: kind('contents'), seq, errno, size, start: granuleOffset, digests }),
  )
  .map((value) => tidy(value)) as unknown as fc.Arbitrary<Message>;

/** fast-check makes objects without prototype, which strict comparison takes for others. */
function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidy);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, tidy(item)]));
}
