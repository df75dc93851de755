/**
 * The lab's switch and what can go wrong with it. Each network is a bridge, each machine has a cable (veth pair) to every bridge that it
 * is on. Faults are applied on the switch's side, so that the machine under test cannot tell them from real ones: frames are dropped
 * between two ports (nftables on the bridge, both link lights stay on) or the cable is pulled (the machine sees no carrier).
 */
import { HoldfastError } from '@holdfast/sdk';
import type { Supervisor } from './supervisor.js';
import type { MachineAddress, MachinePlan, Topology } from './topology.js';
import { requireFaultTools } from './tools.js';

export interface CutOptions {
  /** Default `both`. */
  readonly direction?: 'both' | 'a-to-b' | 'b-to-a';
  /** Default: every network that both are on. */
  readonly network?: number;
  /** Share of the frames that is dropped, 1 to 100. Default 100. */
  readonly lossPercent?: number;
  /** Only packets to this port, for example only heartbeats. Default: everything. */
  readonly only?: { readonly protocol: 'udp' | 'tcp'; readonly port: number };
}

/**
 * $1 commands for the switch, $2 for the machine, $3 init of the machine, $4 `router` or `host`. The addresses were made without duplicate
 * address detection, so that they work at once, as after a boot that took its time; from here on it is as on any machine.
 */
const CONNECT = `
printf '%s' "$1" | ip -batch -
printf '%s' "$2" | nsenter --target "$3" --net ip -batch -
nsenter --target "$3" --net sh -euc 'for file in /proc/sys/net/ipv6/conf/*/accept_dad; do echo "$0" >"$file"; done' 1
[ "$4" = host ] || nsenter --target "$3" --net sh -euc '
  echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
`;
const SET_RULES = 'printf "%s" "$1" | nft -f -';

export class LabNetwork {
  readonly #lab: Supervisor;
  readonly #machines: ReadonlyMap<string, MachinePlan>;
  readonly #rules = new Set<string>();
  readonly #unplugged = new Set<string>();

  constructor(lab: Supervisor, topology: Topology) {
    this.#lab = lab;
    this.#machines = new Map(topology.machines.map((machine) => [machine.name, machine]));
  }

  /** Makes the bridges. */
  async build(networks: readonly number[]): Promise<void> {
    const commands = networks.flatMap((id) => [
      `link add name br${id} type bridge forward_delay 0 stp_state 0 mcast_snooping 0`,
      `link set br${id} up`,
    ]);
    await this.#lab.run('building the networks', 'printf "%s\\n" "$@" | ip -batch -', commands);
  }

  /**
   * Drops the frames between two machines. Adds to the faults that are there.
   * @throws HF_LAB_OPTION when the two share no network
   */
  async cut(a: string, b: string, options: CutOptions = {}): Promise<void> {
    const direction = options.direction ?? 'both';
    const match = matchOf(options);
    const pairs = this.#portPairs(a, b, options.network);
    for (const [portA, portB] of pairs) {
      if (direction !== 'b-to-a') this.#rules.add(`iifname "${portA}" oifname "${portB}" ${match}drop`);
      if (direction !== 'a-to-b') this.#rules.add(`iifname "${portB}" oifname "${portA}" ${match}drop`);
    }
    await this.#applyRules();
  }

  /** Drops everything from and to one machine, on one network or on all. Its link lights stay on. */
  async isolate(machine: string, options: { readonly network?: number } = {}): Promise<void> {
    for (const { port } of this.#ports(machine, options.network)) {
      this.#rules.add(`iifname "${port}" drop`);
      this.#rules.add(`oifname "${port}" drop`);
    }
    await this.#applyRules();
  }

