/** `npm run campaign -- NAME`: long tests with real crashes. Exits 1 when a promise is broken. */
import { parseArgs } from 'node:util';
import { messageOf } from '@holdfast/sdk';
import { crashCampaign } from './crash.js';
import { runFaults } from './faults/main.js';
import { fileCampaign, LOADS } from './files.js';
import { postgresqlCampaign } from './postgresql.js';
import type { CampaignOptions, CampaignOutcome } from './power-cuts.js';

const HELP = `Usage: npm run campaign -- faults|crash|postgresql|sqlite|git|maildir|qemu-img [options]

  faults           a whole cluster with a witness and random faults of every kind: power, processes, sleep, network, disks, clocks,
                   operators; clients remember every acknowledgement, a sniffer watches who owns the address (also without a name)
  crash            sequences of operations and a crash at every record of the link, by kill and by power cut, of either node or both
  postgresql       a database and a client that remembers every commit, random power cuts of either node or both
  sqlite           the same with SQLite (write-ahead log, synchronous=FULL), on the node itself
  git              the same with commits to a git repository, checked by git fsck
  maildir          the same with messages: written, synced, renamed into place, some deleted again
  qemu-img         the same with the disk image of a virtual machine: written, benched and converted, checked by qemu-img check
  --faults N       faults only: so many (default 20)
  --minutes M      faults only: new ones begin for so long
  --first N        faults only: number of the first fault of the seed's plan, to repeat a part of it (default 1)
  --report FILE    faults only: the table as Markdown
  --rounds N       crashes (default 20; crash: 200)
  --seed N         repeats the random choices of another run (timing differs)
  --all LENGTH     crash only: all sequences of that length instead of random ones; 2 takes hours, 3 days
  --json           one JSON object as the last line: {"ok", "campaign", "seed", "rounds", "acknowledged", "lost", "identical", "problems"};
                   faults: {"faults", "acknowledged", "lost", "dualPrimary", "identical", "outageMs": {"p50", "p95", "p99", "max"}, …}

Exit status: 0 nothing lost and both copies identical, 1 otherwise. Needs root (it builds a lab).
`;

async function run(name: string | undefined, options: CampaignOptions, all: number | undefined): Promise<CampaignOutcome | undefined> {
  if (name === 'crash') return crashCampaign(options, all);
  if (name === 'postgresql') return postgresqlCampaign(options);
  const load = LOADS.find((each) => each === name);
  return load === undefined ? undefined : fileCampaign(load, options);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    seed: { type: 'string' },
    all: { type: 'string' },
    faults: { type: 'string' },
    minutes: { type: 'string' },
    first: { type: 'string' },
    report: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [name] = positionals;
const isFaults = name === 'faults' || (name === undefined && (values.minutes !== undefined || values.faults !== undefined));
/** @throws HoldfastError */
async function runOther(): Promise<void> {
  const rounds = Math.max(1, Number(values.rounds ?? (name === 'crash' ? 200 : 20)) || 1);
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
  const progress = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  const all = values.all === undefined ? undefined : Number(values.all);
  const outcome = values.help ? undefined : await run(name, { rounds, seed, progress }, all);
  if (outcome === undefined) {
    process.stdout.write(HELP);
    process.exitCode = values.help ? 0 : 1;
  } else {
    const { ok, acknowledged, lost, identical, problems } = outcome;
    for (const problem of problems) progress(problem);
    const verdict = `${ok ? 'ok' : 'BROKEN'}: ${acknowledged} acknowledged, ${lost} lost, copies ${identical ? 'identical' : 'DIFFERENT'}`;
    process.stdout.write(`${values.json ? JSON.stringify({ ...outcome, campaign: name, seed }) : verdict}\n`);
    process.exitCode = ok ? 0 : 1;
  }
}

try {
  if (isFaults && !values.help) process.exitCode = await runFaults(values);
  else await runOther();
} catch (error) {
  process.stderr.write(`campaign: ${messageOf(error)}\n`);
  if (values.json) process.stdout.write(`${JSON.stringify({ ok: false, campaign: name, error: messageOf(error) })}\n`);
  process.exitCode = 1;
}
