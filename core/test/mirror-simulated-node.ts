/** What a simulated mirror is made of: a node, what survives on its disk, and how a simulation is set up. */
import type { Durable, MirrorEvent, MirrorState, ReplicationFacts } from '../src/decide/mirror/types.js';
import type { ResourceFacts, WatchedResource } from '../src/engine/resource-facts.js';
import type { SplitBrainPolicy } from '../src/model/report.js';
import type { FailoverConfiguration } from '../src/model/rules.js';

export type Fact = MirrorEvent extends infer E ? (E extends MirrorEvent ? Omit<E, 'nowMs' | 'wallMs' | 'freshGeneration'> : never) : never;

/** What survives on a node's disk. */
export interface Disk {
  durable: Durable;
  writes: number[];
  inconsistent: boolean;
  /** Base of a usable journal. */
  journal: string | undefined;
}

export interface SimulatedNode {
  readonly name: string;
  readonly disk: Disk;
  state: MirrorState | undefined;
  facts: ReplicationFacts;
  resyncDoneMs: number | undefined;
  /** Writes sent by clients that the primary holds. */
  held: number[];
  accepting: boolean;
  /** Not scheduled: what comes waits, newest link news first, as sockets and pipes deliver it after a sleep. */
  paused: boolean;
  inbox: Fact[];
  overdue: (() => void)[];
  /** What the failover rules are told of the node's resources. */
  ruleFacts: ResourceFacts;
}

export interface SimulatorOptions {
  readonly replicated?: boolean;
  readonly failover?: boolean;
  readonly scriptMs?: number;
  readonly rules?: FailoverConfiguration;
  /** What the checks of the module watch. */
  readonly watched?: readonly WatchedResource[];
  readonly automaticReboot?: boolean;
  /** Of n1 and n2. */
  readonly heartbeatTimeoutMs?: readonly [number, number];
  readonly witnesses?: readonly [string, string];
  readonly defaultPrimary?: readonly [string, string];
  readonly splitBrain?: readonly [SplitBrainPolicy, SplitBrainPolicy];
}
