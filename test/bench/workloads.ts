/**
 * What is done in every configuration, and what it is promised to cost. The method, with what can go wrong: every run works in a folder of
 * its own; nothing is deleted between benchmarks that create files (ext4 is ten times slower at creating right after a mass deletion, and
 * a disk with online discard is busy with it); the disk is quiet before each run; caches are dropped for what is called cold; large files
 * are written twice and the second time counts, because memory that a virtual machine touches for the first time costs more than the disk.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { processorSeconds } from './daemons.js';
import { fio } from './fio.js';
import type { Program } from './packages.js';
import { runPgbench } from './pgbench.js';
import type { Configuration, Place } from './places.js';
import type { Target } from './rows.js';

/** One number that a workload gives, and the promises about its ratio to other configurations. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly targets: Partial<Record<Configuration, Target>>;
}

export interface Run {
  readonly place: Place;
  /** Empty, on the machine of the place. */
  readonly folder: string;
  /** An amount for this run: smaller ones are for trying whether it works at all. */
  readonly amount: (full: number) => number;
  /** Small files in an archive, on the machine of the place. */
  readonly archive: string;
}

export interface Workload {
  /** For `--only`. */
  readonly name: string;
  readonly programs: readonly Program[];
  /** By key; the keys of what `run` gives. */
  readonly figures: Readonly<Record<string, Figure>>;
  /** Also run where GlusterFS acknowledges a write only when both bricks have it. */
  readonly strict?: true;
  readonly needsArchive?: true;
  /** Large files are removed between workloads, small ones never. */
  readonly keepsFiles?: true;
  readonly run: (run: Run) => Promise<Readonly<Record<string, number>>>;
}

const SMALL_FILES = fileURLToPath(new URL('./small-files.js', import.meta.url));
const MIB = 1024 * 1024;
/** fio wants at least this much to be sure of a rate. */
const SECONDS = 3;

const atLeast = (ratio: number): Target => ({ atLeast: ratio });
const atMost = (ratio: number): Target => ({ atMost: ratio });

