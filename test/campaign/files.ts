/**
 * Applications that work on files, on the node itself, through power cuts: the load runs wherever the primary is and says what it was
 * promised; who listens is outside of the nodes and remembers. In the end the same program checks all of it.
 */
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '@holdfast/sdk';
import { packageOf, provide, type Program } from '../bench/packages.js';
import { APPLICATIONS, withMacros } from '../demo/applications.js';
import { compareNodes } from '../demo/still.js';
import { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import type { RunningCommand } from '../lab/running-command.js';
import { cutPower, type CampaignOptions, type CampaignOutcome, type Load } from './power-cuts.js';

const PROGRAM = fileURLToPath(new URL('./load-client.js', import.meta.url));
export const LOADS = ['sqlite', 'git', 'maildir', 'qemu-img'] as const;
/** Programs that they need. */
const NEEDED: Readonly<Record<(typeof LOADS)[number], readonly Program[]>> = {
  sqlite: ['sqlite3'],
  git: ['git'],
  maildir: [],
  'qemu-img': ['qemu-img'],
};
const MORE_MS = 90_000;
const WATCH_MS = 100;
const CHECK_MS = 300_000;
const LEDGER = APPLICATIONS['ledger'];
const EXAMPLES_MAX = 20;

class FileLoad implements Load {
  /** What was promised: `<word> <number>` as the program said it. */
  readonly promised: string[] = [];
  readonly #cluster: LabCluster;
  readonly #directory: string;
  readonly #kind: string;
  readonly #watch: NodeJS.Timeout;
  #running: { readonly node: string; readonly command: RunningCommand } | undefined;

  constructor(cluster: LabCluster, kind: string, directory: string) {
    this.#cluster = cluster;
    this.#kind = kind;
    this.#directory = directory;
    this.#watch = setInterval(() => this.#keepRunning(), WATCH_MS);
  }

  get acknowledged(): number {
    return this.promised.length;
  }

  async waitForMore(count: number): Promise<void> {
    const goal = this.acknowledged + count;
    await waitFor(`${count} more promises; last output: ${this.#running?.command.lastOutput() ?? 'none'}`, MORE_MS, () => {
      return this.acknowledged >= goal;
    });
  }

  async end(): Promise<void> {
    clearInterval(this.#watch);
    this.#running?.command.endInput();
    await this.#running?.command.finished;
  }

  #keepRunning(): void {
    const node = this.#cluster.primary();
    if (this.#running?.command.running === true || node === undefined || !this.#cluster.state(node).endsWith(' Ready')) return;
    // What is known of a node may be a moment older than the cut of its power.
    if (!this.#cluster.machine(node).powered) return;
    const number = String(this.promised.length * 1000);
    const command = this.#cluster.machine(node).spawn([process.execPath, PROGRAM, 'work', this.#kind, this.#directory, number]);
    this.#running = { node, command };
    command.onLine(({ stream, text }) => {
      if (stream === 'stdout' && text.startsWith('promised ')) this.promised.push(text.slice(9));
    });
  }
}

export async function fileCampaign(kind: (typeof LOADS)[number], options: CampaignOptions): Promise<CampaignOutcome> {
  if (LEDGER === undefined) throw new Error('no ledger in the catalogue of the demo');
  const missing = await provide(NEEDED[kind], options.progress);
  if (missing.length > 0) {
    const packages = missing.map(packageOf).join(' ');
    throw new HoldfastError('HF_CAMPAIGN_PROGRAM', `${missing.join(', ')} cannot be installed; apt-get install ${packages}`);
  }
  const cluster = await LabCluster.create({
    module: LEDGER.module,
    directories: [LEDGER.directory],
    edit: (xml) => withMacros(xml, LEDGER.macros),
  });
  const directory = `${LEDGER.directory}/${kind}`;
  try {
    await cluster.startBoth();
    const load = new FileLoad(cluster, kind, directory);
    try {
      await cutPower(cluster, load, options);
    } finally {
      await load.end();
    }
    const node = cluster.primary() ?? 'n1';
    const check = await cluster
      .machine(node)
      .exec([process.execPath, PROGRAM, 'check', kind, directory], { input: load.promised.join('\n'), timeoutMs: CHECK_MS });
    const lines = `${check.stdout}${check.stderr}`.split('\n').filter((line) => line !== '');
    const lost = lines.filter((line) => line.startsWith('lost ')).length;
    const comparison = await compareNodes(cluster, LEDGER);
    const problems = [...lines.slice(0, EXAMPLES_MAX), ...comparison.differences];
    const { identical } = comparison;
    const ok = check.code === 0 && lost === 0 && identical && problems.length === 0;
    return { ok, rounds: options.rounds, acknowledged: load.acknowledged, lost, identical, problems };
  } finally {
    await cluster.close();
  }
}
