/** The checker: judgements on numbers, the mount table, and real small file systems in a mount namespace of their own. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CheckResult } from '@holdfast/sdk';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { type Demands, readConfiguration } from '../src/configuration.js';
import { plugin } from '../src/index.js';
import { DiskJudge, type DiskState } from '../src/judgement.js';
import { isReadOnly } from '../src/mount-table.js';
import { SpeedJudge } from '../src/speed.js';

const CASES = fileURLToPath(new URL('./disk-cases.js', import.meta.url));
const TITLES = JSON.parse(execFileSync(process.execPath, [CASES], { encoding: 'utf8' })) as readonly string[];
const GIB = 1024 ** 3;
const HOUR_MS = 3_600_000;

const DEMANDS: Demands = {
  path: '/data',
  free: { percent: 5 },
  inodes: { percent: 2 },
  windowMs: HOUR_MS,
  mustBeWritable: true,
  timeoutMs: 5000,
};
const GOOD: DiskState = {
  bytesTotal: 100 * GIB,
  bytesFree: 50 * GIB,
  inodesTotal: 1000,
  inodesFree: 500,
  readOnly: false,
  fsyncMs: undefined,
};

describe('disk checker', function () {
  this.timeout(60_000);

  it('wants room and inodes, as parts or amounts', () => {
    const judge = (demands: Partial<Demands>, state: Partial<DiskState>): string =>
      new DiskJudge({ ...DEMANDS, ...demands }).judge({ ...GOOD, ...state }, 0).detail;
    assert.equal(judge({}, {}), '/data: 50.0 GiB (50.0 %) free, 50.0 % of the inodes');
    assert.equal(judge({}, { bytesFree: GIB }), '/data: 1.0 GiB (1.0 %) free, at least 5 % are wanted');
    assert.equal(judge({ free: { count: 60 * GIB } }, {}), '/data: 50.0 GiB (50.0 %) free, at least 60.0 GiB are wanted');
    assert.equal(judge({}, { inodesFree: 5 }), '/data: 5 inodes (0.5 %) free, at least 2 % are wanted');
    assert.equal(judge({}, { inodesTotal: 0, inodesFree: 0 }), '/data: 50.0 GiB (50.0 %) free');
    assert.match(judge({}, { readOnly: true }), /it is read-only/);
    assert.doesNotMatch(judge({ mustBeWritable: false }, { readOnly: true }), /read-only/);
  });

  it('forecasts from steady growth, not from one large file, and not too early', () => {
    const judge = new DiskJudge({ ...DEMANDS, fullInMs: 2 * HOUR_MS });
    const verdicts = Array.from({ length: 7 }, (_, index) =>
      judge.judge({ ...GOOD, bytesFree: (50 - 5 * index) * GIB }, (index * HOUR_MS) / 6),
    );
    assert.deepEqual(
      verdicts.map(({ verdict }) => verdict),
      ['up', 'up', 'up', 'down', 'down', 'down', 'down'],
    );
    assert.match(verdicts.at(-1)?.detail ?? '', /full in 40 min if it goes on like this \(30\.0 GiB per hour\)/);
    const shrinking = new DiskJudge({ ...DEMANDS, fullInMs: 2 * HOUR_MS });
    for (let index = 0; index < 7; index += 1) {
      assert.equal(shrinking.judge({ ...GOOD, bytesFree: (40 + index) * GIB }, (index * HOUR_MS) / 6).verdict, 'up');
    }
  });

  it('compares fsync with its own past, and does not get used to what is slow', () => {
    const judge = new DiskJudge({ ...DEMANDS, slowerMax: 10 });
    for (let index = 0; index < 10; index += 1) assert.equal(judge.judge({ ...GOOD, fsyncMs: 4 }, index).verdict, 'up');
    assert.equal(judge.judge({ ...GOOD, fsyncMs: 39 }, 10).verdict, 'up');
    for (let index = 0; index < 30; index += 1) {
      assert.match(judge.judge({ ...GOOD, fsyncMs: 400 }, index).detail, /fsync took 400 ms, 100 times the usual 4\.0 ms/);
    }
    assert.match(new DiskJudge({ ...DEMANDS, fsyncMsMax: 50 }).judge({ ...GOOD, fsyncMs: 51 }, 0).detail, /at most 50 ms are allowed/);
  });

  describe('beside the other node', () => {
    const repeat = (judge: SpeedJudge, count: number, fsyncMs: number, peerMs?: number): string => {
      const said = Array.from({ length: count }, () => judge.judge(fsyncMs, peerMs)).at(-1);
      return said?.problem ?? (said?.doubt === undefined ? 'fast' : `doubt: ${said.doubt}`);
    };

    it('is slow only where it is slow by its own past and beside the other', () => {
      const judge = new SpeedJudge({ slowerMax: 10, slowerThanPeerMax: 10 });
      assert.equal(repeat(judge, 10, 4, 4), 'fast');
      assert.equal(repeat(judge, 5, 400, 400), 'fast', 'both are slow');
      assert.equal(repeat(judge, 1, 400, 4), 'fsync takes 400 ms, 100 times the usual 4.0 ms, 100 times the 4.0 ms of the other node');
      const always = new SpeedJudge({ slowerMax: 10, slowerThanPeerMax: 10 });
      assert.equal(repeat(always, 30, 400, 4), 'fast', 'it was never faster');
      assert.match(
        repeat(new SpeedJudge({ slowerThanPeerMax: 10 }), 1, 400, 4),
        /^fsync takes 400 ms, 100 times the 4\.0 ms of the other node$/,
      );
    });

    it('is judged by medians: a single slow or fast fsync changes nothing', () => {
      const judge = new SpeedJudge({ slowerMax: 10, slowerThanPeerMax: 10 });
      repeat(judge, 10, 4, 4);
      assert.equal(repeat(judge, 2, 400, 4), 'fast');
      assert.equal(repeat(judge, 3, 4, 4), 'fast');
      assert.match(repeat(judge, 3, 400, 4), /400 ms/);
      assert.match(repeat(judge, 2, 4, 4), /400 ms/);
    });

    it('is fast again only well below what made it slow, and without limit of its own when nothing is slow on either', () => {
      const judge = new SpeedJudge({ slowerMax: 10, slowerThanPeerMax: 10 });
      repeat(judge, 10, 4, 4);
      assert.equal(repeat(judge, 5, 39, 4), 'fast');
      assert.match(repeat(judge, 5, 45, 4), /45\.0 ms/);
      assert.match(repeat(judge, 5, 30, 4), /30\.0 ms/, 'it was slow');
      assert.equal(repeat(judge, 5, 19, 4), 'fast');
      assert.equal(repeat(judge, 5, 30, 4), 'fast');
      assert.equal(repeat(new SpeedJudge({ slowerThanPeerMax: 2 }), 5, 19, 0.1), 'fast', 'as fast as this is fast');
    });

    it('is never slow because the other figure is missing', () => {
      const judge = new SpeedJudge({ slowerMax: 10, slowerThanPeerMax: 10 });
      assert.equal(repeat(judge, 10, 4), 'fast');
      assert.equal(repeat(judge, 5, 400), "doubt: fsync takes 400 ms, 100 times the usual 4.0 ms; the other node's time is not known");
      assert.match(repeat(judge, 1, 400, 4), /of the other node/);
      assert.match(repeat(judge, 1, 400), /^doubt/);
      assert.equal(repeat(judge, 5, 4), 'fast');
      assert.equal(repeat(new SpeedJudge({ slowerThanPeerMax: 10 }), 5, 400), 'fast', 'nothing says that it is slow');
    });

    it('says so in its verdict, and tells what it measured', () => {
      const judge = new DiskJudge({ ...DEMANDS, slowerMax: 10, slowerThanPeerMax: 10 });
      const look = (fsyncMs: number | undefined, peerMs?: number): CheckResult => judge.judge({ ...GOOD, fsyncMs }, 0, peerMs);
      assert.match(look(4).detail, /fsync 4\.0 ms \(the other node's is not known\)$/);
      assert.match(look(4, 3).detail, /fsync 4\.0 ms \(3\.0 ms on the other node\)$/);
      assert.deepEqual(look(4, 3).figures, [{ name: 'fsync', value: 4, unit: 'ms' }]);
      assert.equal(look(undefined, 3).figures, undefined, 'nothing was measured');
      for (let index = 0; index < 10; index += 1) look(4, 3);
      for (let index = 0; index < 4; index += 1) look(400, 3);
      assert.equal(look(400, 3).verdict, 'down');
      judge.rest();
      assert.equal(look(400, 3).verdict, 'down', 'the usual time is known after a pause');
      assert.equal(look(400).verdict, 'unknown');
    });

    it('is compared only where both nodes measure', () => {
      const create = (when: string): unknown => {
        const to = {
          path: '/',
          free: '5%',
          inodes: '2%',
          window: 60_000,
          readonly: true,
          interval: 1000,
          timeout: 5000,
          slower_than_peer: 5,
        };
        return readConfiguration({ ident: 'a', when, action: 'noaction', fall: 1, rise: 1, to: [to] });
      };
      create('both');
      create('pre');
      assert.throws(() => create('prim'), /HF_DISK_PEER: slower_than_peer .*when="prim"/);
    });
  });

  it('finds the mount that a path is on, and whether it or its file system is read-only', () => {
    const table = [
      '1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw',
      '2 1 8:2 / /data rw,relatime shared:1 - ext4 /dev/sda2 ro,errors=remount-ro',
      '3 1 8:3 / /data/with\\040blank ro,relatime - ext4 /dev/sda3 rw',
      '4 1 8:4 / /data/hidden ro - ext4 /dev/sda4 rw',
      '5 1 8:5 / /data/hidden rw - ext4 /dev/sda5 rw',
    ].join('\n');
    const found = ['/', '/database', '/data', '/data/x', '/data/with blank/x', '/data/hidden/x'].map((path) => isReadOnly(table, path));
    assert.deepEqual(found, [false, false, true, true, true, false]);
    assert.equal(isReadOnly('nonsense\n\n - \n', '/'), false);
  });

  it('refuses demands that cannot be met, naming the attribute', () => {
    const create = (to: Record<string, string | number>): unknown => {
      const all = { path: '/', free: '5%', inodes: '2%', window: 1_800_000, readonly: true, interval: 10_000, timeout: 5000, ...to };
      const head = { ident: 'a', when: 'both', action: 'noaction', fall: 1, rise: 1 };
      return [readConfiguration({ ...head, to: [all] }), createdChecks(plugin, {}, { ...head, to: [all] })];
    };
    create({});
    assert.throws(() => create({ full_in: HOUR_MS, window: 15_000 }), /HF_DISK_WINDOW: window/);
    assert.throws(() => create({ fsync: 5000 }), /HF_DISK_FSYNC/);
    assert.throws(() => create({ free: '101%' }), /HF_DISK_PERCENT: free="101%"/);
  });

  for (const title of TITLES) {
    it(title, () => {
      const folder = mkdtempSync(join(tmpdir(), 'holdfast-checker-disk-'));
      try {
        // Private mounts: they end with the namespace, whatever happens, and nobody else sees them.
        const inside = ['unshare', '--mount', '--propagation', 'private', process.execPath, CASES, folder, title];
        const { status, stderr } = spawnSync('timeout', ['-k', '1', '40', ...inside], { encoding: 'utf8' });
        assert.equal(status, 0, stderr);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
});
