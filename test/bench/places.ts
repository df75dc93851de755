/**
 * The configurations that are measured beside each other, all on one disk: a bare directory, Holdfast with both nodes on this machine (real
 * agents in the lab), GlusterFS replica 2 with both bricks on this machine, and bindfs, a plain pass-through of libfuse. All of it lives in
 * two labs and ends with them: no daemon, mount or address is left.
 */
import { fileURLToPath } from 'node:url';
import type { ModuleView } from '@holdfast/core';
import { messageOf } from '@holdfast/sdk';
import { Lab, type LabMachine, waitFor } from '../lab/index.js';
import { sendSignal } from '../lab/host-process.js';
import { LabCluster } from '../lab/cluster.js';
import { holdfastDaemons, hostPids } from './daemons.js';
import { packageOf, provide } from './packages.js';

export type Configuration = 'bare' | 'Holdfast' | 'GlusterFS' | 'GlusterFS strict' | 'bindfs';

/** One configuration: a folder on a machine of the lab. */
export interface Place {
  readonly configuration: Configuration;
  readonly machine: LabMachine;
  readonly folder: string;
  /** Its daemons, on all its machines, as processes of the host. */
  daemons(): readonly number[];
}

export interface PlaceOptions {
  readonly diskFolder: string;
  /** What is measured beside the bare directory and Holdfast. */
  readonly others: ReadonlySet<Exclude<Configuration, 'bare' | 'Holdfast'>>;
  readonly progress: (text: string) => void;
}

/** Source, not built: the module has no code. */
export const BENCH_MODULE = fileURLToPath(new URL('../../bench/bench-mirror', import.meta.url));
export const REPLICATED = '/srv/data';
const START_MS = 30_000;
const NODES = ['n1', 'n2'];

export class Places {
  readonly all: Place[] = [];
  /** What could not be measured, and why. */
  readonly notes: string[] = [];
  /** A primary that goes on alone begins a new one. */
  #generation: string | undefined;

  private constructor(
    readonly cluster: LabCluster,
    private readonly lab: Lab,
  ) {}

  static async open({ diskFolder, others, progress }: PlaceOptions): Promise<Places> {
    const lab = await Lab.create({ nodes: ['plain', 'gluster'], clients: [], diskFolder });
    try {
      const cluster = await LabCluster.create({ module: BENCH_MODULE, directories: [REPLICATED], clients: [], diskFolder });
      const places = new Places(cluster, lab);
      try {
        await places.#start(others, progress);
        return places;
      } catch (error) {
        await cluster.close();
        throw error;
      }
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  async #start(others: PlaceOptions['others'], progress: PlaceOptions['progress']): Promise<void> {
    const plain = this.lab.node('plain');
    const folder = '/srv/bare';
    await plain.run(['mkdir', '-p', folder]);
    this.all.push({ configuration: 'bare', machine: plain, folder, daemons: () => [] });
    await this.cluster.startBoth();
    await this.requireReplication();
    const nodes = NODES.map((name) => this.cluster.machine(name));
    this.all.push({
      configuration: 'Holdfast',
      machine: this.cluster.machine('n1'),
      folder: REPLICATED,
      daemons: () => nodes.flatMap(holdfastDaemons),
    });
    await this.#add('GlusterFS', 'glusterd', others, progress, () =>
      startGluster(this.lab.node('gluster'), others.has('GlusterFS strict')),
    );
    await this.#add('bindfs', 'bindfs', others, progress, () => startBindfs(plain));
  }

