/** Disks that cannot be read while a resync runs: an error says nothing about what is there, so nothing may follow from it. */
import { strict as assert } from 'node:assert';
import type { HoldfastError } from '@holdfast/sdk';
import { Checkpoint } from '../src/data/checkpoint.js';
import type { RoleSurroundings } from '../src/data/surroundings.js';
import { DirtySet, RecentSet } from '../src/journal/dirty-set.js';
import type { LiveBody } from '../src/primary/modification.js';
import type { Handle } from '../src/store/handle.js';
import type { Store } from '../src/store/store.js';
import { EIO } from '../src/system/errno.js';
import { Application, Lab, picture } from './resync-lab.js';

type Call = (handle: Handle, ...rest: unknown[]) => unknown;
type Reading = 'attributes' | 'readDirectory' | 'seek';
const NAME = Buffer.from('file');
const FILE = 0o100644;
const DIRECTORY = 0o040755;

/** From now on reading this object fails, as from a disk with a bad block. */
function breakObject(store: Store, method: Reading, bad: Handle): void {
  const call = store[method].bind(store) as Call;
  Object.defineProperty(store, method, {
    configurable: true,
    value: (handle: Handle, ...rest: unknown[]) => (handle === bad ? -EIO : call(handle, ...rest)),
  });
}

describe('a resync from or to a disk that fails', () => {
  let lab: Lab;
  let directory: Handle;
  let file: Handle;
  beforeEach(() => {
    lab = new Lab();
    const app = new Application(lab.source, new DirtySet());
    directory = app.create(lab.source.roots[0] as Handle, Buffer.from('directory'), DIRECTORY);
    file = app.create(directory, NAME, FILE);
    app.write(file, 0, Buffer.alloc(100_000, 7), directory, NAME);
    lab.resync('compare', new DirtySet());
  });
  afterEach(() => lab.close());

  function changed(): DirtySet {
    const touched = new DirtySet();
    new Application(lab.source, touched).write(file, 5, Buffer.from('changed'), directory, NAME);
    touched.touchName(directory, lab.source.readId(directory), NAME);
    return touched;
  }

  for (const [what, method, mode] of [
    ['an object', 'attributes', 'journal'],
    ['an object', 'attributes', 'compare'],
    ['the names in a directory', 'readDirectory', 'compare'],
    ['where the holes of a file are', 'seek', 'compare'],
    ['where the holes of a file are', 'seek', 'journal'],
  ] as const) {
    it(`takes nothing away and never says "identical" when the source cannot read ${what} (${mode})`, () => {
      const names = picture(lab.target).length;
      const touched = changed();
      breakObject(lab.source, method, method === 'seek' ? file : directory);
      assert.throws(() => lab.resync(mode, touched), /EIO/);
      assert.equal(lab.marker.isSet, true);
      assert.equal(picture(lab.target).length, names);
    });
  }

  for (const mode of ['journal', 'compare'] as const) {
    it(`never says "identical" when the target cannot read the object that it should change (${mode})`, () => {
      const touched = changed();
      const there = lab.target.lookup(lab.target.roots[0] as Handle, Buffer.from('directory')) as Handle;
      breakObject(lab.target, 'attributes', lab.target.lookup(there, NAME) as Handle);
      assert.throws(() => lab.resync(mode, touched), /EIO/);
      assert.equal(lab.marker.isSet, true);
    });
  }

  it('brings names over whose directory was recorded before its id was known', () => {
    const touched = changed();
    const set = new DirtySet();
    set.touchName(directory, 0n, NAME);
    for (const [object, { parent, name }] of touched.objects) set.addRange(object, 0, 2, parent, name);
    assert.equal(lab.resync('journal', set)?.mode, 'journal');
    assert.deepEqual(picture(lab.target), picture(lab.source));
  });

  it('hears nothing more of a checkpoint that was under way when the nodes turned out to differ', () => {
    const sent: string[] = [];
    const flushes: (() => void)[] = [];
    const recent = new RecentSet();
    recent.touchWhole(file, directory, NAME);
    const around: RoleSurroundings = {
      store: lab.source,
      pool: { run: (_job: unknown, done: (outcome: number) => void) => flushes.push(() => done(0)) },
      nowMs: () => sent.length * 10_000 + performance.now(),
      mark: { begin: () => 1 },
      log: (_level: string, message: string) => assert.fail(message),
      changed: () => undefined,
      linkLost: (_link: number, error: HoldfastError) => assert.fail(error),
    } as unknown as RoleSurroundings;
    const peer = {
      request: (body: LiveBody, answered: (errno: number) => void) => {
        sent.push(body.kind === 'checkpoint' ? body.phase : body.kind);
        answered(0);
      },
    };
    const checkpoint = new Checkpoint(around, recent, undefined, peer);
    checkpoint.last(() => assert.fail('it has not ended'));
    assert.deepEqual(sent, ['times', 'begin']);
    checkpoint.cancel();
    for (const flush of flushes) flush();
    assert.deepEqual(sent, ['times', 'begin']);
  });
});
