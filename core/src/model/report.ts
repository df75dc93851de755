/** What a node tells the other about one module in every heartbeat, and shows in its API. Plain JSON, at most 8 KiB encoded. */
import type { Lineage } from './generation.js';
import type { NodeId, Phase, Quality } from './state.js';

/**
 * State of the data on a node:
 * - `uptodate`: whole, and as new as its generation says;
 * - `outdated`: whole, but the peer went on without it;
 * - `inconsistent`: partly copied: useless until a resync has finished;
 * - `none`: nothing to replicate in this module.
 */
export type DataCondition = 'uptodate' | 'outdated' | 'inconsistent' | 'none';

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
  /** Generation of the receiver that the sender last saw: acknowledges announcements. */
  readonly seenGeneration: string;
}