  /** Adds a competitor, or the reason why it is missing. */
  async #add(
    name: 'GlusterFS' | 'bindfs',
    program: 'glusterd' | 'bindfs',
    others: PlaceOptions['others'],
    progress: PlaceOptions['progress'],
    start: () => Promise<Place[]>,
  ): Promise<void> {
    if (!others.has(name)) {
      this.notes.push(`${name} was left out, as asked.`);
      return;
    }
    const missing = await provide([program], progress);
    if (missing.length > 0) {
      this.notes.push(`${name} was left out: the package ${packageOf(program)} cannot be installed here.`);
      return;
    }
    try {
      this.all.push(...(await start()));
    } catch (error) {
      this.notes.push(`${name} was left out, it does not start here: ${messageOf(error)}`);
    }
  }

  /** Stops the lab's own observers meanwhile: they ask both agents twenty times a second, which no user does. */
  async unobserved<T>(work: () => Promise<T>): Promise<T> {
    const observers = NODES.flatMap((name) => hostPids(this.cluster.machine(name), ({ command }) => command.includes('watch-node.js')));
    for (const pid of observers) sendSignal(pid, 'SIGSTOP');
    try {
      return await work();
    } finally {
      for (const pid of observers) sendSignal(pid, 'SIGCONT');
    }
  }

  /** @throws Error when the secondary is away, or was away meanwhile: what was measured was not replicated */
  async requireReplication(): Promise<void> {
    // Asked anew: what the observer knows may be as old as its last pause.
    const { phase, quality, generation } = await this.#secondary();
    if (phase !== 'SECOND' || quality !== 'Ready') throw new Error(`the secondary is ${phase} ${quality}: this was not replicated`);
    this.#generation ??= generation.current;
    if (this.#generation !== generation.current) throw new Error('the secondary was lost and came back: not all of this was replicated');
  }

  async #secondary(): Promise<ModuleView> {
    return JSON.parse(await this.cluster.cli('n2', ['--json', 'state', '-m', this.cluster.module])) as ModuleView;
  }

  async close(): Promise<void> {
    await this.cluster.close();
    await this.lab.close();
  }
}

/**
 * Two volumes of the same daemons: with the settings that Debian's package has, and, when it is wanted, one whose write() and close() are
 * acknowledged when the bricks have them, as ours are: by default GlusterFS acknowledges before.
 */
async function startGluster(machine: LabMachine, withStrict: boolean): Promise<Place[]> {
  const [address] = machine.addresses;
  if (address === undefined) throw new Error('the machine has no address');
  const gluster = (...words: readonly string[]): Promise<string> => machine.run(['gluster', '--mode=script', ...words]);
  await machine.run(['mkdir', '-p', '/var/lib/glusterd', '/var/log/glusterfs', '/run/gluster']);
  machine.spawn(['glusterd', '-N', '--log-level', 'WARNING']);
  await waitFor('glusterd to answer', START_MS, async () => (await machine.exec(['gluster', 'peer', 'status'])).code === 0);
  const volumes = withStrict ? (['fast', 'strict'] as const) : (['fast'] as const);
  const places: Place[] = [];
  for (const volume of volumes) {
    const bricks = [1, 2].map((n) => `/srv/${volume}-brick${n}`);
    const folder = `/srv/${volume}`;
    await machine.run(['mkdir', '-p', folder, ...bricks]);
    const located = bricks.map((brick) => `${address.ipv4}:${brick}`);
    await gluster('volume', 'create', volume, 'replica', '2', ...located, 'force');
    if (volume === 'strict') {
      for (const option of ['write-behind', 'flush-behind']) await gluster('volume', 'set', volume, `performance.${option}`, 'off');
    }
    await gluster('volume', 'start', volume);
    await machine.run(['mount', '-t', 'glusterfs', `${address.ipv4}:/${volume}`, folder]);
    places.push({
      configuration: volume === 'fast' ? 'GlusterFS' : 'GlusterFS strict',
      machine,
      folder,
      daemons: () => hostPids(machine, ({ name }) => name.startsWith('gluster')),
    });
  }
  return places;
}

async function startBindfs(machine: LabMachine): Promise<Place[]> {
  const folder = '/srv/bindfs';
  await machine.run(['mkdir', '-p', folder, '/srv/bindfs-source']);
  await machine.run(['bindfs', '/srv/bindfs-source', folder]);
  const daemons = (): number[] => hostPids(machine, ({ name }) => name === 'bindfs');
  return [{ configuration: 'bindfs', machine, folder, daemons }];
}
