/** Tables of numbers and bytes, beside maps that do the same. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MetObjects } from '../src/resync/met-objects.js';
import { Bindings } from '../src/secondary/bindings.js';
import { HashIndex } from '../src/store/hash-index.js';
import type { Handle } from '../src/store/handle.js';

/** Few values, so that the same ones come again; ids that share one half. */
const object = fc
  .bigInt({ min: 300n, max: 340n })
  .map((id) => (id % 3n === 0n ? id << 32n : id % 3n === 1n ? (id << 32n) | 0xffff_ffffn : id));
const handle = fc.integer({ min: 0, max: 60 }).map((n): Handle => `\0\x08\x01\0\0\0${String.fromCharCode(n + 190)}${'x'.repeat(n % 5)}`);
const name = fc.uint8Array({ minLength: 1, maxLength: 255 }).map((bytes) => Buffer.from(bytes));

type Step =
  | {
      readonly do: 'bind';
      readonly object: bigint;
      readonly handle: Handle;
      readonly parent?: Handle | undefined;
      readonly name?: Buffer | undefined;
    }
  | { readonly do: 'moved'; readonly handle: Handle; readonly parent: Handle; readonly name: Buffer }
  | { readonly do: 'removed'; readonly handle: Handle }
  | { readonly do: 'checkpoint' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('bind' as const),
      object,
      handle,
      parent: fc.option(handle, { nil: undefined }),
      name: fc.option(name, { nil: undefined }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('moved' as const), handle, parent: handle, name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('removed' as const), handle }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('checkpoint' as const) }) },
);

interface Known {
  handle: Handle;
  parent: Handle | undefined;
  name: Buffer | undefined;
  isGone: boolean;
}

/** What bindings are, in the plainest words. */
class Model {
  readonly byId = new Map<bigint, Known>();
  readonly byHandle = new Map<Handle, bigint>();
  gone: bigint[] = [];
  goneBefore: bigint[] = [];

  bind(id: bigint, known: Known): void {
    const before = this.byId.get(id);
    if (before !== undefined && this.byHandle.get(before.handle) === id) this.byHandle.delete(before.handle);
    this.byId.set(id, known);
    this.byHandle.set(known.handle, id);
  }

  moved(key: Handle, parent: Handle, given: Buffer): void {
    const known = this.byId.get(this.byHandle.get(key) ?? 0n);
    if (known !== undefined) Object.assign(known, { parent, name: given });
  }

  removed(key: Handle): void {
    const id = this.byHandle.get(key);
    if (id === undefined) return;
    (this.byId.get(id) as Known).isGone = true;
    this.byHandle.delete(key);
    this.gone.push(id);
  }

  checkpoint(): void {
    for (const id of this.goneBefore) if (this.byId.get(id)?.isGone === true) this.byId.delete(id);
    this.goneBefore = this.gone;
    this.gone = [];
  }
}

describe('tables of objects', () => {
  it('bind ids to handles as two maps would, whatever is bound, moved, removed and forgotten', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const bindings = new Bindings([]);
        const model = new Model();
        for (const each of steps) {
          if (each.do === 'bind') {
            bindings.bind(each.object, each.handle, each.parent, each.name);
            model.bind(each.object, { handle: each.handle, parent: each.parent, name: each.name, isGone: false });
          } else if (each.do === 'moved') {
            bindings.moved(each.handle, each.parent, each.name);
            model.moved(each.handle, each.parent, each.name);
          } else if (each.do === 'removed') {
            bindings.removed(each.handle);
            model.removed(each.handle);
          } else {
            bindings.checkpoint();
            model.checkpoint();
          }
          for (const id of new Set(steps.flatMap((other) => (other.do === 'bind' ? [other.object] : [])))) {
            const known = model.byId.get(id);
            assert.equal(bindings.knows(id), known !== undefined);
            const existing = known?.isGone === false ? known : undefined;
            assert.equal(bindings.handle(id), existing?.handle);
            assert.equal(bindings.place(id).parent, existing?.parent);
            assert.deepEqual(bindings.place(id).name, existing?.name);
          }
          for (const key of new Set(steps.flatMap((other) => ('handle' in other ? [other.handle] : [])))) {
            assert.equal(bindings.idOf(key), model.byHandle.get(key));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('hold a hundred thousand objects, and get smaller than maps by far', () => {
    const bindings = new Bindings([]);
    const idAt = (n: number): bigint => (BigInt(Math.imul(n, 0x9e3779b1) >>> 0) << 32n) | BigInt(n + 256);
    const handleAt = (n: number): Handle => `\0\x08\x01\0\0\0${String.fromCharCode(n & 255, (n >> 8) & 255, n >> 16)}12345`;
    const before = process.memoryUsage();
    for (let n = 0; n < 100_000; n += 1) bindings.bind(idAt(n), handleAt(n), handleAt(n % 100), Buffer.from(`file-${n}`));
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    for (let n = 0; n < 100_000; n += 7) {
      assert.equal(bindings.handle(idAt(n)), handleAt(n));
      assert.equal(bindings.idOf(handleAt(n)), idAt(n));
      assert.equal(bindings.place(idAt(n)).name?.toString(), `file-${n}`);
    }
    const bytes = arrayBuffers - before.arrayBuffers + Math.max(0, heapUsed - before.heapUsed);
    assert.ok(bytes < 40e6, `${bytes} bytes`);
  });

  it('know every id that was met, and when another object has it', () => {
    const met = new MetObjects();
    for (let n = 0; n < 20_000; n += 1) assert.equal(met.meet((BigInt(n) << 20n) | 1n, `handle ${n}`), true);
    for (let n = 0; n < 20_000; n += 1) {
      assert.equal(met.isKnownThere((BigInt(n) << 20n) | 1n), false);
      if (n % 2 === 0) met.noteKnownThere((BigInt(n) << 20n) | 1n);
      assert.equal(met.isKnownThere((BigInt(n) << 20n) | 1n), n % 2 === 0);
      assert.equal(met.isKnownThere((BigInt(n) << 20n) | 2n), false);
      assert.equal(met.meet((BigInt(n) << 20n) | 1n, `handle ${n}`), true);
      assert.equal(met.meet((BigInt(n) << 20n) | 1n, `handle ${n + 1}`), false);
    }
  });

  it('find every row after any removals, also where hashes are the same', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.boolean()), { maxLength: 2000 }), (steps) => {
        const hashOf = (row: number): number => row % 7;
        const index = new HashIndex(hashOf);
        const rows = new Set<number>();
        for (const [row, adds] of steps) {
          if (adds && !rows.has(row)) {
            rows.add(row);
            index.add(row);
          } else if (!adds && rows.delete(row)) index.remove(row);
        }
        assert.equal(index.count, rows.size);
        for (let row = 0; row <= 400; row += 1)
          assert.equal(
            index.find(hashOf(row), (other) => other === row),
            rows.has(row) ? row : -1,
          );
      }),
      { numRuns: 50 },
    );
  });
});
