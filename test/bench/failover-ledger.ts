/** How long a client cannot write: power cuts of the primary and swaps of a loaded ledger, with the product's default timeouts. */
import { LabCluster } from '../lab/cluster.js';
import { WorkloadClient } from '../lab/workload-client.js';
import { monotonicMs } from '../lab/workload-report.js';
import { APPLICATIONS, VIRTUAL_IP, withMacros } from '../demo/applications.js';
import { median, type Row, single } from './rows.js';

const POWER_CUT_MS_MAX = 3000;
/** A swap is the stop of the application, its start, and this. */
const SWAP_MS_MAX = 300;
const RECOVERY_MS = 60_000;
/** Shorter gaps are the application's own. */
const OUTAGE_MS_MIN = 20;

export async function benchLedger(rounds: number, progress: (text: string) => void): Promise<Row[]> {
  const application = APPLICATIONS['ledger'];
  if (application === undefined) throw new Error('no ledger application');
  const cluster = await LabCluster.create({
    module: application.module,
    directories: [application.directory],
    edit: (xml) => withMacros(xml, application.macros),
  });
  try {
    await cluster.startBoth();
    const workload = WorkloadClient.start(cluster.lab.client, application.service, { host: VIRTUAL_IP, outageMs: OUTAGE_MS_MIN });
    await workload.waitForMore(50, RECOVERY_MS);
    const powerCuts: number[] = [];
    const restarts: number[] = [];
    const swaps: number[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const primary = cluster.primary() ?? 'n1';
      const secondary = primary === 'n1' ? 'n2' : 'n1';
      powerCuts.push(
        await outageOf(workload, async () => {
          await cluster.powerCut(primary);
          await cluster.waitFor({ [secondary]: 'ALONE Ready' }, RECOVERY_MS);
        }),
      );
      await cluster.powerOn(primary);
      await cluster.waitFor({ [secondary]: 'PRIM Ready', [primary]: 'SECOND Ready' }, RECOVERY_MS);
      restarts.push(await outageOf(workload, () => cluster.command(secondary, 'restart', '--wait')));
      await cluster.waitFor({ [secondary]: 'PRIM Ready', [primary]: 'SECOND Ready' }, RECOVERY_MS);
      swaps.push(
        await outageOf(workload, async () => {
          await cluster.command(secondary, 'swap');
          await cluster.waitFor({ [primary]: 'PRIM Ready', [secondary]: 'SECOND Ready' }, RECOVERY_MS);
        }),
      );
      const seen = [powerCuts, restarts, swaps].map((series) => `${(series.at(-1) ?? 0).toFixed(0)} ms`);
      progress(`ledger, round ${round} of ${rounds}: power cut ${seen[0]}, restart ${seen[1]}, swap ${seen[2]}`);
    }
    const { lost, problem } = await workload.finish();
    const beyond = swaps.map((swap) => swap - median(restarts));
    return [
      single('ledger, default timeouts: outage at a power cut', 'ms', powerCuts, { atMost: POWER_CUT_MS_MAX }),
      single('ledger: outage at a restart where it is, the stop and start of the application', 'ms', restarts),
      single('ledger: outage at a swap', 'ms', swaps),
      single('ledger: outage at a swap, beyond the stop and start of the application', 'ms', beyond, { atMost: SWAP_MS_MAX }),
      { name: 'acknowledged writes lost', value: lost, unit: 'writes', target: '0', met: lost === 0 && problem === undefined },
    ];
  } finally {
    await cluster.close();
  }
}

/** The longest time without an acknowledgement that ended since the event began. */
async function outageOf(workload: WorkloadClient, event: () => Promise<void>): Promise<number> {
  const sinceMs = monotonicMs();
  await event();
  await workload.waitForMore(50, RECOVERY_MS);
  const gaps = workload.outages.filter(({ endMs }) => endMs >= sinceMs).map(({ startMs, endMs }) => endMs - startMs);
  return Math.max(0, ...gaps);
}
