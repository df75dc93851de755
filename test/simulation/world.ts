/**
 * Two nodes, their network, disks, replicators and a witness in one thread, from one seed. The automata are the product's; the rest is a
 * model of what the plug-ins and the engine promise: actions take time and end one after the other, a power cut loses what is not on the
 * disk, the peer has a write before it is on the primary's disk, and only then it is acknowledged.
 */
import type { Action, ClaimAnswer, Command, Durable, MirrorEvent, MirrorSettings, NodeReport, WitnessFacts } from '@holdfast/core/decide';
import { Network, Random, Schedule } from '@holdfast/sdk/testkit';
import type { Automaton } from './automaton.js';
import { copyOfDisk, SimulatedNode, type Disk } from './node.js';
import { Replication } from './replication.js';
import { SimulatedWitness } from './witness.js';

const TICK_MS = 250;
const PULSE_MS = 500;
const READ_WITNESS_MS = 1000;
const NODES = ['n1', 'n2'] as const;

export type NodeName = (typeof NODES)[number];
interface Clock {
  nowMs: number;
  wallMs: number;
  freshGeneration: string;
}

/** The frequent ones have room for the clock already: what is added to an object later costs more than all the rest of it. */
type Fact = MirrorEvent extends infer E ? (E extends MirrorEvent ? Omit<E, keyof Clock> & Partial<Clock> : never) : never;

export interface WorldOptions {
  readonly witness: MirrorSettings['witness'];
  readonly failover: boolean;
  readonly defaultPrimary: string;
  readonly undecided: MirrorSettings['undecided'];
  /**
   * `careful`: whoever declares a copy good has looked at both nodes, and keeps them in each other's sight until both have it; disks and
   * witnesses are never put back to what they were. `reckless`: anything at any time.
   */
  readonly operators: 'careful' | 'reckless';
  /** What the nodes are configured for differently, until both are configured alike again. */
  readonly differs: 'heartbeatTimeoutMs' | 'defaultPrimary' | undefined;
  /** The file systems of the nodes can keep what a partial copy was before its resync. */
  readonly images: boolean;
  /** The nodes may lose each other although nothing excludes two primaries then: what is promised is less. */
  readonly partitions: boolean;
}

export class Violation extends Error {}

const generations: string[] = [];

/** Every step is offered a name, and nearly none takes it. */
function generationNamed(number: number): string {
  return (generations[number] ??= `g${number}`);
}

export class World {
  readonly schedule = new Schedule();
  readonly random: Random;
  readonly network: Network;
  readonly witness: SimulatedWitness;
  readonly replication: Replication;
  readonly nodes: Readonly<Record<NodeName, SimulatedNode>>;
  readonly all: readonly SimulatedNode[];
  /** Everything that happened, when it is wanted. */
  readonly transcript: string[] | undefined;
  steps = 0;
  /** Called when an action of either node has had its effect. */
  afterEffect: (() => void) | undefined;
  /** A node that an operator promoted: he does not switch the other one on where the two cannot see each other. */
  promoted: string | undefined;
  /** Both nodes have one configuration. */
  isAlike = true;
  /** No more faults. */
  isCalm = false;
  /**
   * Somebody overrode what the decisions rest on, or nothing was there that could exclude two primaries. From here on both nodes may
   * acknowledge, and one may go on without what the other acknowledged. What still holds: nobody's acknowledged writes are overwritten
   * until an operator gives them up, no partial copy is promoted unless he insists, and the pair gets whole or says what he must do.
   */
  isOverridden = false;
  #generation = 0;
  #beats = 0;

  constructor(
    private readonly automaton: Automaton,
    seed: number,
    readonly options: WorldOptions,
    isTold: boolean,
  ) {
    this.random = new Random(seed);
    this.network = new Network(this.schedule, this.random);
    this.witness = new SimulatedWitness(this.schedule, this.network);
    this.transcript = isTold ? [] : undefined;
    this.replication = new Replication(this);
    const node = (name: NodeName, peer: NodeName): SimulatedNode => {
      return new SimulatedNode(name, peer, this.emptyDisk(), this.schedule, this.random);
    };
    this.nodes = { n1: node('n1', 'n2'), n2: node('n2', 'n1') };
    this.all = [this.nodes.n1, this.nodes.n2];
    this.isOverridden = options.undecided === 'continue' || (options.partitions && options.witness !== 'strong');
    for (const name of NODES) this.boot(name);
  }

  node(name: string): SimulatedNode {
    return this.nodes[name as NodeName];
  }

  other(node: SimulatedNode): SimulatedNode {
    const { n1, n2 } = this.nodes;
    return node === n1 ? n2 : n1;
  }

  tell(who: string, text: string): void {
    this.transcript?.push(`${String(Math.round(this.schedule.nowMs)).padStart(7)} ${who} ${text}`);
  }

