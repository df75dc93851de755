/** Rounds of random power cuts of a cluster: the primary, the secondary, or both; at random moments, with the power back soon or late. */
import { setTimeout as delay } from 'node:timers/promises';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';

export interface CampaignOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly progress: (text: string) => void;
}

export interface CampaignOutcome {
  readonly ok: boolean;
  readonly rounds: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly identical: boolean;
  /** Sentences about what is wrong. */
  readonly problems: readonly string[];
}

export interface Load {
  readonly acknowledged: number;
  /** The service works: so many more acknowledgements. */
  waitForMore(count: number): Promise<void>;
}

const RECOVERY_MS = 120_000;
const VICTIMS = ['primary', 'secondary', 'both'] as const;

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** After each round both nodes are Ready again and the load has gone on. @throws HF_LAB_TIMEOUT when the cluster does not recover */
export async function cutPower(cluster: LabCluster, load: Load, { rounds, seed, progress }: CampaignOptions): Promise<void> {
  const random = randomFrom(seed);
  for (let round = 1; round <= rounds; round += 1) {
    await load.waitForMore(10);
    await delay(random() * 2500);
    const primary = cluster.primary() ?? 'n1';
    const secondary = primary === 'n1' ? 'n2' : 'n1';
    const victim = VICTIMS[Math.floor(random() * VICTIMS.length)] ?? 'both';
    const darkMs = random() < 0.5 ? random() * 500 : 2000 + random() * 3000;
    progress(
      `round ${round}: power cut of ${victim === 'both' ? 'both nodes' : `the ${victim}`}, ${load.acknowledged} acknowledged so far`,
    );
    const nodes = victim === 'both' ? [primary, secondary] : [victim === 'primary' ? primary : secondary];
    await Promise.all(nodes.map((node) => cluster.powerCut(node)));
    await delay(darkMs);
    await Promise.all(nodes.map((node) => cluster.powerOn(node)));
    await waitFor(`one PRIM Ready and one SECOND Ready, not ${cluster.state('n1')} and ${cluster.state('n2')}`, RECOVERY_MS, () =>
      ['PRIM Ready,SECOND Ready', 'SECOND Ready,PRIM Ready'].includes(`${cluster.state('n1')},${cluster.state('n2')}`),
    );
  }
  await load.waitForMore(10);
}
