/** keepalived as a contender: VRRP of the Debian package, both nodes as backups that do not take the address back. */
import { type Lab, type LabMachine, type RunningCommand, waitFor } from '../lab/index.js';
import { type Contender, holderOf, holdersOf, READY_MS_MAX } from './contenders.js';
import { startAnswering } from './requests.js';

const CONFIGURATION = '/etc/keepalived/keepalived.conf';

export class KeepalivedPair implements Contender {
  readonly name: string;
  readonly #machines: readonly LabMachine[];
  readonly #daemons = new Map<string, RunningCommand>();

  /** @param router id of the virtual router, of its own on the network */
  constructor(
    lab: Lab,
    readonly nodes: readonly [string, string],
    readonly address: string,
    private readonly options: { readonly advertSeconds: number; readonly router: number },
  ) {
    this.name = `keepalived at ${options.advertSeconds} s`;
    this.#machines = nodes.map((node) => lab.node(node));
  }

  async start(): Promise<void> {
    for (const machine of this.#machines) {
      await this.#startDaemon(machine);
      // The first one is master before the second one comes, so that they do not both begin.
      await holderOf(this.#machines, this.address);
    }
  }

  /** What an orderly stop does: it tells the other node at once. */
  async handOver(from: string): Promise<void> {
    this.#daemons.get(from)?.signal('SIGTERM');
  }

  async cutPower(node: string): Promise<void> {
    await this.#machine(node).powerCut({ unsyncedWrites: 'kept' });
  }

  async recover(node: string): Promise<void> {
    const machine = this.#machine(node);
    await this.#daemons.get(node)?.finished;
    await machine.powerOn();
    await this.#startDaemon(machine);
    await waitFor(`${node} to be the backup`, READY_MS_MAX, async () => {
      const holders = await holdersOf(this.#machines, this.address);
      return holders.length === 1 && holders[0] !== node;
    });
  }

  async #startDaemon(machine: LabMachine): Promise<void> {
    const isAnswering = machine.pids().some(({ command }) => command.includes('answering-service'));
    if (!isAnswering) await startAnswering(machine);
    await machine.writeFile(CONFIGURATION, this.#configuration(machine));
    const words = ['--dont-fork', '--log-console', '--log-detail', '--vrrp', `--use-file=${CONFIGURATION}`];
    const daemon = machine.spawn(['keepalived', ...words]);
    this.#daemons.set(machine.name, daemon);
    await daemon.waitForLine(/Entering BACKUP STATE/, READY_MS_MAX);
  }

  #configuration({ addresses: [own] }: LabMachine): string {
    const { advertSeconds, router } = this.options;
    return `
global_defs {
  vrrp_version 3
}
vrrp_instance bench {
  state BACKUP
  interface ${own?.interface ?? ''}
  virtual_router_id ${router}
  priority 110
  advert_int ${advertSeconds}
  nopreempt
  virtual_ipaddress {
    ${this.address}/24 dev ${own?.interface ?? ''}
  }
}
`;
  }

  #machine(node: string): LabMachine {
    const machine = this.#machines.find(({ name }) => name === node);
    if (machine === undefined) throw new Error(`no node ${node}`);
    return machine;
  }
}
