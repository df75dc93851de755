/**
 * A farm in one thread: the product's automaton on every node, a network that loses, delays and reorders frames, nodes that crash, boot,
 * sleep, are cut off, join and leave. After every event the buckets of all nodes are compared. Everything comes from the seed.
 */
import { createFarm, farmReportOf, stepFarm } from '../src/decide/farm/membership.js';
import type { FarmEvent, FarmSettings, FarmState } from '../src/decide/farm/types.js';
import { BUCKETS } from '../src/model/farm.js';

const TICK_MS = 50;
const PULSE_MS = 100;
export const MEMBER_TIMEOUT_MS = 1000;
export const LEADER_TIMEOUT_MS = 2000;

type Fact = FarmEvent extends infer E ? (E extends FarmEvent ? Omit<E, 'nowMs' | 'fresh'> : never) : never;

export interface Weather {
  /** Of 1; never more than LOST_IN_A_ROW_MAX frames in a row between two nodes. */
  readonly loss: number;
  readonly delayMsMax: number;
}

const LOST_IN_A_ROW_MAX = 4;

interface SimulatedNode {
  readonly name: string;
  state: FarmState | undefined;
  asleep: boolean;
  inbox: Fact[];
  /** Monotonic time differs from node to node. */
  readonly offsetMs: number;
  boot: number;
}

export interface Overlap {
  readonly atMs: number;
  readonly nodes: readonly [string, string];
  readonly bucket: number;
}

