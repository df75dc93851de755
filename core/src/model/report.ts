/** What a node tells the other about one module in every heartbeat, and shows in its API. Plain JSON, at most 8 KiB encoded. */
import type { Agreement } from './arbitration.js';
import type { Lineage } from './generation.js';
import type { TallyCounts } from './rules.js';
import type { NodeId, Phase, Quality } from './state.js';

/**
 * State of the data on a node:
 * - `uptodate`: whole, and as new as its generation says;
 * - `outdated`: whole, but the peer went on without it;
 * - `inconsistent`: partly copied: useless until a resync has finished;
 * - `none`: nothing to replicate in this module.
 */
export type DataCondition = 'uptodate' | 'outdated' | 'inconsistent' | 'none';

/** What happens by itself after both nodes went on without the other. */
export type SplitBrainPolicy = 'manual' | 'keep-primary' | 'keep-newest';

/** Settings by which both nodes decide about each other: with different ones each could be right for itself, and both would go on. */
export interface DecidingSettings {
  readonly heartbeatTimeoutMs: number;
  /** Kinds and attributes of the witnesses, in their order; `none`. */
  readonly witnesses: string;
  /** `alone`, `lastprim` or a node name. */
  readonly defaultPrimary: string;
}

export interface NodeReport {
  readonly node: NodeId;
  readonly module: string;
  readonly phase: Phase;
  readonly quality: Quality;
  readonly lineage: Lineage;
  readonly condition: DataCondition;
  /** The last role that this node held over the data. */
  readonly lastRole: 'none' | 'primary' | 'secondary';
  /** How the current generation began, when it began here without the peer: decides who stays after a network cut. */
  readonly forkedAs: 'none' | 'primary' | 'secondary';
  /** State of the replication link as seen by this node. */
  readonly link: 'none' | 'connecting' | 'resynchronising' | 'connected' | 'holding';
  /** Generation that the node's journal counts from, when it has a usable one. */
  readonly journalSince?: string;
  /** Digest of the applied configuration: both nodes must run the same. */
  readonly configuration: string;
  /** The node is handing over to its peer and will not take over by itself (swap, clean stop). */
  readonly handingOver: boolean;
  /** An operator's `prim` waits here to be carried out: two of them at once are settled before anyone starts. */
  readonly claiming: boolean;
  /** What this node holds to if the nodes lose each other now. */
  readonly agreement: Agreement;
  /** Whether this node reaches its witness. */
  readonly witness: 'none' | 'up' | 'down';
  /** It left its role durably: without hearing the receiver it will not go on. */
  readonly yielded: boolean;
  /** It was primary when it was lost, and follows since: `lastprim` gives it its role back. */
  readonly formerPrimary: boolean;
  /** What the sender is configured for; absent: `manual`. */
  readonly splitBrain?: SplitBrainPolicy;
  /** Absent: the sender is of an older version. */
  readonly deciding?: DecidingSettings;
  /** Generation of the receiver that the sender last saw: acknowledges announcements. */
  readonly seenGeneration: string;
  /** A failover rule keeps it in WAIT: it does not go on, whatever its role was. */
  readonly blocked?: true;
  /** Counts of the resources that the failover rules name as the peer's, in their order; only for the same configuration. */
  readonly tallies?: readonly TallyCounts[];
  /** What the sender's checkers measured last. Left out where a heartbeat has no room: nothing is decided from a missing figure. */
  readonly figures?: readonly ToldFigure[];
}

/** Resource, name, value, unit. */
export type ToldFigure = readonly [string, string, number, 'ms' | 'bytes' | 'percent' | 'count'];
