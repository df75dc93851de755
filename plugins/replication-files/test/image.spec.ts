/** What a secondary was before a resync can be put back, wherever that was interrupted, where files can share blocks. */
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forgetImage, restorableImage, restoreImage } from '../src/image/restore.js';
import { DirtySet } from '../src/journal/dirty-set.js';
import type { Handle } from '../src/store/handle.js';
import type { Store } from '../src/store/store.js';
import { ENOENT } from '../src/system/errno.js';
import { Random } from './random.js';
import { Application, Lab, picture } from './resync-lab.js';
import { modify } from './resync-random.js';

const SEED = Number(process.env['SEED'] ?? 1);
const ROUNDS = Number(process.env['HOLDFAST_ROUNDS'] ?? 12);
const TYPES = ['xfs', 'btrfs'].filter((type) => readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(type));
const MAKE: Readonly<Record<string, readonly string[]>> = {
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q'],
};
const DISK_BYTES = 400 << 20;
const MODE = { mode: 0o100644, uid: 0, gid: 0, rdev: 0, target: undefined } as const;

/** With ids: the exact state. */
function exactly(store: Store): string[] {
  const ids: string[] = [];
  const visit = (directory: Handle): void => {
    const batch = store.readDirectory(directory, 0n);
    assert.ok(typeof batch !== 'number');
    for (const { name } of batch.entries) {
      const handle = store.lookup(directory, name);
      assert.ok(typeof handle !== 'number');
      ids.push(`${store.readId(directory).toString(16)}/${name.toString('latin1')}: ${store.readId(handle).toString(16)} ${handle}`);
      if (handle.charCodeAt(1) === 4) visit(handle);
    }
  };
  for (const root of store.roots) visit(root);
  return [...picture(store), ...ids.sort()];
}

