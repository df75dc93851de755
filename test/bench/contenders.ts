/**
 * What is compared by the failover benchmark: pairs of nodes that keep one virtual address each, on one network. What answers runs on both
 * nodes all the time and belongs to none of them, so that the address alone is compared: how soon its loss is noticed, and how soon it
 * moves.
 */
import { fileURLToPath } from 'node:url';
import { LabCluster } from '../lab/cluster.js';
import { type Lab, type LabMachine, waitFor } from '../lab/index.js';
import { startAnswering } from './requests.js';

export interface Contender {
  readonly name: string;
  readonly address: string;
  readonly nodes: readonly [string, string];
  /** Both nodes run, and one of them has the address. @throws Error when that does not come about */
  start(): Promise<void>;
  /** Gives the address to the other node, in order. Resolves when that was asked for, and not when it is done. */
  handOver(from: string, to: string): Promise<void>;
  cutPower(node: string): Promise<void>;
  /** Both nodes are there and could take the address, after `handOver` or `cutPower` of `node`. */
  recover(node: string): Promise<void>;
}

export const READY_MS_MAX = 90_000;
const MODULE = fileURLToPath(new URL('../../bench/address-mirror', import.meta.url));

/** Names of those nodes whose kernel has an address. */
export async function holdersOf(machines: readonly LabMachine[], address: string): Promise<readonly string[]> {
  const held = await Promise.all(
    machines.map(async (machine) => {
      const has = machine.powered && (await machine.run(['ip', '-4', '-o', 'address', 'show'])).includes(` ${address}/`);
      return has ? [machine.name] : [];
    }),
  );
  return held.flat();
}

export async function holderOf(machines: readonly LabMachine[], address: string): Promise<string> {
  return waitFor(`one node to have ${address}`, READY_MS_MAX, async () => {
    const [holder, another] = await holdersOf(machines, address);
    return another === undefined ? holder : undefined;
  });
}

/** Between the default and the fastest that makes sense; see the heartbeat timeout in the README of vip-arp. */
export type Profile = { readonly name: string; readonly heart?: string };

export class HoldfastPair implements Contender {
  readonly name: string;
  #cluster: LabCluster | undefined;

  constructor(
    private readonly lab: Lab,
    readonly nodes: readonly [string, string],
    readonly address: string,
    private readonly profile: Profile,
  ) {
    this.name = profile.name;
  }

  async start(): Promise<void> {
    const [first, second] = this.nodes;
    const { heart } = this.profile;
    const edit = (xml: string): string => {
      const own = xml.replace(/(name="VIRTUAL_IP" value=")[^"]*/, `$1${this.address}`);
      return heart === undefined ? own : own.replace('<heart>', `<heart ${heart}>`).replace('<vip>', '<vip overlap="accept">');
    };
    this.#cluster = await LabCluster.within(this.lab, this.nodes, { module: MODULE, edit });
    for (const node of this.nodes) await startAnswering(this.lab.node(node));
    await this.#cluster.startBoth(first, second);
  }

  async handOver(from: string): Promise<void> {
    await this.cluster.command(from, 'swap');
  }

  async cutPower(node: string): Promise<void> {
    await this.cluster.powerCut(node, { unsyncedWrites: 'kept' });
  }

  async recover(node: string): Promise<void> {
    const machine = this.lab.node(node);
    const other = this.nodes.find((name) => name !== node) ?? '';
    if (!machine.powered) {
      await this.cluster.powerOn(node);
      await startAnswering(machine);
    }
    await this.cluster.waitFor({ [other]: 'PRIM Ready', [node]: 'SECOND Ready' }, READY_MS_MAX);
  }

  private get cluster(): LabCluster {
    if (this.#cluster === undefined) throw new Error(`${this.name} was not started`);
    return this.#cluster;
  }
}
