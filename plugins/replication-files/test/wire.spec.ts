import { strict as assert } from 'node:assert';
import { createCipheriv, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { ByteReader, ByteWriter, WireError } from '../src/wire/bytes.js';
import { decodeMessages, refusedName } from '../src/wire/decode.js';
import { encodedBytesMax, encodeMessage } from '../src/wire/encode.js';
import { DATA_BYTES_MAX, DIGEST_BYTES, GRANULE_BYTES, RECORD_BYTES_MAX } from '../src/wire/limits.js';
import { TYPE, type Message } from '../src/wire/messages.js';
import { RecordOpener, RecordSealer } from '../src/wire/seal.js';
import { decodeHello, decodeReply, encodeGreeting, type Hello } from '../src/link/greeting.js';

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

const message = fc
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
    fc.record({ kind: kind('attributes'), seq, object: id, mode: fileMode, uid: u32, gid: u32, size, atime: time, mtime: time }),
    fc.record({ kind: fc.constantFrom('resync-sync', 'resync-finish'), seq }),
    fc.record({
      kind: kind('statuses'),
      seq,
      errno,
      statuses: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 50 }).map((list) => Buffer.from(list)),
    }),
    fc.record({
      kind: kind('digests'),
      seq,
      errno,
      size,
      digests,
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

function encode(messages: readonly Message[]): Buffer {
  const to = new ByteWriter(16);
  for (const each of messages) encodeMessage(to, each);
  return Buffer.from(to.view());
}

/** Runs a decoder on any bytes: messages, or the one error that it may throw. */
function decodeAnything(bytes: Buffer): readonly Message[] | undefined {
  try {
    return decodeMessages(bytes);
  } catch (error) {
    assert.ok(error instanceof WireError, `threw ${String(error)}`);
    assert.equal(error.code, 'HF_REPLICATION_FRAME');
    return undefined;
  }
}

describe('wire', () => {
  it('decodes every message to what was encoded, within the announced size', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        assert.deepEqual(decodeMessages(encode(messages)), messages);
        for (const each of messages) assert.ok(encode([each]).length <= encodedBytesMax(each));
      }),
      { numRuns: 500 },
    );
  });

  it('has an arbitrary for every type', () => {
    const seen = new Set<string>();
    for (const each of fc.sample(message, 2000)) seen.add(each.kind);
    assert.deepEqual([...seen].sort(), Object.keys(TYPE).sort());
  });

  it('refuses garbage and never throws anything but its coded error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), (bytes) => assert.equal(decodeAnything(Buffer.from(bytes)), undefined)),
      {
        numRuns: 2000,
      },
    );
  });

  it('refuses every truncation', () => {
    fc.assert(
      fc.property(message, (each) => {
        const bytes = encode([each]);
        for (let length = 1; length < Math.min(bytes.length, 400); length += 1)
          assert.equal(decodeAnything(bytes.subarray(0, length)), undefined);
      }),
      { numRuns: 100 },
    );
  });

  it('survives every flipped bit: an error, or messages within their bounds', () => {
    fc.assert(
      fc.property(message, fc.nat(), (each, where) => {
        const bytes = encode([each]);
        const bit = where % (bytes.length * 8);
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        const decoded = decodeAnything(bytes);
        if (decoded !== undefined) assert.deepEqual(decodeMessages(encode(decoded)), decoded);
      }),
      { numRuns: 3000 },
    );
  });

  it('refuses names that lead out of the tree or into what is its own', () => {
    for (const bad of ['', '.', '..', 'a/b', 'a\0b', '/', 'x'.repeat(256)])
      assert.notEqual(refusedName(Buffer.from(bad), false), undefined, bad);
    assert.equal(refusedName(Buffer.from('.holdfast'), false), undefined, 'only the root has a reserved name');
    const unlink = (parent: bigint, text: string): Buffer => {
      const to = new ByteWriter();
      encodeMessage(to, { kind: 'unlink', seq: 1, parent, name: Buffer.from(text) });
      return Buffer.from(to.view());
    };
    assert.equal(decodeAnything(unlink(1n, '.holdfast')), undefined);
    assert.equal(decodeAnything(unlink(300n, '..')), undefined);
    assert.equal(decodeAnything(unlink(0n, 'a')), undefined);
    assert.equal(decodeMessages(unlink(300n, '...')).length, 1);
  });

  it('never reads beyond the end', () => {
    assert.throws(() => new ByteReader(Buffer.alloc(3)).u32(), WireError);
    assert.throws(() => new ByteReader(Buffer.alloc(8, 0xff)).size(), WireError);
  });
});

