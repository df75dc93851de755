/**
 * Whatever the bytes are, what reads them says so and goes on: valid input with bytes changed, cut out, doubled and spliced. Each target is
 * fuzzed for a few seconds; `FUZZ_SECONDS=3600` does it for an hour, `SEED` repeats.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import koffi from 'koffi';
import { Pool } from '../src/data/pool.js';
import { FuseDevice } from '../src/fuse/device.js';
import { Opcode } from '../src/fuse/protocol.js';
import { DirtySet } from '../src/journal/dirty-set.js';
import { decodeJournal } from '../src/journal/format.js';
import { Journal, readJournal } from '../src/journal/journal.js';
import { decodeHello, decodeReply, encodeGreeting, GREETING_BYTES_MAX, type Hello } from '../src/link/greeting.js';
import { FileSystem } from '../src/primary/file-system.js';
import { NodeTable } from '../src/primary/node-table.js';
import { Pipeline } from '../src/primary/pipeline.js';
import { Boundary } from '../src/boundary/boundary.js';
import { Store } from '../src/store/store.js';
import * as sys from '../src/system/calls.js';
import { EpollSet } from '../src/system/epoll.js';
import { ByteWriter, WireError } from '../src/wire/bytes.js';
import { decodeMessages } from '../src/wire/decode.js';
import { encodeMessage } from '../src/wire/encode.js';
import { message } from './message-arbitrary.js';
import { Random } from './random.js';

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
const FUZZ_MS = Number(process.env['FUZZ_SECONDS'] ?? 2) * 1000;
/** A single input that takes longer is a hang in the making. */
const INPUT_MS_MAX = 1000;
const EDGES = [0, 1, 0x2f, 0x7f, 0x80, 0xff];

