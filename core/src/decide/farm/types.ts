/** The vocabulary of the farm: what one node knows of the others, and what it answers for. */
import type { BucketMap, FarmReport, FarmTable } from '../../model/farm.js';
import type { MonotonicMs, NodeId, Phase, Quality } from '../../model/state.js';
import type { DetectorState } from '../detector.js';

export interface FarmSettings {
  readonly module: string;
  readonly node: NodeId;
  /** All nodes of the cluster. */
  readonly nodes: readonly NodeId[];
  readonly groups: readonly { readonly name: string; readonly powers: Readonly<Record<NodeId, number>> }[];
  readonly pulseMs: number;
  /** Silence after which the others elect a new leader. */
  readonly leaderTimeoutMs: number;
  /** Silence after which a node that does not lead counts as gone. */
  readonly memberTimeoutMs: number;
  readonly configuration: string;
}

export interface FarmPeer {
  readonly detector: DetectorState;
  readonly report?: FarmReport;
}

export interface FarmState {
  readonly settings: FarmSettings;
  readonly incarnation: string;
  readonly revision: number;
  readonly listening: boolean;
  readonly listeningSinceMs: MonotonicMs;
  readonly phase: Phase;
  readonly quality: Quality;
  readonly offers: boolean;
  /** Since when it does not offer any more. */
  readonly closedSinceMs: MonotonicMs;
  readonly peers: Readonly<Record<NodeId, FarmPeer>>;
  readonly leader?: NodeId;
  readonly table?: FarmTable;
  /** What the node answers for: a driver of addresses lets exactly this traffic in. */
  readonly accepts: BucketMap;
  readonly nowMs: MonotonicMs;
}

export type FarmEvent = {
  readonly nowMs: MonotonicMs;
  /** Unused so far, on any node. */
  readonly fresh: string;
} & (
  | { readonly kind: 'tick' }
  | {
      readonly kind: 'heartbeat';
      readonly from: NodeId;
      readonly link: string;
      readonly receivedMs: MonotonicMs;
      readonly agentTickAgeMs: number;
      readonly goodbye: boolean;
      readonly report?: FarmReport;
    }
  /** What the module does on this node, and whether it takes traffic. */
  | { readonly kind: 'module'; readonly phase: Phase; readonly quality: Quality; readonly offers: boolean }
);
