/**
 * The stage of a fault campaign: two nodes with two heartbeat networks, a client and a witness on machines of their own, the ledger behind
 * a virtual address of both families. It knows what it has broken, so that it can mend everything at any moment.
 */
import { fileURLToPath } from 'node:url';
import { messageOf } from '@holdfast/sdk';
import { APPLICATIONS, VIRTUAL_IP, withMacros, type Application } from '../../demo/applications.js';
import { LabCluster } from '../../lab/cluster.js';
import { waitFor } from '../../lab/deadline.js';
import { LabWitness, SECOND_CLIENT_ADDRESS } from '../../lab/witness.js';
import { Sniffing } from './sniffing.js';
import { Writing } from './writing.js';

export const NODES = ['n1', 'n2'] as const;
const VIRTUAL_IP6 = 'fd50:1::100';
const PORT = 8080;
/** Small, so that it is full soon. */
const DISK_MB = 768;
const START_MS = 60_000;
const SETTLE_MS = 90_000;
/** A pair that is Ready for so long, and serves, has settled. */
const STEADY_MS = 300;
const STEADY_RECORDS = 5;
/** A module that stopped by itself is started by the operator after this time. */
const STOPPED_MS = 2000;
const CLOCK_SHIFT = fileURLToPath(new URL('./clock-shift.js', import.meta.url));
const CLOCK_FILE = '/run/clock-shift';

export const LEDGER: Application = APPLICATIONS['ledger'] as Application;

/** The module of the catalogue, and what a campaign needs otherwise: a second heartbeat, a witness, no end of automatic restarts. */
function edit(xml: string): string {
  const text = withMacros(xml, LEDGER.macros)
    .replace('maxloop="3" loop_interval="24h"', 'maxloop="1000" loop_interval="1h"')
    .replace('<heartbeat name="default"/>', '<heartbeat name="default"/><heartbeat name="net2"/>')
    .replace('</real_interface>', `<virtual_addr addr="${VIRTUAL_IP6}" where="one_side_alias" check="on"/></real_interface>`);
  return LabWitness.element(text, SECOND_CLIENT_ADDRESS);
}

export class Stage {
  /** Network faults and slow cables are in the network; sleeping and broken nodes are remembered here. */
  readonly asleep = new Set<string>();
  readonly broken = new Set<string>();
  readonly #starting = new Map<string, Promise<void>>();

  private constructor(
    readonly cluster: LabCluster,
    readonly witness: LabWitness,
    readonly writing: Writing,
    readonly sniffing: Sniffing,
  ) {}

  static async create(): Promise<Stage> {
    const cluster = await LabCluster.create({
      module: LEDGER.module,
      directories: [LEDGER.directory],
      clients: ['client', 'witness'],
      networks: [{ id: 1 }, { id: 2 }],
      diskSizesMb: { n1: DISK_MB, n2: DISK_MB },
      agentEnvironment: { NODE_OPTIONS: `--import=${CLOCK_SHIFT}`, HOLDFAST_CLOCK_SHIFT_FILE: CLOCK_FILE },
      edit,
    });
    try {
      const witness = await LabWitness.start(cluster, cluster.lab.node('witness'), SECOND_CLIENT_ADDRESS);
      const sniffing = await Sniffing.start(cluster.lab, VIRTUAL_IP, VIRTUAL_IP6, PORT);
      await cluster.startBoth('n1', 'n2', START_MS);
      await witness.waitUntilCountedOn(NODES, START_MS);
      const stage = new Stage(cluster, witness, Writing.start(cluster.lab.client, VIRTUAL_IP, PORT), sniffing);
      await stage.settle(() => undefined);
      return stage;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  get roles(): { readonly primary: string; readonly secondary: string } {
    return this.cluster.primary() === 'n2' ? { primary: 'n2', secondary: 'n1' } : { primary: 'n1', secondary: 'n2' };
  }

  /** Power and agent of a node, whatever it lacks. One at a time per node. */
  bringUp(node: string): Promise<void> {
    const before = this.#starting.get(node) ?? Promise.resolve();
    const now = before.catch(() => undefined).then(() => this.#bringUp(node));
    this.#starting.set(node, now);
    return now;
  }

  async #bringUp(node: string): Promise<void> {
    const machine = this.cluster.machine(node);
    if (!machine.powered) await machine.powerOn();
    if (this.cluster.agent(node)?.running !== true) this.cluster.launchAgent(node);
  }

  async cutPower(node: string): Promise<void> {
    await this.cluster.powerCut(node);
    this.asleep.delete(node);
    this.broken.delete(node);
  }

  /** @param shiftMs of the wall clock of a node's agent; 0 ends the shift */
  async shiftClock(node: string, shiftMs: number): Promise<void> {
    await this.cluster.machine(node).writeFile(CLOCK_FILE, String(shiftMs));
  }

  filler(node: string): string {
    return `${this.cluster.machine(node).diskPath('/srv')}/filler`;
  }

  /** Everything that a fault may have left is taken away; safe at any moment. */
  async mend(): Promise<void> {
    const { cluster } = this;
    await cluster.lab.network.heal();
    if (!this.witness.running) await this.witness.restart();
    await Promise.all(
      NODES.map(async (node) => {
        if (this.broken.has(node)) await this.cutPower(node);
        if (this.asleep.delete(node)) await cluster.machine(node).resume();
        cluster.agent(node)?.signal('SIGCONT');
        if (cluster.machine(node).powered) await cluster.machine(node).exec(['rm', '-f', '/srv/filler', CLOCK_FILE]);
        await this.bringUp(node);
      }),
    );
  }

  /**
   * Waits until both nodes are Ready in their roles, stay so, and serve.
   * @param say told about what only an operator does
   * @throws HF_LAB_TIMEOUT with the states and their reasons
   */
  async settle(say: (note: string) => void): Promise<void> {
    const { cluster, writing } = this;
    let sinceMs = performance.now();
    let from = writing.acknowledged.length;
    const stoppedMs = new Map<string, number>();
    try {
      await waitFor('a primary and a secondary that are Ready and serve', SETTLE_MS, async () => {
        const nowMs = performance.now();
        for (const node of NODES) {
          if (cluster.state(node) !== 'STOP NotReady') stoppedMs.delete(node);
          else if (nowMs - (stoppedMs.get(node) ?? stoppedMs.set(node, nowMs).get(node) ?? nowMs) > STOPPED_MS) {
            stoppedMs.delete(node);
            say(`${node} had stopped (${cluster.view(node)?.reason.text ?? ''}) and was started by the operator`);
            await cluster.command(node, 'start');
          }
        }
        const states = NODES.map((node) => cluster.state(node)).sort();
        const isReady = states.join() === 'PRIM Ready,SECOND Ready' && NODES.every((node) => cluster.view(node)?.peer?.alive === true);
        if (!isReady) {
          sinceMs = nowMs;
          from = writing.acknowledged.length;
        }
        return nowMs - sinceMs >= STEADY_MS && writing.acknowledged.length >= from + STEADY_RECORDS;
      });
    } catch (error) {
      const reasonOf = (node: string): string =>
        cluster.view(node)?.reason.text ?? `no answer; last words of its agent: ${cluster.agent(node)?.lastOutput() ?? 'none'}`;
      const now = NODES.map((node) => `${node} ${cluster.state(node)} (${reasonOf(node)})`);
      throw new Error(`${messageOf(error)}; now ${now.join(', ')}; the clients: ${writing.problem}`, { cause: error });
    }
  }
}
