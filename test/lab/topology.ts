/**
 * The plan of a lab: which machines exist, which networks join them, and every name and address that follows from that. Pure: the same
 * options always give the same plan, so a test can write `10.50.1.100` for a virtual address and know that no machine owns it.
 *
 * Host numbers: node i has 11+i, client j has 101+j, the router has 1. Network k is 10.50.<k>.0/24 and fd50:<k>::/64.
 */
import { HoldfastError } from '@holdfast/sdk';

export interface LabNetworkOptions {
  /** 1 to 99; part of every address of the network. */
  readonly id: number;
  /** Machines on this network. Default: all nodes, and on the first network all clients too. */
  readonly members?: readonly string[];
}

export interface LabOptions {
  /** Names of the nodes, lower case, at most 10 characters: they are host names and parts of interface names. */
  readonly nodes: readonly string[];
  /** Names of machines without a disk of their own, for programs that use the virtual address. Default: one, `client`. */
  readonly clients?: readonly string[];
  /** Default: one network with every machine, `[{ id: 1 }]`. */
  readonly networks?: readonly LabNetworkOptions[];
  /** Adds the machine `router` with address .1 on every network, and a default route through it everywhere. */
  readonly router?: boolean;
  /** Size of a node's disk in MiB, for tests of a full disk; 8192 (sparse) for a node that is not named. At least 16. */
  readonly diskSizesMb?: Readonly<Record<string, number>>;
  /**
   * For measurements: a folder on the host, absolute, in which every node's disk is a folder instead of an image of its own, so that all of
   * them, and what is measured beside them, write to the same disk. Belongs to the caller, who removes it after the lab. Not below /etc,
   * /var or /root. A node without a disk of its own cannot lose unsynced writes at a power cut.
   */
  readonly diskFolder?: string;
  /** Folder on the host that receives the output of every command started with `spawn`, one file each. */
  readonly keepLogs?: string;
}

export interface MachineAddress {
  readonly network: number;
  /** Interface inside the machine: eth0 for its first network, eth1 for the next. */
  readonly interface: string;
  /** The machine's port on the switch, where faults are applied. */
  readonly port: string;
  /** Without prefix length; the prefix is /24. */
  readonly ipv4: string;
  /** Without prefix length; the prefix is /64. */
  readonly ipv6: string;
  readonly mac: string;
}

export interface MachinePlan {
  readonly name: string;
  readonly role: 'node' | 'client' | 'router';
  /** In the order of the networks; never empty. */
  readonly addresses: readonly MachineAddress[];
  /** Absent: no disk, its files are in memory and gone after a power cut. */
  readonly diskMb?: number;
  /** The node's disk is this folder on the host. */
  readonly diskFolder?: string;
}

export interface Topology {
  readonly networks: readonly number[];
  readonly machines: readonly MachinePlan[];
  readonly routed: boolean;
}

const NODES_MAX = 32;
const DISK_MB_DEFAULT = 8192;
const DISK_MB_MIN = 16;
const HOST_ROUTER = 1;
const HOST_FIRST_NODE = 11;
const HOST_FIRST_CLIENT = 101;

/** @throws HF_LAB_OPTION for a name, network or size that cannot work */
export function planTopology(options: LabOptions): Topology {
  const clients = options.clients ?? ['client'];
  const names = [...options.nodes, ...clients];
  checkNames(options.nodes, names);
  const networks = (options.networks ?? [{ id: 1 }]).map((network, position) => ({
    id: network.id,
    members: network.members ?? (position === 0 ? names : options.nodes),
  }));
  checkNetworks(networks, names);

  const addressesOf = (name: string, host: number): MachineAddress[] =>
    networks
      .filter((network) => name === 'router' || network.members.includes(name))
      .map((network, position) => addressOn(network.id, name, host, `eth${position}`));
  const machines: MachinePlan[] = [];
  if (options.router === true) machines.push({ name: 'router', role: 'router', addresses: addressesOf('router', HOST_ROUTER) });
  options.nodes.forEach((name, index) => {
    machines.push({ name, role: 'node', addresses: addressesOf(name, HOST_FIRST_NODE + index), ...diskOf(options, name) });
  });
  clients.forEach((name, index) => {
    machines.push({ name, role: 'client', addresses: addressesOf(name, HOST_FIRST_CLIENT + index) });
  });
  for (const machine of machines) {
    if (machine.addresses.length === 0) throw optionError(`machine "${machine.name}" is a member of no network`);
  }
  return { networks: networks.map((network) => network.id), machines, routed: options.router === true };
}

function addressOn(network: number, name: string, host: number, interfaceName: string): MachineAddress {
  const byte = (value: number): string => value.toString(16).padStart(2, '0');
  return {
    network,
    interface: interfaceName,
    port: `${name}-${network}`,
    ipv4: `10.50.${network}.${host}`,
    // The host number is written with the same digits in both families: 10.50.1.11 and fd50:1::11.
    ipv6: `fd50:${network}::${host}`,
    mac: `02:50:${byte(network)}:00:00:${byte(host)}`,
  };
}

function checkNames(nodes: readonly string[], names: readonly string[]): void {
  if (nodes.length === 0 || nodes.length > NODES_MAX) throw optionError(`${nodes.length} nodes; a lab has 1 to ${NODES_MAX}`);
  for (const name of names) {
    if (!/^[a-z][a-z0-9-]{0,9}$/.test(name) || name === 'router') {
      throw optionError(`machine name "${name}"; use a lower-case letter, then at most 9 letters, digits or dashes, and not "router"`);
    }
  }
  if (new Set(names).size !== names.length) throw optionError(`machine names are not unique: ${names.join(' ')}`);
}

function checkNetworks(networks: readonly { id: number; members: readonly string[] }[], names: readonly string[]): void {
  if (networks.length === 0) throw optionError('no network');
  for (const { id, members } of networks) {
    if (!Number.isInteger(id) || id < 1 || id > 99) throw optionError(`network id ${id}; use 1 to 99`);
    const stranger = members.find((member) => !names.includes(member));
    if (stranger !== undefined) throw optionError(`network ${id} has the member "${stranger}", which is neither a node nor a client`);
  }
  if (new Set(networks.map(({ id }) => id)).size !== networks.length) throw optionError('two networks with the same id');
}

function diskOf(options: LabOptions, name: string): Pick<MachinePlan, 'diskMb' | 'diskFolder'> {
  const { diskFolder } = options;
  if (diskFolder === undefined) return { diskMb: diskSize(options, name) };
  // These are the lower layers of every machine's own changes: an upper layer inside its lower one is refused by the kernel.
  if (/^\/(etc|var|root)(\/|$)/.test(diskFolder))
    throw optionError(`the folder for the disks is ${diskFolder}; not below /etc, /var or /root`);
  return { diskFolder: `${diskFolder}/${name}` };
}

function diskSize(options: LabOptions, name: string): number {
  const sizeMb = options.diskSizesMb?.[name] ?? DISK_MB_DEFAULT;
  if (!Number.isInteger(sizeMb) || sizeMb < DISK_MB_MIN) throw optionError(`disk of ${sizeMb} MiB for "${name}"; at least ${DISK_MB_MIN}`);
  return sizeMb;
}

function optionError(problem: string): HoldfastError {
  return new HoldfastError('HF_LAB_OPTION', `the lab cannot be built: ${problem}`);
}
