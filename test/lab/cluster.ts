/**
 * A Holdfast cluster in the lab, set up as its users do: cluster.xml and key by `holdfast cluster config`, the agent in the
 * foreground, modules by `holdfast module install` and `module config`. What a node does after its power is back (start the agent) is done
 * here too, as a service manager would.
 */
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '@holdfast/sdk';
import type { ModuleView, Verb } from '@holdfast/core';
import { Lab } from './lab.js';
import type { LabMachine, PowerCutOptions } from './machine.js';
import type { RunningCommand } from './running-command.js';
import type { LabOptions } from './topology.js';
import { waitFor } from './deadline.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
export const HOLDFAST = `${ROOT}/cli/bin/holdfast.js`;
/** A quiet machine needs two seconds. */
const AGENT_START_MS = 20_000;
const WATCH = fileURLToPath(new URL('./watch-node.js', import.meta.url));

/** One line of watch-node: what the agent of a node said, or that it does not answer. */
export interface Observation {
  readonly node: string;
  readonly view?: ModuleView;
}

export interface ClusterOptions extends Partial<LabOptions> {
  /** Folder of the module, absolute or below modules-catalog. */
  readonly module: string;
  /** Made on every node before the module is applied: what it replicates must exist. */
  readonly directories?: readonly string[];
  /** Changes userconfig.xml before it is applied. */
  readonly edit?: (xml: string) => string;
  readonly onObservation?: (observation: Observation) => void;
  /** Added to the environment of the agents. */
  readonly agentEnvironment?: Readonly<Record<string, string>>;
}

interface Member {
  readonly machine: LabMachine;
  agent?: RunningCommand;
  watch?: RunningCommand;
  view?: ModuleView;
}

export class LabCluster {
  readonly module: string;
  private readonly members = new Map<string, Member>();

  private constructor(
    readonly lab: Lab,
    private readonly options: ClusterOptions,
    private readonly machines: readonly LabMachine[] = lab.nodes,
  ) {
    this.module = options.module.split('/').at(-1) ?? options.module;
    for (const machine of machines) this.members.set(machine.name, { machine });
  }