  boot(name: string): void {
    const node = this.node(name);
    if (node.isOn) return;
    if (
      this.options.operators === 'careful' &&
      !this.isCalm &&
      this.promoted === node.peer &&
      !(this.network.isWhole && this.#leads(this.node(node.peer)))
    )
      return;
    node.incarnation += 1;
    node.heard = 0;
    node.lastTickMs = node.nowMs;
    node.facts = this.replication.factsOf(node, { role: 'stopped', link: 'none' });
    node.state = this.automaton.createMirror(this.#settings(node), node.disk.durable, { nowMs: node.nowMs, wallMs: node.wallMs });
    this.tell(name, 'boots');
    this.push(node, { kind: 'replication', facts: node.facts });
    if (node.disk.durable.started) this.command(name, { verb: 'start', boot: true });
    this.#every(node, TICK_MS, () => {
      node.lastTickMs = node.nowMs;
      this.push(node, { kind: 'tick', nowMs: 0, wallMs: 0, freshGeneration: '' });
    });
    // Heartbeats are sent by a process of their own.
    this.#every(node, PULSE_MS, () => this.#beat(node), 'node');
    if (this.options.witness !== 'none') this.#every(node, READ_WITNESS_MS, () => this.#readWitness(node));
  }

  /** Its agent had a heartbeat of the peer within the last second. */
  hears(node: SimulatedNode): boolean {
    return Object.values(node.state?.detector.heardMs ?? {}).some((at) => node.nowMs - at < 1000);
  }

