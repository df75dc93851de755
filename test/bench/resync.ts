/**
 * `resync`: what it costs to bring a secondary up to date. The promises: a failback costs what changed, not what there is; a changed byte
 * costs a granule, not a file; a full copy runs at the disk's pace; a million files need little memory.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Failback, ReplicatedTree, type Resync } from './failback.js';
import { provide } from './packages.js';
import { type BenchResult, comparison, median, type Row, single } from './rows.js';
import { REPLICATED } from './places.js';
import { WorkFolder } from './work-folder.js';

export interface ResyncBenchOptions {
  readonly rounds: number;
  /** Names of parts; all when empty. */
  readonly only: readonly string[];
  /** In the large tree; the small one has a tenth. */
  readonly files: number;
  readonly changed: number;
  readonly sparseGib: number;
  readonly mixedMib: number;
  /** Installs it when it is missing. */
  readonly withRsync: boolean;
  readonly directory: string;
}

const GRANULE_BYTES = 64 * 1024;
const MEMORY_MIB_MAX = 400;
/** A node is not slower for what did not change; what is measured in tenths of seconds on a shared machine varies by this much. */
const GROWTH_MAX = 1.5;
const RSYNC_RATIO_MIN = 50;
const COPY_RATIO_MIN = 0.7;
/** A small file on ext4 takes a block, an inode and its share of a directory. */
const SMALL_FILE_BYTES = 4096 + 256 + 64;
const MIB = 1024 * 1024;
const TREE_WORK = fileURLToPath(new URL('./tree-work.js', import.meta.url));
const LONG_MS = 3_600_000;

interface FailbackSeries {
  readonly failbacks: readonly Failback[];
  readonly rsyncSeconds: readonly number[];
  readonly rsyncBytes: readonly number[];
  readonly firstStart: Resync;
  readonly peakMib: { readonly primary: number; readonly secondary: number };
  readonly findSeconds: number;
}

const PARTS: Readonly<Record<string, (bench: ResyncBench) => Promise<Row[]>>> = {
  failback: (bench) => bench.failbacks(),
  'one-byte': (bench) => bench.sparse(),
  full: (bench) => bench.fullCopy(),
};

export async function benchResync(options: ResyncBenchOptions, progress: (text: string) => void): Promise<BenchResult> {
  const stranger = options.only.find((name) => PARTS[name] === undefined);
  if (stranger !== undefined) throw new Error(`no part "${stranger}"; there are ${Object.keys(PARTS).join(', ')}`);
  const missing = options.withRsync ? await provide(['rsync'], progress) : [];
  const trees = (options.files + options.files / 10) * 3;
  const bytes = Math.max(trees * SMALL_FILE_BYTES, options.mixedMib * MIB * (1 + 2 * options.rounds));
  const folder = new WorkFolder(options.directory, { bytes, objects: Math.ceil(trees * 1.1) });
  const bench = new ResyncBench(folder.path, options, options.withRsync && missing.length === 0, progress);
  try {
    const rows: Row[] = [];
    for (const [name, part] of Object.entries(PARTS)) {
      if (options.only.length === 0 || options.only.includes(name)) rows.push(...(await part(bench)));
    }
    const notes = options.withRsync ? [] : ['rsync was left out, as asked.'];
    return { rows, notes: missing.length === 0 ? notes : ['rsync is not there and cannot be installed: it was left out.'] };
  } finally {
    await folder.remove();
  }
}

class ResyncBench {
  readonly #folder: string;
  readonly #options: ResyncBenchOptions;
  readonly #withRsync: boolean;
  readonly #progress: (text: string) => void;

  constructor(folder: string, options: ResyncBenchOptions, withRsync: boolean, progress: (text: string) => void) {
    this.#folder = folder;
    this.#options = options;
    this.#withRsync = withRsync;
    this.#progress = progress;
  }