/** Writes and reads in bytes: the same file sizes in every configuration. */
const LARGE = 512;
const MEDIUM = 64;

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'sequential',
    programs: ['fio'],
    figures: {
      rate: { name: 'sequential write, 1 MiB', unit: 'MB/s', targets: { GlusterFS: atLeast(3) } },
      cpu: { name: 'processor time of all daemons, sequential write', unit: 's/GiB', targets: { GlusterFS: atMost(0.35) } },
    },
    run: async ({ place, folder, amount }) => {
      const options = { filename: 'file', rw: 'write', bs: '1M', size: `${amount(LARGE)}M` };
      await touchMemory(place, folder, options);
      const before = processorSeconds(place.daemons());
      const { write } = await fio(place.machine, folder, options);
      // What a daemon has taken and not yet written is part of the work.
      await place.machine.run(['sync', '-f', folder], { timeoutMs: 300_000 });
      const seconds = processorSeconds(place.daemons()) - before;
      const cpu = place.configuration === 'bare' ? {} : { cpu: seconds / (write.io_bytes / (1024 * MIB)) };
      return { rate: write.bw_bytes / 1e6, ...cpu };
    },
  },
  {
    name: 'sequential-fsync',
    programs: ['fio'],
    figures: {
      rate: {
        name: 'sequential write, 1 MiB, fsync at the end',
        unit: 'MB/s',
        targets: { GlusterFS: atLeast(3), bare: atLeast(0.45) },
      },
    },
    run: async ({ place, folder, amount }) => {
      const options = { filename: 'file', rw: 'write', bs: '1M', size: `${amount(LARGE)}M`, end_fsync: 1 };
      await touchMemory(place, folder, options);
      const job = await fio(place.machine, folder, options);
      return { rate: job.write.io_bytes / 1e6 / (Math.max(job.job_runtime, 1) / 1000) };
    },
  },
  {
    name: 'sequential-4k',
    programs: ['fio'],
    strict: true,
    figures: {
      rate: {
        name: 'sequential write, 4 KiB',
        unit: 'MB/s',
        targets: { GlusterFS: atLeast(1.5), 'GlusterFS strict': atLeast(8) },
      },
    },
    run: async ({ place, folder, amount }) => {
      const options = { filename: 'file', rw: 'write', bs: '4k', size: `${amount(MEDIUM)}M` };
      await touchMemory(place, folder, options);
      const { write } = await fio(place.machine, folder, options);
      return { rate: write.bw_bytes / 1e6 };
    },
  },
  {
    name: 'synced-4k',
    programs: ['fio'],
    figures: {
      rate: { name: '4 KiB random write + fdatasync, depth 1', unit: '/s', targets: { GlusterFS: atLeast(12), bare: atLeast(0.22) } },
    },
    run: (run) => randomWrites(run, { fdatasync: 1 }),
  },
  {
    name: 'direct-4k',
    programs: ['fio'],
    figures: {
      rate: { name: '4 KiB random write, O_DIRECT, 4 jobs, depth 16', unit: '/s', targets: { GlusterFS: atLeast(20), bare: atLeast(0.4) } },
    },
    run: (run) => randomWrites(run, { ioengine: 'libaio', iodepth: 16, numjobs: 4, direct: 1 }),
  },
  {
    name: 'buffered-4k',
    programs: ['fio'],
    figures: {
      rate: { name: '4 KiB random write, buffered, 4 jobs', unit: '/s', targets: { GlusterFS: atLeast(7) } },
    },
    run: async ({ place, folder, amount }) => {
      const options = { rw: 'randwrite', bs: '4k', numjobs: 4, size: `${amount(MEDIUM)}M`, runtime: amount(SECONDS), time_based: 1 };
      return { rate: (await fio(place.machine, folder, options)).write.iops };
    },
  },
  {
    name: 'read',
    programs: ['fio'],
    figures: {
      cold: { name: 'sequential read, 1 MiB, cold', unit: 'MB/s', targets: { bare: atLeast(0.55) } },
      warm: { name: 'sequential read, 1 MiB, warm', unit: 'MB/s', targets: { GlusterFS: atLeast(0.95), bare: atLeast(0.6) } },
      randomWarm: { name: '4 KiB random read, warm', unit: '/s', targets: { GlusterFS: atLeast(0.95), bare: atLeast(0.6) } },
      randomCold: { name: '4 KiB random read, cold', unit: '/s', targets: { GlusterFS: atLeast(3), bare: atLeast(0.55) } },
    },
    run: async ({ place, folder, amount }) => {
      const file = { filename: 'read', size: `${amount(LARGE)}M` };
      await fio(place.machine, folder, { ...file, rw: 'write', bs: '1M', end_fsync: 1 });
      const sequential = async (): Promise<number> =>
        (await fio(place.machine, folder, { ...file, rw: 'read', bs: '1M' })).read.bw_bytes / 1e6;
      const random = async (): Promise<number> =>
        (await fio(place.machine, folder, { ...file, rw: 'randread', bs: '4k', runtime: amount(SECONDS), time_based: 1 })).read.iops;
      await dropCaches(place);
      const cold = await sequential();
      const warm = await sequential();
      const randomWarm = await random();
      await dropCaches(place);
      return { cold, warm, randomWarm, randomCold: await random() };
    },
  },
  {
    name: 'create',
    programs: [],
    keepsFiles: true,
    figures: {
      create: { name: 'creation of files of 1 KiB', unit: '/s', targets: { GlusterFS: atLeast(15) } },
      stat: { name: 'stat of the files just created', unit: '/s', targets: { GlusterFS: atLeast(25) } },
    },
    run: (run) => smallFiles(run, ['create', run.folder, String(run.amount(2000))]),
  },
  {
    name: 'untar',
    programs: ['git'],
    needsArchive: true,
    keepsFiles: true,
    figures: {
      untar: { name: 'untar of files of 0.2 to 4 KB', unit: 'files/s', targets: { GlusterFS: atLeast(12) } },
      git: { name: 'git add + commit of these files', unit: 'files/s', targets: {} },
    },
    run: (run) => smallFiles(run, ['untar', run.folder, run.archive]),
  },
  {
    name: 'sqlite',
    programs: ['sqlite3'],
    keepsFiles: true,
    figures: { commits: { name: 'SQLite commits, WAL, synchronous=FULL', unit: '/s', targets: {} } },
    run: (run) => smallFiles(run, ['sqlite', run.folder, String(run.amount(5000))]),
  },
  {
    name: 'pgbench',
    programs: ['postgres'],
    keepsFiles: true,
    figures: {
      tps: { name: 'pgbench -s 10 -c 4 -j 2', unit: 'tps', targets: { GlusterFS: atLeast(3), bare: atLeast(0.6) } },
    },
    run: async ({ place, amount }) => ({ tps: await runPgbench(place, amount(10), amount(6)) }),
  },
];

/**
 * Does it once without measuring, and frees the memory of all copies by cutting the file off, so that what is measured writes to memory
 * that was in use a moment ago. The host of a virtual machine takes free memory back (free page reporting): the first touch of a page is
 * then a fault on the host, at a few hundred MB/s, and hits whoever comes second.
 */
async function touchMemory({ machine }: Place, folder: string, options: Readonly<Record<string, string | number>>): Promise<void> {
  await fio(machine, folder, { ...options, end_fsync: 1 });
  await machine.run(['truncate', '--size=0', `${folder}/file`]);
}

/** On one file that exists already: what is measured is writing, not growing. */
async function randomWrites({ place, folder, amount }: Run, options: Readonly<Record<string, string | number>>): Promise<{ rate: number }> {
  const file = { filename: 'file', size: `${amount(MEDIUM)}M` };
  await fio(place.machine, folder, { ...file, rw: 'write', bs: '1M', end_fsync: 1 });
  const timed = { runtime: amount(SECONDS), time_based: 1 };
  return { rate: (await fio(place.machine, folder, { ...file, ...timed, rw: 'randwrite', bs: '4k', ...options })).write.iops };
}

async function smallFiles({ place }: Run, words: readonly string[]): Promise<Record<string, number>> {
  const output = await place.machine.run([process.execPath, SMALL_FILES, ...words], { timeoutMs: 1_800_000 });
  return JSON.parse(output) as Record<string, number>;
}

async function dropCaches({ machine, folder }: Place): Promise<void> {
  await machine.run(['sync', '-f', folder], { timeoutMs: 300_000 });
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}