  #leads({ state }: SimulatedNode): boolean {
    return state?.phase === 'ALONE' || state?.phase === 'PRIM';
  }

  #otherwise({ name, peer }: SimulatedNode): Partial<MirrorSettings> {
    const { differs } = this.options;
    // Each would hand over to the other for ever.
    if (differs === 'defaultPrimary') return { defaultPrimary: peer };
    return differs === undefined || name === 'n1' ? {} : { heartbeatTimeoutMs: 2500 };
  }

  /** A node takes what it is configured for now, and tries again while it is busy. */
  configure(node: SimulatedNode): void {
    if (node.state === undefined) return;
    const settings = this.#settings(node);
    const { heartbeatTimeoutMs, defaultPrimary } = node.state.settings;
    if (heartbeatTimeoutMs === settings.heartbeatTimeoutMs && defaultPrimary === settings.defaultPrimary) return;
    this.push(node, { kind: 'settings', settings });
    this.later(node, TICK_MS, () => this.configure(node));
  }

  #settings(node: SimulatedNode): MirrorSettings {
    return {
      module: 'm',
      node: node.name,
      peer: node.peer,
      replicated: true,
      hasAddresses: true,
      failover: this.options.failover,
      defaultPrimary: this.options.defaultPrimary,
      maxLoop: 3,
      loopIntervalMs: 24 * 3600 * 1000,
      heartbeatTimeoutMs: 2000,
      swapLimitMs: 10_000,
      witness: this.options.witness,
      undecidedLimitMs: 8000,
      undecided: this.options.undecided,
      claimDelayMs: 300,
      configuration: 'c',
      ...(this.isAlike ? {} : this.#otherwise(node)),
    };
  }

  /** No goodbye, no script, no answer. */
  powerCut(name: string): void {
    const node = this.node(name);
    if (!node.isOn) return;
    this.tell(name, 'power cut');
    node.state = undefined;
    node.accepting = false;
    node.asleep = 'no';
    node.inbox.length = 0;
    node.overdue.length = 0;
    node.stream.length = 0;
    node.diesAtEffect = false;
    this.replication.lost(node);
  }

  /**
   * The other node does not know yet that this one was declared good: a careful operator sees to it that this one neither dies nor sleeps
   * until then.
   */
  isSheltered(node: SimulatedNode): boolean {
    if (this.promoted !== node.name || this.options.operators === 'reckless') return false;
    const { durable } = this.other(node).disk;
    return durable.condition === 'uptodate' && !durable.yielded && durable.lineage.current !== node.disk.durable.lineage.current;
  }

  /** Of a node without power: its disk is another one. */
  exchangeDisk(name: string, disk: Disk): void {
    const node = this.node(name);
    node.disk = copyOfDisk(disk);
    this.isOverridden = true;
  }

  emptyDisk(): Disk {
    return { durable: this.automaton.durableAtFirst(true), writes: new Set(), inconsistent: false, journal: undefined };
  }

  sleep(name: string, what: 'node' | 'agent'): void {
    const node = this.node(name);
    if (!node.isOn || node.asleep !== 'no') return;
    this.tell(name, what === 'node' ? 'sleeps' : 'has an agent that sleeps');
    node.asleep = what;
  }

  wake(name: string): void {
    const node = this.node(name);
    if (node.asleep === 'no') return;
    this.tell(name, 'wakes up');
    node.asleep = 'no';
    // What waited comes in its order from each source, and in any order from different ones.
    const waiting = [node.inbox.splice(0), node.stream.splice(0), node.overdue.splice(0)];
    for (;;) {
      const sources = waiting.filter(({ length }) => length > 0);
      if (sources.length === 0 || !node.isOn || node.asleep !== 'no') return;
      this.random.pick(sources).shift()?.();
    }
  }

  command(name: string, command: Command): string | undefined {
    const node = this.node(name);
    if (node.state === undefined) return 'off';
    const refusal = this.automaton.refusalOf(node.state, command);
    this.tell(name, `command ${command.verb}${refusal === undefined ? '' : `: refused: ${refusal}`}`);
    // Said again without force while it is being carried out, it takes nothing back.
    if (refusal === undefined && command.verb === 'prim') {
      node.isInsistedOn = command.force === true || (node.isInsistedOn && node.state.forced);
    }
    if (refusal === undefined) this.push(node, { kind: 'operator', command });
    return refusal;
  }

  /** A fact for the agent; one that sleeps gets it later. */
  push(node: SimulatedNode, fact: Fact): void {
    if (node.state === undefined) return;
    if (node.asleep !== 'no') {
      node.inbox.push(() => this.push(node, fact));
      return;
    }
    this.steps += 1;
    this.#generation += 1;
    const before = node.state;
    // Each fact is told once: it becomes the event.
    const event = fact as MirrorEvent & Clock;
    event.nowMs = node.nowMs;
    event.wallMs = node.wallMs;
    event.freshGeneration = generationNamed(this.#generation);
    const { state, actions, reasons } = this.automaton.step(before, event);
    node.state = state;
    if (this.transcript !== undefined) {
      for (const why of reasons) this.tell(node.name, `because: ${this.automaton.renderReason(why)}`);
      if (before.phase !== state.phase || before.quality !== state.quality) this.tell(node.name, `${state.phase} (${state.quality})`);
    }
    for (const { id, action } of actions) this.#begin(node, id, action);
    if (before.phase !== state.phase || before.durable !== state.durable || before.replication.link !== state.replication.link)
      this.#beat(node);
  }

  /** Runs something of a node later, unless its power went meanwhile. */
  later(node: SimulatedNode, delayMs: number, run: () => void): void {
    const { incarnation } = node;
    this.schedule.after(delayMs, () => {
      if (node.isOn && node.incarnation === incarnation) run();
    });
  }

  #every(node: SimulatedNode, periodMs: number, run: () => void, sleepsWith: 'agent' | 'node' = 'agent'): void {
    const { incarnation } = node;
    const again = (): void => this.schedule.after(periodMs / node.rate, due);
    const runAndGoOn = (): void => {
      run();
      again();
    };
    // Two closures for all periods: this is most of what happens.
    const due = (): void => {
      if (!node.isOn || node.incarnation !== incarnation) return;
      const isAsleep = node.asleep === 'node' || (node.asleep === 'agent' && sleepsWith === 'agent');
      if (isAsleep) node.overdue.push(runAndGoOn);
      else runAndGoOn();
    };
    again();
  }

  #beat(node: SimulatedNode): void {
    if (node.state === undefined || node.asleep === 'node') return;
    const report = this.automaton.reportOf(node.state);
    this.#beats += 1;
    const number = this.#beats;
    const ageMs = node.nowMs - node.lastTickMs;
    this.network.send(node.name, node.peer, () => this.#heard(this.other(node), number, report, ageMs));
  }

  #heard(node: SimulatedNode, number: number, report: NodeReport, agentTickAgeMs: number): void {
    if (!node.isOn || number <= node.heard) return;
    node.heard = number;
    const receivedMs = node.nowMs;
    this.push(node, {
      kind: 'heartbeat',
      nowMs: 0,
      wallMs: 0,
      freshGeneration: '',
      link: 'default',
      receivedMs,
      agentTickAgeMs,
      goodbye: false,
      report,
    });
  }

  /** The agent ends in good order: its module stops, then it says goodbye. */
  sayGoodbye(name: string): void {
    const node = this.node(name);
    if (node.state?.phase !== 'STOP' || node.state.sequence !== undefined || node.asleep !== 'no') return;
    this.#beats += 1;
    const number = this.#beats;
    const report = this.automaton.reportOf(node.state);
    this.network.send(name, node.peer, () => {
      const peer = this.other(node);
      if (!peer.isOn || number <= peer.heard) return;
      peer.heard = number;
      this.push(peer, { kind: 'heartbeat', link: 'default', receivedMs: peer.nowMs, agentTickAgeMs: 0, goodbye: true, report });
    });
    this.powerCut(name);
  }

  #readWitness(node: SimulatedNode): void {
    const { incarnation } = node;
    this.witness.read(node.name, (answer) => {
      if (!node.isOn || node.incarnation !== incarnation) return;
      const facts: WitnessFacts =
        answer === undefined
          ? { reachable: false }
          : { reachable: true, ...(answer.record === undefined || this.options.witness === 'weak' ? {} : { record: answer.record }) };
      this.push(node, { kind: 'witness', facts });
    });
  }

  #begin(node: SimulatedNode, id: number, action: Action): void {
    if (action.kind === 'claimWitness' || action.kind === 'armWitness') return this.#ask(node, id, action);
    const isAsItIs = action.kind === 'becomePrimary' && action.force !== true && action.image !== true;
    if (isAsItIs && node.state?.replication.inconsistent === true) throw new Violation(`${node.name} becomes primary with a partial copy`);
    this.later(node, this.#durationMs(node, action), () => this.#perform(node, id, action));
  }

  #perform(node: SimulatedNode, id: number, action: Action): void {
    if (node.asleep !== 'no') {
      node.overdue.push(() => this.#perform(node, id, action));
      return;
    }
    const error = this.#effect(node, action);
    this.afterEffect?.();
    if (!node.isOn) return;
    if (node.diesAtEffect) return this.powerCut(node.name);
    // The effect is there before its completion is known: a crash may come between.
    this.later(node, this.random.below(3), () => {
      const done = { kind: 'actionDone', nowMs: 0, wallMs: 0, freshGeneration: '', id } as const;
      this.push(node, error === undefined ? done : { ...done, error });
    });
  }

  #ask(node: SimulatedNode, id: number, action: Extract<Action, { kind: 'claimWitness' | 'armWitness' }>): void {
    const { incarnation } = node;
    const isSame = (): boolean => node.isOn && node.incarnation === incarnation;
    if (action.kind === 'armWitness') {
      this.witness.arm(node.name, action.record, () => isSame() && this.push(node, { kind: 'actionDone', id }));
      return;
    }
    this.tell(node.name, `asks the witness for ${action.record.generation} after ${action.from}`);
    const answered = (claim: { readonly answer: ClaimAnswer; readonly owner?: string } | undefined): void => {
      if (!isSame()) return;
      this.tell(node.name, `is answered: ${claim?.answer ?? 'nothing'}`);
      this.push(node, { kind: 'actionDone', id, ...(claim === undefined ? { error: 'no answer in time' } : { claim }) });
    };
    if (this.options.witness === 'weak') this.witness.probe(node.name, answered);
    else this.witness.claim(node.name, action.from, action.record, answered);
  }

  #durationMs(node: SimulatedNode, action: Action): number {
    if (action.kind === 'script') return 1 + this.random.below(node.scriptMsMax);
    return 1 + this.random.below(action.kind === 'persist' ? 15 : 5);
  }

  #effect(node: SimulatedNode, action: Action): string | undefined {
    switch (action.kind) {
      case 'persist':
        return this.#persist(node, action.durable);
      case 'script':
        return this.#script(node, action.script, action.force);
      case 'becomePrimary':
      case 'becomeSecondary':
      case 'connectPeer':
      case 'disconnectPeer':
      case 'continueAlone':
      case 'refuse':
      case 'stopReplica':
        return this.replication.perform(node, action);
      case 'claimWitness':
      case 'armWitness':
      case 'reboot':
      case 'probeAddresses':
      case 'acquireAddresses':
      case 'releaseAddresses':
      case 'startChecks':
      case 'stopChecks':
        return undefined;
    }
  }

  #persist(node: SimulatedNode, durable: Durable): string | undefined {
    const isFailing = node.failingWrites > 0;
    if (isFailing) node.failingWrites -= 1;
    if (!isFailing || this.random.chance(0.5)) {
      if (durable.lineage.current === '' && node.disk.durable.lineage.current !== '') this.replication.givenUp(node);
      node.disk.durable = durable;
      if (durable.lineage.current === node.disk.unrecorded) delete node.disk.unrecorded;
    }
    if (isFailing) this.tell(node.name, 'durable write fails');
    return isFailing ? 'EIO: i/o error' : undefined;
  }

  #script(node: SimulatedNode, script: string, force: boolean): string | undefined {
    if (!force) this.tell(node.name, `script ${script}`);
    if (script === 'stop_prim') node.accepting = false;
    if (node.failing.has(script)) return `${script} ended with status 1`;
    if (script === 'start_prim') node.accepting = true;
    return undefined;
  }

  /** Two nodes that can acknowledge without each other are what must never be. */
  check(): void {
    if (this.isOverridden) return;
    const { n1: first, n2: second } = this.nodes;
    if (this.replication.canAcknowledge(first) && this.replication.canAcknowledge(second)) throw new Violation('two primaries');
  }
}
