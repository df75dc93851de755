/**
 * Two trees on this machine, a real connection between them on loopback, and the two ends of a resync in one epoll loop. Also the
 * application: operations on the source's tree that touch a journal exactly as the primary does.
 */
import { strict as assert } from 'node:assert';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError, type ResyncSummary } from '@holdfast/sdk';
import { Boundary } from '../src/boundary/boundary.js';
import type { Exclusion } from '../src/boundary/rules.js';
import { RecentSet, type DirtySet, type TouchRecorder } from '../src/journal/dirty-set.js';
import { RecordingStore } from '../src/image/recording-store.js';
import { InconsistentMarker } from '../src/journal/marker.js';
import { Channel, type Delivered } from '../src/link/channel.js';
import { DataConnector, DataListener } from '../src/link/data-connection.js';
import { ResyncSource } from '../src/resync/source.js';
import { Trash } from '../src/resync/trash.js';
import { Applier, type SyncPool } from '../src/secondary/applier.js';
import { isDirectory, isRegular, type Handle } from '../src/store/handle.js';
import { newObjectId } from '../src/store/object-id.js';
import { Store } from '../src/store/store.js';
import { fdatasync, fsync, syncfs } from '../src/system/calls.js';
import { ENODATA, ENOSPC } from '../src/system/errno.js';
import { EpollSet } from '../src/system/epoll.js';
import type { Answer } from '../src/wire/messages.js';

export const nowMs = (): number => performance.now();

/** Waits for the disk at once, on this thread. */
export const POOL: SyncPool = {
  run: ({ call, fd }, done) => done({ fsync, fdatasync, syncfs, load: () => 0 }[call](fd)),
};

const WAIT_MAX_MS = 20_000;
export const SILENCE_MAX_MS = 10_000;

/** Turns the loop until the condition holds. */
export function turnUntil(epoll: EpollSet, what: string, condition: () => boolean, each: () => void = () => undefined): void {
  const deadline = nowMs() + WAIT_MAX_MS;
  while (!condition()) {
    each();
    epoll.wait(condition() ? 0 : 1);
    if (nowMs() > deadline) assert.fail(`waited ${WAIT_MAX_MS / 1000} s for ${what}`);
  }
}

export interface Wire {
  readonly epoll: EpollSet;
  readonly primary: Channel;
  readonly secondary: Channel;
  close(): void;
}

export interface WireHandlers {
  onPrimary(messages: readonly Delivered[]): void;
  onSecondary(messages: readonly Delivered[]): void;
  onLost?(side: 'primary' | 'secondary', error: HoldfastError): void;
}

/** A connection as the two data threads make it. */
export function connectWire(handlers: WireHandlers, clock = nowMs): Wire {
  const epoll = new EpollSet();
  const cookie = randomBytes(32);
  const [toSecondary, toPrimary] = [randomBytes(32), randomBytes(32)];
  const { endpoint, listener } = listenSomewhere(epoll);
  let secondaryFd = -1;
  let primaryFd = -1;
  listener.expect(cookie, (fd) => (secondaryFd = fd));
  const connector = new DataConnector(epoll, endpoint, cookie, (outcome) => {
    if (typeof outcome !== 'number') throw outcome;
    primaryFd = outcome;
  });
  try {
    turnUntil(epoll, 'the data connection', () => primaryFd >= 0 && secondaryFd >= 0);
  } finally {
    listener.close();
    connector.cancel();
  }
  const lost = (side: 'primary' | 'secondary') => (error: HoldfastError) => handlers.onLost?.(side, error);
  const primary = new Channel(epoll, primaryFd, {
    sendKey: toSecondary,
    receiveKey: toPrimary,
    silenceMaxMs: SILENCE_MAX_MS,
    nowMs: clock,
    onMessages: (m) => handlers.onPrimary(m),
    onLost: lost('primary'),
  });
  const secondary = new Channel(epoll, secondaryFd, {
    sendKey: toPrimary,
    receiveKey: toSecondary,
    silenceMaxMs: SILENCE_MAX_MS,
    nowMs: clock,
    onMessages: (m) => handlers.onSecondary(m),
    onLost: lost('secondary'),
  });
  return {
    epoll,
    primary,
    secondary,
    close() {
      primary.close();
      secondary.close();
      epoll.close();
    },
  };
}

let nextPort = 20_000 + (process.pid % 10_000);

/** Listens on loopback, on the next port that is free. */
export function listenSomewhere(
  epoll: EpollSet,
  clock = nowMs,
): { readonly endpoint: { address: string; port: number }; readonly listener: DataListener } {
  for (let attempts = 0; ; attempts += 1) {
    nextPort = nextPort >= 32_000 ? 20_000 : nextPort + 1;
    const endpoint = { address: '127.0.0.1', port: nextPort };
    try {
      return { endpoint, listener: new DataListener(epoll, endpoint, clock) };
    } catch (error) {
      if (attempts > 100) throw error;
    }
  }
}

