/** Power cuts, of one node or of both: the activity log says where to look. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { decodeActivity, SLOT_BYTES } from '../src/journal/activity-format.js';
import { ActivityLog, readActivity } from '../src/journal/activity-log.js';
import type { TouchRecorder } from '../src/journal/dirty-set.js';
import { assertIdentical, Lab, run, until, type LabNode } from './lab.js';

const BASE = '00112233445566778899aabbccddeeff';
const OTHER = 'ffeeddccbbaa99887766554433221100';
const WORKLOAD = fileURLToPath(new URL('./workload-process.js', import.meta.url));
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
const ROUNDS = Number(process.env['ROUNDS'] ?? 1);
const name = Buffer.from('name');

describe('the activity log', () => {
  let directory: string;
  let waiting: ((outcome: number) => void)[];
  let lost: string[];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-activity-'));
    waiting = [];
    lost = [];
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  const open = (): ActivityLog =>
    new ActivityLog({
      stateDirectory: directory,
      base: BASE,
      sync: (_fd, done) => waiting.push(done),
      onDurable: () => undefined,
      onEra: () => undefined,
      onLost: (reason) => lost.push(reason),
    });
  const finishSync = (outcome = 0): void => {
    for (const done of waiting.splice(0)) done(outcome);
  };
  const settle = (): void => {
    while (waiting.length > 0) finishSync();
  };
  const path = (): string => join(directory, 'activity');

  it('lets a modification pass only when what names it is durable, and the next ones at once', () => {
    const log = open();
    const write = (recorder: TouchRecorder): void => {
      recorder.touchData('file', 0, 4096, 'parent', name);
    };
    const need = log.cover(write);
    assert.equal(log.isDurable(need), false);
    finishSync();
    assert.equal(log.isDurable(need), true);
    assert.equal(log.isDurable(log.cover(write)), true);
    assert.equal(waiting.length, 0, 'nothing more to write down');
    assert.deepEqual([...(readActivity(directory).activity?.objects.get('file')?.extents ?? [])], [{ start: 0, end: 1 }]);
  });

  it('covers the next extent of a sequential write before it is reached', () => {
    const log = open();
    const extent = 32 << 20;
    for (let at = 0; at < extent; at += 1 << 20) {
      log.cover((recorder) => {
        recorder.touchData('file', at, 1 << 20);
      });
      settle();
    }
    const need = log.cover((recorder) => {
      recorder.touchData('file', extent, 1 << 20);
    });
    assert.equal(log.isDurable(need), true);
  });

  it('needs no record for objects that are new, and knows them by their era', () => {
    const eras: number[] = [];
    const log = new ActivityLog({
      stateDirectory: directory,
      base: BASE,
      sync: (_fd, done) => waiting.push(done),
      onDurable: () => undefined,
      onEra: (era) => eras.push(era),
      onLost: (reason) => lost.push(reason),
    });
    log.created('new');
    assert.equal(
      log.cover((recorder) => {
        recorder.touchData('new', 0, 1e9);
        recorder.touchName('new', 300n, name);
      }),
      0,
    );
    assert.deepEqual([...(readActivity(directory).activity?.eras ?? [])], eras);
  });

  it('drops what was not touched since the last checkpoint, and never what is on its way', () => {
    const log = open();
    const touchAll = (prefix: string): void => {
      log.cover((recorder) => {
        for (let n = 0; n < 100; n += 1) recorder.touchAttributes(`${prefix}${n}`);
      });
      settle();
    };
    touchAll('old');
    const period = log.pin();
    log.cut();
    touchAll('new');
    log.forgetPrevious();
    settle();
    assert.equal(readActivity(directory).activity?.objects.size, 200, 'a modification that is on its way keeps everything');
    assert.equal(log.unpin(period), true);
    log.forgetPrevious();
    settle();
    const { activity } = readActivity(directory);
    assert.equal(activity?.objects.size, 100);
    assert.ok(activity.objects.has('new0'));
    assert.equal(activity.eras.size, 2, 'the era that ends and the one that begins');
  });

  it('says that everything is suspect when more is touched than it can name', () => {
    const log = open();
    let need = 0;
    for (let n = 0; n < 40_000; n += 1) {
      need = log.cover((recorder) => {
        recorder.touchAttributes(`object-${n}-with-a-long-handle`, 'parent', name);
      });
    }
    assert.equal(log.isDurable(need), false);
    settle();
    assert.equal(log.isDurable(need), true);
    assert.equal(readActivity(directory).activity?.everything, true);
    log.cut();
    log.forgetPrevious();
    settle();
    assert.equal(readActivity(directory).activity?.everything, false, 'after a checkpoint it is precise again');
  });

  it('goes on from another generation, with or without what it named', () => {
    const log = open();
    log.cover((recorder) => {
      recorder.touchName('directory', 300n, name);
    });
    log.rebase(OTHER);
    let { activity } = readActivity(directory);
    assert.equal(activity?.base, OTHER);
    assert.equal(activity.directories.get('directory'), 300n);
    log.restart(BASE);
    ({ activity } = readActivity(directory));
    assert.equal(activity?.base, BASE);
    assert.equal(activity.directories.size, 0);
  });

  it('holds nobody up when it cannot be written, and leaves nothing to believe', () => {
    const log = open();
    const need = log.cover((recorder) => {
      recorder.touchAttributes('file');
    });
    finishSync(-5);
    assert.equal(log.isDurable(need), true);
    assert.equal(lost.length, 1);
    assert.deepEqual(readActivity(directory), { activity: undefined, reason: undefined });
  });

  it('is read as it was up to what was durable, wherever the power failed', () => {
    const log = open();
    for (let n = 0; n < 20; n += 1) {
      log.cover((recorder) => {
        recorder.touchAttributes(`file${n}`);
      });
      settle();
    }
    log.close();
    const bytes = readFileSync(path());
    const slot = bytes.subarray(SLOT_BYTES, SLOT_BYTES + 4096);
    const end = slot.findLastIndex((byte) => byte !== 0) + 1;
    let last = 0;
    for (let length = 0; length <= end; length += 13) {
      const torn = Buffer.from(bytes);
      torn.fill(0, SLOT_BYTES + length, 2 * SLOT_BYTES);
      const count = decodeActivity(torn).activity?.objects.size ?? 0;
      assert.ok(count >= last, `cut at ${length}`);
      last = count;
    }
    assert.ok(last >= 18);
    assert.equal(decodeActivity(bytes).activity?.objects.size, 20);
  });

  it('is not believed after damage', () => {
    const log = open();
    log.cover((recorder) => {
      for (let n = 0; n < 20; n += 1) recorder.touchAttributes(`file${n}`);
    });
    settle();
    log.close();
    const bytes = readFileSync(path());
    const end = bytes.findLastIndex((byte) => byte !== 0);
    fc.assert(
      fc.property(fc.integer({ min: SLOT_BYTES, max: end - 40 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] as number) ^ flip;
        const { activity } = decodeActivity(damaged);
        assert.ok(activity === undefined || activity.objects.size === 20, `byte ${at}`);
      }),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 5000 }), (garbage) => decodeActivity(Buffer.from(garbage)).activity === undefined));
  });
});

describe(`a pair after power cuts (SEED=${SEED})`, function () {
  this.timeout(60_000 * (ROUNDS + 1));
  let lab: Lab;
  let seed = SEED;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  /** Each start is another boot. */
  const prepare = 'cat /proc/sys/kernel/random/uuid >"$DIR.boot" && mount --bind "$DIR.boot" /proc/sys/kernel/random/boot_id';
  const work = (node: LabNode, seconds: number): Promise<unknown> =>
    Promise.all([0, 1].map(() => node.run(`${process.execPath} ${WORKLOAD} ${(seed += 1)} ${seconds}`)));
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const fill = (node: LabNode): Promise<string> =>
    node.must('mkdir old && for n in $(seq 300); do echo $n >old/$n; done; head -c 20000000 /dev/urandom >old/large; sync -f old');

  it('of both nodes at once: the former primary goes on, and only what was being modified is looked at', async () => {
    const { a, b } = await lab.connectedPair({ prepare });
    await fill(a);
    for (let n = 1; n <= ROUNDS; n += 1) {
      const working = work(a, 4);
      await pause(2600);
      await a.must(
        `echo ${n} >>old/7; echo ${n} >old/new${n}; rm old/${n + 20}; mkdir old/d${n}; echo ${n} >old/d${n}/x; chmod 600 old/${n + 40}`,
      );
      await Promise.all([a.kill(), b.kill()]);
      await working;
      // As if nothing of that had reached the other disk.
      await run(
        `cd '${b.tree}/old' && truncate -s -2 7 && rm -r new${n} d${n} && >${n + 20} && chmod 640 ${n + 40} && touch -t 2001010000 7`,
      );
      await Promise.all([a.start(), b.start()]);
      await until(
        () => a.status.journalSince !== undefined,
        () => `a to know what differs; ${a.log.join(' | ')}`,
      );
      await a.becomePrimary(n + 1, { base: n });
      await b.becomeSecondary(n + 1);
      const more = work(a, 0.5);
      await a.connectPeer(n + 1, 'journal');
      await a.reach('connected');
      await more;
      assert.equal(a.status.lastResync?.mode, 'journal');
      assert.ok((a.status.lastResync?.bytesSent ?? Infinity) < 15_000_000, JSON.stringify(a.status.lastResync));
      await assertIdentical(a, b);
    }
  });

  it('of a primary that is alone, whose journal lost its end', async () => {
    const { a, b } = await lab.connectedPair({ prepare });
    await fill(a);
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: { generation: '0'.repeat(31) + '2', epoch: 2 }, base: '0'.repeat(31) + '1' });
    const journal = join(a.stateDirectory, 'journal');
    const durable = statSync(journal).size;
    await work(a, 2);
    await a.kill();
    assert.ok(statSync(journal).size > durable);
    truncateSync(journal, durable);
    await a.start();
    await a.becomePrimary(3, { base: 1 });
    await b.start();
    await b.becomeSecondary(3);
    await a.connectPeer(3, 'journal');
    await a.reach('connected');
    assert.equal(a.status.lastResync?.mode, 'journal');
    await assertIdentical(a, b);
  });

  it('with a damaged log: nothing is believed, the trees are compared', async () => {
    const { a, b } = await lab.connectedPair({ prepare });
    await a.must('echo 1 >file');
    await Promise.all([a.kill(), b.kill()]);
    const path = join(a.stateDirectory, 'activity');
    const bytes = readFileSync(path);
    for (const at of [0, SLOT_BYTES]) bytes.fill(0xff, at + 40, at + 60);
    writeFileSync(path, bytes);
    await Promise.all([a.start(), b.start()]);
    await until(
      () => a.log.some((line) => line.includes('the activity log is damaged')),
      () => `the damage to be reported; ${a.log.join(' | ')}`,
    );
    assert.equal(a.status.journalSince, undefined);
  });
});
