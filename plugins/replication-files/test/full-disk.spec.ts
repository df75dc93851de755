/** What must go on when the state directory has no room: on a real file system that is full. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readHistory, saveHistory } from '../src/data/history.js';
import { DirtySet } from '../src/journal/dirty-set.js';
import { Journal, readJournal } from '../src/journal/journal.js';
import { InconsistentMarker } from '../src/journal/marker.js';

const BASE = '00112233445566778899aabbccddeeff';
const BOOT = 'ffeeddccbbaa99887766554433221100';

describe('journal, mark and history on a disk without room', () => {
  let directory: string;
  const NO_ROOM_BYTES = 64 << 10;
  const filler = (): string => join(directory, 'filler');
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${NO_ROOM_BYTES}`, 'none', directory]);
  });
  afterEach(() => {
    execFileSync('umount', [directory]);
    rmdirSync(directory);
  });
  function fill(): void {
    const fd = openSync(filler(), 'w');
    try {
      assert.throws(() => {
        for (;;) writeSync(fd, Buffer.alloc(4096));
      }, /ENOSPC/);
    } finally {
      closeSync(fd);
    }
  }
  const lost: string[] = [];
  const start = (): Journal => new Journal(directory, BASE, new DirtySet(), BOOT, (reason) => lost.push(reason));
  beforeEach(() => {
    lost.length = 0;
  });

  it('goes on in memory, leaves no file to be believed, and is whole on the disk again when there is room', () => {
    const journal = start();
    journal.touchWhole('h');
    journal.sync();
    fill();
    for (let i = 0; journal.hasFile; i += 1) {
      journal.touchName('d', 300n, Buffer.from(`name ${i}`));
      journal.flush();
    }
    assert.equal(lost.length, 1);
    assert.equal(readJournal(directory, BOOT).state, 'none');
    fill();
    journal.touchWhole('late');
    journal.flush();
    journal.sync();
    assert.equal(journal.restoreFile(), false);
    rmSync(filler());
    assert.equal(journal.restoreFile(), true);
    journal.touchWhole('later');
    journal.flush();
    const found = readJournal(directory, BOOT);
    assert.ok(found.state === 'usable');
    assert.deepEqual([...found.set.objects], [...journal.set.objects]);
    journal.abandon();
  });

  it('starts without a file, in place of an old one', () => {
    start().close();
    fill();
    // Removing the old one makes room for a block: taken too.
    const journal = start();
    assert.equal(journal.hasFile, false);
    assert.equal(readJournal(directory, BOOT).state, 'none');
    fill();
    journal.touchWhole('h');
    journal.flush();
    assert.equal(journal.close(), false);
    assert.equal(readJournal(directory, BOOT).state, 'none');
  });

  it('lets a module stop that has nothing to say, and one that has', () => {
    fill();
    for (const set of [new DirtySet(), journalled()]) {
      assert.match(saveHistory(directory, { base: BASE, set }) ?? '', /ENOSPC/);
      assert.equal(readHistory(directory).history, undefined);
    }
    rmSync(filler());
    assert.equal(saveHistory(directory, { base: BASE, set: new DirtySet() }), undefined);
    assert.equal(readHistory(directory).history?.base, BASE);
  });

  it('can be marked "inconsistent" when the mark was there before', () => {
    const marker = new InconsistentMarker(directory);
    fill();
    marker.set('half a resync', 'compare');
    assert.equal(new InconsistentMarker(directory).needsCompare, true);
    marker.clear();
    assert.equal(new InconsistentMarker(directory).isSet, false);
  });

  it('refuses to begin without room for the mark, and leaves none', () => {
    fill();
    assert.throws(() => new InconsistentMarker(directory), /HF_REPLICATION_STATE_DIRECTORY/);
    rmSync(filler());
    assert.equal(new InconsistentMarker(directory).isSet, false);
  });

  function journalled(): DirtySet {
    const set = new DirtySet();
    set.touchWhole('h');
    return set;
  }
});