describe('sealed records', () => {
  const sealed = (sealer: RecordSealer, clear: Buffer): Buffer => Buffer.from(sealer.seal(clear));

  it('open to what was sealed, up to the largest', () => {
    const key = randomBytes(32);
    const [sealer, opener] = [new RecordSealer(key), new RecordOpener(key)];
    for (const length of [1, 16, 4096, DATA_BYTES_MAX, RECORD_BYTES_MAX]) {
      const clear = randomBytes(length);
      const record = sealed(sealer, clear);
      assert.equal(opener.recordBytes(record), record.length);
      assert.ok(opener.open(record).equals(clear));
    }
  });

  it('are what node:crypto makes of the same key and number', () => {
    const key = randomBytes(32);
    const sealer = new RecordSealer(key);
    for (const number of [0, 1, 2]) {
      const clear = randomBytes(100_000 + number);
      const nonce = Buffer.alloc(12);
      nonce.writeUInt32LE(number);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(clear.length);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(length);
      const expected = Buffer.concat([length, cipher.update(clear), cipher.final(), cipher.getAuthTag()]);
      assert.ok(sealer.seal(clear).equals(expected), `record ${number}`);
    }
  });

  it('do not open after any flipped bit', () => {
    const key = randomBytes(32);
    const record = sealed(new RecordSealer(key), Buffer.from('what was sealed'));
    for (let bit = 0; bit < record.length * 8; bit += 1) {
      const bad = Buffer.from(record);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.throws(() => new RecordOpener(key).open(bad), WireError, `bit ${bit}`);
    }
  });

  it('do not open when repeated, left out, reordered, or with another key', () => {
    const key = randomBytes(32);
    const sealer = new RecordSealer(key);
    const [one, two] = [sealed(sealer, Buffer.from('one')), sealed(sealer, Buffer.from('two'))];
    assert.throws(() => new RecordOpener(key).open(two), WireError);
    const opener = new RecordOpener(key);
    opener.open(one);
    assert.throws(() => opener.open(one), WireError);
    assert.throws(() => new RecordOpener(randomBytes(32)).open(one), WireError);
  });

  it('refuse lengths out of their bounds before anything is read', () => {
    const opener = new RecordOpener(randomBytes(32));
    const header = (length: number): Buffer => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(length);
      return bytes;
    };
    for (const length of [0, RECORD_BYTES_MAX + 1, 0xffffffff]) assert.throws(() => opener.recordBytes(header(length)), WireError);
    assert.equal(opener.recordBytes(Buffer.alloc(3)), undefined);
  });
});

describe('greetings', () => {
  const hello: Hello = {
    protocol: 1,
    module: 'm',
    node: 'a',
    epoch: 3,
    generation: '0123456789abcdef'.repeat(2),
    async: 'second',
    mode: 'journal',
    roots: ['/data'],
  };

  it('are read as they were written', () => {
    assert.deepEqual(decodeHello(encodeGreeting(hello)), hello);
    assert.deepEqual(decodeReply(encodeGreeting({ welcome: true })), { welcome: true });
    const refused = { welcome: false, code: 'deposed', message: 'epoch 3 is over' } as const;
    assert.deepEqual(decodeReply(encodeGreeting(refused)), refused);
  });

  it('refuse whatever is not a greeting', () => {
    for (const key of Object.keys(hello)) assert.throws(() => decodeHello(JSON.stringify({ ...hello, [key]: null })), WireError, key);
    for (const line of ['', '{', 'null', '[]', '{}', '"x"', '{"welcome":false}', '{"welcome":false,"code":"x","message":"y"}']) {
      assert.throws(() => decodeHello(line), WireError, line);
      assert.throws(() => decodeReply(line), WireError, line);
    }
    fc.assert(fc.property(fc.string(), (line) => assert.throws(() => decodeHello(line), WireError)));
  });
});
