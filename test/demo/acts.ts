/** The acts of the demo: what breaks, what must follow, and what it cost the client. */
import type { ModuleView } from '@holdfast/core';
import type { LabCluster } from '../lab/cluster.js';
import { nowMs, type Workload } from './workload.js';

export interface ActResult {
  readonly name: string;
  /** Longest time without an acknowledged write that this act caused. */
  readonly outageMs: number;
  readonly resync?: { readonly mode: 'journal' | 'compare'; readonly bytesSent: number; readonly bytesInTree: number; readonly durationMs: number };
}

export interface Stage {
  readonly cluster: LabCluster;
  readonly workload: Workload;
  /** Says what happens now. */
  readonly announce: (text: string) => void;
  /** How long the client writes undisturbed between two acts. */
  readonly calmMs: number;
}

const RECOVERY_MS = 60_000;

type Act = (stage: Stage, primary: string, secondary: string) => Promise<void>;

const ACTS: readonly { readonly name: string; readonly act: Act }[] = [
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

/** Plays all acts. The client's outages are attributed to the act during which they ended. */
export async function playActs(stage: Stage): Promise<ActResult[]> {
  const results: ActResult[] = [];
  for (const { name, act } of ACTS) {
    await calm(stage);
    const before = resyncOf(stage.cluster);
    const [primary, secondary] = stage.cluster.primary() === 'n2' ? ['n2', 'n1'] : ['n1', 'n2'];
    const beganMs = nowMs();
    await act(stage, primary ?? 'n1', secondary ?? 'n2');
    await stage.workload.acknowledgedAfter(nowMs());
    await calm(stage);
    const resync = resyncOf(stage.cluster);
    const outageMs = stage.workload.longestOutageMs(beganMs);
    results.push({ name, outageMs, ...(resync === undefined || resync === before ? {} : { resync }) });
  }
  return results;
}

/** The client writes for a while, so that every act finds something to lose. */
async function calm({ workload, calmMs }: Stage): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, calmMs));
  await workload.acknowledgedAfter(nowMs());
}

function resyncOf(cluster: LabCluster): NonNullable<ModuleView['replication']>['lastResync'] {
  const primary = cluster.primary();
  return primary === undefined ? undefined : cluster.view(primary)?.replication?.lastResync;
}
