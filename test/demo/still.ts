/**
 * Compares the data of both nodes at a moment when nobody writes: the client has ended, the application is paused. What the nodes hold is
 * read on their disks, below the file system that the application sees.
 */
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import { differences, summarise } from '../lab/trees.js';
import type { Application } from './applications.js';

/** The replication copies modification times at its checkpoints, every few seconds. */
const SETTLE_MS = 15_000;

export interface Comparison {
  readonly identical: boolean;
  readonly objects: number;
  readonly bytes: number;
  /** First differences, for people. */
  readonly differences: readonly string[];
}

export async function compareNodes(cluster: LabCluster, application: Application): Promise<Comparison> {
  const paused = cluster.lab.nodes.flatMap((node) => node.pids()).filter(({ command }) => application.processes.test(command));
  for (const { hostPid } of paused) process.kill(hostPid, 'SIGSTOP');
  try {
    let result: Comparison = { identical: false, objects: 0, bytes: 0, differences: ['not compared yet'] };
    await waitFor('both trees to be identical', SETTLE_MS, async () => {
      const [first, second] = await Promise.all(cluster.lab.nodes.map((node) => summarise(node.diskPath(application.directory))));
      if (first === undefined || second === undefined) return false;
      const found = differences(first, second);
      result = { identical: found.length === 0, objects: first.objects, bytes: first.bytes, differences: found.slice(0, 20) };
      return result.identical;
    }).catch(() => undefined);
    return result;
  } finally {
    for (const { hostPid } of paused) process.kill(hostPid, 'SIGCONT');
  }
}
