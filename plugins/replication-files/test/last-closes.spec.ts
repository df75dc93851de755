import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from '../src/data/pool.js';
import { RecordingStore } from '../src/image/recording-store.js';
import { EpollSet } from '../src/system/epoll.js';
import { Store } from '../src/store/store.js';
import type { Handle } from '../src/store/handle.js';
import { close } from '../src/system/calls.js';
import { EBADF } from '../src/system/errno.js';

describe('closing a file that was removed', () => {
  let directory: string;
  let store: Store;
  let elsewhere: number[];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-closes-'));
    store = new Store([directory]);
    elsewhere = [];
    store.lastCloses.closeElsewhere = (fd) => elsewhere.push(fd);
  });
  afterEach(() => {
    store.close();
    rmSync(directory, { recursive: true });
  });

  /** As primary and secondary do it. */
  function remove(bytes: number, links: number): void {
    const [root, name] = [store.roots[0] as Handle, Buffer.from('file')];
    const file = store.create(root, name, { mode: 0o100644, uid: 0, gid: 0, rdev: 0, target: undefined, id: 1000n });
    assert.ok(typeof file !== 'number');
    assert.equal(store.fallocate(file, 0, 0, bytes), 0);
    for (let link = 1; link < links; link += 1) assert.equal(store.link(file, root, Buffer.from(`link ${link}`)), 0);
    store.release(file);
    assert.equal(store.lookup(root, name), file);
    store.lastCloses.expect(file, store.stat);
    assert.equal(store.unlink(root, name), 0);
    store.release(file);
  }

  it('is left to another thread when the file was large, and its name is gone before', () => {
    remove(80 << 20, 1);
    assert.equal(elsewhere.length, 1);
    assert.equal(close(elsewhere[0] as number), 0, 'it was closed here already');
  });

  it('is done at once when the file was small, or has another name', () => {
    remove(1 << 20, 1);
    remove(80 << 20, 2);
    assert.deepEqual(elsewhere, []);
    assert.equal(close(1_000_000), -EBADF);
  });

  it('gives the blocks of a file back that was still used when it was removed, as soon as it is not', () => {
    const [root, name] = [store.roots[0] as Handle, Buffer.from('file')];
    const file = store.create(root, name, { mode: 0o100644, uid: 0, gid: 0, rdev: 0, target: undefined, id: 1000n });
    assert.ok(typeof file !== 'number');
    const fd = store.pin(file);
    assert.equal(store.unlink(root, name), 0);
    store.release(file);
    assert.equal(store.attributes(file), 0);
    store.unpin(file);
    assert.equal(close(fd), -EBADF, 'its descriptor is still open');
  });
});

describe('a full disk on which something was removed', () => {
  const DISK_MIB = 300;
  const LARGE_BYTES = 100 << 20;
  const NEW_FILE = { mode: 0o100644, uid: 0, gid: 0, rdev: 0, target: undefined };
  /** A request of the kernel that nobody will answer: whoever reads the next one waits. */
  const FUSE_REQUEST_BYTES = 1 << 20;
  let base: string;
  let epoll: EpollSet;
  let pool: Pool;
  let store: RecordingStore;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'holdfast-closes-'));
    for (const name of ['disk', 'state', 'fuse']) mkdirSync(join(base, name));
    execFileSync('truncate', ['-s', `${DISK_MIB}M`, join(base, 'image')]);
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', join(base, 'image')]);
    execFileSync('mount', ['-o', 'loop', join(base, 'image'), join(base, 'disk')]);
    epoll = new EpollSet();
    pool = new Pool(epoll);
    store = new RecordingStore([join(base, 'disk')], join(base, 'state'), () => undefined);
    store.lastCloses.closeElsewhere = (fd) => {
      pool.run({ call: 'close', fd }, () => undefined);
    };
    store.roomMakers.push(() => pool.finishCloses());
  });
  afterEach(() => {
    store.close();
    pool.close();
    epoll.close();
    execFileSync('umount', [join(base, 'disk')]);
    rmSync(base, { recursive: true });
  });

  /** Keeps all pool threads waiting. @returns lets them go */
  function occupyPool(): () => void {
    const fd = openSync('/dev/fuse', 'r+');
    const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
    execFileSync('mount', ['-i', '-t', 'fuse.test', '-o', options, 'test', join(base, 'fuse')], {
      stdio: ['ignore', 'ignore', 'inherit', fd],
    });
    readSync(fd, Buffer.alloc(FUSE_REQUEST_BYTES));
    let left = 4;
    for (let job = 0; job < 4; job += 1) pool.run({ call: 'load', fd, offset: 0, length: FUSE_REQUEST_BYTES }, () => (left -= 1));
    return () => {
      execFileSync('umount', ['-l', join(base, 'fuse')]);
      while (left > 0) epoll.wait(1000);
      closeSync(fd);
    };
  }

  it('waits for the blocks of a large file that are being given back before it reports that there is no room', () => {
    const root = store.roots[0] as Handle;
    const letGo = occupyPool();
    try {
      const removed = store.create(root, Buffer.from('removed'), { ...NEW_FILE, id: 1000n });
      const added = store.create(root, Buffer.from('added'), { ...NEW_FILE, id: 1001n });
      assert.ok(typeof removed !== 'number' && typeof added !== 'number');
      assert.equal(store.fallocate(removed, 0, 0, LARGE_BYTES), 0);
      assert.equal(store.attributes(removed), 0);
      store.lastCloses.expect(removed, store.stat);
      assert.equal(store.unlink(root, Buffer.from('removed')), 0);
      store.release(removed);
      assert.equal(store.fallocate(added, 0, 0, 2.2 * LARGE_BYTES), 0);
    } finally {
      letGo();
    }
  });
});
