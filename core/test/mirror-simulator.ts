/**
 * Two mirror automata, their network, disks and replicators in one thread: time only passes when told, every action completes in a known
 * order, a power cut loses what is not durable. Writes are numbered, so that a lost acknowledgement is seen. The automata are the
 * product's; everything else here is a model of what the plug-ins promise.
 */
import { reportOf } from '../src/decide/mirror/report.js';
import { refusalOf } from '../src/decide/mirror/commands.js';
import { createMirror, durableAtFirst, step } from '../src/decide/mirror/step.js';
import type { Action, Command, MirrorSettings, ReplicationFacts } from '../src/decide/mirror/types.js';
import { ResourceFacts } from '../src/engine/resource-facts.js';
import { renderReason } from '../src/model/reason.js';
import type { ResourceValue } from '../src/model/resource.js';
import type { Disk, Fact, SimulatedNode, SimulatorOptions } from './mirror-simulated-node.js';

const TICK_MS = 50;
const PULSE_MS = 100;
const RESYNC_MS = 300;

export class MirrorSimulator {
  readonly log: string[] = [];
  readonly acknowledged: number[] = [];
  nowMs = 1000;
  private readonly pending: { atMs: number; run: () => void }[] = [];
  private readonly nodes = new Map<string, SimulatedNode>();
  /** Ordered pairs that cannot talk. */
  private readonly cuts = new Set<string>();
  private readonly failing = new Set<string>();
  private readonly backups = new Map<string, Disk>();
  private generation = 0;
  private nextWrite = 1;
  private readonly muffledUntil = new Map<string, number>();
  private readonly incarnation = new Map<string, number>();

  constructor(private readonly options: SimulatorOptions = {}) {
    for (const name of ['n1', 'n2']) {
      const disk = this.emptyDisk();
      const facts: ReplicationFacts = { role: 'stopped', link: 'none', inconsistent: false };
      const ruleFacts = this.unknownFacts();
      const idle = {
        ruleFacts,
        state: undefined,
        resyncDoneMs: undefined,
        held: [],
        accepting: false,
        paused: false,
        inbox: [],
        overdue: [],
      };
      this.nodes.set(name, { name, disk, facts, ...idle });
    }
    for (const name of this.nodes.keys()) this.boot(name);
  }

  node(name: string): SimulatedNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  private other(name: string): SimulatedNode {
    return this.node(name === 'n1' ? 'n2' : 'n1');
  }

  private settings(name: string): MirrorSettings {
    return {
      module: 'm',
      node: name,
      peer: name === 'n1' ? 'n2' : 'n1',
      replicated: this.options.replicated ?? true,
      hasAddresses: true,
      failover: this.options.failover ?? true,
      defaultPrimary: this.options.defaultPrimary?.[name === 'n1' ? 0 : 1] ?? 'alone',
      maxLoop: 3,
      loopIntervalMs: 24 * 3600 * 1000,
      heartbeatTimeoutMs: this.options.heartbeatTimeoutMs?.[name === 'n1' ? 0 : 1] ?? 2000,
      swapLimitMs: 10_000,
      witness: 'none',
      undecidedLimitMs: 20_000,
      undecided: 'stop',
      claimDelayMs: 300,
      configuration: 'c',
      ...(this.options.rules === undefined ? {} : { rules: this.options.rules }),
      automaticReboot: this.options.automaticReboot ?? false,
      witnesses: this.options.witnesses?.[name === 'n1' ? 0 : 1] ?? 'none',
      splitBrain: this.options.splitBrain?.[name === 'n1' ? 0 : 1] ?? 'manual',
    };
  }

  private unknownFacts(): ResourceFacts {
    const facts = new ResourceFacts(this.options.rules, this.options.watched ?? []);
    for (const { resource } of this.options.watched ?? []) facts.set(resource, 'init');
    return facts;
  }

  /** A checker's verdict, as the engine passes it on: to the rules, and by itself when its own action may follow. */
  verdict(name: string, resource: string, value: ResourceValue): void {
    const watched = (this.options.watched ?? []).find((candidate) => candidate.resource === resource);
    this.say(name, `${resource} is ${value}`);
    this.node(name).ruleFacts.set(resource, value);
    if (watched === undefined) return;
    const early = watched.phase === 'pre' ? { early: true as const } : {};
    this.push(name, { kind: 'resource', name: resource, value, detail: 'told so', action: watched.action, ...early });
  }

  /** `holdfast failover off`. */
  suspendFailover(name: string, suspended: boolean): void {
    this.say(name, `failover ${suspended ? 'off' : 'on'}`);
    this.push(name, { kind: 'failoverSwitch', suspended });
  }

