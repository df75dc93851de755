/**
 * A farm: up to eight nodes that all run the application and share its traffic. Traffic falls into 256 buckets (a hash of the client), and
 * the table says which node answers for which. Plain JSON, as the nodes tell it each other in every heartbeat.
 */
import type { NodeId, Phase, Quality } from './state.js';

export const BUCKETS = 256;
/** A table names an owner by one digit. */
export const FARM_NODES_MAX = 8;
export const FARM_GROUPS_MAX = 8;

/** Per group, one character per bucket. */
export type BucketMap = Readonly<Record<string, string>>;

export interface FarmTable {
  /** Grows with every table. */
  readonly number: number;
  /** Two leaders that do not see each other may use one number: of two tables with it, the one with the greater id counts. */
  readonly id: string;
  /** Sorted by name. */
  readonly members: readonly { readonly node: NodeId; readonly incarnation: string }[];
  /** Position of the owner in `members`, or `-`. */
  readonly owners: BucketMap;
}

/** What a node says of itself. Its words about buckets hold from the moment in which they were said. */
export interface FarmReport {
  readonly node: NodeId;
  readonly module: string;
  readonly phase: Phase;
  readonly quality: Quality;
  readonly configuration: string;
  /** New after every start, and after every sleep in which the others may have given this node up. */
  readonly incarnation: string;
  /** Grows with every change of this report within an incarnation. */
  readonly revision: number;
  /** Its application runs: it wants a share. */
  readonly offers: boolean;
  /** It does not know yet who is there, and neither leads nor accepts. */
  readonly listening: boolean;
  /** Incarnations of the nodes that it hears. */
  readonly heard: Readonly<Record<NodeId, string>>;
  /** Whose tables it follows; empty: nobody's. */
  readonly leader: NodeId;
  readonly table?: FarmTable;
  /** `1` for a bucket whose traffic it answers now. */
  readonly accepts: BucketMap;
}

/** The newer of two tables is greater. */
export function compareTables(first: FarmTable | undefined, second: FarmTable | undefined): number {
  if (first === undefined || second === undefined) return Number(first !== undefined) - Number(second !== undefined);
  if (first.number !== second.number) return first.number - second.number;
  return first.id < second.id ? -1 : first.id > second.id ? 1 : 0;
}

/** Who answers for each bucket; undefined: nobody. */
export function ownersOf(table: FarmTable, group: string): readonly (NodeId | undefined)[] {
  return [...(table.owners[group] ?? '')].map((digit) => (digit === '-' ? undefined : table.members[Number(digit)]?.node));
}

export function countOf(accepts: string | undefined): number {
  return [...(accepts ?? '')].filter((digit) => digit === '1').length;
}
