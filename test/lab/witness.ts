/** A witness on the lab's client machine: the server of the product, with the key of the lab's cluster on every node. */
import { HOLDFAST, type LabCluster } from './cluster.js';
import { waitFor } from './deadline.js';
import type { LabMachine } from './machine.js';
import type { RunningCommand } from './running-command.js';

const NAME = 'lab';
/** The first client's, by the lab's plan. */
const ADDRESS = '10.50.1.101';
/** The second client's. */
export const SECOND_CLIENT_ADDRESS = '10.50.1.102';
const PORT = 9600;
const DATA = '/var/lib/witness';

export class LabWitness {
  private constructor(
    private readonly cluster: LabCluster,
    private readonly machine: LabMachine,
    private server: RunningCommand,
  ) {}

  /** Puts its element into a userconfig.xml. */
  static element(xml: string, address = ADDRESS): string {
    return xml.replace('</service>', `  <witness><http server="${address}:${PORT}" cluster="${NAME}"/></witness>\n  </service>`);
  }

  /** @param machine where it runs, with the address that it has on the first network */
  static async start(cluster: LabCluster, machine = cluster.lab.client, address = ADDRESS): Promise<LabWitness> {
    const { nodes } = cluster.lab;
    const words = ['witness', 'add', NAME, '--server', address, '--data', DATA, '--json'];
    const added = JSON.parse(await machine.run([process.execPath, HOLDFAST, ...words])) as { readonly key: string };
    for (const node of nodes) {
      await node.writeFile('/etc/holdfast/witness.key', `${added.key}\n`, 0o600);
      await node.run(['sync']);
    }
    return new LabWitness(cluster, machine, await serve(machine));
  }

  /** Both nodes count on it. */
  async waitUntilCountedOn(nodes: readonly string[], timeoutMs: number): Promise<void> {
    await waitFor('both nodes to agree on the witness', timeoutMs, () =>
      nodes.every((node) => /reaches the witness/.test(this.cluster.view(node)?.arbitration.text ?? '')),
    );
  }

  get running(): boolean {
    return this.server.running;
  }

  async kill(): Promise<void> {
    this.server.kill();
    await this.server.finished;
  }

  async restart(): Promise<void> {
    this.server = await serve(this.machine);
  }
}

async function serve(machine: LabMachine): Promise<RunningCommand> {
  const server = machine.spawn([process.execPath, HOLDFAST, 'witness', 'serve', '--listen', `0.0.0.0:${PORT}`, '--data', DATA]);
  await server.waitForLine(/the witness serves/, 20_000);
  return server;
}
