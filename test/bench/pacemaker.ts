/**
 * pacemaker and corosync as a contender: two nodes without fencing and quorum, a lab's setting and not a supported one, which spares them
 * the time that fencing takes. The resource is ocf:heartbeat:IPaddr2.
 */
import { type Lab, type LabMachine, waitFor } from '../lab/index.js';
import { type Contender, holderOf, READY_MS_MAX } from './contenders.js';
import { startAnswering } from './requests.js';

const RESOURCE = 'address';
const TOKEN_MS = 1000;
/** What packages make when the machine boots, and what the daemons want to find. */
const FOLDERS = ['/run/resource-agents', '/run/crm', '/var/lib/corosync', '/var/log/cluster', '/var/log/corosync', '/var/log/pacemaker'];
const FURNISH = 'mkdir -p "$@" && chown hacluster:haclient /run/crm /var/log/pacemaker';

export class PacemakerPair implements Contender {
  readonly name = `pacemaker, token ${TOKEN_MS} ms`;
  readonly #machines: readonly LabMachine[];

  constructor(
    lab: Lab,
    readonly nodes: readonly [string, string],
    readonly address: string,
  ) {
    this.#machines = nodes.map((node) => lab.node(node));
  }

  async start(): Promise<void> {
    await Promise.all(this.#machines.map((machine) => this.#startDaemons(machine)));
    const [machine] = this.#machines;
    if (machine === undefined) throw new Error('no nodes');
    await this.#bothOnline(machine);
    const attribute = (type: string, name: string, value: string): Promise<string> =>
      machine.run(['crm_attribute', '--type', type, '--name', name, '--update', value]);
    await attribute('crm_config', 'stonith-enabled', 'false');
    await attribute('crm_config', 'no-quorum-policy', 'ignore');
    // It stays where it is when the other node comes back.
    await attribute('rsc_defaults', 'resource-stickiness', '1000');
    await machine.run(['cibadmin', '--create', '--scope', 'resources', '--xml-text', this.#resource()]);
    await holderOf(this.#machines, this.address);
  }

  async handOver(from: string, to: string): Promise<void> {
    await this.#machine(from).run(['crm_resource', '--resource', RESOURCE, '--move', '--node', to]);
  }

  async cutPower(node: string): Promise<void> {
    await this.#machine(node).powerCut({ unsyncedWrites: 'kept' });
  }

  async recover(node: string): Promise<void> {
    const machine = this.#machine(node);
    if (!machine.powered) {
      await machine.powerOn();
      await this.#startDaemons(machine);
    }
    await this.#bothOnline(machine);
    await machine.exec(['crm_resource', '--resource', RESOURCE, '--clear']); // fails when nothing was moved
    await holderOf(this.#machines, this.address);
  }

  async #startDaemons(machine: LabMachine): Promise<void> {
    await startAnswering(machine);
    await machine.run(['sh', '-euc', FURNISH, 'furnish', ...FOLDERS]);
    await machine.writeFile('/etc/corosync/corosync.conf', this.#configuration());
    const corosync = machine.spawn(['corosync', '-f']);
    await waitFor(`corosync of ${machine.name}`, READY_MS_MAX, async () => {
      if (!corosync.running) throw new Error(`corosync ended: ${corosync.lastOutput(10)}`);
      return (await machine.exec(['corosync-cfgtool', '-s'])).code === 0;
    });
    const pacemaker = machine.spawn(['pacemakerd', '--foreground']);
    await waitFor(`pacemaker of ${machine.name}`, READY_MS_MAX, async () => {
      if (!pacemaker.running) throw new Error(`pacemaker ended: ${pacemaker.lastOutput(10)}`);
      return (await machine.exec(['crm_mon', '--one-shot'])).code === 0;
    });
  }

  async #bothOnline(machine: LabMachine): Promise<void> {
    const pattern = new RegExp(`Online: \\[ ${this.#machines.map(({ name }) => name).join(' ')} \\]`);
    await waitFor('both nodes of pacemaker', READY_MS_MAX, async () =>
      pattern.test((await machine.exec(['crm_mon', '--one-shot'])).stdout),
    );
  }

  /** Every brace on a line of its own: its parser wants that. */
  #configuration(): string {
    const nodes = this.#machines.map(
      ({ name, addresses: [own] }, index) => `  node {
    ring0_addr: ${own?.ipv4 ?? ''}
    name: ${name}
    nodeid: ${index + 1}
  }`,
    );
    return `totem {
  version: 2
  cluster_name: bench
  transport: udpu
  token: ${TOKEN_MS}
}
nodelist {
${nodes.join('\n')}
}
quorum {
  provider: corosync_votequorum
  two_node: 1
  wait_for_all: 0
}
logging {
  to_stderr: yes
  to_syslog: no
}
`;
  }

  #resource(): string {
    return `<primitive id="${RESOURCE}" class="ocf" provider="heartbeat" type="IPaddr2">
<instance_attributes id="${RESOURCE}-parameters">
<nvpair id="${RESOURCE}-ip" name="ip" value="${this.address}"/>
<nvpair id="${RESOURCE}-mask" name="cidr_netmask" value="24"/>
</instance_attributes>
<operations><op id="${RESOURCE}-monitor" name="monitor" interval="10s"/></operations>
</primitive>`;
  }

  #machine(node: string): LabMachine {
    const machine = this.#machines.find(({ name }) => name === node);
    if (machine === undefined) throw new Error(`no node ${node}`);
    return machine;
  }
}
