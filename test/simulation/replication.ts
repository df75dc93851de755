/**
 * A model of the file replication: one ordered connection between two nodes whose ends notice its death at different times, a resync, and
 * writes that the peer has before they are on the primary's disk. Fulfils what the plug-in promises, and nothing beyond it.
 */
import type { Action, ReplicationFacts } from '@holdfast/core/decide';
import type { SimulatedNode } from './node.js';
import { Violation, type World } from './world.js';

const RESYNC_MS_MAX = 1500;
/** A dead connection is noticed within this time. */
const NOTICE_MS_MAX = 1500;

interface Connection {
  readonly id: number;
  /** The earliest time at which the next message arrives, per receiver: messages do not overtake each other. */
  readonly arrivesMs: Record<string, number>;
  isDying: boolean;
}

type ReplicationAction = Extract<
  Action,
  { kind: 'becomePrimary' | 'becomeSecondary' | 'connectPeer' | 'disconnectPeer' | 'continueAlone' | 'refuse' | 'stopReplica' }
>;

export class Replication {
  readonly #acknowledged = new Set<number>();
  #nextWrite = 1;
  #connections = 0;
  readonly #open = new Map<number, Connection>();

  constructor(private readonly world: World) {}

  /** The power of a node went: its end of the connection is gone, the other end notices. */
  lost(node: SimulatedNode): void {
    // A node that dies in a pair forgets what it received recently: no usable journal.
    if (node.facts.link === 'connected' || node.facts.role !== 'primary') node.disk.journal = undefined;
    node.facts = this.factsOf(node, { role: 'stopped', link: 'none' });
    node.held = [];
    if (node.link !== undefined) this.#breaks(node.link.connection);
    node.link = undefined;
  }

  /** Whether a client could get an acknowledgement now. A connected primary cannot without its secondary. */
  canAcknowledge(node: SimulatedNode): boolean {
    if (!node.accepting || !node.isOn || node.asleep === 'node' || node.facts.role !== 'primary' || node.facts.link === 'holding')
      return false;
    return node.facts.link !== 'connected' || node.link === undefined;
  }

  /** A client writes to every node that takes writes. */
  write(): void {
    for (const node of this.world.all) {
      if (!node.accepting || !node.isOn || node.asleep === 'node' || node.facts.role !== 'primary') continue;
      const write = this.#nextWrite;
      this.#nextWrite += 1;
      this.#accept(node, write);
    }
  }

