/**
 * The benchmarks work: each is run once with tiny amounts, without what would have to be installed, and gives the rows that it promises.
 * Their numbers mean nothing here; that the arithmetic behind them is right is checked with numbers that are known.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { BENCHES, listOf } from '../bench/benches.js';
import { benchFailover } from '../bench/failover.js';
import { parseFio } from '../bench/fio.js';
import { outageMs, parseAnswer, phaseMs } from '../bench/gaps.js';
import { benchReplication } from '../bench/replication.js';
import { benchResync } from '../bench/resync.js';
import { comparison, markdownOf, median, type Row, single, tableOf } from '../bench/rows.js';

const SILENT = (): void => undefined;

function workFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith(`holdfast-bench-${process.pid}-`));
}

describe('benchmarks', function () {
  this.timeout(240_000);

  it('compare medians of the same run, and say whether a promise is kept', () => {
    assert.equal(median([5, 1, 3]), 3);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    const faster = comparison('writes', '/s', [90, 100, 300], { name: 'bare', values: [200, 150, 900] }, { atLeast: 0.5 });
    assert.deepEqual(faster, {
      name: 'writes',
      value: 100,
      unit: '/s',
      min: 90,
      max: 300,
      against: 'bare',
      againstValue: 200,
      againstMin: 150,
      againstMax: 900,
      ratio: 0.5,
      target: '≥ 0.5 × bare',
      met: true,
    });
    const cheaper = comparison('processor time', 's', [4], { name: 'other', values: [10] }, { atMost: 0.35 });
    assert.deepEqual([cheaper.ratio, cheaper.met, cheaper.target], [0.4, false, '≤ 0.35 × other']);
    assert.equal(single('memory', 'MiB', [401], { atMost: 400 }).met, false);
    assert.match(tableOf([faster, cheaper]), /100 \(90\.0–300\) \/s[^\n]*0\.500[^\n]*met/);
    assert.match(
      markdownOf([cheaper]),
      /^\| measure .*\n\| --- .*\n\| processor time \| 4\.00 s \| other 10\.0 \| 0\.400 \| .* \| MISSED \|$/,
    );
  });

  it('read what fio reports, remarks before it included, and do not take an error for a result', () => {
    const direction = { io_bytes: 4096, bw_bytes: 2048, iops: 0.5 };
    const report = (error: number): string => JSON.stringify({ jobs: [{ error, job_runtime: 2000, read: direction, write: direction }] });
    assert.equal(parseFio(`fio: a remark\n${report(0)}`).write.bw_bytes, 2048);
    assert.throws(() => parseFio(report(28)), /error 28/);
    assert.throws(() => parseFio('fio: no such engine'), /no report: fio: no such engine/);
  });

  it('read what the request client says, and nothing else', () => {
    assert.deepEqual(parseAnswer('1234.50 n1'), { atMs: 1234.5, node: 'n1' });
    for (const line of ['', '1234.50', 'n1 1234', '-1 n1', '12 n1 n2', 'Error: 12 n1']) assert.equal(parseAnswer(line), undefined, line);
  });

  it('count an outage from the last answer of one node to the first of the other, whatever the order in which they are told', () => {
    const answer = (atMs: number, node: string): { atMs: number; node: string } => ({ atMs, node });
    const told = [answer(10, 'n1'), answer(20, 'n1'), answer(520, 'n2'), answer(30, 'n1'), answer(510, 'n2'), answer(530, 'n2')];
    assert.equal(outageMs(told, 'n1', 'n2', 25), 480);
    assert.equal(outageMs(told, 'n1', 'n2', 515), 490, 'what n2 answered before does not count');
    assert.equal(outageMs(told, 'n1', 'n2', 600), undefined);
    assert.equal(outageMs(told, 'n3', 'n2', 25), undefined, 'n3 never answered');
    // A slow answer of the old node after the first of the new one does not shorten it.
    assert.equal(outageMs([...told, answer(515, 'n1')], 'n1', 'n2', 25), 480);
    assert.equal(outageMs([], 'n1', 'n2', 0), undefined);
  });

  it('spread the faults evenly over the second', () => {
    assert.deepEqual(
      [1, 2, 3, 4].map((round) => phaseMs(round, 4)),
      [125, 375, 625, 875],
    );
  });

  it('failover: refuses names that it does not know before it builds anything', async () => {
    await assert.rejects(
      benchFailover({ rounds: 1, without: ['corosync'] }, SILENT),
      /cannot leave out "corosync"; keepalived, pacemaker,/,
    );
  });

  it('have a page each, with the options that they take', () => {
    const list = listOf(BENCHES);
    for (const { name, summary, help, options } of BENCHES) {
      assert.ok(list.includes(`${name} `) && list.includes(summary));
      for (const heading of ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'EXIT STATUS', 'REQUIRES']) {
        assert.match(help, new RegExp(`^${heading}$`, 'm'), `${name}: ${heading}`);
      }
      for (const option of ['rounds', 'json', 'markdown', 'help', ...Object.keys(options)]) {
        assert.match(help, new RegExp(`^  --${option} `, 'm'), `${name}: --${option}`);
      }
    }
  });

  it('replication: measures a replicated directory beside a bare one, and leaves nothing behind', async () => {
    const directory = tmpdir();
    const options = { rounds: 1, only: ['create'], without: ['glusterfs', 'bindfs', 'fsync'], directory, scale: 0.02 };
    const { rows, notes, markdown } = await benchReplication(options, SILENT);
    const found = rows.map(({ name, against }) => [name, against]);
    assert.deepEqual(found, [
      ['creation of files of 1 KiB', 'bare'],
      ['stat of the files just created', 'bare'],
      ['memory of the replicator on the primary, peak', undefined],
      ['memory of the replicator on the secondary, peak', undefined],
    ]);
    for (const { name, value } of rows) assert.ok(value > 0, `${name}: ${value}`);
    assert.deepEqual(notes, ['GlusterFS was left out, as asked.', 'bindfs was left out, as asked.']);
    assert.match(markdown ?? '', /^\| creation of files of 1 KiB \| \/s \| \d/m);
    assert.deepEqual(workFolders(), []);
  });

  it('replication: refuses names that it does not know before it builds anything', async () => {
    const options = { rounds: 1, only: [], without: [], directory: tmpdir(), scale: 1 };
    await assert.rejects(benchReplication({ ...options, only: ['sequental'] }, SILENT), /no workload "sequental"; there are sequential,/);
    await assert.rejects(benchReplication({ ...options, without: ['bare'] }, SILENT), /cannot leave out "bare"/);
  });

  const sizes = { rounds: 1, files: 400, changed: 20, sparseGib: 1, mixedMib: 8, withRsync: false, directory: tmpdir() };
  const valueOf = (rows: readonly Row[], pattern: RegExp): number => rows.find(({ name }) => pattern.test(name))?.value ?? Number.NaN;

  it('resync: a failback sends what changed and not what there is; nothing is left behind', async () => {
    const { rows } = await benchResync({ ...sizes, only: ['failback'] }, SILENT);
    const sent = valueOf(rows, /^failback, 20 of 400 files changed: bytes sent/);
    assert.ok(sent > 20 * 64 && sent < 20 * 1100, `${sent} bytes for 20 small files`);
    assert.equal(rows.filter(({ name }) => name.startsWith('memory of the')).length, 2);
    assert.deepEqual(workFolders(), []);
  });

  it('resync: changed bytes of a file with holes, and a whole tree; nothing is left behind', async () => {
    const { rows } = await benchResync({ ...sizes, only: ['one-byte', 'full'] }, SILENT);
    assert.ok(valueOf(rows, /^one byte changed at 20 places of a file of 1 GiB: bytes sent/) <= 20 * 64 * 1024);
    assert.ok(valueOf(rows, /^full synchronisation of 8 MiB/) > 0);
    assert.deepEqual(workFolders(), []);
  });
});