/** Two directories with a store and a state directory each. */
export class Lab {
  readonly base = mkdtempSync(join(tmpdir(), 'holdfast-resync-'));
  readonly roots: { readonly source: string[]; readonly target: string[] } = { source: [], target: [] };
  readonly state: string;
  source: Store;
  target: RecordingStore;
  readonly marker: InconsistentMarker;
  readonly recent = new RecentSet();
  /** What was said of the image. */
  readonly log: string[] = [];
  exclusions: readonly (readonly Exclusion[])[] = [];

  /** @param prepareTarget called with each directory of the target before it is used */
  constructor(rootCount = 1, prepareTarget: (path: string) => void = () => undefined) {
    for (let i = 0; i < rootCount; i += 1) {
      for (const side of ['source', 'target'] as const) {
        const path = join(this.base, `${side}${i}`);
        mkdirSync(path);
        this.roots[side].push(path);
      }
    }
    this.roots.target.forEach((path) => prepareTarget(path));
    this.state = join(this.base, 'state');
    mkdirSync(this.state);
    this.marker = new InconsistentMarker(this.state);
    this.source = new Store(this.roots.source);
    this.target = this.openTarget();
  }

  openTarget(): RecordingStore {
    return new RecordingStore(this.roots.target, this.state, (message) => this.log.push(message));
  }

  close(): void {
    this.source.close();
    this.target.close();
    rmSync(this.base, { recursive: true, force: true });
  }

  /**
   * Runs one resync to its end.
   * @param during called in every turn while it runs; modifications must touch `pending` and ask `admits`
   * @param stopAfter closes the connection after so many messages to the target: an interrupted resync
   */
  resync(
    mode: 'journal' | 'compare',
    differs: DirtySet,
    options: { during?: (source: ResyncSource) => void; stopAfter?: number } = {},
  ): ResyncSummary | undefined {
    let summary: ResyncSummary | undefined;
    let failure: HoldfastError | undefined;
    let isStopped = false;
    let received = 0;
    const wire = connectWire({
      onPrimary: (messages) => {
        for (const message of messages)
          if (message.kind === 'failed') failure = new HoldfastError(message.code, message.message);
          else source.answer(message as Answer);
      },
      onSecondary: (messages) => {
        received += messages.length;
        if (options.stopAfter !== undefined && received > options.stopAfter) {
          const rest = messages.slice(0, Math.max(0, messages.length - (received - options.stopAfter)));
          applier.handle(rest);
          isStopped = true;
        } else applier.handle(messages);
      },
      onLost: (_side, error) => (failure = error),
    });
    const trash = new Trash(this.target);
    const applier = new Applier({
      store: this.target,
      trash,
      boundary: new Boundary(this.target, this.exclusions),
      channel: wire.secondary,
      marker: this.marker,
      image: this.target.image,
      recent: this.recent,
      pool: POOL,
      async: 'second',
      onVerified: () => undefined,
      onState: () => undefined,
      onFailed: (error) => (failure = error),
    });
    const source = new ResyncSource({
      store: this.source,
      boundary: new Boundary(this.source, this.exclusions),
      channel: wire.primary,
      mode,
      differs,
      pool: POOL,
      nowMs,
      firstSeq: 1,
      release: () => undefined,
      identical: (done) => {
        assert.equal(this.marker.isSet, false, 'the source was told "identical" while the target is still marked');
        done();
      },
      done: (result) => (summary = result),
      failed: (error) => (failure = error),
    });
    try {
      turnUntil(
        wire.epoll,
        'the end of the resync',
        () => summary !== undefined || failure !== undefined || isStopped,
        () => {
          options.during?.(source);
          source.step();
        },
      );
      if (failure !== undefined) throw failure;
      if (!isStopped) while (trash.removeSome());
      return summary;
    } finally {
      source.stop();
      applier.close();
      wire.close();
    }
  }
}

/** What a tree looks like to applications: one line of text per path. Equal texts: identical trees. */
export function picture(store: Store): string[] {
  const lines: string[] = [];
  const names = new Map<Handle, string>();
  const visit = (directory: Handle, path: string): void => {
    const entries: Buffer[] = [];
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch: ReturnType<Store['readDirectory']> = store.readDirectory(directory, next);
      assert.ok(typeof batch !== 'number');
      entries.push(...batch.entries.map((entry) => entry.name));
      next = batch.next;
    }
    for (const name of entries.sort((a, b) => Buffer.compare(a, b))) {
      const handle = store.lookup(directory, name);
      assert.ok(typeof handle !== 'number');
      const { mode, uid, gid, rdev, mtimeSeconds, mtimeNanoseconds, size, nlink } = store.stat;
      const where = `${path}/${name.toString('latin1')}`;
      const first = names.get(handle);
      if (first === undefined) names.set(handle, where);
      const content = isRegular(handle) ? `${size} ${contentOf(store, handle, size)}` : '';
      const times = `${mtimeSeconds}.${mtimeNanoseconds}`;
      const links = isDirectory(handle) ? '' : `${nlink} ${first ?? ''}`;
      const link = linkOf(store, handle, mode);
      lines.push(
        [JSON.stringify(where), mode.toString(8), uid, gid, rdev, times, links, link, content, xattrsOf(store, handle)].join(' | '),
      );
      if (isDirectory(handle)) visit(handle, where);
    }
  };
  for (const [index, root] of store.roots.entries()) {
    store.attributes(root);
    lines.push(
      `root ${index} ${store.stat.mode.toString(8)} ${store.stat.mtimeSeconds}.${store.stat.mtimeNanoseconds} ${xattrsOf(store, root)}`,
    );
    visit(root, String(index));
  }
  return lines;
}

