import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HoldfastError } from '@holdfast/sdk';
import { Boundary } from '../src/boundary/boundary.js';
import { RecentSet, type DirtySet } from '../src/journal/dirty-set.js';
import { InconsistentMarker } from '../src/journal/marker.js';
import { Applier, type SyncPool } from '../src/secondary/applier.js';
import { newObjectId } from '../src/store/object-id.js';
import { Trash } from '../src/resync/trash.js';
import { Store } from '../src/store/store.js';
import type { Handle } from '../src/store/handle.js';
import { EEXIST, EISDIR, ENOENT, ENOSPC, ENOTEMPTY } from '../src/system/errno.js';
import { VALID, type LiveRequest, type Message } from '../src/wire/messages.js';
import { POOL } from './resync-lab.js';

type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never;
type Live = WithoutSeq<LiveRequest>;

const ZERO = { seconds: 0, nanoseconds: 0 };
const name = (text: string): Buffer => Buffer.from(text);

/** One secondary whose channel is a list: what it answers, and when it flushes. */
class Node {
  readonly base: string;
  readonly store: Store;
  readonly state = mkdtempSync(join(tmpdir(), 'holdfast-state-'));
  readonly marker = new InconsistentMarker(this.state);
  readonly recent = new RecentSet();
  readonly sent: Message[] = [];
  readonly failures: HoldfastError[] = [];
  readonly states: string[] = [];
  /** What had been applied at each flush: to see what is acknowledged before it is applied. */
  onFlush: () => void = () => undefined;
  readonly applier: Applier;
  #seq = 0;

  /** @param base its replicated directory; removed at the end */
  constructor(async: 'second' | 'none', pool: SyncPool = POOL, base = mkdtempSync(join(tmpdir(), 'holdfast-secondary-'))) {
    this.base = base;
    this.store = new Store([base]);
    this.applier = new Applier({
      store: this.store,
      boundary: new Boundary(this.store),
      channel: {
        send: (message) => this.sent.push(message),
        flush: () => this.onFlush(),
        fail: (code, message) => this.sent.push({ kind: 'failed', seq: 0, code, message }),
      },
      marker: this.marker,
      recent: this.recent,
      pool,
      trash: new Trash(this.store),
      async,
      onVerified: () => undefined,
      onState: (state) => this.states.push(state),
      onFailed: (error) => this.failures.push(error),
    });
  }

