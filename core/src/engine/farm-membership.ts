/**
 * The farm membership of one module on this node: heartbeats with every other node go in, the automaton decides, and what it says of this
 * node goes out at once and with every pulse. Which buckets the node answers for is in `snapshot.accepts`. A driver of addresses has to
 * let in exactly that traffic, and has to have closed what is given up before the report that says so is published.
 */
import { messageOf } from '@holdfast/sdk';
import { linkIsAlive } from '../decide/detector.js';
import { isAlive } from '../decide/farm/contact.js';
import { farmEvidence } from '../decide/farm/evidence.js';
import { farmReportOf, hasLeft, stepFarm } from '../decide/farm/membership.js';
import type { FarmEvent, FarmState } from '../decide/farm/types.js';
import { BUCKETS, countOf } from '../model/farm.js';
import type { Phase, Quality } from '../model/state.js';
import type { Clock } from './clock.js';
import { EventQueue } from './event-queue.js';
import type { FarmLink } from './farm-links.js';
import { decodeFarmReport, encodeFarmReport } from './farm-payload.js';
import type { WriteLog } from './module-scripts.js';
import type { ResourceBook } from './resource-book.js';

type Fact = FarmEvent extends infer E ? (E extends FarmEvent ? Omit<E, 'nowMs' | 'fresh'> : never) : never;

export interface FarmParts {
  readonly links: readonly FarmLink[];
  readonly clock: Clock;
  readonly resources: ResourceBook;
  readonly write: WriteLog;
}

export class FarmMembership {
  private readonly events = new EventQueue<Fact>((fact) => this.decide(fact));
  private readonly leaving: (() => void)[] = [];
  private readonly otherConfigurations = new Set<string>();

  constructor(
    private state: FarmState,
    private readonly parts: FarmParts,
  ) {
    this.noteLoads();
  }

  get snapshot(): FarmState {
    return this.state;
  }

  start(): void {
    for (const { peer, session } of this.parts.links) {
      session.onHeartbeat(({ payload, link, receivedMs, agentTickAgeMs, goodbye }) => {
        const decoded = decodeFarmReport(payload);
        const report = decoded?.module === this.state.settings.module && decoded.node === peer ? decoded : undefined;
        const heard = { kind: 'heartbeat', from: peer, link, receivedMs, agentTickAgeMs, goodbye } as const;
        this.push({ ...heard, ...(report === undefined ? {} : { report }) });
      });
      session.onFailure((error) => this.parts.write('C', 'heartbeat', `to ${peer}: ${messageOf(error)}`));
    }
    this.publish();
  }

  tick(): void {
    for (const { session } of this.parts.links) session.tick();
    this.push({ kind: 'tick' });
    this.noteLinks();
  }

  /** What the module does on this node. */
  note(phase: Phase, quality: Quality): void {
    this.push({ kind: 'module', phase, quality, offers: this.state.offers });
  }

  /** The node takes its share from now on. */
  open(): void {
    const { phase, quality } = this.state;
    this.push({ kind: 'module', phase, quality, offers: true });
  }

  /** Gives the share up. Resolves when the node answers for nothing any more, and the others know. */
  leave(): Promise<void> {
    const { phase, quality } = this.state;
    return new Promise((resolve) => {
      this.leaving.push(resolve);
      this.push({ kind: 'module', phase, quality, offers: false });
    });
  }

  evidence(): readonly string[] {
    return farmEvidence(this.state);
  }

  async end(options: { readonly goodbye: boolean }): Promise<void> {
    this.events.close();
    await Promise.all(this.parts.links.map(({ session }) => session.close(options)));
  }

  private push(fact: Fact): void {
    this.events.push(fact);
  }

  private decide(fact: Fact): void {
    const { clock } = this.parts;
    const before = this.state;
    this.state = stepFarm(before, { ...fact, nowMs: clock.monotonicMs(), fresh: clock.freshGeneration() });
    if (before.revision !== this.state.revision) this.publish();
    this.noteNodes(before);
    if (membersOf(before) !== membersOf(this.state) || before.leader !== this.state.leader) this.noteMembers();
    if (before.accepts !== this.state.accepts) this.noteLoads(before);
    if (hasLeft(this.state)) for (const resolve of this.leaving.splice(0)) resolve();
  }

  /** At once when something changed; the transport repeats it at every pulse. */
  private publish(): void {
    const payload = encodeFarmReport(farmReportOf(this.state));
    for (const { session } of this.parts.links) session.publish(payload);
  }

  private noteMembers(): void {
    const { leader } = this.state;
    const led = leader === undefined ? '' : `, led by ${leader}`;
    this.parts.write('E', 'farm', `farm membership: ${membersOf(this.state) || 'nobody'}${led}`, { evidence: this.evidence() });
  }

  private noteLoads(before?: FarmState): void {
    for (const { name } of this.state.settings.groups) {
      const count = countOf(this.state.accepts[name]);
      const text = `${count}/${BUCKETS}`;
      this.parts.resources.set(`${name}_0`, count > 0 ? 'up' : 'down', `${text} (${Math.round((100 * count) / BUCKETS)} %)`);
      if (before === undefined || before.accepts[name] === this.state.accepts[name]) continue;
      this.parts.write('E', 'farm', `farm load: ${text} (group ${name}_0)`);
    }
  }

  private noteNodes(before: FarmState): void {
    for (const [node, { report }] of Object.entries(this.state.peers)) {
      const [was, is] = [isAlive(before, node), isAlive(this.state, node)];
      const known = before.peers[node]?.report;
      if (was && !is) this.parts.write('E', 'farm', `${node} is gone`);
      else if (report !== undefined && (!was || known?.phase !== report.phase || known.quality !== report.quality)) {
        if (is) this.parts.write('I', 'peer', `${node} is ${report.phase} (${report.quality})`);
      }
      this.noteConfiguration(node, report?.configuration);
    }
  }

  private noteConfiguration(node: string, digest: string | undefined): void {
    const key = `${node} ${digest ?? ''}`;
    if (digest === undefined || digest === this.state.settings.configuration || this.otherConfigurations.has(key)) return;
    this.otherConfigurations.add(key);
    const why = 'the nodes would not share alike; apply the same on every node';
    this.parts.write('C', 'farm', `${node} runs another configuration of this module: ${why}`, { configuration: digest });
  }

  private noteLinks(): void {
    for (const { peer, lans } of this.parts.links) {
      const detector = this.state.peers[peer]?.detector;
      if (detector === undefined) continue;
      for (const lan of lans) {
        const alive = linkIsAlive(detector, lan, this.state.nowMs);
        const resource = `heartbeat.${peer}.${lan}`;
        if (!this.parts.resources.set(resource, alive ? 'up' : 'down', alive ? 'heard' : 'silent')) continue;
        this.parts.write('E', 'heartbeat', `${resource} is ${alive ? 'up' : 'down'}`);
      }
    }
  }
}

/** Those who share; a node that follows nobody and answers for nothing knows of none. */
function membersOf(state: FarmState): string {
  if (state.leader === undefined && hasLeft(state)) return '';
  return state.table?.members.map(({ node }) => node).join(' ') ?? '';
}