/** A few random changes of some bytes. */
function mutate(random: Random, valid: Buffer, other: Buffer): Buffer {
  let bytes = Buffer.from(valid);
  for (let changes = 1 + random.below(4); changes > 0; changes -= 1) {
    const at = random.below(bytes.length + 1);
    const end = Math.min(bytes.length, at + 1 + random.below(12));
    switch (random.below(6)) {
      case 0:
        for (let i = at; i < end; i += 1) bytes[i] = random.below(256);
        break;
      case 1:
        for (let i = at; i < end; i += 1) bytes[i] = random.pick(EDGES);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
        break;
      default:
        bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}

/** Calls `each` with fresh random numbers until the time is over; names the seed of the one that failed. */
function fuzz(each: (random: Random) => void): number {
  const end = performance.now() + FUZZ_MS;
  let count = 0;
  for (; performance.now() < end; count += 1) {
    const before = performance.now();
    try {
      each(new Random(SEED + count));
    } catch (error) {
      throw new Error(`SEED=${SEED + count}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`, { cause: error });
    }
    assert.ok(performance.now() - before < INPUT_MS_MAX, `SEED=${SEED + count} took ${performance.now() - before} ms`);
  }
  return count;
}

describe(`bytes that somebody changed (SEED=${SEED})`, function () {
  this.timeout(FUZZ_MS + 30_000);

  it('are refused by the decoder of records, or become messages that are not much larger than they were', () => {
    const samples = fc.sample(message, { numRuns: 400, seed: SEED }).map((each) => {
      const to = new ByteWriter();
      encodeMessage(to, each);
      return Buffer.from(to.view());
    });
    const count = fuzz((random) => {
      const record = Buffer.concat(Array.from({ length: 1 + random.below(3) }, () => random.pick(samples)));
      const bytes = mutate(random, record, random.pick(samples));
      try {
        const to = new ByteWriter();
        for (const each of decodeMessages(bytes)) encodeMessage(to, each);
        // A byte of a text that is no UTF-8 becomes three.
        assert.ok(to.length <= 3 * bytes.length, `${bytes.length} bytes became ${to.length}`);
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    });
    assert.ok(count > 100);
  });

  it('are refused as a greeting, or are one within its bounds', () => {
    const hello: Hello = {
      protocol: 1,
      module: 'module',
      node: 'a',
      epoch: 3,
      generation: '0123456789abcdef'.repeat(2),
      async: 'second',
      mode: 'journal',
      exclusions: 'none',
      roots: ['/data', '/more'],
    };
    const samples = [hello, { welcome: true }, { welcome: false, code: 'deposed', message: 'over' }].map((each) =>
      Buffer.from(encodeGreeting(each as Hello)),
    );
    fuzz((random) => {
      const line = mutate(random, random.pick(samples), random.pick(samples)).toString(random.pick(['utf8', 'latin1']));
      for (const decode of [decodeHello, decodeReply]) {
        try {
          const text = JSON.stringify(decode(line.slice(0, GREETING_BYTES_MAX)));
          assert.ok(text.length <= 2 * GREETING_BYTES_MAX);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }
    });
  });

  it('make a journal unusable, or shorter, but never something that nobody wrote', () => {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-fuzz-'));
    try {
      const set = new DirtySet();
      const journal = new Journal(directory, '00'.repeat(16), set, 'ff'.repeat(16));
      for (let i = 0; i < 40; i += 1) {
        journal.touchName(`d${i % 3}`, BigInt(300 + (i % 3)), Buffer.from(`name ${i}`));
        journal.touchData(`h${i % 5}`, i * 200_000, 100_000, `d${i % 3}`, Buffer.from(`name ${i}`));
        if (i % 9 === 0) journal.touchWhole(`w${i}`);
      }
      journal.close();
      const file = join(directory, 'journal');
      const valid = Buffer.from(readBytes(file));
      fuzz((random) => {
        const bytes = mutate(random, valid, valid);
        const content = decodeJournal(bytes);
        if (!content.usable) return;
        for (const [handle, { names }] of content.set.directories)
          for (const name of names)
            assert.ok(set.directories.get(handle)?.names.has(name), `a name ${name} in ${handle} that nobody touched`);
        for (const [handle, { whole, ranges }] of content.set.objects) {
          const known = set.objects.get(handle);
          assert.ok(known !== undefined, `an object ${handle} that nobody touched`);
          assert.ok(!whole || known.whole);
          for (const { start, end } of ranges) for (let granule = start; granule < end; granule += 1) assert.ok(known.ranges.has(granule));
        }
      });
      writeFileSync(file, mutate(new Random(SEED), valid, valid));
      assert.notEqual(readJournal(directory, 'ff'.repeat(16)).state, 'none');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('are answered once or not at all as a request of the kernel, and touch nothing outside of its directory', () => {
    const around = mkdtempSync(join(tmpdir(), 'holdfast-fuzz-'));
    const directory = join(around, 'directory');
    mkdirSync(directory);
    writeFileSync(join(around, 'outside'), 'outside');
    const kernel = new Kernel(directory);
    try {
      const samples = kernel.requests();
      for (const each of samples.slice(0, 2)) kernel.ask(each);
      for (const request of kernel.escapes([join(around, 'out'), '../out', 'directory/../../out', '..'], join(around, 'outside'))) {
        kernel.ask(request);
        assert.deepEqual(readdirSync(around).sort(), ['directory', 'outside']);
      }
      for (const request of samples) kernel.ask(request);
      fuzz((random) => {
        kernel.ask(mutate(random, random.pick(samples), random.pick(samples)));
        // What a pool thread answers may come later.
        assert.ok(kernel.answered <= kernel.asked, `${kernel.answered} answers to ${kernel.asked} requests`);
      });
      assert.deepEqual(readdirSync(around).sort(), ['directory', 'outside']);
      assert.equal(readFileSync(join(around, 'outside'), 'utf8'), 'outside');
    } finally {
      kernel.close();
      rmSync(around, { recursive: true, force: true });
    }
  });
});

function readBytes(path: string): Buffer {
  const fd = sys.openat(-100, sys.cString(path), 0, 0);
  const bytes = Buffer.alloc(1 << 20);
  const length = sys.read(fd, bytes, bytes.length);
  sys.close(fd);
  return bytes.subarray(0, length);
}

const socketpair = koffi.load('libc.so.6').func('int socketpair(int, int, int, void*)') as (...values: unknown[]) => number;
const [AF_UNIX, SOCK_SEQPACKET, SOCK_NONBLOCK] = [1, 5, 0o4000];

const name = (...texts: readonly string[]): Buffer => Buffer.concat(texts.map((text) => sys.cString(text)));
const words = (...values: readonly number[]): Buffer => Buffer.from(new Uint32Array(values).buffer);

function request(opcode: Opcode, nodeId: number, ...body: readonly Buffer[]): Buffer {
  const payload = Buffer.concat(body);
  return Buffer.concat([words(40 + payload.length, opcode, 7, 0, nodeId, 0, 0, 0, 1, 0), payload]);
}

/** In the place of the kernel: the file system of a primary that is alone, behind a socket that keeps requests apart. */
class Kernel {
  asked = 0;
  answered = 0;
  readonly #store: Store;
  readonly #epoll = new EpollSet();
  readonly #pool = new Pool(this.#epoll);
  readonly #device: FuseDevice;
  readonly #fileSystem: FileSystem;
  readonly #fd: number;
  readonly #reply = Buffer.from(new ArrayBuffer((1 << 20) + 4096));

  constructor(directory: string) {
    this.#store = new Store([directory]);
    const boundary = new Boundary(this.#store);
    const trees = { store: this.#store, nodes: new NodeTable(this.#store, boundary), boundary };
    const journal = new DirtySet();
    const pipeline = new Pipeline(trees, {
      recorder: () => journal,
      flushJournal: () => undefined,
      activity: () => undefined,
      admits: () => true,
      diverged: () => assert.fail('diverged without a peer'),
      syncLocally: (handle, _isDatasync, done) => done(sys.fsync(this.#store.descriptor(handle))),
      diskFailed: () => assert.fail('no peer could go on'),
      isAttended: () => true,
      peerFailed: () => assert.fail('no peer can fail'),
    });
    this.#fileSystem = new FileSystem(trees, pipeline, this.#pool, undefined, 'write');
    const pair = Buffer.alloc(8);
    assert.equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    this.#fd = pair.readInt32LE(0);
    this.#device = new FuseDevice(pair.readInt32LE(4), 0);
  }

  /** One valid request of every kind; the first ones make what the others name. */
  requests(): Buffer[] {
    const [file, directory] = [2, 3];
    return [
      request(Opcode.Init, 0, words(7, 41, 1 << 20, 0xffffffff)),
      request(Opcode.Create, 1, words(0o102, 0o100644, 0, 0), name('file')),
      request(Opcode.MkDir, 1, words(0o755, 0), name('directory')),
      request(Opcode.Lookup, 1, name('file')),
      request(Opcode.GetAttr, file, words(0, 0, 0, 0)),
      request(Opcode.SetAttr, file, words(0x1ff, 0, 0, 0, 1000, 0, 0, 0, 5, 0, 6, 0, 7, 0, 8, 9, 10, 0o644, 0, 1, 2, 0)),
      request(Opcode.Write, file, words(0, 0, 100, 0, 11, 0, 0, 0, 0, 0), Buffer.from('hello world')),
      request(Opcode.Read, file, words(0, 0, 0, 0, 4096, 0, 0, 0, 0, 0)),
      request(Opcode.FAllocate, file, words(0, 0, 0, 0, 4096, 0, 3, 0)),
      request(Opcode.LSeek, file, words(0, 0, 10, 0, 3, 0)),
      request(Opcode.FSync, file, words(0, 0, 1, 0)),
      request(Opcode.MkNod, directory, words(0o010644, 0, 0, 0), name('pipe')),
      request(Opcode.Symlink, directory, name('link', 'target')),
      request(Opcode.ReadLink, 5),
      request(Opcode.Link, directory, words(file, 0), name('hard')),
      request(Opcode.Rename, directory, words(1, 0), name('hard', 'moved')),
      request(Opcode.Rename2, 1, words(directory, 0, 2, 0), name('moved', 'link')),
      request(Opcode.ReadDir, directory, words(0, 0, 0, 0, 4096, 0, 0, 0, 0, 0)),
      request(Opcode.ReadDirPlus, 1, words(0, 0, 0, 0, 4096, 0, 0, 0, 0, 0)),
      request(Opcode.StatFs, 1),
      request(Opcode.Unlink, directory, name('pipe')),
      request(Opcode.RmDir, 1, name('directory')),
      request(Opcode.BatchForget, 0, words(1, 0, file, 0, 1, 0)),
      request(Opcode.Forget, file, words(1, 0)),
      request(Opcode.Flush, file, words(0, 0, 0, 0, 0, 0)),
      request(Opcode.Destroy, 0),
    ];
  }

  /** Every request that takes a name, with names that lead out of the directory; `outside` is a file that is there. */
  escapes(paths: readonly string[], outside: string): Buffer[] {
    return [...paths, outside].flatMap((path) => [
      request(Opcode.Lookup, 1, name(path)),
      request(Opcode.Create, 1, words(0o102, 0o100644, 0, 0), name(path)),
      request(Opcode.MkDir, 1, words(0o755, 0), name(path)),
      request(Opcode.MkNod, 1, words(0o010644, 0, 0, 0), name(path)),
      request(Opcode.Symlink, 1, name(path, 'target')),
      request(Opcode.Link, 1, words(2, 0), name(path)),
      request(Opcode.Rename, 1, words(1, 0), name('file', path)),
      request(Opcode.Rename, 1, words(1, 0), name(path, 'in')),
      request(Opcode.Rename2, 1, words(1, 0, 2, 0), name('file', path)),
      request(Opcode.Unlink, 1, name(path)),
      request(Opcode.RmDir, 1, name(path)),
    ]);
  }

  ask(request: Buffer): void {
    if (request.length === 0) return;
    this.asked += 1;
    assert.equal(sys.write(this.#fd, request, request.length), request.length);
    try {
      this.#fileSystem.serve(this.#device);
    } catch (error) {
      // A kernel that names what it has forgotten is a broken one: nothing is served any more. Nothing else may end the data thread.
      assert.match(String(error), /which it had forgotten/);
    }
    this.#epoll.wait(0);
    for (let got = this.#read(); got > 0; got = this.#read()) {
      assert.equal(this.#reply.readUInt32LE(0), got, 'a reply that is not as long as it says');
      this.answered += 1;
    }
  }

  close(): void {
    this.#pool.close();
    this.#epoll.close();
    this.#device.close();
    sys.close(this.#fd);
    this.#store.close();
  }

  #read(): number {
    return sys.read(this.#fd, this.#reply, this.#reply.length);
  }
}
