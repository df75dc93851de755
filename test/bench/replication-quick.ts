/**
 * `replication --quick`: what synchronous replication costs, in a minute and with nothing but Node: the same work in a replicated directory
 * and in a bare one beside it, in turns, on the same disk.
 */
import { fileURLToPath } from 'node:url';
import { LabCluster } from '../lab/cluster.js';
import { APPLICATIONS, withMacros } from '../demo/applications.js';
import { median, type Row } from './rows.js';

const PROGRAM = fileURLToPath(new URL('./disk-work.js', import.meta.url));

interface Measure {
  readonly workload: string;
  readonly name: string;
  readonly unit: string;
  readonly amount: number;
  readonly ratioMin?: number;
  readonly valueMin?: number;
}

const MEASURES: readonly Measure[] = [
  {
    workload: 'sequential',
    name: 'sequential 1 MiB writes, fsync at the end',
    unit: 'MB/s',
    amount: 192,
    ratioMin: 0.25,
  },
  { workload: 'synced', name: '4 KiB write + fsync, depth 1', unit: '/s', amount: 1500, ratioMin: 0.15 },
  { workload: 'create', name: 'creation of 1 KiB files', unit: '/s', amount: 2000, valueMin: 1500 },
];

export async function benchQuickly(rounds: number, progress: (text: string) => void): Promise<Row[]> {
  const application = APPLICATIONS['ledger'];
  if (application === undefined) throw new Error('no ledger application');
  const cluster = await LabCluster.create({
    module: application.module,
    directories: [application.directory, '/srv/bare'],
    edit: (xml) => withMacros(xml, application.macros),
  });
  try {
    await cluster.startBoth();
    const node = cluster.machine('n1');
    const rows: Row[] = [];
    for (const measure of MEASURES) {
      const amount = String(measure.amount);
      const bare: number[] = [];
      const replicated: number[] = [];
      // Round 0 does not count: a replicator runs for months, what its program needs to become fast is not what replication costs.
      for (let round = 0; round <= rounds; round += 1) {
        for (const [folder, values] of [
          ['/srv/bare', bare],
          [application.directory, replicated],
        ] as const) {
          const output = await node.run([process.execPath, PROGRAM, folder, measure.workload, amount], { timeoutMs: 120_000 });
          if (round > 0) values.push((JSON.parse(output) as { value: number }).value);
        }
        if (round === 0) continue;
        progress(
          `${measure.name}: round ${round} of ${rounds}: ${replicated.at(-1)?.toFixed(0)} ${measure.unit}, bare ${bare.at(-1)?.toFixed(0)}`,
        );
      }
      if (cluster.state('n2') !== 'SECOND Ready') throw new Error(`the secondary is ${cluster.state('n2')}: this was not replicated`);
      rows.push(rowOf(measure, median(replicated), median(bare)));
    }
    return rows;
  } finally {
    await cluster.close();
  }
}

function rowOf({ name, unit, ratioMin, valueMin }: Measure, value: number, bare: number): Row {
  const ratio = value / bare;
  const target = ratioMin === undefined ? `≥ ${valueMin ?? 0} ${unit}` : `≥ ${ratioMin} × bare`;
  const met = ratioMin === undefined ? value >= (valueMin ?? 0) : ratio >= ratioMin;
  return { name, value, unit, against: 'bare', ratio, target, met };
}
