import { strict as assert } from 'node:assert';
import { createCipheriv, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { ByteReader, ByteWriter, WireError } from '../src/wire/bytes.js';
import { decodeMessages, refusedName } from '../src/wire/decode.js';
import { encodedBytesMax, encodeMessage } from '../src/wire/encode.js';
import { DATA_BYTES_MAX, RECORD_BYTES_MAX } from '../src/wire/limits.js';
import { TYPE, type Message } from '../src/wire/messages.js';
import { RECORD_EXTRA_BYTES, RecordOpener, RecordSealer } from '../src/wire/seal.js';
import { decodeHello, decodeReply, encodeGreeting, type Hello } from '../src/link/greeting.js';
import { message } from './message-arbitrary.js';

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

  it('refuses extended attributes that are not replicated, and more than Linux allows', () => {
    const set = (text: string, bytes: number): Buffer => {
      const to = new ByteWriter();
      encodeMessage(to, { kind: 'setxattr', seq: 1, object: 300n, name: text, value: Buffer.alloc(bytes), flags: 0, clearsSetgid: false });
      return Buffer.from(to.view());
    };
    for (const bad of ['', 'trusted.holdfast.id', 'system.sockprotoname', 'btrfs.compression', 'user', 'user.a\0b'])
      assert.equal(decodeAnything(set(bad, 0)), undefined, bad);
    assert.equal(decodeAnything(set('user.a', (64 << 10) + 1)), undefined);
    assert.equal(decodeMessages(set('user.a', 64 << 10)).length, 1);
    const many = (count: number, bytes: number): Buffer => {
      const to = new ByteWriter();
      const time = { seconds: 0, nanoseconds: 0 };
      const xattrs = Array.from({ length: count }, () => ({ name: 'user.a', value: Buffer.alloc(bytes) }));
      const rest = { object: 300n, mode: 0o100644, uid: 0, gid: 0, size: 0, atime: time, mtime: time };
      encodeMessage(to, { kind: 'attributes', seq: 1, ...rest, xattrs });
      return Buffer.from(to.view());
    };
    assert.equal(decodeAnything(many(17, 1024)), undefined, 'values beyond what travels inline');
    assert.equal(decodeAnything(many(10_000, 0)), undefined, 'more names than a list has room for');
    assert.equal(decodeMessages(many(16, 1024)).length, 1);
  });

  it('never reads beyond the end', () => {
    assert.throws(() => new ByteReader(Buffer.alloc(3)).u32(), WireError);
    assert.throws(() => new ByteReader(Buffer.alloc(8, 0xff)).size(), WireError);
  });
});

describe('sealed records', () => {
  const sealed = (sealer: RecordSealer, clear: Buffer): Buffer =>
    Buffer.from(sealer.seal([clear], Buffer.alloc(RECORD_EXTRA_BYTES + clear.length)));

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
      assert.ok(sealed(sealer, clear).equals(expected), `record ${number}`);
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
    exclusions: 'none',
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
