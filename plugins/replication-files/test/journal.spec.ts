import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { DirtySet, RecentSet } from '../src/journal/dirty-set.js';
import { decodeJournal, HEADER_BYTES } from '../src/journal/format.js';
import { deleteJournal, Journal, readJournal } from '../src/journal/journal.js';
import { InconsistentMarker } from '../src/journal/marker.js';
import { GranuleRanges, RANGES_MAX } from '../src/journal/ranges.js';

const BASE = '00112233445566778899aabbccddeeff';
const BOOT = 'ffeeddccbbaa99887766554433221100';
const OTHER_BOOT = '0'.repeat(32);

/** A set as plain values, for comparison. */
function plain(set: DirtySet): unknown {
  const sorted = <T>(map: ReadonlyMap<string, T>): [string, T][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    directories: sorted(set.directories).map(([handle, { id, isWhole, names }]) => [handle, id, isWhole, [...names].sort()]),
    objects: sorted(set.objects).map(([handle, { whole, ranges, parent, name }]) => [
      handle,
      whole,
      whole ? [] : [...ranges],
      parent,
      name,
    ]),
  };
}

type Touch =
  | { readonly what: 'name'; readonly directory: string; readonly name: Uint8Array }
  | { readonly what: 'data'; readonly object: string; readonly offset: number; readonly length: number }
  | { readonly what: 'whole' | 'attributes'; readonly object: string };

const handle = fc.constantFrom('h1', 'h2', '\x00\x08\xff handle', 'h4');
const touch: fc.Arbitrary<Touch> = fc.oneof(
  fc.record({ what: fc.constant('name' as const), directory: handle, name: fc.uint8Array({ minLength: 1, maxLength: 8 }) }),
  fc.record({
    what: fc.constant('data' as const),
    object: handle,
    offset: fc.integer({ min: 0, max: 20_000_000 }),
    length: fc.integer({ min: 0, max: 400_000 }),
  }),
  fc.record({ what: fc.constantFrom('whole' as const, 'attributes' as const), object: handle }),
);

function apply(to: DirtySet | RecentSet | Journal, each: Touch): void {
  const hint = [each.what === 'name' ? undefined : 'parent', Buffer.from('name')] as const;
  switch (each.what) {
    case 'name':
      to.touchName(each.directory, 300n, each.name);
      return;
    case 'data':
      to.touchData(each.object, each.offset, each.length, ...hint);
      return;
    case 'whole':
      to.touchWhole(each.object, ...hint);
      return;
    case 'attributes':
      to.touchAttributes(each.object, ...hint);
  }
}