for (const type of TYPES) {
  describe(`the last consistent image on ${type} (SEED=${SEED})`, function () {
    this.timeout(180_000);
    let disk: string;
    let lab: Lab;
    let isMounted = false;

    beforeEach(() => {
      disk = mkdtempSync(join(tmpdir(), 'holdfast-image-'));
      const image = join(disk, 'disk');
      writeFileSync(image, '');
      truncateSync(image, DISK_BYTES);
      const [command, ...options] = MAKE[type] as readonly [string, ...string[]];
      execFileSync(command, [...options, image]);
      lab = new Lab(1, (path) => {
        execFileSync('mount', ['-o', 'loop', image, path]);
        isMounted = true;
      });
    });
    afterEach(() => {
      lab.source.close();
      lab.target.close();
      if (isMounted) execFileSync('umount', [lab.roots.target[0] as string]);
      isMounted = false;
      rmSync(lab.base, { recursive: true, force: true });
      rmSync(disk, { recursive: true });
    });

    const root = (): Handle => lab.source.roots[0] as Handle;

    /** Both trees are the same, with many objects. */
    function synchronised(random: Random): void {
      const app = new Application(lab.source, new DirtySet());
      for (let i = 0; i < 150; i += 1) modify(lab.source, app, random);
      lab.resync('compare', new DirtySet());
      assert.deepEqual(picture(lab.target), picture(lab.source));
    }

    /** As a node that is started again after its process was killed. */
    function restart(): void {
      lab.target.close();
      lab.target = lab.openTarget();
    }

    /** What the file system has not given to its disk is lost. */
    function cutPower(): void {
      const [path, image] = [lab.roots.target[0] as string, join(disk, 'disk')];
      execFileSync('cp', ['--sparse=always', image, `${image}.cut`]);
      lab.target.close();
      execFileSync('umount', [path]);
      isMounted = false;
      renameSync(`${image}.cut`, image);
      execFileSync('mount', ['-o', 'loop', image, path]);
      isMounted = true;
      lab.target = lab.openTarget();
    }

    function takeImage(): void {
      const image = restorableImage(lab.target, lab.state);
      assert.ok(image !== undefined, `there is no image: ${lab.log.join('; ')}`);
      restoreImage(lab.target, image);
      lab.marker.clear();
      lab.target.image.end();
      forgetImage(lab.target);
    }

    for (const mode of ['journal', 'compare'] as const) {
      it(`is what the tree was, byte for byte, when a ${mode} resync was interrupted anywhere`, () => {
        const random = new Random(SEED);
        synchronised(random);
        let taken = 0;
        for (let round = 0; round < ROUNDS; round += 1) {
          const touched = new DirtySet();
          const app = new Application(lab.source, touched);
          for (let i = 0; i < 60; i += 1) modify(lab.source, app, random);
          const before = exactly(lab.target);
          // More than one session until the primary is lost for good.
          let isOver = false;
          for (let sessions = 1 + random.below(3); sessions > 0 && !isOver; sessions -= 1) {
            isOver = lab.resync(lab.marker.needsCompare ? 'compare' : mode, touched, { stopAfter: 1 + random.below(90) }) !== undefined;
            if (random.below(2) === 0) restart();
          }
          if (!isOver && lab.marker.isSet) {
            takeImage();
            taken += 1;
            assert.deepEqual(exactly(lab.target), before, `SEED=${SEED} round ${round}`);
          }
          lab.resync('compare', touched);
          assert.deepEqual(picture(lab.target), picture(lab.source));
        }
        assert.deepEqual(lab.log, []);
        assert.ok(taken > ROUNDS / 3, `only ${taken} of ${ROUNDS} resyncs were interrupted`);
      });
    }

    it('is what the tree was when the power of the secondary was cut in the middle', () => {
      const random = new Random(SEED + 2);
      synchronised(random);
      for (let round = 0; round < ROUNDS / 2; round += 1) {
        const touched = new DirtySet();
        const app = new Application(lab.source, touched);
        for (let i = 0; i < 60; i += 1) modify(lab.source, app, random);
        const before = exactly(lab.target);
        if (lab.resync(random.below(2) === 0 ? 'journal' : 'compare', touched, { stopAfter: 1 + random.below(40) }) === undefined) {
          cutPower();
          takeImage();
          assert.deepEqual(exactly(lab.target), before, `SEED=${SEED} round ${round}`);
        }
        lab.resync('compare', touched);
        assert.deepEqual(picture(lab.target), picture(lab.source));
      }
    });

    it('can be put back again after that was interrupted at any step', () => {
      const random = new Random(SEED + 1);
      synchronised(random);
      const touched = new DirtySet();
      const app = new Application(lab.source, touched);
      for (let i = 0; i < 80; i += 1) modify(lab.source, app, random);
      const before = exactly(lab.target);
      lab.resync('compare', touched, { stopAfter: 25 });
      for (let steps = 1; ; steps += 1 + random.below(6)) {
        restart();
        if (!interrupted(lab.target, steps, takeImage)) break;
        assert.equal(lab.marker.isSet, true);
      }
      assert.deepEqual(exactly(lab.target), before);
    });

    it('goes when the resync has finished, and leaves nothing behind', () => {
      synchronised(new Random(SEED));
      const touched = new DirtySet();
      new Application(lab.source, touched).create(root(), Buffer.from('one more'), 0o100644);
      lab.resync('journal', touched);
      assert.equal(lab.target.image.facts, undefined);
      assert.equal(restorableImage(lab.target, lab.state), undefined);
      assert.equal(lab.target.lookup(lab.target.roots[0] as Handle, Buffer.from('.holdfast')), -ENOENT);
    });

    it('costs what the resync changes, not what there is', () => {
      const app = new Application(lab.source, new DirtySet());
      for (let i = 0; i < 2000; i += 1) app.create(root(), Buffer.from(`file ${i}`), 0o100644);
      lab.resync('compare', new DirtySet());
      const touched = new DirtySet();
      const changing = new Application(lab.source, touched);
      for (let i = 0; i < 5; i += 1) {
        const name = Buffer.from(`file ${i}`);
        changing.write(lab.source.lookup(root(), name) as Handle, 0, Buffer.from('changed'), root(), name);
      }
      let most = 0;
      lab.resync('journal', touched, { during: () => (most = Math.max(most, lab.target.image.facts?.changes ?? 0)) });
      assert.ok(most >= 5 && most <= 10, `${most} changes were written down`);
    });

    it('is given up for the resync when the disk is full', () => {
      const big = lab.source.create(root(), Buffer.from('big'), { ...MODE, id: 500n });
      assert.ok(typeof big !== 'number');
      const content = new Random(SEED).bytes(1 << 20);
      for (let mib = 0; mib < 180; mib += 1) lab.source.write(big, mib << 20, content);
      lab.resync('compare', new DirtySet());
      const touched = new DirtySet();
      const app = new Application(lab.source, touched);
      content.reverse();
      for (let mib = 0; mib < 180; mib += 1) app.write(big, mib << 20, content, root(), Buffer.from('big'));
      lab.resync('journal', touched);
      assert.deepEqual(picture(lab.target), picture(lab.source));
      assert.match(lab.log.join(), /is given up/);
    });
  });
}

/** Lets a process die in `action` after so many changes of the tree. @returns whether it did */
function interrupted(store: Store, steps: number, action: () => void): boolean {
  const dies = new Error('killed');
  let left = steps;
  for (const name of ['rename', 'link', 'setAttributes', 'unlink', 'rmdir', 'writeId'] as const) {
    const original = store[name].bind(store) as (...values: unknown[]) => number;
    Object.assign(store, {
      [name]: (...values: unknown[]) => {
        left -= 1;
        if (left < 0) throw dies;
        return original(...values);
      },
    });
  }
  try {
    action();
    return false;
  } catch (error) {
    if (error !== dies) throw error;
    return true;
  }
}