  boot(name: string): void {
    const node = this.node(name);
    if (node.state !== undefined) return;
    this.incarnation.set(name, (this.incarnation.get(name) ?? 0) + 1);
    node.facts = { role: 'stopped', link: 'none', inconsistent: node.disk.inconsistent, ...this.journalOf(node) };
    node.state = createMirror(this.settings(name), node.disk.durable, { nowMs: this.nowMs, wallMs: this.nowMs });
    this.say(name, 'boots');
    node.ruleFacts = this.unknownFacts();
    if (node.disk.durable.started) this.command(name, { verb: 'start', boot: true });
    this.every(name, TICK_MS, () => {
      this.push(name, { kind: 'tick' });
    });
    this.every(name, PULSE_MS, () => {
      this.beat(name);
    });
  }

  private journalOf(node: SimulatedNode): { journalSince?: string } {
    return node.disk.journal === undefined ? {} : { journalSince: node.disk.journal };
  }

  /** SIGKILL to everything on the node: no goodbye, no script, held writes unanswered. */
  /** The disk is replaced by an empty one; the node is off. */
  /** Both run with the configuration of n1. */
  configureAlike(): void {
    const { heartbeatTimeoutMs, witnesses, defaultPrimary } = this.settings('n1');
    this.say('n2', 'is configured like n1');
    this.push('n2', {
      kind: 'settings',
      settings: { ...this.settings('n2'), heartbeatTimeoutMs, witnesses: witnesses ?? '', defaultPrimary },
    });
  }

  wipe(name: string): void {
    Object.assign(this.node(name).disk, this.emptyDisk());
    this.say(name, 'gets an empty disk');
  }

  /** A backup of the whole disk. */
  backUp(name: string): void {
    this.backups.set(name, structuredClone(this.node(name).disk));
    this.say(name, 'is backed up');
  }

  /** The disk is what it was at the backup; the node is off. */
  restore(name: string): void {
    Object.assign(this.node(name).disk, structuredClone(this.backups.get(name)));
    this.say(name, 'is restored');
  }

  private emptyDisk(): Disk {
    return { durable: durableAtFirst(this.options.replicated ?? true), writes: [], inconsistent: false, journal: undefined };
  }

  powerCut(name: string): void {
    const node = this.node(name);
    if (node.state === undefined) return;
    this.say(name, 'power cut');
    node.state = undefined;
    node.held = [];
    node.accepting = false;
    node.paused = false;
    node.inbox = [];
    node.overdue = [];
    node.resyncDoneMs = undefined;
    const connected = node.facts.link === 'connected';
    // A node that dies while it is in a pair forgets what it received recently: no usable journal.
    if (connected || node.facts.role !== 'primary') node.disk.journal = undefined;
    node.facts = { role: 'stopped', link: 'none', inconsistent: node.disk.inconsistent };
    this.breakLink(this.other(name));
  }

  /** The whole node sleeps, as a virtual machine that is paused. */
  pause(name: string): void {
    const node = this.node(name);
    if (node.state === undefined || node.paused) return;
    this.say(name, 'sleeps');
    node.paused = true;
  }

  resume(name: string): void {
    const node = this.node(name);
    if (!node.paused) return;
    this.say(name, 'wakes up');
    node.paused = false;
    const inbox = node.inbox.splice(0);
    const linkNews = inbox.filter(({ kind }) => kind === 'replication');
    for (const fact of linkNews) this.push(name, fact);
    for (const run of node.overdue.splice(0)) run();
    for (const fact of inbox.filter(({ kind }) => kind !== 'replication')) this.push(name, fact);
  }

  cut(from: string, to: string): void {
    this.cuts.add(`${from}>${to}`);
    this.breakLink(this.node(from));
    this.breakLink(this.node(to));
  }

  /** The replication connection breaks; the heartbeats go on. */
  dropLink(): void {
    for (const node of this.nodes.values()) this.breakLink(node);
  }

  /** Heartbeats from a node get lost for a while, shorter than the timeout. */
  muffle(name: string, forMs: number): void {
    this.muffledUntil.set(name, this.nowMs + forMs);
  }

  heal(): void {
    this.cuts.clear();
  }

  failScript(name: string, script: string): void {
    this.failing.add(`${name}:${script}`);
  }

  mendScripts(): void {
    this.failing.clear();
  }

  command(name: string, command: Command): string | undefined {
    const { state } = this.node(name);
    if (state === undefined) return 'the node is off';
    const refusal = refusalOf(state, command);
    this.say(name, `command ${command.verb}${refusal === undefined ? '' : `: refused: ${refusal}`}`);
    if (refusal === undefined) this.push(name, { kind: 'operator', command });
    return refusal;
  }

  resource(name: string, resource: string, value: 'up' | 'down', action: 'restart' | 'stopstart' | 'stop' | 'wait'): void {
    this.push(name, { kind: 'resource', name: resource, value, detail: 'told so', action });
  }