function contentOf(store: Store, handle: Handle, size: number): string {
  const bytes = Buffer.alloc(size);
  assert.equal(store.read(handle, 0, bytes, size), size);
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

function xattrsOf(store: Store, handle: Handle): string {
  const names = store.xattrs.names(handle);
  assert.ok(typeof names !== 'number');
  return names
    .sort()
    .map((name) => `${name}=${(store.xattrs.value(handle, name) as Buffer).toString('base64')}`)
    .join(',');
}

function linkOf(store: Store, handle: Handle, mode: number): string {
  if ((mode & 0o170000) !== 0o120000) return '';
  const into = Buffer.alloc(4096);
  return into.toString('latin1', 0, store.readlink(handle, into));
}

/** The application on the primary: every operation touches what the primary's file system would touch. */
export class Application {
  constructor(
    private readonly store: Store,
    readonly touched: TouchRecorder,
  ) {}

  create(parent: Handle, name: Buffer, mode: number, target?: Buffer): Handle {
    const object = { mode, uid: 0, gid: 0, rdev: 0, target, id: newObjectId() };
    const handle = this.store.create(parent, name, object);
    assert.ok(typeof handle !== 'number', `create: ${String(handle)}`);
    this.touched.touchName(parent, this.idOf(parent), name);
    return handle;
  }

  write(file: Handle, offset: number, data: Buffer, parent: Handle, name: Buffer): void {
    assert.equal(this.store.write(file, offset, data), data.length);
    this.touched.touchData(file, offset, data.length, parent, name);
  }

  truncate(file: Handle, size: number, parent: Handle, name: Buffer): void {
    this.store.attributes(file);
    const before = this.store.stat.size;
    assert.equal(this.store.setAttributes(file, { size }), 0);
    if (size < before) this.touched.touchData(file, size, before - size, parent, name);
    this.touched.touchAttributes(file, parent, name);
  }

  attributes(handle: Handle, change: { mode?: number; uid?: number; gid?: number }, parent: Handle, name: Buffer): void {
    assert.equal(this.store.setAttributes(handle, change), 0);
    this.touched.touchAttributes(handle, parent, name);
  }

  setXattr(handle: Handle, xattr: string, value: Buffer, parent: Handle, name: Buffer): void {
    const outcome = this.store.setXattr(handle, xattr, value, 0, false);
    // ext4 has room for one block of them.
    assert.ok(outcome === 0 || outcome === -ENOSPC, `setxattr ${xattr}: ${outcome}`);
    this.touched.touchAttributes(handle, parent, name);
  }

  removeXattr(handle: Handle, xattr: string, parent: Handle, name: Buffer): void {
    const outcome = this.store.xattrs.remove(handle, xattr);
    assert.ok(outcome === 0 || outcome === -ENODATA, `removexattr ${xattr}: ${outcome}`);
    this.touched.touchAttributes(handle, parent, name);
  }

  rename(parent: Handle, name: Buffer, newParent: Handle, newName: Buffer, flags = 0): number {
    const outcome = this.store.rename(parent, name, newParent, newName, flags);
    if (outcome < 0) return outcome;
    this.touched.touchName(parent, this.idOf(parent), name);
    this.touched.touchName(newParent, this.idOf(newParent), newName);
    return 0;
  }

  link(object: Handle, oldParent: Handle, oldName: Buffer, parent: Handle, name: Buffer): number {
    const outcome = this.store.link(object, parent, name);
    if (outcome < 0) return outcome;
    this.touched.touchName(oldParent, this.idOf(oldParent), oldName);
    this.touched.touchName(parent, this.idOf(parent), name);
    return 0;
  }

  remove(parent: Handle, name: Buffer, handle: Handle): number {
    const outcome = isDirectory(handle) ? this.store.rmdir(parent, name) : this.store.unlink(parent, name);
    if (outcome < 0) return outcome;
    this.touched.touchName(parent, this.idOf(parent), name);
    this.store.release(handle);
    return 0;
  }

  private idOf(directory: Handle): bigint {
    let id = this.store.readId(directory);
    if (id === 0n) {
      id = newObjectId();
      assert.equal(this.store.writeId(directory, id), 0);
    }
    return id;
  }
}