  connect(): this {
    this.applier.handle([
      { kind: 'resync-begin', seq: this.#next(), mode: 'journal' },
      { kind: 'resync-finish', seq: this.#next() },
    ]);
    assert.deepEqual(this.states, ['resynchronising', 'connected']);
    this.sent.length = 0;
    return this;
  }

  /** The errnos of the answers. */
  apply(...requests: Live[]): number[] {
    this.sent.length = 0;
    this.applier.handle(requests.map((request) => ({ ...request, seq: this.#next() })));
    return this.sent.map((message) => (message.kind === 'ack' ? message.errno : -1));
  }

  create(parent: bigint, text: string, mode: number): bigint {
    const object = newObjectId();
    assert.deepEqual(this.apply(create(object, parent, text, mode)), [0]);
    return object;
  }

  find(parent: Handle, text: string): Handle | undefined {
    const handle = this.store.lookup(parent, name(text));
    return typeof handle === 'number' ? undefined : handle;
  }

  get root(): Handle {
    return this.store.roots[0] as Handle;
  }

  close(): void {
    this.applier.close();
    this.store.close();
    rmSync(this.base, { recursive: true, force: true });
    rmSync(this.state, { recursive: true, force: true });
  }

  #next(): number {
    this.#seq += 1;
    return this.#seq;
  }
}

function create(object: bigint, parent: bigint, text: string, mode: number): Live {
  return { kind: 'create', object, parent, name: name(text), mode, uid: 7, gid: 8, rdev: 0, target: Buffer.alloc(0) };
}

function setattr(object: bigint, valid: number, change: Partial<Extract<LiveRequest, { kind: 'setattr' }>>): Live {
  return { kind: 'setattr', object, valid, mode: 0, uid: 0, gid: 0, size: 0, atime: ZERO, mtime: ZERO, ...change };
}

const write = (object: bigint, offset: number, text: string): Live => ({ kind: 'write', object, offset, data: Buffer.from(text) });

describe('secondary', () => {
  let node: Node;
  afterEach(() => node.close());

  it('gives files their group, and leaves the process its own when it ends', () => {
    const groups = (): string => /^Gid:\t(.*)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1] ?? '';
    const own = groups();
    node = new Node('none').connect();
    const made = node.create(1n, 'file', 0o100644);
    assert.notEqual(made, 0n);
    assert.equal(statSync(join(node.base, 'file')).gid, 8);
    assert.notEqual(groups(), own);
    node.close();
    assert.equal(groups(), own);
    node = new Node('none');
  });

  for (const async of ['second', 'none'] as const) {
    it(`applies every modification in order (async ${async})`, () => {
      node = new Node(async).connect();
      const directory = node.create(1n, 'directory', 0o042755);
      const file = node.create(directory, 'file', 0o104644);
      const errnos = node.apply(
        write(file, 5, 'world'),
        write(file, 0, 'hello'),
        setattr(file, VALID.size | VALID.mode | VALID.mtime, {
          size: 8,
          mode: 0o600,
          mtime: { seconds: 1_000_000_000, nanoseconds: 123_456_789 },
        }),
        { kind: 'link', object: file, parent: 1n, name: name('link') },
        { kind: 'rename', parent: directory, name: name('file'), newParent: 1n, newName: name('moved'), flags: 0 },
        { kind: 'rename', parent: 1n, name: name('moved'), newParent: 1n, newName: name('directory'), flags: 2 },
        { kind: 'fsync', object: file, datasync: true },
      );
      assert.deepEqual(errnos, [0, 0, 0, 0, 0, 0, 0]);
      const found = node.find(node.root, 'directory');
      assert.ok(found !== undefined);
      const { mode, uid, gid, nlink, mtimeNanoseconds } = node.store.stat;
      assert.deepEqual([mode, uid, gid, nlink, mtimeNanoseconds], [0o100600, 7, 8, 2, 123_456_789]);
      const content = Buffer.alloc(20);
      assert.equal(content.toString('utf8', 0, node.store.read(found, 0, content, 20)), 'hellowor');
      assert.equal(node.find(node.root, 'link'), found);
      assert.deepEqual(
        node.apply({ kind: 'unlink', parent: 1n, name: name('link') }, { kind: 'rmdir', parent: 1n, name: name('moved') }),
        [0, 0],
      );
      assert.equal(node.find(node.root, 'moved'), undefined);
    });
  }

  it('answers with the errno and changes nothing when a step is not possible', () => {
    node = new Node('second').connect();
    const directory = node.create(1n, 'directory', 0o040755);
    node.create(directory, 'file', 0o100644);
    const errnos = node.apply(
      create(newObjectId(), 1n, 'directory', 0o040755),
      { kind: 'unlink', parent: 1n, name: name('absent') },
      { kind: 'unlink', parent: 1n, name: name('directory') },
      { kind: 'rmdir', parent: 1n, name: name('directory') },
      { kind: 'rename', parent: 1n, name: name('absent'), newParent: 1n, newName: name('b'), flags: 0 },
      { kind: 'rename', parent: directory, name: name('file'), newParent: 1n, newName: name('directory'), flags: 1 },
    );
    assert.deepEqual(errnos, [EEXIST, ENOENT, EISDIR, ENOTEMPTY, ENOENT, EEXIST]);
    assert.equal(node.marker.isSet, false);
  });

  it('acknowledges a write before it is applied with async second, and after it with none', () => {
    for (const async of ['second', 'none'] as const) {
      node = new Node(async).connect();
      const file = node.create(1n, 'file', 0o100644);
      const handle = node.find(node.root, 'file') as Handle;
      const seen: { acknowledged: number; size: number }[] = [];
      node.onFlush = () => {
        node.store.attributes(handle);
        seen.push({ acknowledged: node.sent.length, size: node.store.stat.size });
      };
      node.apply(write(file, 0, 'aaaa'), write(file, 4, 'bbbb'));
      assert.deepEqual(seen[0], async === 'second' ? { acknowledged: 2, size: 0 } : { acknowledged: 2, size: 8 });
      assert.deepEqual(seen.at(-1), { acknowledged: 2, size: 8 });
      if (async === 'second') node.close();
    }
  });

  it('acknowledges a new file before it is made where there is room, anything else that is new after it', () => {
    const isMadeWhenAcknowledged = (mode: number): boolean => {
      const seen: boolean[] = [];
      node.onFlush = () => seen.push(node.find(node.root, `new ${mode}`) !== undefined);
      assert.deepEqual(node.apply(create(newObjectId(), 1n, `new ${mode}`, mode)), [0]);
      return seen[0] as boolean;
    };
    node = new Node('second').connect();
    assert.equal(isMadeWhenAcknowledged(0o100644), false);
    for (const mode of [0o040755, 0o010644]) assert.equal(isMadeWhenAcknowledged(mode), true);
    node.close();
    node = new Node('none').connect();
    assert.equal(isMadeWhenAcknowledged(0o100644), true);
  });

  it('answers that a new file failed where there is little room, and keeps the copy', () => {
    const small = mkdtempSync(join(tmpdir(), 'holdfast-small-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,nr_inodes=10', 'none', small]);
    try {
      node = new Node('second', POOL, small).connect();
    } finally {
      // Detached: gone as soon as nobody has it open.
      execFileSync('umount', ['-l', small]);
    }
    const errnos = Array.from({ length: 20 }, (_, index) => node.apply(create(newObjectId(), 1n, `f${index}`, 0o100644))[0]);
    assert.equal(errnos[0], 0);
    assert.equal(errnos.at(-1), ENOSPC);
    assert.equal(node.marker.isSet, false);
    assert.deepEqual(node.failures, []);
  });

  it('marks itself inconsistent before the primary can know, when an acknowledged file cannot be made', () => {
    node = new Node('second').connect();
    node.create(1n, 'taken', 0o040755);
    assert.deepEqual(node.apply(create(newObjectId(), 1n, 'taken', 0o100644)), [0, -1]);
    assert.deepEqual([node.marker.isSet, node.failures[0]?.code], [true, 'HF_REPLICATION_APPLY']);
  });

  it('marks itself inconsistent before the primary can know, when an acknowledged write fails', () => {
    node = new Node('second').connect();
    const directory = node.create(1n, 'directory', 0o040755);
    assert.deepEqual(node.apply(write(directory, 0, 'data')), [0, -1]);
    assert.equal(node.sent.at(-1)?.kind, 'failed');
    assert.deepEqual([node.marker.isSet, node.marker.needsCompare], [true, false]);
    assert.equal(node.failures[0]?.code, 'HF_REPLICATION_APPLY');
    assert.deepEqual(node.apply(write(directory, 0, 'data')), [], 'nothing is applied or answered after that');
  });

  it('takes writes to an object that was removed meanwhile as done', () => {
    node = new Node('second').connect();
    const file = node.create(1n, 'file', 0o100644);
    assert.deepEqual(
      node.apply({ kind: 'unlink', parent: 1n, name: name('file') }, write(file, 0, 'late'), setattr(file, VALID.mode, { mode: 0o600 })),
      [0, 0, 0],
    );
    assert.equal(node.marker.isSet, false);
    for (let i = 0; i < 2; i += 1)
      assert.deepEqual(node.apply({ kind: 'checkpoint', phase: 'begin' }, { kind: 'checkpoint', phase: 'done' }), [0, 0]);
    node.apply(write(file, 0, 'much too late'));
    assert.equal(node.failures[0]?.code, 'HF_REPLICATION_DIVERGED');
  });

  it('labels what has no id, and reports another object as divergence', () => {
    node = new Node('second').connect();
    const [one, two] = [newObjectId(), newObjectId()];
    const handle = node.store.create(node.root, name('old'), {
      mode: 0o100644,
      uid: 0,
      gid: 0,
      rdev: 0,
      target: undefined,
      id: 0n,
    }) as Handle;
    assert.deepEqual(node.apply({ kind: 'introduce', object: one, parent: 1n, name: name('old') }, write(one, 0, 'data')), [0, 0]);
    assert.equal(node.store.readId(handle), one);
    node.apply({ kind: 'introduce', object: two, parent: 1n, name: name('old') });
    assert.equal(node.failures[0]?.code, 'HF_REPLICATION_DIVERGED');
    assert.equal(node.marker.needsCompare, true);
  });

  it('refuses modifications before a resync has finished, and answers that nobody asked for', () => {
    for (const message of [
      { kind: 'unlink', seq: 1, parent: 1n, name: name('x') },
      { kind: 'ack', seq: 1, errno: 0 },
    ] as const) {
      node?.close();
      node = new Node('second');
      node.applier.handle([message]);
      assert.equal(node.failures[0]?.code, 'HF_REPLICATION_FRAME');
      assert.equal(node.marker.isSet, false);
    }
  });

  it('names in its recent set everything since the checkpoint before the last that both nodes have finished', () => {
    const waiting: (() => void)[] = [];
    node = new Node('second', { run: (_job, done) => waiting.push(() => done(0)) });
    const flushed = (): void => waiting.splice(0).forEach((done) => done());
    node.applier.handle([
      { kind: 'resync-begin', seq: 1, mode: 'journal' },
      { kind: 'resync-finish', seq: 2 },
    ]);
    flushed();
    const file = node.create(1n, 'file', 0o100644);
    const handle = node.find(node.root, 'file') as Handle;
    node.apply(write(file, 65536, 'x'.repeat(70_000)));
    const names = (set: DirtySet): string[] => [...set.directories.values()].flatMap((directory) => [...directory.names]).sort();
    assert.deepEqual(names(node.recent.all()), ['file']);
    assert.deepEqual([...(node.recent.all().objects.get(handle)?.ranges ?? [])], [{ start: 1, end: 3 }]);
    assert.deepEqual(node.apply({ kind: 'checkpoint', phase: 'begin' }), [], 'the answer waits for the disk');
    node.create(1n, 'second', 0o100644);
    assert.deepEqual(names(node.recent.all()), ['file', 'second']);
    flushed();
    assert.deepEqual(names(node.recent.all()), ['file', 'second'], 'the other node may still be flushing');
    assert.deepEqual(node.apply({ kind: 'checkpoint', phase: 'done' }), [0]);
    const late = 'what was on its way at the cut is flushed there by the next checkpoint';
    assert.deepEqual(names(node.recent.all()), ['file', 'second'], late);
    node.apply({ kind: 'checkpoint', phase: 'begin' });
    flushed();
    assert.deepEqual(node.apply({ kind: 'checkpoint', phase: 'done' }), [0]);
    assert.deepEqual(names(node.recent.all()), ['second']);
    node.apply(setattr(file, VALID.size, { size: 10 }));
    assert.deepEqual([...(node.recent.all().objects.get(handle)?.ranges ?? [])], [{ start: 0, end: 3 }], 'what a truncation cut off');
    node.apply({ kind: 'link', object: file, parent: 1n, name: name('link') });
    assert.deepEqual(names(node.recent.all()), ['file', 'link', 'second'], 'a further link names the old name too');
    node.apply({ kind: 'times', stamps: [{ object: file, atime: ZERO, mtime: { seconds: 5, nanoseconds: 6 } }] });
    node.store.attributes(handle);
    assert.deepEqual([node.store.stat.mtimeSeconds, node.store.stat.mtimeNanoseconds], [5n, 6]);
  });
});