  /** A client writes to whoever serves; more than one server is what must never be. */
  write(): void {
    const servers = [...this.nodes.values()].filter((node) => node.accepting && !node.paused);
    for (const server of servers) {
      const value = this.nextWrite;
      this.nextWrite += 1;
      this.accept(server, value);
    }
  }

  private accept(server: SimulatedNode, value: number): void {
    const peer = this.other(server.name);
    if (server.facts.link === 'holding') {
      server.held.push(value);
      return;
    }
    // A peer that sleeps does not answer: neither does the primary.
    if (server.facts.link === 'connected' && peer.paused) return;
    if (server.facts.link === 'connected') peer.disk.writes.push(value);
    server.disk.writes.push(value);
    this.acknowledged.push(value);
  }

  serving(): string[] {
    const acknowledging = (node: SimulatedNode): boolean => node.accepting && !node.paused && node.facts.link !== 'holding';
    return [...this.nodes.values()].filter(acknowledging).map((node) => node.name);
  }

  run(forMs: number): void {
    const end = this.nowMs + forMs;
    for (;;) {
      this.pending.sort((a, b) => a.atMs - b.atMs);
      const next = this.pending[0];
      if (next === undefined || next.atMs > end) break;
      this.pending.shift();
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
    this.nowMs = end;
  }

  private at(atMs: number, name: string, run: () => void): void {
    const incarnation = this.incarnation.get(name);
    this.pending.push({
      atMs,
      run: () => {
        const node = this.node(name);
        if (node.state === undefined || this.incarnation.get(name) !== incarnation) return;
        if (node.paused) node.overdue.push(run);
        else run();
      },
    });
  }

  private every(name: string, periodMs: number, run: () => void): void {
    this.at(this.nowMs + periodMs, name, () => {
      run();
      this.every(name, periodMs, run);
    });
  }

  private reachable(from: string, to: string): boolean {
    return !this.cuts.has(`${from}>${to}`) && this.node(to).state !== undefined && this.node(from).state !== undefined;
  }

  private beat(name: string): void {
    const from = this.node(name);
    const to = this.other(name);
    if (from.state === undefined || !this.reachable(name, to.name) || this.nowMs < (this.muffledUntil.get(name) ?? 0)) return;
    const report = reportOf(from.state);
    this.push(to.name, { kind: 'heartbeat', link: 'default', receivedMs: this.nowMs, agentTickAgeMs: 0, goodbye: false, report });
  }

  private push(name: string, fact: Fact): void {
    const node = this.node(name);
    if (node.state === undefined) return;
    if (node.paused) {
      node.inbox.push(fact);
      return;
    }
    const facts = fact.kind === 'ruleFacts' ? undefined : node.ruleFacts.take();
    if (facts !== undefined) this.push(name, { kind: 'ruleFacts', facts });
    this.generation += 1;
    const freshGeneration = this.generation.toString(16).padStart(32, '0');
    const before = node.state;
    const { state, actions, reasons } = step(before, { ...fact, nowMs: this.nowMs, wallMs: this.nowMs, freshGeneration });
    node.state = state;
    for (const why of reasons) this.say(name, `because: ${renderReason(why)}`);
    if (before.phase !== state.phase || before.quality !== state.quality) this.say(name, `${state.phase} (${state.quality})`);
    for (const { id, action } of actions) {
      const end = (): void => {
        if (this.isStuck(node, action)) {
          this.at(this.nowMs + TICK_MS, name, end);
          return;
        }
        const error = this.perform(node, action);
        this.setFacts(node, {});
        this.push(name, { kind: 'actionDone', id, ...(error === undefined ? {} : { error }) });
      };
      this.at(this.nowMs + this.durationMs(action), name, end);
    }
    if (JSON.stringify(reportOf(before)) !== JSON.stringify(reportOf(state))) this.beat(name);
  }

  /** An application does not end while one of its writes is held. */
  private isStuck(node: SimulatedNode, action: Action): boolean {
    return action.kind === 'script' && action.script === 'stop_prim' && node.facts.link === 'holding' && node.held.length > 0;
  }

  /** The kernel has removed the addresses, because nobody prolonged them. */
  loseAddresses(name: string): void {
    this.push(name, { kind: 'addresses', observed: 'absent' });
  }

  private durationMs(action: Action): number {
    return action.kind === 'script' ? (this.options.scriptMs ?? 20) : 1;
  }

  private setFacts(node: SimulatedNode, change: Partial<ReplicationFacts>): void {
    const { journalSince: _old, ...rest } = node.facts;
    node.facts = { ...rest, ...change, inconsistent: node.disk.inconsistent, ...this.journalOf(node) };
    this.push(node.name, { kind: 'replication', facts: node.facts });
  }

  private breakLink(node: SimulatedNode): void {
    if (node.state === undefined) return;
    node.resyncDoneMs = undefined;
    if (node.facts.role === 'primary' && node.facts.link === 'connected') this.setFacts(node, { link: 'holding' });
    else if (node.facts.link !== 'none' && node.facts.link !== 'holding') this.setFacts(node, { link: 'none' });
  }

  private perform(node: SimulatedNode, action: Action): string | undefined {
    switch (action.kind) {
      case 'reboot':
        this.say(node.name, 'is booted');
        this.pending.push({
          atMs: this.nowMs + 1,
          run: () => {
            this.powerCut(node.name);
          },
        });
        return undefined;
      case 'persist':
        node.disk.durable = action.durable;
        return undefined;
      case 'script':
        return this.script(node, action.script, action.force);
      case 'becomePrimary':
        if (node.disk.inconsistent) return 'the tree is inconsistent';
        // The journal of a takeover holds the recent set; after a clean stop there is nothing to hold.
        if (action.fresh) node.disk.journal = undefined;
        else if (node.facts.role === 'secondary' || node.disk.journal !== undefined) node.disk.journal = action.base;
        this.setFacts(node, { role: 'primary', link: 'none' });
        this.breakLink(this.other(node.name));
        return undefined;
      case 'becomeSecondary':
        node.disk.journal = undefined;
        this.setFacts(node, { role: 'secondary', link: 'none' });
        return undefined;
      case 'connectPeer':
        this.connect(node, action.mode);
        return undefined;
      case 'disconnectPeer':
        this.breakLink(node);
        this.breakLink(this.other(node.name));
        return undefined;
      case 'continueAlone':
        node.disk.journal = action.base;
        this.setFacts(node, { link: 'none' });
        for (const value of node.held.splice(0)) this.accept(node, value);
        return undefined;
      case 'refuse':
        node.held = [];
        node.accepting = false;
        return undefined;
      case 'claimWitness':
      case 'armWitness':
        return 'there is no witness';
      case 'stopReplica':
        this.breakLink(this.other(node.name));
        node.held = [];
        node.disk.journal ??= node.disk.durable.lineage.current;
        this.setFacts(node, { role: 'stopped', link: 'none' });
        return undefined;
      case 'probeAddresses':
      case 'acquireAddresses':
      case 'releaseAddresses':
      case 'startChecks':
      case 'stopChecks':
        return undefined;
    }
  }

  private script(node: SimulatedNode, script: string, force: boolean): string | undefined {
    if (!force) this.say(node.name, `script ${script}`);
    if (script === 'stop_prim') node.accepting = false;
    if (this.failing.has(`${node.name}:${script}`)) return `${script} ended with status 1`;
    if (script === 'start_prim') node.accepting = true;
    return undefined;
  }

  private connect(node: SimulatedNode, mode: 'journal' | 'compare'): void {
    const peer = this.other(node.name);
    const both = this.reachable(node.name, peer.name) && this.reachable(peer.name, node.name);
    if (!both || peer.facts.role !== 'secondary') return;
    this.say(node.name, `resync of ${peer.name}: ${mode}`);
    const missing = mode === 'journal' ? this.journalCovers(node, peer) : true;
    if (!missing) throw new Error(`journal resync of ${peer.name} from ${String(node.disk.journal)} does not cover its data`);
    peer.disk.inconsistent = true;
    this.setFacts(peer, { link: 'resynchronising' });
    this.setFacts(node, { link: 'resynchronising' });
    const doneMs = this.nowMs + RESYNC_MS;
    node.resyncDoneMs = doneMs;
    this.at(doneMs, node.name, () => {
      if (node.resyncDoneMs !== doneMs || peer.state === undefined) return;
      node.resyncDoneMs = undefined;
      peer.disk.writes = [...node.disk.writes];
      peer.disk.inconsistent = false;
      this.setFacts(peer, { link: 'connected' });
      node.disk.journal = undefined;
      this.setFacts(node, { link: 'connected' });
    });
  }

  /** A journal counts from a generation: the peer must hold exactly that one. */
  private journalCovers(node: SimulatedNode, peer: SimulatedNode): boolean {
    return node.disk.journal === peer.disk.durable.lineage.current;
  }

  private say(name: string, text: string): void {
    this.log.push(`${String(this.nowMs).padStart(7)} ${name} ${text}`);
  }

  /** One line per node. */
  show(): string[] {
    return [...this.nodes.values()].map((node) => {
      if (node.state === undefined) return `${node.name} off`;
      const { phase, quality, durable, replication } = node.state;
      return `${node.name} ${phase} (${quality}) ${durable.condition} link ${replication.link}${node.accepting ? ' serving' : ''}`;
    });
  }
}
