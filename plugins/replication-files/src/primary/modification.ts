/**
 * A modification that an application asked for: what the peer is told, what is done here, what the journal remembers, and the answer.
 * The pipeline decides when each of these happens; a modification knows nothing of links and states.
 */
import type { Boundary } from '../boundary/boundary.js';
import type { ReplyTo } from '../fuse/device.js';
import type { TouchRecorder } from '../journal/dirty-set.js';
import type { Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import type { LiveRequest } from '../wire/messages.js';
import type { Node } from './node.js';
import type { NodeTable } from './node-table.js';

type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never;
/** A live request whose sequence number the sender of the link gives. */
export type LiveBody = WithoutSeq<LiveRequest>;

export interface Trees {
  readonly store: Store;
  readonly nodes: NodeTable;
  readonly boundary: Boundary;
}

/** An object that comes into what is replicated: the peer gets it whole, under a new id, before it hears of its name. */
export interface Staged {
  readonly handle: Handle;
  readonly id: bigint;
}

export interface Modification {
  readonly to: ReplyTo;
  /**
   * Looks at what the request names, before anything is sent. @returns 0, or the errno (positive) that the application gets at once
   */
  prepare(trees: Trees): number;
  /** Concerns only objects without a name, or excluded ones: the peer is not told. Valid after `prepare`, may change while it waits. */
  readonly isLocal: boolean;
  /** When it fails, a part of it may have been done: how much, is not the same on both nodes. */
  readonly isPartialWhenFailed?: boolean;
  /** Why the peer cannot be told by a request: it is repaired from this node's truth. Valid after `prepare`. */
  readonly needsRepair?: string | undefined;
  /** What must be sent before the request, when everything that came earlier is done. Valid after `prepare`. */
  readonly staged?: Staged | undefined;
  /** The peer has what was staged, in this session. */
  stagedIn?(session: number): void;
  /** Objects that the peer must know before the request, parents first not needed. */
  readonly concerns: readonly Node[];
  /** The request. Only called when not local. */
  body(trees: Trees): LiveBody;
  /** Performs it on the backing tree and updates the node table. @returns 0 or -errno */
  apply(trees: Trees): number;
  /** Names what may now differ from a peer that does not have it. */
  touch(recorder: TouchRecorder): void;
  /** Answers the kernel after a successful `apply`. */
  reply(trees: Trees): void;
  /** Tells the kernel that it failed. @param errno positive */
  fail(errno: number): void;
  /** It will not be applied, or it failed: undoes what `prepare` assumed. */
  cancel(trees: Trees): void;
}

/** A name under which an object can be found: a hint for the journal. */
export function touchObject(node: Node, touch: (parent: string | undefined, name: Buffer | undefined) => void): void {
  if (node.isExcluded) return;
  const known = node.lastName;
  touch(known?.parent.handle, known?.name);
}
