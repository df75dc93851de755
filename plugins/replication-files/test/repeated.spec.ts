/** Requests that come again after the replicator that had begun them was killed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Boundary } from '../src/boundary/boundary.js';
import { FuseDevice } from '../src/fuse/device.js';
import { CreateModification } from '../src/primary/creation.js';
import type { Trees } from '../src/primary/modification.js';
import { NodeTable } from '../src/primary/node-table.js';
import type { Handle } from '../src/store/handle.js';
import { Store } from '../src/store/store.js';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../src/system/constants.js';
import { EEXIST } from '../src/system/errno.js';

const REPEATED = 0x80000000;
const GIVEN_ID = 4711n;
const NAME = Buffer.from('name');
const TARGET = Buffer.from('target');

describe('a creation that comes again', () => {
  let directory: string;
  let trees: Trees;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-repeated-'));
    const store = new Store([directory]);
    const boundary = new Boundary(store);
    trees = { store, boundary, nodes: new NodeTable(store, boundary) };
  });
  afterEach(() => {
    trees.store.close();
    rmSync(directory, { recursive: true });
  });

  /** As the first attempt leaves it when it is killed between two steps, and a resync of its successor meets it before it comes again. */
  function halfMade(type: number): Handle {
    const target = type === S_IFLNK ? TARGET : undefined;
    const object = { mode: type | 0o700, uid: 0, gid: 0, rdev: 0, target, id: GIVEN_ID };
    const made = trees.store.create(trees.store.roots[0] as Handle, NAME, object);
    assert.ok(typeof made !== 'number');
    return made;
  }

  function again(type: number): number {
    const to = { device: new FuseDevice(-1, 0), root: 0, uniqueLow: 8, uniqueHigh: REPEATED };
    const target = type === S_IFLNK ? TARGET : undefined;
    const request = new CreateModification(to, trees.nodes.get(0, 1), NAME, { mode: type | 0o700, uid: 0, gid: 0, rdev: 0, target }, false);
    assert.equal(request.prepare(trees), 0);
    return request.apply(trees);
  }

  for (const [what, type] of [
    ['directory', S_IFDIR],
    ['symbolic link', S_IFLNK],
    ['file', S_IFREG],
  ] as const) {
    it(`makes a ${what} that was half made and that a resync has given an id`, () => {
      halfMade(type);
      assert.equal(again(type), 0);
      const made = trees.store.lookup(trees.store.roots[0] as Handle, NAME);
      assert.notEqual(trees.store.readId(made as Handle), GIVEN_ID);
    });

    it(`fails where a ${what} has the name that the kernel knows`, () => {
      trees.nodes.meet(trees.nodes.get(0, 1), NAME, halfMade(type));
      assert.equal(again(type), -EEXIST);
    });
  }
});