describe('granule ranges', () => {
  it('are the same set as a naive model, sorted, disjoint and not adjacent', () => {
    const operation = fc.tuple(fc.integer({ min: 0, max: 120 }), fc.integer({ min: 0, max: 30 }));
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const ranges = new GranuleRanges();
        const model = new Set<number>();
        for (const [start, length] of operations) {
          let isNew = false;
          for (let granule = start; granule < start + length; granule += 1) {
            isNew ||= !model.has(granule);
            model.add(granule);
          }
          assert.equal(ranges.add(start, start + length), isNew);
          const list = [...ranges];
          assert.deepEqual(
            list.flatMap((range) => Array.from({ length: range.end - range.start }, (_, i) => range.start + i)),
            [...model].sort((a, b) => a - b),
          );
          for (let i = 1; i < list.length; i += 1) assert.ok((list[i - 1]?.end ?? 0) < (list[i]?.start ?? 0));
          assert.equal(ranges.granules, model.size);
          assert.equal(ranges.count, list.length);
          for (let granule = 0; granule < 155; granule += 1) assert.equal(ranges.has(granule), model.has(granule));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('dirty set', () => {
  it('takes an object as a whole beyond its bound of ranges', () => {
    const set = new DirtySet();
    for (let i = 0; i <= RANGES_MAX; i += 1) set.touchData('h', i * 2 * 65536, 1);
    assert.equal(set.objects.get('h')?.whole, true);
    assert.equal(set.touchData('h', 0, 1), false, 'nothing is news then');
  });

  it('says whether a touch was news, and never shrinks', () => {
    fc.assert(
      fc.property(fc.array(touch, { maxLength: 40 }), (touches) => {
        const set = new DirtySet();
        for (const each of touches) apply(set, each);
        const once = plain(set);
        for (const each of touches) apply(set, each);
        assert.deepEqual(plain(set), once);
        const merged = new DirtySet();
        merged.merge(set);
        merged.merge(set);
        assert.deepEqual(plain(merged), once);
        assert.deepEqual(plain(merged.take()), once);
        assert.equal(merged.isEmpty, true);
      }),
    );
  });

  it('recent: everything since the checkpoint before the last cut is kept until both nodes have flushed', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(touch, fc.constant('cut' as const), fc.constant('forget' as const)), { maxLength: 40 }), (steps) => {
        const recent = new RecentSet();
        let [before, after]: [Touch[], Touch[]] = [[], []];
        for (const step of steps) {
          if (step === 'cut') {
            recent.cut();
            [before, after] = [[...before, ...after], []];
          } else if (step === 'forget') {
            recent.forgetPrevious();
            before = [];
          } else {
            apply(recent, step);
            after.push(step);
          }
        }
        const expected = new DirtySet();
        for (const each of [...before, ...after]) apply(expected, each);
        assert.deepEqual(plain(recent.all()), plain(expected));
      }),
    );
  });
});

describe('journal', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-journal-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  const file = (): string => join(directory, 'journal');

  it('is read as it was written, after a clean stop and after the end of the process', () => {
    fc.assert(
      fc.property(fc.array(touch, { maxLength: 60 }), fc.boolean(), (touches, isClean) => {
        const journal = new Journal(directory, BASE, new DirtySet(), BOOT);
        const model = new DirtySet();
        for (const each of touches) {
          apply(journal, each);
          apply(model, each);
          journal.flush();
        }
        const fresh = (): ReturnType<typeof readJournal> => readJournal(directory, isClean ? OTHER_BOOT : BOOT);
        if (isClean) journal.close();
        const found = fresh();
        if (!isClean) journal.abandon();
        assert.ok(found.state === 'usable', JSON.stringify(found.state));
        assert.equal(found.base, BASE);
        assert.deepEqual(plain(found.set), plain(model));
        deleteJournal(directory);
        assert.equal(fresh().state, 'none');
      }),
      { numRuns: 60 },
    );
  });

  it('continues from what it had, and writes nothing that is no news', () => {
    const first = new Journal(directory, BASE, new DirtySet(), BOOT);
    first.touchData('h', 0, 10, 'parent', Buffer.from('name'));
    first.close();
    const found = readJournal(directory, OTHER_BOOT);
    assert.ok(found.state === 'usable');
    const second = new Journal(directory, found.base, found.set, BOOT);
    const size = statSync(file()).size;
    second.touchData('h', 5, 100, 'parent', Buffer.from('name'));
    assert.equal(second.isPending, false);
    second.touchName('d', 300n, Buffer.from('x'));
    second.flush();
    assert.ok(statSync(file()).size > size);
    second.close();
    const last = readJournal(directory, OTHER_BOOT);
    assert.ok(last.state === 'usable');
    assert.deepEqual([...last.set.objects.keys(), ...last.set.directories.keys()], ['h', 'd']);
  });

  it('gives every touch to its follower, news or not', () => {
    const journal = new Journal(directory, BASE, new DirtySet(), BOOT);
    journal.touchName('d', 300n, Buffer.from('x'));
    journal.follower = new DirtySet();
    journal.touchName('d', 300n, Buffer.from('x'));
    journal.touchData('h', 0, 1);
    assert.deepEqual([...journal.follower.directories.keys(), ...journal.follower.objects.keys()], ['d', 'h']);
    journal.abandon();
  });

  it('is not usable after a restart of the node without a clean stop', () => {
    const journal = new Journal(directory, BASE, new DirtySet(), BOOT);
    journal.touchWhole('h');
    journal.sync();
    assert.equal(readJournal(directory, OTHER_BOOT).state, 'unfinished');
    assert.equal(readJournal(directory, BOOT).state, 'usable');
    journal.abandon();
  });

  describe('cut or damaged at any byte', () => {
    /** One state of the set for each length of the file at a record's end. */
    function written(isClean: boolean): { bytes: Buffer; prefixes: Map<number, unknown> } {
      const journal = new Journal(directory, BASE, new DirtySet(), BOOT);
      const model = new DirtySet();
      const prefixes = new Map<number, unknown>([[statSync(file()).size, plain(model)]]);
      const steps: ((to: Journal | DirtySet) => void)[] = [
        (to) => to.touchName('d1', 300n, Buffer.from('a name')),
        (to) => to.touchAttributes('h1', 'd1', Buffer.from('a name')),
        (to) => to.touchData('h1', 0, 200_000),
        (to) => to.touchWhole('h1'),
        (to) => to.touchName('d1', 300n, Buffer.from([0xff, 0xfe])),
        (to) => to.touchAttributes('h2'),
        (to) => to.touchData('h2', 1 << 30, 1),
      ];
      for (const step of steps) {
        step(journal);
        step(model);
        journal.flush();
        prefixes.set(statSync(file()).size, plain(model));
      }
      if (isClean) journal.close();
      const bytes = readFileSync(file());
      if (!isClean) journal.abandon();
      return { bytes, prefixes };
    }

    it('a cut leaves exactly the records before it, or is reported', () => {
      const { bytes, prefixes } = written(true);
      for (let length = 0; length < bytes.length; length += 1) {
        writeFileSync(file(), bytes.subarray(0, length));
        const found = readJournal(directory, BOOT);
        if (length < HEADER_BYTES) {
          assert.equal(found.state, 'unusable', `cut at ${length}`);
          continue;
        }
        assert.ok(found.state === 'usable', `cut at ${length}`);
        const end = Math.max(...[...prefixes.keys()].filter((at) => at <= length));
        assert.deepEqual(plain(found.set), prefixes.get(end), `cut at ${length}`);
        assert.equal(readJournal(directory, OTHER_BOOT).state, 'unfinished', `cut at ${length}: the end mark is missing`);
      }
    });

    it('a flipped bit is always reported', () => {
      for (const isClean of [true, false]) {
        const { bytes } = written(isClean);
        for (let bit = 0; bit < bytes.length * 8; bit += 1) {
          const bad = Buffer.from(bytes);
          bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
          assert.equal(decodeJournal(bad).usable, false, `bit ${bit} of a ${isClean ? 'clean' : 'torn'} journal`);
        }
      }
    });

    it('garbage is always reported', () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => assert.equal(decodeJournal(Buffer.from(bytes)).usable, false)));
      const { bytes } = written(false);
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 13, maxLength: 200 }), (tail) => {
          assert.equal(decodeJournal(Buffer.concat([bytes, tail])).usable, false);
        }),
      );
    });
  });
});

describe('the mark "inconsistent"', () => {
  it('outlives the process, with its reason and the repair that it needs', () => {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-marker-'));
    try {
      const marker = new InconsistentMarker(directory);
      assert.equal(marker.isSet, false);
      marker.set('half a resync', 'journal');
      marker.set('another reason', 'journal');
      const [again] = [new InconsistentMarker(directory)];
      assert.deepEqual([again.isSet, again.reason, again.needsCompare], [true, 'half a resync', false]);
      again.set('diverged', 'compare');
      again.set('half a resync', 'journal');
      const third = new InconsistentMarker(directory);
      assert.deepEqual([third.isSet, third.reason, third.needsCompare], [true, 'diverged', true]);
      third.clear();
      assert.equal(new InconsistentMarker(directory).isSet, false);
      writeFileSync(join(directory, 'inconsistent'), '');
      assert.equal(new InconsistentMarker(directory).needsCompare, true, 'a mark that cannot be read needs the most');
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
