/** The cluster of most end-to-end tests: the ledger of the catalogue on two nodes, with a client. */
import { APPLICATIONS, VIRTUAL_IP, withMacros, type Application } from '../demo/applications.js';
import { LabCluster, type ClusterOptions } from '../lab/cluster.js';
import type { Lab } from '../lab/lab.js';
import type { LabMachine } from '../lab/machine.js';
import { waitFor } from '../lab/deadline.js';
import { WorkloadClient } from '../lab/workload-client.js';

export const LEDGER: Application = (() => {
  const application = APPLICATIONS['ledger'];
  if (application === undefined) throw new Error('no ledger in the catalogue of the demo');
  return application;
})();

function ledgerOptions(options: Partial<ClusterOptions>): ClusterOptions {
  const { edit, ...rest } = options;
  return {
    module: LEDGER.module,
    directories: [LEDGER.directory],
    edit: (xml) => (edit ?? ((text) => text))(withMacros(xml, LEDGER.macros)),
    ...rest,
  };
}

export function ledgerCluster(options: Partial<ClusterOptions> = {}): Promise<LabCluster> {
  const keepLogs = process.env['HOLDFAST_TEST_LOGS'];
  return LabCluster.create(ledgerOptions({ ...(keepLogs === undefined ? {} : { keepLogs }), ...options }));
}

/** The same module, with the same address, on some machines of a lab. */
export function ledgerClusterWithin(lab: Lab, nodes: readonly string[]): Promise<LabCluster> {
  return LabCluster.within(lab, nodes, ledgerOptions({}));
}

export function ledgerClient(cluster: LabCluster): WorkloadClient {
  return WorkloadClient.start(cluster.lab.client, LEDGER.service, { host: VIRTUAL_IP });
}

/** The addresses that the kernel of a machine holds. */
export async function holdsVirtualAddress(machine: LabMachine): Promise<boolean> {
  return (await machine.run(['ip', '-4', '-o', 'addr', 'show'])).includes(`${VIRTUAL_IP}/`);
}

/** A process of the module's application on a node, by its command line. */
export function applicationProcesses(machine: LabMachine): number[] {
  return machine
    .pids()
    .filter(({ command }) => LEDGER.processes.test(command))
    .map(({ hostPid }) => hostPid);
}

/** Waits until the module's log on a node has a line that matches. */
export async function waitForLog(cluster: LabCluster, node: string, pattern: RegExp, timeoutMs = 20_000): Promise<void> {
  await waitFor(`a log line on ${node} that matches ${String(pattern)}`, timeoutMs, async () =>
    pattern.test(await cluster.cli(node, ['log', '-m', cluster.module, '-s', '200'])),
  );
}