  #accept(node: SimulatedNode, write: number): void {
    if (node.facts.link === 'holding') {
      node.held.push(write);
      return;
    }
    if (node.facts.link !== 'connected' || node.link === undefined) return this.#complete(node, write);
    const { connection, unanswered } = node.link;
    unanswered.push(write);
    this.#send(connection, node, (peer) => {
      peer.disk.writes.add(write);
      this.#send(connection, peer, (primary) => {
        const at = primary.link?.unanswered.indexOf(write) ?? -1;
        if (at < 0) return;
        primary.link?.unanswered.splice(at, 1);
        this.#complete(primary, write);
      });
    });
  }

  /** On the primary's disk, and acknowledged. */
  #complete(node: SimulatedNode, write: number): void {
    node.disk.writes.add(write);
    if (!node.isRestored) this.#acknowledged.add(write);
  }

  perform(node: SimulatedNode, action: ReplicationAction): string | undefined {
    const { world } = this;
    switch (action.kind) {
      case 'becomePrimary':
        // Whoever was told of it does not try (`World.#begin`); what began meanwhile is refused.
        if (action.image === true && !this.#putBack(node)) return 'there is no image of this copy';
        if (node.disk.inconsistent && action.force !== true) return 'this copy is partial';
        if (node.disk.inconsistent && !node.isInsistedOn) throw new Violation(`${node.name} is promoted as it is: nobody insisted`);
        node.disk.inconsistent = false;
        delete node.disk.whole;
        this.#close(node);
        // The journal of a takeover holds the recent set; after a clean stop there is nothing to hold.
        if (action.fresh) node.disk.journal = undefined;
        else if (node.facts.role === 'secondary' || node.disk.journal !== undefined) node.disk.journal = action.base;
        this.#show(node, { role: 'primary', link: 'none' });
        if (!world.isOverridden && !this.isComplete(node))
          throw new Violation(`${node.name} becomes primary without ${this.#lacks(node)} acknowledged writes`);
        return undefined;
      case 'becomeSecondary':
        this.#close(node);
        node.disk.journal = undefined;
        this.#show(node, { role: 'secondary', link: 'none' });
        return undefined;
      case 'connectPeer':
        this.#connect(node, action);
        return undefined;
      case 'disconnectPeer':
        this.#close(node);
        if (node.facts.role === 'primary' && node.facts.link === 'connected') this.#show(node, { link: 'holding' });
        return undefined;
      case 'continueAlone': {
        this.#close(node);
        node.disk.journal = action.base;
        this.#show(node, { link: 'none' });
        for (const write of node.held.splice(0)) this.#accept(node, write);
        return undefined;
      }
      case 'refuse':
        node.held = [];
        node.accepting = false;
        return undefined;
      case 'stopReplica':
        this.#close(node);
        node.held = [];
        node.accepting = false;
        if (node.facts.role === 'primary') node.disk.journal ??= node.disk.durable.lineage.current;
        this.#show(node, { role: 'stopped', link: 'none' });
        return undefined;
    }
  }

  #connect(node: SimulatedNode, action: Extract<Action, { kind: 'connectPeer' }>): void {
    const { world } = this;
    const peer = world.other(node);
    if (node.facts.role !== 'primary' || node.facts.link !== 'none') return;
    if (!world.network.passes(node.name, peer.name) || !world.network.passes(peer.name, node.name)) return;
    if (!peer.isOn || peer.asleep === 'node' || peer.facts.role !== 'secondary') return;
    // The greeting: a deposed primary is refused, and so is a journal that does not begin where the peer's copy ends.
    if (peer.disk.durable.lineage.epoch > action.term.epoch) return;
    if (action.mode === 'journal' && node.disk.journal !== peer.disk.durable.lineage.current) return;
    if (peer.link !== undefined) this.#breaks(peer.link.connection);
    this.#connections += 1;
    const id = this.#connections;
    this.#open.set(id, { id, arrivesMs: {}, isDying: false });
    node.link = { connection: id, unanswered: [] };
    peer.link = { connection: id, unanswered: [] };
    world.tell(node.name, `resync of ${peer.name}: ${action.mode}`);
    // Of a partial copy counts what it was when it was whole: what the resync has brought since is another's.
    peer.disk.whole ??= peer.disk.writes;
    const overwritten = this.#lacks(node, peer.disk.whole);
    const isGivenUp = peer.disk.durable.lineage.current === '';
    if (overwritten > 0 && !isGivenUp) throw new Violation(`${node.name} overwrites ${overwritten} acknowledged writes of ${peer.name}`);
    node.isRestored = false;
    peer.isRestored = false;
    peer.disk.inconsistent = true;
    peer.disk.writes = mixtureOf(peer.disk.whole, node.disk.writes);
    this.#show(peer, { link: 'resynchronising' });
    this.#show(node, { link: 'resynchronising' });
    world.later(node, 50 + world.random.below(RESYNC_MS_MAX), () => this.#finish(node, id));
  }

  /** The last round: both ends are the same, the secondary says so durably, then the primary counts on it. */
  #finish(node: SimulatedNode, id: number): void {
    if (node.link?.connection !== id || node.facts.link !== 'resynchronising') return;
    if (node.asleep === 'node') {
      node.overdue.push(() => this.#finish(node, id));
      return;
    }
    // From here on a broken link counts as one of a pair: the secondary may be complete.
    this.#show(node, { link: 'connected' });
    if (!this.world.isOverridden && !this.isComplete(node))
      throw new Violation(`${node.name} copies data without ${this.#lacks(node)} acknowledged writes over its peer's`);
    const image = new Set(node.disk.writes);
    const { setBack = [] } = node.disk;
    const { current } = node.disk.durable.lineage;
    this.#send(id, node, (peer) => {
      peer.disk.writes = image;
      peer.disk.setBack = setBack;
      delete peer.disk.whole;
      peer.disk.unrecorded = current;
      peer.disk.inconsistent = false;
      this.#show(peer, { link: 'connected' });
      this.#send(id, peer, (primary) => {
        primary.disk.journal = undefined;
        this.world.promoted = undefined;
        this.#show(primary, {});
      });
    });
  }

  /** In order, as long as both ends keep the connection; nothing arrives through a cut, and then both ends notice sooner or later. */
  #send(id: number, from: SimulatedNode, arrive: (to: SimulatedNode) => void): void {
    const connection = this.#open.get(id);
    if (connection === undefined) return;
    const { world } = this;
    const to = world.other(from);
    const atMs = Math.max(world.schedule.nowMs + 1 + world.random.below(10), connection.arrivesMs[to.name] ?? 0);
    connection.arrivesMs[to.name] = atMs;
    world.later(to, atMs - world.schedule.nowMs, () => this.#arrive(id, from, to, arrive));
  }

  #arrive(id: number, from: SimulatedNode, to: SimulatedNode, arrive: (to: SimulatedNode) => void): void {
    if (to.link?.connection !== id) return;
    if (!this.world.network.passes(from.name, to.name)) return this.#breaks(id);
    if (to.asleep === 'node') to.stream.push(() => this.#arrive(id, from, to, arrive));
    else arrive(to);
  }

  /** Whatever passes no more: the ends of cut connections notice. Called when the network changes. */
  networkChanged(): void {
    const { network, all } = this.world;
    const [first, second] = all;
    if (first === undefined || second === undefined) return;
    if (network.passes(first.name, second.name) && network.passes(second.name, first.name)) return;
    for (const id of this.#open.keys()) this.#breaks(id);
  }

  dropLink(): void {
    for (const id of this.#open.keys()) this.#breaks(id);
  }

  /** The connection carries nothing any more; each end notices when it notices. */
  #breaks(id: number): void {
    const connection = this.#open.get(id);
    if (connection === undefined) return;
    this.#open.delete(id);
    for (const node of this.world.all) {
      if (node.link?.connection !== id) continue;
      this.world.later(node, this.world.random.below(NOTICE_MS_MAX), () => this.#notice(node, id));
    }
  }

  #notice(node: SimulatedNode, id: number): void {
    if (node.link?.connection !== id) return;
    if (node.asleep === 'node') {
      node.overdue.push(() => this.#notice(node, id));
      return;
    }
    this.#drop(node);
  }

  /** This end is closed by itself; the other notices. */
  #close(node: SimulatedNode): void {
    const id = node.link?.connection;
    if (id === undefined) return;
    this.#drop(node);
    this.#breaks(id);
  }

  #drop(node: SimulatedNode): void {
    const unanswered = node.link?.unanswered ?? [];
    node.link = undefined;
    if (node.facts.role === 'primary' && node.facts.link === 'connected') {
      node.held.push(...unanswered);
      this.#show(node, { link: 'holding' });
    } else if (node.facts.link !== 'holding') {
      this.#show(node, { link: 'none' });
    }
  }

  #show(node: SimulatedNode, change: Partial<ReplicationFacts>): void {
    const { role, link } = node.facts;
    const facts = this.factsOf(node, { role, link, ...change });
    node.facts = facts;
    this.world.push(node, { kind: 'replication', facts });
  }

  /** What the replication of a node says. */
  factsOf({ disk }: SimulatedNode, { role, link }: Pick<ReplicationFacts, 'role' | 'link'>): ReplicationFacts {
    const { inconsistent, journal, whole } = disk;
    const image = inconsistent && whole !== undefined && this.world.options.images ? { image: 'before the resync' } : {};
    return { role, link, inconsistent, ...image, ...(journal === undefined ? {} : { journalSince: journal }) };
  }

  /** @returns whether there was an image */
  #putBack({ name, facts, disk }: SimulatedNode): boolean {
    if (facts.image === undefined || disk.whole === undefined) return false;
    disk.writes = new Set(disk.whole);
    this.world.tell(name, 'is put back to its image');
    disk.inconsistent = false;
    return true;
  }

  #lacks(node: SimulatedNode, among?: ReadonlySet<number>): number {
    let count = 0;
    for (const write of this.#acknowledged) if (!node.disk.writes.has(write) && among?.has(write) !== false) count += 1;
    return count;
  }

  /** An operator gave up what only this copy holds (`second fullsync`). */
  givenUp(node: SimulatedNode): void {
    const kept = this.world.other(node).disk.writes;
    for (const write of node.disk.writes) if (!kept.has(write)) this.#acknowledged.delete(write);
  }

  /** Both copies are the same, whatever was given up. */
  areSame(): boolean {
    const [one, other] = this.world.all.map(({ disk }) => disk.writes);
    return one !== undefined && other !== undefined && one.size === other.size && [...one].every((write) => other.has(write));
  }

  /** Acknowledged writes that this node's copy does not hold. */
  isComplete(node: SimulatedNode): boolean {
    return this.#lacks(node) === 0;
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }
}

/** In the middle of a resync some of both is there: of no use to anybody. */
function mixtureOf(old: ReadonlySet<number>, next: ReadonlySet<number>): Set<number> {
  const mixture = new Set<number>();
  for (const write of old) if (write % 2 === 0 || next.has(write)) mixture.add(write);
  for (const write of next) if (write % 2 === 0) mixture.add(write);
  return mixture;
}
