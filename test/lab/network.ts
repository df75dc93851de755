/**
 * The lab's switch and what can go wrong with it. Each network is a bridge, each machine has a cable (veth pair) to every bridge that it
 * is on. Faults are applied on the switch's side, so that the machine under test cannot tell them from real ones: frames are dropped
 * between two ports (nftables on the bridge, both link lights stay on) or the cable is pulled (the machine sees no carrier).
 */
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '@holdfast/sdk';
import { RunningCommand } from './running-command.js';
import { LAB_ENVIRONMENT, type Supervisor } from './supervisor.js';
import type { MachineAddress, MachinePlan, Topology } from './topology.js';
import { requireFaultTools } from './tools.js';

export interface CutOptions {
  /** Default `both`. */
  readonly direction?: 'both' | 'a-to-b' | 'b-to-a';
  /** Default: every network that both are on. */
  readonly network?: number;
  /** Share of the frames that is dropped, 1 to 100. Default 100. */
  readonly lossPercent?: number;
  /** Only packets to this port, for example only heartbeats; with `answersToo` also those from it. Default: everything. */
  readonly only?: { readonly protocol: 'udp' | 'tcp'; readonly port: number; readonly answersToo?: boolean };
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
/** $1 port: makes the piece of cable between the relay, which has the end `$1p`, and the bridge. */
const PREPARE_SPLICE = `
ip link add name "$1t" type veth peer name "$1p"
for end in "$1t" "$1p"; do echo 1 >"/proc/sys/net/ipv6/conf/$end/disable_ipv6"; done
ip link set "$1p" up
`;
/** $1 port, $2 bridge: the machine's cable ends at `$1s` from here on, and the new piece is the port. The relay runs already. */
const SPLICE = `
ip link set "$1" nomaster down
ip link set "$1" name "$1s"
ip link set "$1t" name "$1"
echo 1 >"/proc/sys/net/ipv6/conf/$1s/disable_ipv6"
ip link set "$1s" up
ip link set "$1" master "$2" up
`;
/** $1 port, $2 bridge. The machine may have lost its power meanwhile. */
const UNSPLICE = `
ip link del "$1t" 2>/dev/null || :
[ -e "/sys/class/net/$1s" ] || exit 0
ip link del "$1"
ip link set "$1s" down
ip link set "$1s" name "$1"
ip link set "$1" master "$2" up
`;
const SLOW_CABLE = fileURLToPath(new URL('./slow-cable.js', import.meta.url));
const SLOW_START_MS = 10_000;
const SET_RULES = 'printf "%s" "$1" | nft -f -';

export class LabNetwork {
  readonly #lab: Supervisor;
  readonly #machines: ReadonlyMap<string, MachinePlan>;
  readonly #rules = new Set<string>();
  readonly #unplugged = new Set<string>();
  readonly #slow = new Map<string, { readonly bridge: string; readonly relay: RunningCommand }>();

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
    const matches = matchesOf(options);
    const pairs = this.#portPairs(a, b, options.network);
    for (const [portA, portB] of pairs) {
      for (const match of matches) {
        if (direction !== 'b-to-a') this.#rules.add(`iifname "${portA}" oifname "${portB}" ${match}drop`);
        if (direction !== 'a-to-b') this.#rules.add(`iifname "${portB}" oifname "${portA}" ${match}drop`);
      }
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

  /**
   * Makes a machine's cables slow, on one network or on all: every frame is late, by `delayMs` and at most `jitterMs` more or less. The
   * machine sees no carrier for a moment. A power cut brings a cable back that is not slow.
   */
  async slow(machine: string, options: { readonly delayMs: number; readonly jitterMs: number; readonly network?: number }): Promise<void> {
    for (const { port, network } of this.#ports(machine, options.network)) {
      if (this.#slow.has(port)) continue;
      await this.#lab.run(`preparing the cable of ${port}`, PREPARE_SPLICE, [port]);
      const words = [SLOW_CABLE, port, `${port}p`, String(options.delayMs), String(options.jitterMs)];
      const relay = new RunningCommand(`slow cable of ${port}`, [...this.#lab.entry, process.execPath, ...words], LAB_ENVIRONMENT);
      this.#slow.set(port, { bridge: `br${network}`, relay });
      await relay.waitForLine(/^ready$/, SLOW_START_MS);
      await this.#lab.run(`splicing the cable of ${port}`, SPLICE, [port, `br${network}`]);
    }
  }

  /** Ends all faults. */
  async heal(): Promise<void> {
    for (const [port, { bridge, relay }] of this.#slow) {
      relay.kill();
      await relay.finished;
      await this.#lab.run(`joining the cable of ${port}`, UNSPLICE, [port, bridge]);
    }
    this.#slow.clear();
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
    await this.#lab.run(
      `disconnecting ${machine.name}`,
      'for port; do for name in "$port" "$port"s; do ip link del "$name" 2>/dev/null || :; done; done',
      ports,
    );
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

function matchesOf({ lossPercent = 100, only }: CutOptions): string[] {
  const ends = only === undefined ? [] : only.answersToo === true ? ['dport', 'sport'] : ['dport'];
  const ports = only === undefined ? [''] : ends.map((end) => `${only.protocol} ${end} ${only.port} `);
  return ports.map((port) => (lossPercent === 100 ? port : `${port}numgen random mod 100 < ${lossPercent} `));
}

function lines(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join('');
}
