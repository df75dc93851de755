/** The acts of the demo: what breaks, what must follow, and what it cost the client. */
import type { ReplicationView } from '@holdfast/core';
import type { LabCluster } from '../lab/cluster.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { monotonicMs } from '../lab/workload-report.js';

export interface ActResult {
  readonly name: string;
  /** Longest time without an acknowledged write that this act caused. */
  readonly outageMs: number;
  readonly resync?: Resync;
}

type Resync = NonNullable<ReplicationView['lastResync']>;

export interface Stage {
  readonly cluster: LabCluster;
  readonly workload: WorkloadClient;
  /** Says what happens now. */
  readonly announce: (text: string) => void;
  /** How long the client writes undisturbed between two acts. */
  readonly calmMs: number;
}

const RECOVERY_MS = 60_000;

type Act = (stage: Stage, primary: string, secondary: string) => Promise<void>;

interface NamedAct {
  readonly name: string;
  readonly act: Act;
}

const ACTS: readonly NamedAct[] = [
  {
    name: 'power-cut',
    act: async ({ cluster, announce }, primary, secondary) => {
      announce(`power cut of ${primary}, the primary: every process of it is killed, unsynced writes are lost`);
      await cluster.powerCut(primary);
      await cluster.waitFor({ [secondary]: 'ALONE Ready' }, RECOVERY_MS);
    },
  },
  {
    name: 'failback',
    act: async ({ cluster, announce }) => {
      const alone = cluster.primary() ?? '';
      const other = alone === 'n1' ? 'n2' : 'n1';
      announce(`power back on ${other}: it follows by itself, only the changes are copied`);
      await cluster.powerOn(other);
      await cluster.waitFor({ [alone]: 'PRIM Ready', [other]: 'SECOND Ready' }, RECOVERY_MS);
    },
  },
  {
    name: 'swap',
    act: async ({ cluster, announce }, primary, secondary) => {
      announce(`swap: ${primary} hands over to ${secondary}`);
      await cluster.command(primary, 'swap');
      await cluster.waitFor({ [secondary]: 'PRIM Ready', [primary]: 'SECOND Ready' }, RECOVERY_MS);
    },
  },
  {
    name: 'stop',
    act: async ({ cluster, announce }, primary, secondary) => {
      announce(`clean stop of ${primary}`);
      await cluster.command(primary, 'stop');
      await cluster.waitFor({ [secondary]: 'ALONE Ready', [primary]: 'STOP NotReady' }, RECOVERY_MS);
    },
  },
  {
    name: 'start',
    act: async ({ cluster, announce }) => {
      const alone = cluster.primary() ?? '';
      const other = alone === 'n1' ? 'n2' : 'n1';
      announce(`start of ${other}`);
      await cluster.command(other, 'start');
      await cluster.waitFor({ [alone]: 'PRIM Ready', [other]: 'SECOND Ready' }, RECOVERY_MS);
    },
  },
];

/** Longer than a primary holds its writes without a decision. */
const UNDECIDED_MS = 60_000;

/** Network cuts, with a witness that both nodes reach, or only one. */
const PARTITION: readonly NamedAct[] = [
  {
    name: 'nodes-cut',
    act: async ({ cluster, announce }, primary, secondary) => {
      announce(`the network between ${primary} and ${secondary} is cut; both still reach the witness and the client`);
      await cluster.lab.network.cut(primary, secondary);
      await cluster.waitFor({ [primary]: 'ALONE Ready', [secondary]: 'WAIT NotReady' }, RECOVERY_MS);
    },
  },
  { name: 'healed', act: heal },
  {
    name: 'primary-cut',
    act: async ({ cluster, announce }, primary, secondary) => {
      announce(`${primary}, the primary, is cut off from everything: its writes wait, it is not allowed to go on, and stops`);
      await cluster.lab.network.isolate(primary);
      await cluster.waitFor({ [secondary]: 'ALONE Ready' }, RECOVERY_MS);
      await cluster.waitFor({ [primary]: 'WAIT NotReady' }, UNDECIDED_MS);
    },
  },
  { name: 'healed again', act: heal },
];

async function heal({ cluster, announce }: Stage): Promise<void> {
  const alone = cluster.primary() ?? '';
  const other = alone === 'n1' ? 'n2' : 'n1';
  announce(`the network is whole again: ${other} follows by itself`);
  await cluster.lab.network.heal();
  await cluster.waitFor({ [alone]: 'PRIM Ready', [other]: 'SECOND Ready' }, RECOVERY_MS);
}

export interface Play {
  readonly acts: readonly NamedAct[];
  readonly witness?: true;
  /** The nodes are in two subnets, and the client comes through a load balancer on the router between them. */
  readonly balanced?: true;
}

/** What `--act` takes. */
export const PLAYS: Readonly<Record<string, Play>> = {
  all: { acts: ACTS },
  partition: { acts: PARTITION, witness: true },
  loadbalancer: { acts: ACTS.slice(0, 3), balanced: true },
};

/** Plays acts. The client's outages are attributed to the act during which they ended. */
export async function playActs(stage: Stage, acts: readonly NamedAct[] = ACTS): Promise<ActResult[]> {
  const results: ActResult[] = [];
  const known = new Set(resyncs(stage.cluster));
  for (const { name, act } of acts) {
    await calm(stage);
    const [primary, secondary] = stage.cluster.primary() === 'n2' ? ['n2', 'n1'] : ['n1', 'n2'];
    const beganMs = monotonicMs();
    await act(stage, primary ?? 'n1', secondary ?? 'n2');
    await calm(stage);
    const outageMs = longestOutageMs(stage.workload, beganMs);
    const [fresh] = resyncs(stage.cluster).filter((text) => !known.has(text));
    if (fresh !== undefined) known.add(fresh);
    results.push({ name, outageMs, ...(fresh === undefined ? {} : { resync: JSON.parse(fresh) as Resync }) });
  }
  return results;
}

/** The client writes for a while, so that every act finds something to lose. */
async function calm({ workload, calmMs }: Stage): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, calmMs));
  await workload.waitForMore(20, RECOVERY_MS);
}

function longestOutageMs(workload: WorkloadClient, sinceMs: number): number {
  const ended = workload.outages.filter(({ endMs }) => endMs >= sinceMs);
  return Math.round(Math.max(0, ...ended.map(({ startMs, endMs }) => endMs - startMs)));
}

/** The last resync of each node, as text: the same one is told again with every view. */
function resyncs(cluster: LabCluster): string[] {
  const found = cluster.lab.nodes.map(({ name }) => cluster.view(name)?.replication?.lastResync);
  return found.filter((resync) => resync !== undefined).map((resync) => JSON.stringify(resync));
}