  /** The same number of changes in two trees, one ten times the other. */
  async failbacks(): Promise<Row[]> {
    const { files, changed } = this.#options;
    const fewer = Math.round(files / 10);
    const small = await this.#failbackSeries(fewer);
    const large = await this.#failbackSeries(files);
    const seconds = ({ failbacks }: FailbackSeries): number[] => failbacks.map(({ resync }) => resync.durationMs / 1000);
    const name = `failback, ${changed} of ${files} files changed`;
    const rows: Row[] = [];
    if (this.#withRsync) {
      rows.push(
        speedUp(`${name}: resync`, seconds(large), { name: 'rsync -a', values: large.rsyncSeconds }, RSYNC_RATIO_MIN),
        comparison(`${name}: bytes sent`, 'bytes', bytesOf(large), { name: 'rsync -a', values: large.rsyncBytes }),
      );
    } else {
      rows.push(single(`${name}: resync`, 's', seconds(large)), single(`${name}: bytes sent`, 'bytes', bytesOf(large)));
    }
    rows.push(
      comparison(`${name}: resync`, 's', seconds(large), { name: `${fewer} files`, values: seconds(small) }, { atMost: GROWTH_MAX }),
      single(
        `${name}: from "start" to ready`,
        's',
        large.failbacks.map(({ startSeconds }) => startSeconds),
      ),
      single(`comparison of ${files} files at the first start`, 's', [large.firstStart.durationMs / 1000]),
      single(`find over ${files} files through the mount`, 's', [large.findSeconds]),
      single(`memory of the primary's replicator, ${files} files, peak`, 'MiB', [large.peakMib.primary], { atMost: MEMORY_MIB_MAX }),
      single(`memory of the secondary's replicator, ${files} files, peak`, 'MiB', [large.peakMib.secondary], { atMost: MEMORY_MIB_MAX }),
    );
    return rows;
  }