  /** Pulls a machine's cables out of the switch: it sees no carrier. Stays so over a power cut, until plugIn or heal. */
  async unplug(machine: string, options: { readonly network?: number } = {}): Promise<void> {
    for (const { port } of this.#ports(machine, options.network)) this.#unplugged.add(port);
    await this.#setLinks(this.#ports(machine, options.network), 'down');
  }

  async plugIn(machine: string, options: { readonly network?: number } = {}): Promise<void> {
    for (const { port } of this.#ports(machine, options.network)) this.#unplugged.delete(port);
    await this.#setLinks(this.#ports(machine, options.network), 'up');
  }

  /** Ends all faults. */
  async heal(): Promise<void> {
    this.#rules.clear();
    await this.#applyRules();
    const ports = [...this.#unplugged].map((port) => ({ port }));
    this.#unplugged.clear();
    await this.#setLinks(ports, 'up');
  }

  /** Connects a machine that has just been powered on. `labPid` is its init, numbered as the lab sees it. */
  async connect(machine: MachinePlan, labPid: number, routed: boolean): Promise<void> {
    const cables = machine.addresses.flatMap((address) => [
      `link add name ${address.port} type veth peer name ${address.interface} address ${address.mac} netns ${labPid}`,
      `link set ${address.port} master br${address.network} ${this.#unplugged.has(address.port) ? 'down' : 'up'}`,
    ]);
    const inside = machine.addresses.flatMap((address) => [
      `link set ${address.interface} up`,
      `addr add ${address.ipv4}/24 dev ${address.interface}`,
      `addr add ${address.ipv6}/64 dev ${address.interface} nodad`,
    ]);
    const first = machine.addresses[0];
    if (routed && machine.role !== 'router' && first !== undefined) {
      inside.push(`route add default via 10.50.${first.network}.1`, `route add default via fd50:${first.network}::1`);
    }
    const forward = machine.role === 'router' ? 'router' : 'host';
    await this.#lab.run(`connecting ${machine.name}`, CONNECT, [lines(cables), lines(inside), String(labPid), forward]);
  }

  /** Takes away the cables of a machine without power; the kernel would do the same, but later. */
  async disconnect(machine: MachinePlan): Promise<void> {
    const ports = machine.addresses.map((address) => address.port);
    await this.#lab.run(`disconnecting ${machine.name}`, 'for port; do ip link del "$port" 2>/dev/null || :; done', ports);
  }

  async #applyRules(): Promise<void> {
    requireFaultTools();
    const table = ['table bridge fault', 'delete table bridge fault'];
    if (this.#rules.size > 0) {
      table.push(
        'table bridge fault {',
        'chain forward {',
        'type filter hook forward priority 0; policy accept;',
        ...this.#rules,
        '}',
        '}',
      );
    }
    await this.#lab.run('changing the faults of the network', SET_RULES, [lines(table)]);
  }

  /** A machine without power has no port to set; it is connected by the state of #unplugged when it gets power. */
  async #setLinks(ports: readonly Pick<MachineAddress, 'port'>[], state: 'up' | 'down'): Promise<void> {
    if (ports.length === 0) return;
    const script = `for port; do [ ! -e "/sys/class/net/$port" ] || ip link set "$port" ${state}; done`;
    await this.#lab.run(
      `setting links ${state}`,
      script,
      ports.map(({ port }) => port),
    );
  }

  #portPairs(a: string, b: string, network: number | undefined): [string, string][] {
    const portsOfB = this.#ports(b, network);
    const pairs = this.#ports(a, network).flatMap((portA): [string, string][] => {
      const portB = portsOfB.find((candidate) => candidate.network === portA.network);
      return portB === undefined ? [] : [[portA.port, portB.port]];
    });
    if (pairs.length > 0) return pairs;
    throw new HoldfastError('HF_LAB_OPTION', `"${a}" and "${b}" share no network; cut one of them from "router"`);
  }

  #ports(name: string, network: number | undefined): MachineAddress[] {
    const machine = this.#machines.get(name);
    if (machine === undefined) throw new HoldfastError('HF_LAB_OPTION', `the lab has no machine "${name}"`);
    return machine.addresses.filter((address) => network === undefined || address.network === network);
  }
}

function matchOf({ lossPercent = 100, only }: CutOptions): string {
  const port = only === undefined ? '' : `${only.protocol} dport ${only.port} `;
  return lossPercent === 100 ? port : `${port}numgen random mod 100 < ${lossPercent} `;
}

function lines(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join('');
}
