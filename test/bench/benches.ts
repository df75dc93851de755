/** The benchmarks by name: their pages for people, their options, and how they are run. */
import { resolve } from 'node:path';
import type { ParseArgsConfig } from 'node:util';
import { benchCheckers } from './checkers.js';
import { benchFailover } from './failover.js';
import { benchQuickly } from './replication-quick.js';
import { benchReplication } from './replication.js';
import { benchResync } from './resync.js';
import type { BenchResult } from './rows.js';
import { DEFAULT_PARENT } from './work-folder.js';
import { WORKLOADS } from './workloads.js';

type Values = Readonly<Record<string, string | boolean | undefined | (string | boolean)[]>>;

export interface Bench {
  readonly name: string;
  readonly summary: string;
  /** What `--help` prints. */
  readonly help: string;
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** @throws Error for an option that cannot be */
  readonly run: (values: Values, progress: (text: string) => void) => Promise<BenchResult>;
}

export const commonOptions = {
  rounds: { type: 'string' },
  json: { type: 'boolean', default: false },
  markdown: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const satisfies ParseArgsConfig['options'];

const COMMON_HELP = `  --json             one JSON object as the last line:
                     {"rows":[{name, value, unit, min, max, against, againstValue, ratio, target, met}, …], "notes":[…]}
  --markdown FILE    also writes the results as a Markdown table; - is the standard output
  --help             this page
`;

const EXIT_HELP = `EXIT STATUS
  0  all targets are met
  1  a target is missed, or the benchmark could not be run
`;

const FAILOVER_HELP = `NAME
  failover - how soon an address and an application are back, beside keepalived and pacemaker

SYNOPSIS
  npm run bench -- failover [--rounds N] [--without NAME,…] [--json] [--markdown FILE]

DESCRIPTION
  The address alone: pairs of nodes on one network keep a virtual address each, and what answers on it runs on both nodes all the time.
    Holdfast         with its default heartbeat (timeout 2 s), and with a timeout of 500 ms
    keepalived       VRRP 3 at its default interval of 1 s, and at 0.1 s
    pacemaker        with corosync, token 1000 ms, resource IPaddr2, without fencing: a lab's setting that spares it the time of fencing
  A client makes a new TCP connection with one request every 10 ms, whatever became of those before. In every round of every pair the
  node that has the address loses its power, comes back, and the address is handed over in order (swap; keepalived is terminated; the
  resource is moved). An outage is the time from the last answer of one node to the first of the other. The moments of the faults are
  spread over the second.

  The application: two nodes protect the ledger, with default timeouts; a client writes all the time. In every round the primary loses
  its power, comes back, the application is restarted where it is, and the module is swapped. At the end every acknowledged write must
  be there.

  Programs that are missing are installed with apt-get: keepalived, corosync, pacemaker, pacemaker-cli-utils, resource-agents. What
  cannot be installed or does not start is left out, and the output says so. No service of the machine is started: all daemons run in
  namespaces and end with the benchmark.

OPTIONS
  --rounds N         power cuts and hand-overs, each (default 10)
  --without NAME,…   leaves parts out: keepalived, pacemaker, ledger
${COMMON_HELP}
${EXIT_HELP}
REQUIRES
  root, for namespaces and mounts; a quiet machine for numbers that mean something
`;

const CHECKERS_HELP = `NAME
  checkers - how soon a death is told, and what watching costs

SYNOPSIS
  npm run bench -- checkers [--rounds N] [--json] [--markdown FILE]

DESCRIPTION
  A node in the lab runs the agent with a watched process, among 1,000 others. In every round the process is killed; what counts is the
  time until its resource is down, as the agent's event stream tells it. Beside it the agent's processor time while nothing happens.

OPTIONS
  --rounds N         deaths (default 20)
${COMMON_HELP}
${EXIT_HELP}
REQUIRES
  root, for namespaces and mounts
`;

const REPLICATION_HELP = `NAME
  replication - what synchronous replication costs, beside a bare directory, GlusterFS and bindfs

SYNOPSIS
  npm run bench -- replication [--rounds N] [--only NAME,…] [--without NAME,…] [--directory DIR] [--scale F]
                                 [--json] [--markdown FILE]
  npm run bench -- replication --quick [--rounds N] [--json]

DESCRIPTION
  The same work is done in turns in folders on one disk:
    bare             a plain directory
    Holdfast         a replicated directory: two nodes on this machine, as they are installed
    Holdfast fsync   the same with sync="fsync": the kernel keeps what is written until it is synced or the file is closed
    GlusterFS        a volume of replica 2 with both bricks on this machine, with the settings of the package
    GlusterFS strict without write-behind and flush-behind: acknowledges a write when both bricks have it, as Holdfast does by default
    bindfs           a plain pass-through in user space, for what FUSE costs by itself
  The replicated configurations write everything twice to the same disk and share its processors: what is compared is the way, not the
  distance. The median of the rounds counts; ratios are between medians of the same run. Whatever is written is removed at the end.

  Programs that are missing are installed with apt-get: fio, glusterfs-server, bindfs, git, sqlite3, postgresql-15. What cannot be
  installed is left out, and the output says so. No service of the machine is started, stopped or changed: all daemons run in
  namespaces and end with the benchmark. Caches of the whole machine are dropped on the way.

  What spoils the numbers: other work on the machine, and a mass deletion on the same ext4 in the minutes before (it avoids inodes that
  were just freed: creating files is ten times slower meanwhile), for example the end of an earlier run or of "resync".

OPTIONS
  --rounds N         rounds of each workload (default 3; with --quick 5)
  --only NAME,…      only these workloads:
                     ${WORKLOADS.slice(0, 6)
                       .map(({ name }) => name)
                       .join(', ')},
                     ${WORKLOADS.slice(6)
                       .map(({ name }) => name)
                       .join(', ')}
  --without NAME,…   leaves configurations out: glusterfs, bindfs, fsync
  --directory DIR    a folder on the disk to measure (default ${DEFAULT_PARENT}); not below /etc, /var or /root, and not in memory
  --scale F          smaller amounts and times, to see whether it works: 0.1 is a tenth. Its numbers mean nothing
  --quick            a minute instead of an hour: three workloads, bare and Holdfast only, nothing is installed
${COMMON_HELP}
${EXIT_HELP}
REQUIRES
  root; about 20 GiB of disk; a quiet machine for numbers that mean something
`;

const RESYNC_HELP = `NAME
  resync - what it costs to bring a secondary up to date

SYNOPSIS
  npm run bench -- resync [--files N] [--rounds N] [--quick] [--only NAME,…] [--without rsync] [--directory DIR]
                            [--json] [--markdown FILE]

DESCRIPTION
  Two nodes in the lab, their disks in one folder on this machine.
    failback         the secondary is stopped, 1,000 of the files change, it comes back; beside rsync -a of the same tree to a copy
                     on the same disk, in the same round. Done with N files and with a tenth of them: the time must not depend on that.
                     Both find their metadata in the cache, which favours rsync: it needs that of every file
    one-byte         of a sparse file of 20 GiB, at 1,000 places: how much is sent
    full             synchronisation of 4 GiB of large and small files to an empty secondary, beside cp -a and a sync
    memory           of the replicators at their peak, after all that and a find over all files through the mount
  Time and bytes are those that the product reports for a resynchronisation, from the connection to identical trees on both disks;
  beside it the time that an operator sees: from the command to both nodes being ready.

OPTIONS
  --files N          files in the large tree (default 1000000)
  --rounds N         rounds of each measure (default 3)
  --quick            a minute instead of half an hour: 20,000 files, a file of 1 GiB, 256 MiB for the full copy, one round
  --only NAME,…      only these parts: failback (with memory), one-byte, full
  --without rsync    leaves it out: nothing is installed
  --directory DIR    a folder on the disk to measure (default ${DEFAULT_PARENT}); not below /etc, /var or /root, and not in memory
${COMMON_HELP}
${EXIT_HELP}
REQUIRES
  root; rsync (installed with apt-get when missing); about 29 GiB and 3.6 million inodes for a million files
`;

export const BENCHES: readonly Bench[] = [
  {
    name: 'failover',
    summary: 'outage seen by a client at power cuts and swaps, beside keepalived and pacemaker',
    help: FAILOVER_HELP,
    options: { without: { type: 'string', default: '' } },
    run: async (values, progress) => benchFailover({ rounds: positive(values, 'rounds', 10), without: list(values['without']) }, progress),
  },
  {
    name: 'checkers',
    summary: 'from the death of a process to its resource down, and what watching 1,000 costs',
    help: CHECKERS_HELP,
    options: {},
    run: async (values, progress) => ({ rows: await benchCheckers(positive(values, 'rounds', 20), progress) }),
  },
  {
    name: 'replication',
    summary: 'work in a replicated directory beside a bare one, GlusterFS and bindfs on the same disk',
    help: REPLICATION_HELP,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      without: { type: 'string', default: '' },
      directory: { type: 'string', default: DEFAULT_PARENT },
      scale: { type: 'string' },
    },
    run: async (values, progress) => {
      if (values['quick'] === true) return { rows: await benchQuickly(positive(values, 'rounds', 5), progress) };
      return benchReplication(
        {
          rounds: positive(values, 'rounds', 3),
          only: list(values['only']),
          without: list(values['without']),
          directory: resolve(String(values['directory'])),
          scale: positive(values, 'scale', 1),
        },
        progress,
      );
    },
  },
  {
    name: 'resync',
    summary: 'failback, full synchronisation and memory with a million files, beside rsync and cp',
    help: RESYNC_HELP,
    options: {
      quick: { type: 'boolean', default: false },
      files: { type: 'string' },
      only: { type: 'string', default: '' },
      without: { type: 'string', default: '' },
      directory: { type: 'string', default: DEFAULT_PARENT },
    },
    run: async (values, progress) => {
      const quick = values['quick'] === true;
      return benchResync(
        {
          rounds: positive(values, 'rounds', quick ? 1 : 3),
          files: positive(values, 'files', quick ? 20_000 : 1_000_000),
          changed: 1000,
          sparseGib: quick ? 1 : 20,
          mixedMib: quick ? 256 : 4096,
          only: list(values['only']),
          withRsync: !list(values['without']).includes('rsync'),
          directory: resolve(String(values['directory'])),
        },
        progress,
      );
    },
  },
];

/** What there is, for people. */
export function listOf(benches: readonly Bench[]): string {
  const lines = benches.map(({ name, summary }) => `  ${name.padEnd(14)} ${summary}`);
  return `Usage: npm run bench -- NAME [options]; npm run bench -- NAME --help\n\n${lines.join('\n')}\n`;
}

function list(value: Values[string]): string[] {
  return String(value).split(',').filter(Boolean);
}

/** @throws Error for what is not a positive number */
function positive(values: Values, option: string, byDefault: number): number {
  const text = values[option];
  if (text === undefined) return byDefault;
  const number = Number(text);
  if (!(number > 0) || (option !== 'scale' && !Number.isInteger(number)))
    throw new Error(`--${option} ${String(text)} is not a positive number`);
  return number;
}
