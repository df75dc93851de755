import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DirtySet } from '../src/journal/dirty-set.js';
import type { Handle } from '../src/store/handle.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '../src/system/constants.js';
import { Random } from './random.js';
import { Application, Lab, picture } from './resync-lab.js';
import { modify } from './resync-random.js';

const MODE = { file: 0o100644, directory: 0o040755 } as const;
const SEEDS = Number(process.env.HOLDFAST_SEEDS ?? 6);
const MIB = 1 << 20;

describe('resync', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  const root = (): Handle => lab.source.roots[0] as Handle;

  function assertIdentical(what: string): void {
    const [ours, theirs] = [picture(lab.source), picture(lab.target)];
    const differing = ours
      .filter((line) => !theirs.includes(line))
      .concat(theirs.filter((line) => !ours.includes(line)).map((line) => `target: ${line}`));
    assert.deepEqual(differing, [], what);
    assert.deepEqual(theirs, ours);
    assert.equal(lab.marker.isSet, false);
  }

  // Those that have found something stay.
  const seeds = [...Array.from({ length: SEEDS }, (_, index) => index + 1), 64, 199];
  for (const seed of new Set(seeds)) {
    it(`makes trees identical after random modifications, by the journal (seed ${seed})`, () => {
      const random = new Random(seed);
      const ignored = new DirtySet();
      const before = new Application(lab.source, ignored);
      for (let i = 0; i < 120; i += 1) modify(lab.source, before, random);
      lab.resync('compare', new DirtySet());
      assertIdentical('after the first comparison');
      for (let cycle = 0; cycle < 4; cycle += 1) {
        const touched = new DirtySet();
        const app = new Application(lab.source, touched);
        for (let i = 0; i < 60; i += 1) modify(lab.source, app, random);
        const summary = lab.resync('journal', touched);
        assertIdentical(`cycle ${cycle}`);
        assert.equal(summary?.mode, 'journal', `cycle ${cycle}: the journal was enough`);
      }
    });

    it(`makes two unrelated trees identical by comparison (seed ${seed})`, () => {
      const random = new Random(seed * 1000);
      const [ours, theirs] = [new Application(lab.source, new DirtySet()), new Application(lab.target, new DirtySet())];
      for (let i = 0; i < 100; i += 1) modify(lab.source, ours, random);
      for (let i = 0; i < 100; i += 1) modify(lab.target, theirs, random);
      lab.resync('compare', new DirtySet());
      assertIdentical('after the comparison');
    });

    it(`makes trees identical while the application goes on (seed ${seed})`, () => {
      const random = new Random(seed * 77);
      for (let i = 0; i < 80; i += 1) modify(lab.source, new Application(lab.source, new DirtySet()), random);
      for (const mode of ['compare', 'journal'] as const) {
        const touched = new DirtySet();
        const app = new Application(lab.source, touched);
        if (mode === 'journal') for (let i = 0; i < 40; i += 1) modify(lab.source, app, random);
        let left = 150;
        const summary = lab.resync(mode, touched, {
          during: (source) => {
            const live = new Application(lab.source, source.pending);
            if (left > 0 && source.admits()) {
              modify(lab.source, live, random);
              left -= 1;
            }
          },
        });
        assertIdentical(`mode ${mode}`);
        assert.equal(summary?.mode, mode);
      }
    });
  }

  it('recovers from an interruption after any number of messages', () => {
    const random = new Random(4711);
    for (let i = 0; i < 60; i += 1) modify(lab.source, new Application(lab.source, new DirtySet()), random);
    lab.resync('compare', new DirtySet());
    const touched = new DirtySet();
    const app = new Application(lab.source, touched);
    for (let stopAfter = 1; stopAfter < 60; stopAfter += 1) {
      for (let i = 0; i < 10; i += 1) modify(lab.source, app, random);
      const summary = lab.resync('journal', touched, { stopAfter });
      if (summary !== undefined) break;
      assert.equal(lab.marker.isSet, true, 'an interrupted resync leaves the mark');
    }
    const summary = lab.resync('journal', touched);
    assert.equal(summary?.mode, 'journal');
    assertIdentical('after the last one');
  });

  it('replaces long extended attributes where there is no room for the old and the new ones together', () => {
    const touched = new DirtySet();
    const app = new Application(lab.source, touched);
    const name = Buffer.from('file');
    const file = app.create(root(), name, MODE.file);
    const value = (byte: number): Buffer => Buffer.alloc(1500, byte);
    for (const xattr of ['trusted.a', 'trusted.b']) app.setXattr(file, xattr, value(1), root(), name);
    lab.resync('compare', new DirtySet());
    app.removeXattr(file, 'trusted.b', root(), name);
    app.setXattr(file, 'trusted.c', value(2), root(), name);
    let isChanged = false;
    lab.resync('journal', touched, {
      during: (source) => {
        // The target is asked what it lacks; when its answer comes, it has to make room for something else again.
        if (isChanged || source.progress().objectsDone === 0) return;
        isChanged = true;
        const live = new Application(lab.source, source.pending);
        live.removeXattr(file, 'trusted.a', root(), name);
        live.setXattr(file, 'trusted.d', value(3), root(), name);
      },
    });
    assert.equal(isChanged, true);
    assertIdentical('after all');
  });

  it('does not trust a journal after a comparison that was interrupted', () => {
    const random = new Random(99);
    for (let i = 0; i < 60; i += 1) modify(lab.source, new Application(lab.source, new DirtySet()), random);
    for (let i = 0; i < 60; i += 1) modify(lab.target, new Application(lab.target, new DirtySet()), random);
    lab.resync('compare', new DirtySet(), { stopAfter: 5 });
    assert.equal(lab.marker.needsCompare, true);
    assert.equal(lab.resync('journal', new DirtySet())?.mode, 'compare');
    assertIdentical('after the second one');
  });

  it('sends only the granules that changed', () => {
    const app = new Application(lab.source, new DirtySet());
    const name = Buffer.from('database');
    const file = app.create(root(), name, MODE.file);
    for (let i = 0; i < 32; i += 1) app.write(file, i * MIB, Buffer.alloc(MIB, i + 1), root(), name);
    assert.equal(lab.resync('compare', new DirtySet())?.bytesSent, 32 * MIB);
    const touched = new DirtySet();
    const live = new Application(lab.source, touched);
    live.write(file, 5 * MIB + 10, Buffer.from('changed'), root(), name);
    live.write(file, 9 * MIB + 65530, Buffer.from('over two granules'), root(), name);
    const summary = lab.resync('journal', touched);
    assert.equal(summary?.bytesSent, 3 * 65536);
    assertIdentical('after two small writes');
    const whole = new DirtySet();
    live.write(file, 20 * MIB, Buffer.from('again'), root(), name);
    whole.touchWhole(file, root(), name);
    assert.equal(lab.resync('journal', whole)?.bytesSent, 65536, 'a file that is dirty as a whole is compared');
    assertIdentical('after the comparison of one file');
    const last = lab.resync('compare', new DirtySet());
    assert.deepEqual([last?.bytesSent, last?.objectsSent], [0, 0], 'identical trees cost no content');
  });

  it('sends no content for what only moved, not even for a directory that moved with everything in it', () => {
    const app = new Application(lab.source, new DirtySet());
    const directory = app.create(root(), Buffer.from('directory'), MODE.directory);
    const inner = app.create(directory, Buffer.from('inner'), MODE.directory);
    for (let i = 0; i < 20; i += 1) {
      const name = Buffer.from(`file${i}`);
      app.write(app.create(inner, name, MODE.file), 0, Buffer.alloc(10_000, i), inner, name);
    }
    lab.resync('compare', new DirtySet());
    const touched = new DirtySet();
    const live = new Application(lab.source, touched);
    const deep = live.create(live.create(root(), Buffer.from('new'), MODE.directory), Buffer.from('deep'), MODE.directory);
    live.rename(root(), Buffer.from('directory'), deep, Buffer.from('moved'));
    live.rename(inner, Buffer.from('file3'), root(), Buffer.from('out of it'));
    live.rename(directory, Buffer.from('inner'), root(), Buffer.from('directory'));
    assert.equal(lab.resync('journal', touched)?.bytesSent, 0);
    assertIdentical('after the moves');
  });

  it('finds what was moved out of a directory that was then removed', () => {
    const app = new Application(lab.source, new DirtySet());
    const directory = app.create(root(), Buffer.from('old'), MODE.directory);
    const inner = app.create(directory, Buffer.from('inner'), MODE.directory);
    const name = Buffer.from('file');
    app.write(app.create(inner, name, MODE.file), 0, Buffer.alloc(100_000, 7), inner, name);
    lab.resync('compare', new DirtySet());
    const touched = new DirtySet();
    const live = new Application(lab.source, touched);
    live.rename(inner, name, root(), Buffer.from('saved'));
    live.remove(directory, Buffer.from('inner'), inner);
    live.remove(root(), Buffer.from('old'), directory);
    assert.equal(lab.resync('journal', touched)?.bytesSent, 0);
    assertIdentical('after the removal');
  });

  it('sends a large file on, not again, after it was interrupted in the middle of it', () => {
    const [name, mib] = [Buffer.from('large'), 48];
    const file = new Application(lab.source, new DirtySet()).create(root(), name, MODE.file);
    const content = new Random(7);
    for (let at = 0; at < mib; at += 1) lab.source.write(file, at * MIB, content.bytes(MIB));
    lab.resync('compare', new DirtySet());
    const touched = new DirtySet();
    const app = new Application(lab.source, touched);
    for (let at = 0; at < mib; at += 1) app.write(file, at * MIB, content.bytes(MIB), root(), name);
    assert.equal(lab.resync('journal', touched, { stopAfter: 30 }), undefined);
    const rest = lab.resync('journal', touched);
    assert.ok(rest !== undefined && rest.mode === 'journal');
    assert.ok(rest.bytesSent < 24 * MIB, `${rest.bytesSent} bytes were sent after the interruption`);
    assert.deepEqual(picture(lab.target), picture(lab.source));
  });

  for (const leftover of ['a part of it', 'a part of it, longer than it is now, with data where it has a hole'] as const) {
    it(`sends a large new file on after it was interrupted in the middle of it, when ${leftover} is there`, () => {
      const [name, mib] = [Buffer.from('large'), 48];
      const touched = new DirtySet();
      const app = new Application(lab.source, touched);
      const file = app.create(root(), name, MODE.file);
      const content = new Random(7);
      for (let at = 0; at < mib; at += 1) app.write(file, at * MIB, content.bytes(MIB), root(), name);
      assert.equal(lab.resync('journal', touched, { stopAfter: 40 }), undefined);
      const part = lab.target.lookup(lab.target.roots[0] as Handle, name) as Handle;
      assert.ok(lab.target.attributes(part) === 0 && lab.target.stat.size > 20 * MIB, 'the interruption came too early');
      if (leftover !== 'a part of it') {
        assert.equal(lab.target.write(part, 50 * MIB, content.bytes(MIB)), MIB);
        assert.equal(lab.source.fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, MIB), 0);
      }
      const rest = lab.resync('journal', touched);
      assert.ok(rest !== undefined && rest.mode === 'journal');
      assert.ok(rest.bytesSent < 30 * MIB, `${rest.bytesSent} bytes were sent after the interruption`);
      assert.deepEqual(picture(lab.target), picture(lab.source));
    });
  }

  it('keeps holes holes', () => {
    const app = new Application(lab.source, new DirtySet());
    const name = Buffer.from('sparse');
    const file = app.create(root(), name, MODE.file);
    app.write(file, 0, Buffer.alloc(4096, 1), root(), name);
    app.write(file, 64 * MIB, Buffer.alloc(4096, 2), root(), name);
    app.truncate(file, 128 * MIB, root(), name);
    const summary = lab.resync('compare', new DirtySet());
    assert.ok((summary?.bytesSent ?? MIB) <= 2 * 65536);
    const copy = lab.target.lookup(lab.target.roots[0] as Handle, name);
    assert.ok(typeof copy !== 'number');
    assert.ok(lab.target.stat.blocks * 512 < MIB, `${lab.target.stat.blocks} blocks`);
    const touched = new DirtySet();
    const live = new Application(lab.source, touched);
    live.write(file, 70 * MIB, Buffer.alloc(MIB, 3), root(), name);
    lab.resync('journal', touched);
    const again = new DirtySet();
    assert.equal(lab.source.fallocate(file, 3, 70 * MIB, MIB), 0);
    again.touchData(file, 70 * MIB, MIB, root(), name);
    assert.equal(lab.resync('journal', again)?.bytesSent, 0);
    assertIdentical('after the hole was punched');
    lab.target.attributes(copy);
    assert.ok(lab.target.stat.blocks * 512 < MIB, `${lab.target.stat.blocks} blocks after punching`);
  });

  it('turns to a comparison when a further name of a file is in no journal', () => {
    const app = new Application(lab.source, new DirtySet());
    const name = Buffer.from('first');
    const file = app.create(root(), name, MODE.file);
    app.write(file, 0, Buffer.alloc(1000, 1), root(), name);
    lab.resync('compare', new DirtySet());
    const touched = new DirtySet();
    assert.equal(lab.source.link(file, root(), Buffer.from('second')), 0);
    touched.touchName(root(), 1n, Buffer.from('second'));
    assert.equal(lab.resync('journal', touched)?.mode, 'compare');
    assertIdentical('after the comparison');
  });

  it('gives a copy its own id when it was made with the id of the original', () => {
    const app = new Application(lab.source, new DirtySet());
    const [one, two] = [Buffer.from('one'), Buffer.from('two')];
    const first = app.create(root(), one, MODE.file);
    const second = app.create(root(), two, MODE.file);
    app.write(first, 0, Buffer.from('first'), root(), one);
    app.write(second, 0, Buffer.from('second'), root(), two);
    assert.equal(lab.source.writeId(second, lab.source.readId(first)), 0);
    lab.resync('compare', new DirtySet());
    assertIdentical('after the comparison');
    assert.notEqual(lab.source.readId(first), lab.source.readId(second));
  });

  it('does not take an object for two of the source when it had two names', () => {
    const ours = new Application(lab.source, new DirtySet());
    const theirs = new Application(lab.target, new DirtySet());
    const name = (text: string): Buffer => Buffer.from(text);
    const make = (app: Application, top: Handle): Handle[] =>
      ['first', 'second', 'third'].map((text) => app.create(top, name(text), MODE.directory));
    const [, second, third] = make(ours, root()) as [Handle, Handle, Handle];
    const [hers, also] = make(theirs, lab.target.roots[0] as Handle) as [Handle, Handle];
    const linked = theirs.create(hers, name('gone'), MODE.file);
    theirs.link(linked, hers, name('gone'), also, name('kept'));
    const [kept, moved] = [ours.create(second, name('kept'), MODE.file), ours.create(third, name('moved'), MODE.file)];
    assert.equal(lab.source.writeId(moved, lab.target.readId(linked)), 0);
    ours.write(kept, 0, name('one content'), second, name('kept'));
    ours.write(moved, 0, name('another content'), third, name('moved'));
    lab.resync('compare', new DirtySet());
    assertIdentical('after the comparison');
  });

  it('leaves nothing of its own in the tree', () => {
    const theirs = new Application(lab.target, new DirtySet());
    const top = lab.target.roots[0] as Handle;
    const directory = theirs.create(top, Buffer.from('superfluous'), MODE.directory);
    for (let i = 0; i < 50; i += 1) theirs.create(directory, Buffer.from(`file${i}`), MODE.file);
    lab.resync('compare', new DirtySet());
    assertIdentical('after the comparison');
    assert.equal(existsSync(join(lab.roots.target[0] as string, '.holdfast')), false);
  });

  it('gives up what it put aside when the disk of the target is full, and reports a disk that is really full', () => {
    const mounted: string[] = [];
    const small = new Lab(1, (path) => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'holdfast-test', path]);
      mounted.push(path);
    });
    try {
      const top = small.source.roots[0] as Handle;
      const fill = (app: Application, text: string, megabytes: number): void => {
        const file = app.create(top, Buffer.from(text), MODE.file);
        for (let i = 0; i < megabytes; i += 1) app.write(file, i * MIB, Buffer.alloc(MIB, megabytes + i), top, Buffer.from(text));
      };
      const remove = (app: Application, text: string): void => {
        app.remove(top, Buffer.from(text), small.source.lookup(top, Buffer.from(text)) as Handle);
      };
      const touched = new DirtySet();
      const app = new Application(small.source, touched);
      fill(app, 'large', 15);
      small.resync('journal', touched);
      remove(app, 'large');
      fill(app, 'other', 16);
      small.resync('journal', touched);
      assert.deepEqual(picture(small.target), picture(small.source));
      fill(app, 'too much', 20);
      assert.throws(() => small.resync('journal', touched), /ENOSPC/);
      assert.equal(small.marker.isSet, true);
      assert.throws(() => small.resync('journal', touched), /ENOSPC/, 'and again');
      remove(app, 'too much');
      fill(app, 'fits', 3);
      small.resync('journal', touched);
      assert.deepEqual(picture(small.target), picture(small.source));
      assert.equal(small.marker.isSet, false);
    } finally {
      small.target.close();
      for (const path of mounted) execFileSync('umount', [path]);
      small.source.close();
      rmSync(small.base, { recursive: true, force: true });
    }
  });

  it('compares several directories, each for itself', () => {
    const two = new Lab(2);
    try {
      const app = new Application(two.source, new DirtySet());
      for (const [index, top] of two.source.roots.entries()) {
        const name = Buffer.from('same name');
        app.write(app.create(top, name, MODE.file), 0, Buffer.from(`in root ${index}`), top, name);
      }
      two.resync('compare', new DirtySet());
      assert.deepEqual(picture(two.target), picture(two.source));
    } finally {
      two.close();
    }
  });
});