  async #failbackSeries(files: number): Promise<FailbackSeries> {
    const { rounds, changed } = this.#options;
    const base = join(this.#folder, `small-${files}`);
    const copy = join(base, 'copy');
    const tree = await ReplicatedTree.create(base);
    try {
      const folders = [tree.pathOf('n1'), tree.pathOf('n2'), ...(this.#withRsync ? [copy] : [])];
      for (const path of folders) mkdirSync(path, { recursive: true });
      const made = await treeWork('small', files, ...folders);
      await run(['sync', '-f', base]);
      this.#progress(`made ${folders.length} × ${files} files in ${made.toFixed(1)} s`);
      const firstStart = await tree.start();
      this.#progress(`first start, both trees compared: ${(firstStart.durationMs / 1000).toFixed(1)} s`);
      const failbacks: Failback[] = [];
      const rsyncSeconds: number[] = [];
      const rsyncBytes: number[] = [];
      for (let round = 1; round <= rounds; round += 1) {
        const change = [process.execPath, TREE_WORK, 'change', String(files), String(changed), String(round), REPLICATED];
        const failback = await tree.failback(async () => {
          await tree.primary.run(change, { timeoutMs: 300_000 });
        });
        failbacks.push(failback);
        const { resync, startSeconds } = failback;
        const times = `${resync.durationMs} ms (${resync.mode}), ${resync.bytesSent} bytes, ready after ${startSeconds.toFixed(2)} s`;
        this.#progress(`${files} files, round ${round} of ${rounds}: ${times}`);
        if (!this.#withRsync) continue;
        const { seconds, output } = await timed(['rsync', '-a', '--stats', '--exclude=/.holdfast', `${tree.pathOf('n1')}/`, `${copy}/`]);
        rsyncSeconds.push(seconds);
        rsyncBytes.push(Number((/Total bytes sent: ([\d,.]+)/.exec(output)?.[1] ?? 'NaN').replaceAll(/[,.]/g, '')));
        this.#progress(`${files} files, round ${round} of ${rounds}: rsync -a ${seconds.toFixed(2)} s, ${rsyncBytes.at(-1) ?? 0} bytes`);
      }
      const began = performance.now();
      await tree.primary.run(['find', REPLICATED, '-size', '+1G'], { timeoutMs: LONG_MS });
      const findSeconds = (performance.now() - began) / 1000;
      const peakMib = { primary: tree.peakMib('n1'), secondary: tree.peakMib('n2') };
      return { failbacks, rsyncSeconds, rsyncBytes, firstStart, peakMib, findSeconds };
    } finally {
      await tree.close();
      await run(['rm', '-rf', base]);
    }
  }

  /** A large file with holes, of which the application changed single bytes. */
  async sparse(): Promise<Row[]> {
    const { rounds, changed, sparseGib } = this.#options;
    const base = join(this.#folder, 'sparse');
    const tree = await ReplicatedTree.create(base);
    try {
      await tree.start();
      const file = `${REPLICATED}/sparse`;
      const size = sparseGib * 1024 * MIB;
      await tree.primary.run(['truncate', '-s', String(size), file]);
      const failbacks: Failback[] = [];
      for (let round = 1; round <= rounds; round += 1) {
        const touch = [process.execPath, TREE_WORK, 'touch', String(size), String(changed), file];
        failbacks.push(
          await tree.failback(async () => {
            await tree.primary.run(touch, { timeoutMs: 300_000 });
          }),
        );
      }
      const bytes = failbacks.map(({ resync }) => resync.bytesSent);
      const name = `one byte changed at ${changed} places of a file of ${sparseGib} GiB`;
      this.#progress(`${name}: ${median(bytes)} bytes sent`);
      return [
        single(`${name}: bytes sent`, 'bytes', bytes, { atMost: changed * GRANULE_BYTES }),
        single(
          `${name}: resync`,
          's',
          failbacks.map(({ resync }) => resync.durationMs / 1000),
        ),
      ];
    } finally {
      await tree.close();
      await run(['rm', '-rf', base]);
    }
  }

  /**
   * Everything, to an empty secondary, beside `cp -a` on the same disk. Both end when the copy is on the disk. No copy is removed before
   * the last is made: an ext4 without a journal searches long for an inode that was not freed a moment ago.
   */
  async fullCopy(): Promise<Row[]> {
    const { rounds, mixedMib } = this.#options;
    const source = join(this.#folder, 'mixed');
    const made = await treeWork('mixed', mixedMib, source);
    this.#progress(`made a tree of ${mixedMib} MiB in ${made.toFixed(1)} s`);
    const ours: number[] = [];
    const copied: number[] = [];
    const copies: string[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const base = join(this.#folder, `full-${round}`);
      await run(['sync', '-f', this.#folder]);
      const copy = `${base}-copy`;
      copies.push(base, copy);
      const { seconds } = await timed(['sh', '-c', 'cp -a "$1" "$2" && sync -f "$2"', 'copy', source, copy]);
      copied.push((mixedMib * MIB) / 1e6 / seconds);
      const tree = await ReplicatedTree.create(base);
      try {
        renameSync(source, join(tree.pathOf('n1'), 'mixed'));
        await run(['sync', '-f', this.#folder]);
        const { bytesInTree, durationMs } = await tree.start();
        ours.push(bytesInTree / 1e6 / (durationMs / 1000));
      } finally {
        await tree.close();
        renameSync(join(tree.pathOf('n1'), 'mixed'), source);
      }
      this.#progress(`full copy, round ${round} of ${rounds}: ${ours.at(-1)?.toFixed(0)} MB/s, cp -a ${copied.at(-1)?.toFixed(0)} MB/s`);
    }
    await run(['rm', '-rf', source, ...copies]);
    const name = `full synchronisation of ${mixedMib} MiB`;
    return [comparison(name, 'MB/s', ours, { name: 'cp -a + sync', values: copied }, { atLeast: COPY_RATIO_MIN })];
  }
}

/** Seconds against seconds, told as how many times faster. */
function speedUp(
  name: string,
  values: readonly number[],
  other: { readonly name: string; readonly values: readonly number[] },
  min: number,
): Row {
  const { ratio = Number.NaN, ...row } = comparison(name, 's', values, other);
  return { ...row, ratio: 1 / ratio, target: `≥ ${min} × faster`, met: 1 / ratio >= min };
}

function bytesOf({ failbacks }: FailbackSeries): number[] {
  return failbacks.map(({ resync }) => resync.bytesSent);
}

async function treeWork(...words: readonly (string | number)[]): Promise<number> {
  return (JSON.parse(await run([process.execPath, TREE_WORK, ...words.map(String)])) as { seconds: number }).seconds;
}

async function timed(argv: readonly string[]): Promise<{ seconds: number; output: string }> {
  const began = performance.now();
  const output = await run(argv);
  return { seconds: (performance.now() - began) / 1000, output };
}

/** Runs a command on the host. @throws Error when it fails */
async function run(argv: readonly string[]): Promise<string> {
  const [file = '', ...words] = argv;
  const child = spawn(file, words, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, LC_ALL: 'C' } });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${argv.join(' ')} failed with ${code ?? 'a signal'}`);
  return output;
}