/** Mulberry32: small, and the same everywhere. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class FarmSimulator {
  nowMs = 0;
  readonly nodes: readonly SimulatedNode[];
  readonly overlaps: Overlap[] = [];
  weather: Weather = { loss: 0, delayMsMax: 5 };
  private readonly random: () => number;
  private readonly calendar: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];
  private order = 0;
  /** Part of the network that a node is in; those of one part reach each other. */
  private readonly part = new Map<string, number>();
  private readonly cuts = new Set<string>();
  private readonly lostInARow = new Map<string, number>();
  /** When two nodes began to be in one part, both awake. */
  private readonly togetherSince = new Map<string, number>();
  private readonly names: readonly string[];

  constructor(
    count: number,
    seed: number,
    private readonly powers: Readonly<Record<string, number>> = {},
    /** Another one is a deliberate bug. */
    private readonly step: typeof stepFarm = stepFarm,
  ) {
    this.random = randomOf(seed);
    this.names = Array.from({ length: count }, (_none, index) => `n${index + 1}`);
    this.nodes = this.names.map((name) => ({
      name,
      state: undefined,
      asleep: false,
      inbox: [],
      offsetMs: Math.floor(this.random() * 1e6),
      boot: 0,
    }));
    for (const name of this.names) this.part.set(name, 0);
  }

  node(name: string): SimulatedNode {
    const node = this.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  private settings(node: string): FarmSettings {
    return {
      module: 'web',
      node,
      nodes: this.names,
      groups: [{ name: 'all', powers: this.powers }],
      pulseMs: PULSE_MS,
      leaderTimeoutMs: LEADER_TIMEOUT_MS,
      memberTimeoutMs: MEMBER_TIMEOUT_MS,
      configuration: 'c',
    };
  }

  private fresh(): string {
    return Math.floor(this.random() * 2 ** 48).toString(16);
  }

  boot(name: string): void {
    const node = this.node(name);
    if (node.state !== undefined) return;
    node.boot += 1;
    node.asleep = false;
    node.inbox = [];
    node.state = createFarm(this.settings(name), this.nowMs + node.offsetMs, this.fresh());
    this.parted(name);
    const boot = node.boot;
    const every = (periodMs: number, run: () => void): void => {
      const again = (): void => {
        if (node.boot !== boot || node.state === undefined) return;
        if (!node.asleep) run();
        this.at(periodMs * (0.9 + 0.2 * this.random()), again);
      };
      this.at(periodMs * this.random(), again);
    };
    every(TICK_MS, () => this.push(node, { kind: 'tick' }));
    every(PULSE_MS, () => this.beat(node));
  }

  crash(name: string): void {
    const node = this.node(name);
    node.state = undefined;
    node.asleep = false;
    node.inbox = [];
  }

  offer(name: string, offers: boolean): void {
    const node = this.node(name);
    if (node.state === undefined || node.asleep) return;
    this.push(node, { kind: 'module', phase: offers ? 'UP' : 'STOP', quality: offers ? 'Ready' : 'NotReady', offers });
  }

  sleep(name: string): void {
    const node = this.node(name);
    if (node.state !== undefined) node.asleep = true;
  }

  /** The frames of before come first, as they wait in the socket. */
  wake(name: string): void {
    const node = this.node(name);
    if (!node.asleep) return;
    node.asleep = false;
    this.parted(name);
    for (const fact of node.inbox.splice(0)) this.push(node, fact);
  }

  /** Who is in which part of the network from now on. */
  split(parts: Readonly<Record<string, number>>): void {
    for (const name of this.names) {
      if (this.part.get(name) === (parts[name] ?? 0)) continue;
      this.part.set(name, parts[name] ?? 0);
      this.parted(name);
    }
  }

  /** These two alone do not reach each other. */
  cutPair(one: string, other: string): void {
    this.cuts.add([one, other].sort().join(' '));
  }

  heal(): void {
    this.cuts.clear();
    this.split({});
  }

  private reaches(from: SimulatedNode, to: SimulatedNode): boolean {
    return this.part.get(to.name) === this.part.get(from.name) && !this.cuts.has([from.name, to.name].sort().join(' '));
  }

  private parted(name: string): void {
    for (const other of this.names) this.togetherSince.set([name, other].sort().join(' '), this.nowMs);
  }

  private at(delayMs: number, run: () => void): void {
    this.order += 1;
    this.calendar.push({ atMs: this.nowMs + delayMs, order: this.order, run });
  }

  run(forMs: number): void {
    const end = this.nowMs + forMs;
    for (;;) {
      let next: (typeof this.calendar)[number] | undefined;
      for (const entry of this.calendar) {
        if (next === undefined || entry.atMs < next.atMs || (entry.atMs === next.atMs && entry.order < next.order)) next = entry;
      }
      if (next === undefined || next.atMs > end) break;
      this.calendar.splice(this.calendar.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
    this.nowMs = end;
  }

  private beat(from: SimulatedNode): void {
    const { state } = from;
    if (state === undefined) return;
    const report = farmReportOf(state);
    for (const to of this.nodes) {
      if (to === from || !this.reaches(from, to)) continue;
      const pair = `${from.name}>${to.name}`;
      const lost = this.lostInARow.get(pair) ?? 0;
      if (lost < LOST_IN_A_ROW_MAX && this.random() < this.weather.loss) {
        this.lostInARow.set(pair, lost + 1);
        continue;
      }
      this.lostInARow.set(pair, 0);
      this.at(this.random() * this.weather.delayMsMax, () => {
        if (to.state === undefined || !this.reaches(from, to)) return;
        const receivedMs = this.nowMs + to.offsetMs;
        this.push(to, { kind: 'heartbeat', from: from.name, link: 'default', receivedMs, agentTickAgeMs: 0, goodbye: false, report });
      });
    }
  }

  private push(node: SimulatedNode, fact: Fact): void {
    const before = node.state;
    if (before === undefined) return;
    if (node.asleep) {
      node.inbox.push(fact);
      return;
    }
    const state = this.step(before, { ...fact, nowMs: this.nowMs + node.offsetMs, fresh: this.fresh() });
    node.state = state;
    if (state.accepts !== before.accepts) this.compare(node);
    if (state.revision !== before.revision) this.beat(node);
  }

  /** Buckets that this node and another in its part of the network both answer for. A node that sleeps answers nobody. */
  private compare(node: SimulatedNode): void {
    for (const other of this.nodes) {
      if (other === node || !this.reaches(node, other) || other.asleep) continue;
      const bucket = overlapOf(node.state, other.state);
      if (bucket >= 0) this.overlaps.push({ atMs: this.nowMs, nodes: [node.name, other.name], bucket });
    }
  }

  /** Pairs that have been together for so long and still answer for one bucket. */
  overlapsOfPairsTogether(forMs: number): readonly string[] {
    return this.nodes.flatMap((one, index) =>
      this.nodes.slice(index + 1).flatMap((other) => {
        const pair = [one.name, other.name].sort().join(' ');
        const together = this.reaches(one, other) && !one.asleep && !other.asleep;
        if (!together || this.nowMs - (this.togetherSince.get(pair) ?? 0) < forMs) return [];
        const bucket = overlapOf(one.state, other.state);
        return bucket < 0 ? [] : [`${pair}: bucket ${bucket} at ${this.nowMs}`];
      }),
    );
  }

  /** How many of the nodes of a part answer for each bucket: `256x1` when every bucket has one. */
  coverage(part = 0): string {
    const here = this.nodes.filter(({ name, state, asleep }) => this.part.get(name) === part && state !== undefined && !asleep);
    const counts = new Map<number, number>();
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      const owners = here.filter(({ state }) => state?.accepts['all']?.[bucket] === '1').length;
      counts.set(owners, (counts.get(owners) ?? 0) + 1);
    }
    return [...counts]
      .sort(([one], [other]) => one - other)
      .map(([owners, buckets]) => `${buckets}x${owners}`)
      .join(' ');
  }

  share(name: string): number {
    return [...(this.node(name).state?.accepts['all'] ?? '')].filter((digit) => digit === '1').length;
  }
}

function overlapOf(one: FarmState | undefined, other: FarmState | undefined): number {
  const [mine, theirs] = [one?.accepts['all'] ?? '', other?.accepts['all'] ?? ''];
  return [...mine].findIndex((digit, bucket) => digit === '1' && theirs[bucket] === '1');
}
