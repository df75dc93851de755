/**
 * One replicated tree in the lab, as the resync benchmark needs it: trees that exist before the nodes meet, a secondary that goes away and
 * comes back, and what the product itself says about the resync that follows.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ReplicationView } from '@holdfast/core';
import { LabCluster } from '../lab/cluster.js';
import type { LabMachine } from '../lab/index.js';
import { replicatorPeakMib } from './daemons.js';
import { BENCH_MODULE, REPLICATED } from './places.js';

export type Resync = NonNullable<ReplicationView['lastResync']>;

export interface Failback {
  readonly resync: Resync;
  /** From the command that starts the secondary's module to both nodes being ready: start-up and decisions of the agents included. */
  readonly startSeconds: number;
}

const STEP_MS = 60_000;
const FIRST_START_MS = 3_600_000;

export class ReplicatedTree {
  private constructor(
    private readonly cluster: LabCluster,
    private readonly diskFolder: string,
  ) {}

  /** Two nodes whose directories are still plain and empty: `pathOf` says where they are. */
  static async create(diskFolder: string): Promise<ReplicatedTree> {
    mkdirSync(diskFolder, { recursive: true });
    const cluster = await LabCluster.create({ module: BENCH_MODULE, directories: [REPLICATED], clients: [], diskFolder });
    return new ReplicatedTree(cluster, diskFolder);
  }

  /** The node's own directory on the host, below any mount. */
  pathOf(node: 'n1' | 'n2'): string {
    return join(this.diskFolder, node, REPLICATED);
  }

  get primary(): LabMachine {
    return this.cluster.machine('n1');
  }

  /** First start: what both directories hold is compared, and the secondary's made like the primary's. */
  async start(): Promise<Resync> {
    await this.cluster.startBoth('n1', 'n2', FIRST_START_MS);
    return this.#lastResync();
  }

  /** The secondary goes away, `change` happens without it, and it comes back. */
  async failback(change: () => Promise<void>): Promise<Failback> {
    await this.cluster.command('n2', 'stop');
    await this.cluster.waitFor({ n1: 'ALONE Ready', n2: 'STOP NotReady' }, STEP_MS);
    await change();
    const began = performance.now();
    await this.cluster.command('n2', 'start');
    await this.cluster.waitFor({ n1: 'PRIM Ready', n2: 'SECOND Ready' }, FIRST_START_MS);
    return { resync: this.#lastResync(), startSeconds: (performance.now() - began) / 1000 };
  }

  /** The most memory that the replicator of a node has had so far. */
  peakMib(node: 'n1' | 'n2'): number {
    return replicatorPeakMib(this.cluster.machine(node));
  }

  #lastResync(): Resync {
    const resync = this.cluster.view('n1')?.replication?.lastResync;
    if (resync === undefined) throw new Error('the primary knows of no resynchronisation');
    return resync;
  }

  close(): Promise<void> {
    return this.cluster.close();
  }
}
