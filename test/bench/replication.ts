/**
 * `replication`: the same work in a bare directory, in a replicated one (in both modes), on GlusterFS and through bindfs; on one disk, in
 * turns. The median over the rounds counts, and ratios compare what was measured in the same run: the machine may be shared and noisy,
 * but it is so for all.
 */
import { copyFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { messageOf } from '@holdfast/sdk';
import { replicatorPeakMib } from './daemons.js';
import { provide, packageOf } from './packages.js';
import { type Configuration, type Place, Places } from './places.js';
import { type BenchResult, comparison, markdownTable, median, meets, type Row, single, spread, textOf } from './rows.js';
import { WorkFolder } from './work-folder.js';
import { WORKLOADS, type Figure, type Workload } from './workloads.js';

export interface ReplicationBenchOptions {
  readonly rounds: number;
  /** Names of workloads; all when empty. */
  readonly only: readonly string[];
  readonly without: readonly string[];
  /** On the disk that is measured. */
  readonly directory: string;
  /** 1 as promised; smaller to try it. */
  readonly scale: number;
}

const MIB = 1024 * 1024;
const ARCHIVE = '/srv/small-files.tar';
const ARCHIVED_FILES = 20_000;
const SMALL_FILES = fileURLToPath(new URL('./small-files.js', import.meta.url));
const DISK_WORK = fileURLToPath(new URL('./disk-work.js', import.meta.url));
const LEFT_OUT = ['glusterfs', 'bindfs', 'fsync'];
const SHOWN: readonly Configuration[] = ['bare', 'Holdfast', 'Holdfast fsync', 'GlusterFS', 'GlusterFS strict', 'bindfs'];

/** What must not fail: the yardstick, and what is measured. */
const OURS: readonly Configuration[] = ['bare', 'Holdfast', 'Holdfast fsync'];

/** Values of one figure, by configuration, one per round. */
type Series = Map<Configuration, number[]>;

interface Measured {
  readonly figure: Figure;
  readonly series: Series;
}

export async function benchReplication(options: ReplicationBenchOptions, progress: (text: string) => void): Promise<BenchResult> {
  const workloads = chosen(options);
  const notes: string[] = [];
  const missing = await provide([...new Set(workloads.flatMap(({ programs }) => programs))], progress);
  const possible = workloads.filter(({ programs }) => !programs.some((program) => missing.includes(program)));
  for (const program of missing) notes.push(`${packageOf(program)} is not there and cannot be installed: what needs it was left out.`);
  // Seven copies of the largest file in every round, and the small ones of all rounds.
  const bytes = options.scale * (7 * options.rounds * 600 * MIB + 8 * 1024 * MIB);
  const folder = new WorkFolder(options.directory, { bytes, objects: Math.ceil(options.scale * 8 * options.rounds * 45_000) + 10_000 });
  try {
    const others = new Set<Exclude<Configuration, 'bare' | 'Holdfast'>>();
    if (!options.without.includes('fsync')) others.add('Holdfast fsync');
    if (!options.without.includes('bindfs')) others.add('bindfs');
    if (!options.without.includes('glusterfs')) others.add('GlusterFS');
    if (others.has('GlusterFS') && possible.some(({ strict }) => strict === true)) others.add('GlusterFS strict');
    const places = await Places.open({ diskFolder: folder.path, others, progress });
    try {
      const bench = new ReplicationBench(places, options, progress);
      const measured = await bench.run(possible);
      const rows = [...measured.flatMap(rowsOf), ...bench.memoryRows()];
      return { rows, notes: [...notes, ...places.notes, ...bench.notes], markdown: markdownOfFigures(measured) };
    } finally {
      await places.close();
    }
  } finally {
    await folder.remove();
  }
}

/** @throws Error for a name that does not exist */
function chosen({ only, without }: ReplicationBenchOptions): readonly Workload[] {
  const stranger = only.find((name) => !WORKLOADS.some((workload) => workload.name === name));
  if (stranger !== undefined) throw new Error(`no workload "${stranger}"; there are ${WORKLOADS.map(({ name }) => name).join(', ')}`);
  const unknown = without.find((name) => !LEFT_OUT.includes(name));
  if (unknown !== undefined) throw new Error(`cannot leave out "${unknown}"; ${LEFT_OUT.join(', ')} can be left out`);
  return WORKLOADS.filter(({ name }) => only.length === 0 || only.includes(name));
}

class ReplicationBench {
  readonly notes: string[] = [];
  readonly #places: Places;
  readonly #options: ReplicationBenchOptions;
  readonly #progress: (text: string) => void;
  #folders = 0;

  constructor(places: Places, options: ReplicationBenchOptions, progress: (text: string) => void) {
    this.#places = places;
    this.#options = options;
    this.#progress = progress;
  }

  async run(workloads: readonly Workload[]): Promise<Measured[]> {
    if (workloads.some(({ needsArchive }) => needsArchive === true)) await this.#makeArchive();
    await this.#warmUp();
    const measured: Measured[] = [];
    for (const workload of workloads) measured.push(...(await this.#measure(workload)));
    return measured;
  }

  memoryRows(): Row[] {
    return [
      single('memory of the replicator on the primary, peak', 'MiB', [replicatorPeakMib(this.#places.node('n1'))]),
      single('memory of the replicator on the secondary, peak', 'MiB', [replicatorPeakMib(this.#places.node('n2'))]),
    ];
  }

  #amount(full: number): number {
    return Math.max(1, Math.round(full * this.#options.scale));
  }

  /** A replicator runs for months: what its program needs to become fast is not what replication costs. */
  async #warmUp(): Promise<void> {
    this.#progress('warming up');
    for (const place of this.#places.all) {
      for (const [workload, amount] of [
        ['sequential', 128],
        ['synced', 1000],
        ['create', 1000],
      ] as const) {
        const argv = [process.execPath, DISK_WORK, `${place.folder}/warm-up`, workload, String(this.#amount(amount))];
        await place.machine.run(argv, { timeoutMs: 300_000 });
      }
    }
  }

  async #makeArchive(): Promise<void> {
    const [first, ...others] = [...new Set(this.#places.all.map(({ machine }) => machine))];
    if (first === undefined) return;
    const count = this.#amount(ARCHIVED_FILES);
    this.#progress(`making an archive of ${count} small files`);
    await first.run([process.execPath, SMALL_FILES, 'archive', '/srv/archived', String(count), ARCHIVE], { timeoutMs: 300_000 });
    for (const machine of others) await copyFile(first.path(ARCHIVE), machine.path(ARCHIVE));
  }

  async #measure(workload: Workload): Promise<Measured[]> {
    const measured = Object.fromEntries(
      Object.entries(workload.figures).map(([key, figure]) => [key, { figure, series: new Map() as Series }]),
    );
    const failed = new Set<Place>();
    const used: { readonly place: Place; readonly folder: string }[] = [];
    for (let round = 1; round <= this.#options.rounds; round += 1) {
      for (const place of this.#inTurn(round)) {
        if ((place.configuration === 'GlusterFS strict' && workload.strict !== true) || failed.has(place)) continue;
        this.#folders += 1;
        const folder = `${place.folder}/${workload.name}-${this.#folders}`;
        used.push({ place, folder });
        try {
          const values = await this.#runOnce(workload, place, folder);
          for (const [key, value] of Object.entries(values)) {
            const series = measured[key]?.series;
            if (series?.get(place.configuration)?.push(value) === undefined) series?.set(place.configuration, [value]);
          }
          const text = Object.entries(values).map(([key, value]) => `${key} ${value.toPrecision(4)} ${measured[key]?.figure.unit ?? ''}`);
          this.#progress(`${workload.name}, round ${round} of ${this.#options.rounds}, ${place.configuration}: ${text.join(', ')}`);
        } catch (error) {
          // What others cannot do is no reason to stop; what ours cannot do is.
          if (OURS.includes(place.configuration)) throw error;
          failed.add(place);
          this.notes.push(`${place.configuration} failed at "${workload.name}": ${messageOf(error)}`);
        }
      }
      await this.#places.requireReplication();
    }
    if (workload.keepsFiles !== true) {
      for (const { place, folder } of used) await place.machine.run(['rm', '-rf', folder], { timeoutMs: 300_000 });
    }
    return Object.values(measured);
  }

  /** Every round begins with another configuration: what one leaves behind (in caches, in free memory) falls to each of the others. */
  #inTurn(round: number): Place[] {
    const { all } = this.#places;
    const first = (round - 1) % all.length;
    return [...all.slice(first), ...all.slice(0, first)];
  }

  async #runOnce(workload: Workload, place: Place, folder: string): Promise<Readonly<Record<string, number>>> {
    await place.machine.run(['mkdir', '-p', folder], { timeoutMs: 60_000 });
    // What earlier runs left in memory is written before, and not during, this one.
    await place.machine.run(['sync'], { timeoutMs: 300_000 });
    return this.#places.unobserved(() => workload.run({ place, folder, archive: ARCHIVE, amount: (full) => this.#amount(full) }));
  }
}

function rowsOf({ figure, series }: Measured): Row[] {
  const { name, unit, targets } = figure;
  const ours = series.get('Holdfast');
  if (ours === undefined) return [];
  const rows: Row[] = [];
  for (const configuration of SHOWN) {
    const values = series.get(configuration);
    if (values === undefined || configuration.startsWith('Holdfast')) continue;
    rows.push(comparison(name, unit, ours, { name: configuration, values }, targets[configuration]));
  }
  return [...(rows.length > 0 ? rows : [single(name, unit, ours)]), ...writtenBackRows({ figure, series })];
}

/** What `sync="fsync"` is measured against: what acknowledges as it does. No promises: those are made for the default. */
function writtenBackRows({ figure, series }: Measured): Row[] {
  const ours = series.get('Holdfast fsync');
  if (ours === undefined) return [];
  return (['bare', 'GlusterFS'] as const).flatMap((name) => {
    const values = series.get(name);
    return values === undefined ? [] : [comparison(`${figure.name}; sync="fsync"`, figure.unit, ours, { name, values })];
  });
}

/** For people: one line per figure, one column per configuration, and the promises that concern it. */
function markdownOfFigures(measured: readonly Measured[]): string {
  const configurations = SHOWN.filter((configuration) => measured.some(({ series }) => series.has(configuration)));
  const lines = measured.map(({ figure, series }) => [
    figure.name,
    figure.unit,
    ...configurations.map((configuration) => {
      const values = series.get(configuration);
      if (values === undefined) return '–';
      return values.length > 1 ? spread(median(values), Math.min(...values), Math.max(...values)) : spread(median(values));
    }),
    ratiosOf({ figure, series }),
  ]);
  return markdownTable(['', 'unit', ...configurations, 'ratio (target)'], lines);
}

function ratiosOf({ figure, series }: Measured): string {
  const ours = series.get('Holdfast');
  if (ours === undefined) return '';
  const texts = SHOWN.flatMap((configuration) => {
    const target = figure.targets[configuration];
    const values = series.get(configuration);
    if (target === undefined || values === undefined) return [];
    const ratio = median(ours) / median(values);
    return [`${ratio.toPrecision(2)} × ${configuration} (${textOf(target)}${meets(target, ratio) ? '' : ', missed'})`];
  });
  return texts.join('<br>');
}
