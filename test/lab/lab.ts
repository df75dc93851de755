/**
 * A lab: whole nodes on one machine. Nodes, clients and the networks between them are namespaces of the running kernel, so everything that
 * the product does (mounts, addresses, ARP, FUSE, process supervision, fsync) is the real thing, and power cuts and network faults take
 * milliseconds. A lab belongs to the process that made it and never outlives it. Several labs at the same time do not see each other.
 *
 * Needs root, and the programs listed in tools.ts.
 */
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '@holdfast/sdk';
import { LabMachine, type MachineSurroundings } from './machine.js';
import { LabNetwork } from './network.js';
import { RunningCommand } from './running-command.js';
import { LAB_ENVIRONMENT, Supervisor } from './supervisor.js';
import { requireTools } from './tools.js';
import { type LabOptions, planTopology, type Topology } from './topology.js';

/** The repository: this file is test/dist/lab/lab.js. */
const PROGRAM_FOLDER = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

export class Lab {
  readonly network: LabNetwork;
  /** Nodes, in the order of the options. */
  readonly nodes: readonly LabMachine[];
  readonly clients: readonly LabMachine[];
  readonly #machines: ReadonlyMap<string, LabMachine>;
  readonly #supervisor: Supervisor;
  #closed: Promise<void> | undefined;

  private constructor(topology: Topology, surroundings: MachineSurroundings) {
    this.network = surroundings.network;
    this.#supervisor = surroundings.supervisor;
    const machines = topology.machines.map((plan) => new LabMachine(plan, surroundings));
    this.#machines = new Map(machines.map((machine) => [machine.name, machine]));
    this.nodes = machines.filter((machine) => machine.role === 'node');
    this.clients = machines.filter((machine) => machine.role === 'client');
  }

  /**
   * Builds the lab and powers all its machines on.
   * @throws HF_LAB_TOOL, HF_LAB_ROOT, HF_LAB_OPTION, HF_LAB_START; nothing is left behind then
   */
  static async create(options: LabOptions): Promise<Lab> {
    const topology = planTopology(options);
    requireTools();
    if (options.keepLogs !== undefined) await mkdir(options.keepLogs, { recursive: true });
    const supervisor = await Supervisor.start();
    const network = new LabNetwork(supervisor, topology);
    const lab = new Lab(topology, {
      supervisor,
      network,
      routed: topology.routed,
      hosts: hostsFile(topology),
      programFolder: PROGRAM_FOLDER,
      ...(options.keepLogs === undefined ? {} : { keepLogs: options.keepLogs }),
    });
    try {
      await network.build(topology.networks);
      // Settled, not raced: the failure of one machine must not leave another half built behind the lab's end.
      const boots = await Promise.allSettled([...lab.#machines.values()].map((machine) => machine.powerOn()));
      const failure = boots.find((boot) => boot.status === 'rejected');
      if (failure !== undefined) throw failure.reason;
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  /** Process on the host whose death ends the lab. */
  get supervisorPid(): number {
    return this.#supervisor.hostPid;
  }

  /** The first client. @throws HF_LAB_OPTION when there is none */
  get client(): LabMachine {
    const [client] = this.clients;
    if (client === undefined) throw new HoldfastError('HF_LAB_OPTION', 'the lab has no client');
    return client;
  }

  /** Any machine by name: node, client or `router`. @throws HF_LAB_OPTION */
  node(name: string): LabMachine {
    const machine = this.#machines.get(name);
    if (machine === undefined) {
      throw new HoldfastError('HF_LAB_OPTION', `the lab has no machine "${name}"; it has ${[...this.#machines.keys()].join(', ')}`);
    }
    return machine;
  }

  /** For people: what there is and how to get in. */
  describe(): string {
    const rows = [...this.#machines.values()].map((machine) => {
      const addresses = machine.addresses.map((address) => `${address.ipv4} ${address.ipv6}`).join(' ');
      return `  ${machine.name.padEnd(10)} ${addresses.padEnd(24)} ${machine.powered ? machine.shellCommand : '(no power)'}`;
    });
    const title = `Lab with supervisor process ${this.supervisorPid}; "kill ${process.pid}" ends it. To enter a machine, as root:`;
    return [title, ...rows].join('\n');
  }

  /** Starts a program at the switch, outside of all machines: it sees bridges and ports. It ends with the lab at the latest. */
  spawnAtSwitch(argv: readonly string[]): RunningCommand {
    return new RunningCommand(`switch: ${argv[1] ?? ''}`, [...this.#supervisor.entry, ...argv], LAB_ENVIRONMENT);
  }

  /** Runs a shell script at the switch; stops at the first command that fails. @throws HF_LAB_COMMAND_FAILED */
  runAtSwitch(title: string, script: string, args: readonly string[] = []): Promise<string> {
    return this.#supervisor.run(title, script, args);
  }

  /** Ends every process of the lab and waits until the kernel has freed its disks. May be called twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#supervisor.kill();
    await Promise.all([...this.#machines.values()].map((machine) => machine.release()));
  }
}

function hostsFile(topology: Topology): string {
  const rows = topology.machines.flatMap((machine) =>
    machine.addresses.slice(0, 1).flatMap((address) => [`${address.ipv4} ${machine.name}`, `${address.ipv6} ${machine.name}`]),
  );
  return ['127.0.0.1 localhost', '::1 localhost', ...rows, ''].join('\n');
}