  /** Builds the lab, configures both nodes, starts their agents and installs the module; nothing is started yet. */
  static async create(options: ClusterOptions): Promise<LabCluster> {
    const lab = await Lab.create({ nodes: ['n1', 'n2'], ...options });
    const cluster = new LabCluster(lab, options);
    try {
      await cluster.configure();
      return cluster;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** One of several clusters in a lab, which stays its owner's: the same as `create` on some of its machines. */
  static async within(lab: Lab, names: readonly string[], options: ClusterOptions): Promise<LabCluster> {
    const cluster = new LabCluster(
      lab,
      options,
      names.map((name) => lab.node(name)),
    );
    await cluster.configure();
    return cluster;
  }

  private async configure(): Promise<void> {
    const [first, ...others] = this.machines;
    if (first === undefined) throw new HoldfastError('HF_LAB_OPTION', 'a cluster needs nodes');
    for (const node of this.machines) await node.writeFile('/etc/holdfast/new/cluster.xml', this.clusterXml());
    await this.cli(first.name, ['cluster', 'config', '/etc/holdfast/new/cluster.xml']);
    const key = await first.readFile('/etc/holdfast/cluster.key');
    for (const node of others) {
      await node.writeFile('/etc/holdfast/cluster.key', key, 0o600);
      await this.cli(node.name, ['cluster', 'config', '/etc/holdfast/new/cluster.xml']);
    }
    for (const node of this.machines) await this.startAgent(node.name);
    for (const node of this.machines) await this.install(node.name);
    // What was written from outside is not synced; a power cut in the first seconds would take it away.
    for (const node of this.machines) await node.run(['sync']);
  }

  private clusterXml(): string {
    const lans = this.machines[0]?.addresses.map(({ network }, position) => {
      const nodes = this.machines.map((node) => `<node name="${node.name}" addr="${node.addresses[position]?.ipv4 ?? ''}"/>`);
      return `<lan name="${position === 0 ? 'default' : `net${network}`}">${nodes.join('')}</lan>`;
    });
    return `<cluster><lans>${(lans ?? []).join('')}</lans></cluster>\n`;
  }

  private async install(node: string): Promise<void> {
    const { module, edit, directories } = this.options;
    for (const directory of directories ?? []) await this.machine(node).run(['mkdir', '-p', directory]);
    const folder = module.startsWith('/') ? module : `${ROOT}/modules-catalog/${module}`;
    await this.cli(node, ['module', 'install', folder, '-m', this.module]);
    const file = `/etc/holdfast/modules/${this.module}/conf/userconfig.xml`;
    if (edit !== undefined) await this.machine(node).writeFile(file, edit(await this.machine(node).readFile(file)));
    await this.cli(node, ['module', 'config', '-m', this.module]);
  }

  private member(node: string): Member {
    const member = this.members.get(node);
    if (member === undefined) throw new HoldfastError('HF_LAB_OPTION', `no node ${node}`);
    return member;
  }

  machine(node: string): LabMachine {
    return this.member(node).machine;
  }

  agent(node: string): RunningCommand | undefined {
    return this.member(node).agent;
  }

  private spawnAgent(member: Member): RunningCommand {
    // Real-time priority is the machine's, not the namespace's: all nodes of a lab share its two cores.
    const env = { HOLDFAST_REALTIME: 'off', ...this.options.agentEnvironment };
    const agent = member.machine.spawn([process.execPath, HOLDFAST, 'agent'], { env });
    member.agent = agent;
    return agent;
  }

  /** Starts the agent of a node that was set up before, and does not wait for it: it is there when `view` has something. */
  launchAgent(node: string): void {
    const member = this.member(node);
    delete member.view;
    this.spawnAgent(member);
    this.watch(member);
  }

  /** Starts the node's agent and waits until its API answers. */
  async startAgent(node: string): Promise<void> {
    const member = this.member(node);
    const agent = this.spawnAgent(member);
    await waitFor(`the agent of ${node} answers`, AGENT_START_MS, async () => {
      if (!agent.running) throw new HoldfastError('HF_LAB_COMMAND_ENDED', `the agent of ${node} ended: ${agent.lastOutput(20)}`);
      const health = await member.machine.exec([process.execPath, HOLDFAST, 'module', 'list', '--json']);
      return health.code === 0;
    });
    this.watch(member);
  }

  private watch(member: Member): void {
    member.watch?.endInput();
    const watch = member.machine.spawn([process.execPath, WATCH, this.module]);
    member.watch = watch;
    watch.onLine(({ stream, text }) => {
      if (stream !== 'stdout' || member.watch !== watch) return;
      const view = JSON.parse(text) as ModuleView | null;
      if (view === null) delete member.view;
      else member.view = view;
      this.options.onObservation?.({ node: member.machine.name, ...(view === null ? {} : { view }) });
    });
  }

  /** What the node's agent said last, at most 100 ms ago. */
  view(node: string): ModuleView | undefined {
    return this.member(node).view;
  }

  /** Phase and quality of a node, for example `PRIM Ready`; `off` when its agent does not answer. */
  state(node: string): string {
    const view = this.view(node);
    return view === undefined ? 'off' : `${view.phase} ${view.quality}`;
  }

  async waitFor(states: Readonly<Record<string, string>>, timeoutMs: number): Promise<void> {
    const wanted = Object.entries(states);
    const goal = wanted.map(([node, state]) => `${node} ${state}`).join(', ');
    try {
      await waitFor(goal, timeoutMs, () => wanted.every(([node, state]) => this.state(node) === state));
    } catch (error) {
      const now = [...this.members.keys()].map((node) => `${node} ${this.state(node)} (${this.view(node)?.reason.text ?? 'no answer'})`);
      throw new HoldfastError('HF_LAB_TIMEOUT', `waited ${timeoutMs} ms for ${goal}; now ${now.join(', ')}`, {}, { cause: error });
    }
  }

  /** Runs the command line on a node. @throws HF_LAB_COMMAND_FAILED with its output. */
  cli(node: string, words: readonly string[]): Promise<string> {
    return this.machine(node).run([process.execPath, HOLDFAST, ...words], { timeoutMs: 60_000 });
  }

  async command(node: string, verb: Verb, ...words: readonly string[]): Promise<void> {
    await this.cli(node, [verb, ...words, '-m', this.module]);
  }

  /** First start: the data of `primary` is declared good, the other node follows. */
  async startBoth(primary = 'n1', secondary = 'n2', timeoutMs = 60_000): Promise<void> {
    await this.command(primary, 'prim');
    await this.command(secondary, 'start');
    await this.waitFor({ [primary]: 'PRIM Ready', [secondary]: 'SECOND Ready' }, timeoutMs);
  }

  /** Whoever is primary now. */
  primary(): string | undefined {
    return [...this.members.keys()].find((node) => ['PRIM', 'ALONE'].includes(this.view(node)?.phase ?? ''));
  }

  async powerCut(node: string, options: PowerCutOptions = {}): Promise<void> {
    const member = this.member(node);
    await member.machine.powerCut(options);
    delete member.view;
    delete member.agent;
    this.options.onObservation?.({ node });
  }

  async powerOn(node: string): Promise<void> {
    await this.member(node).machine.powerOn();
    await this.startAgent(node);
  }

  close(): Promise<void> {
    return this.lab.close();
  }
}
