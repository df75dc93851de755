/**
 * The configurations that are measured beside each other, all on one disk: a bare directory, Holdfast with both nodes on this machine (real
 * agents in the lab; once more with a kernel that writes back), GlusterFS replica 2 with both bricks on this machine, and bindfs, a plain
 * pass-through of libfuse. All of it lives in labs and ends with them: no daemon, mount or address is left.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ModuleView } from '@holdfast/core';
import { messageOf } from '@holdfast/sdk';
import { Lab, type LabMachine, waitFor } from '../lab/index.js';
import { sendSignal } from '../lab/host-process.js';
import { LabCluster } from '../lab/cluster.js';
import { holdfastDaemons, hostPids } from './daemons.js';
import { packageOf, provide } from './packages.js';

export type Configuration = 'bare' | 'Holdfast' | 'Holdfast fsync' | 'GlusterFS' | 'GlusterFS strict' | 'bindfs';

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

/** Two nodes that replicate. */
class Pair {
  readonly #cluster: LabCluster;
  /** A primary that goes on alone begins a new one. */
  #generation: string | undefined;

  private constructor(
    readonly configuration: Configuration,
    cluster: LabCluster,
  ) {
    this.#cluster = cluster;
  }

  static async create(configuration: 'Holdfast' | 'Holdfast fsync', diskFolder: string): Promise<Pair> {
    const edit = (xml: string): string => (configuration === 'Holdfast' ? xml : xml.replace('<rfs ', '<rfs sync="fsync" '));
    const folder = join(diskFolder, configuration === 'Holdfast' ? 'pair' : 'pair-fsync');
    mkdirSync(folder);
    const cluster = await LabCluster.create({ module: BENCH_MODULE, directories: [REPLICATED], clients: [], diskFolder: folder, edit });
    return new Pair(configuration, cluster);
  }

  async start(): Promise<Place> {
    await this.#cluster.startBoth();
    await this.requireReplication();
    const nodes = NODES.map((name) => this.#cluster.machine(name));
    return {
      configuration: this.configuration,
      machine: this.#cluster.machine('n1'),
      folder: REPLICATED,
      daemons: () => nodes.flatMap(holdfastDaemons),
    };
  }

  machine(node: string): LabMachine {
    return this.#cluster.machine(node);
  }

  observers(): number[] {
    return NODES.flatMap((name) => hostPids(this.#cluster.machine(name), ({ command }) => command.includes('watch-node.js')));
  }

  /** @throws Error when the secondary is away, or was away meanwhile: what was measured was not replicated */
  async requireReplication(): Promise<void> {
    // Asked anew: what the observer knows may be as old as its last pause.
    const view = JSON.parse(await this.#cluster.cli('n2', ['--json', 'state', '-m', this.#cluster.module])) as ModuleView;
    const { phase, quality, generation } = view;
    if (phase !== 'SECOND' || quality !== 'Ready') throw new Error(`the secondary is ${phase} ${quality}: this was not replicated`);
    this.#generation ??= generation.current;
    if (this.#generation !== generation.current) throw new Error('the secondary was lost and came back: not all of this was replicated');
  }

  close(): Promise<void> {
    return this.#cluster.close();
  }
}

export class Places {
  readonly all: Place[] = [];
  /** What could not be measured, and why. */
  readonly notes: string[] = [];
  readonly #pairs: Pair[] = [];

  private constructor(private readonly lab: Lab) {}

  static async open({ diskFolder, others, progress }: PlaceOptions): Promise<Places> {
    const places = new Places(await Lab.create({ nodes: ['plain', 'gluster'], clients: [], diskFolder }));
    try {
      for (const configuration of ['Holdfast', 'Holdfast fsync'] as const) {
        if (configuration === 'Holdfast' || others.has(configuration)) places.#pairs.push(await Pair.create(configuration, diskFolder));
      }
      await places.#start(others, progress);
      return places;
    } catch (error) {
      await places.close();
      throw error;
    }
  }

  async #start(others: PlaceOptions['others'], progress: PlaceOptions['progress']): Promise<void> {
    const plain = this.lab.node('plain');
    const folder = '/srv/bare';
    await plain.run(['mkdir', '-p', folder]);
    this.all.push({ configuration: 'bare', machine: plain, folder, daemons: () => [] });
    for (const pair of this.#pairs) this.all.push(await pair.start());
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
    const observers = this.#pairs.flatMap((pair) => pair.observers());
    for (const pid of observers) sendSignal(pid, 'SIGSTOP');
    try {
      return await work();
    } finally {
      for (const pid of observers) sendSignal(pid, 'SIGCONT');
    }
  }

  /** @throws Error when a secondary is away, or was away meanwhile: what was measured was not replicated */
  async requireReplication(): Promise<void> {
    for (const pair of this.#pairs) await pair.requireReplication();
  }

  /** A node of the pair that replicates at each write. */
  node(name: string): LabMachine {
    const [pair] = this.#pairs;
    if (pair === undefined) throw new Error('there is no pair');
    return pair.machine(name);
  }

  async close(): Promise<void> {
    for (const pair of this.#pairs) await pair.close();
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
