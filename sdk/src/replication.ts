/**
 * Replication backends: keep an application's data on both nodes. The backend moves data and remembers what differs; it never decides
 * who is primary, and never goes on without its peer by itself: when the link is lost it holds the application's writes until the core
 * says `continueAlone`, after the core has made the new generation durable.
 */
import type { ElementValue, Log } from './plugin.js';

/** A reign over the data. `epoch` only grows; a frame of a smaller epoch is refused with "deposed". */
export interface Term {
  /** 32 lower-case hexadecimal digits. */
  readonly generation: string;
  readonly epoch: number;
}

export interface ReplicationEndpoint {
  /** IP literal. */
  readonly address: string;
  /** TCP port. */
  readonly port: number;
}

export interface ReplicationOptions {
  readonly module: string;
  readonly localNode: string;
  readonly peerNode: string;
  /** Where this node listens as secondary. */
  readonly local: ReplicationEndpoint;
  /** Where the peer listens as secondary. */
  readonly peer: ReplicationEndpoint;
  /** 32 bytes, shared by the nodes of the cluster; keys are derived from it. */
  readonly key: Uint8Array;
  /** Private directory on this node that outlives restarts: journal, markers. */
  readonly stateDirectory: string;
  /** The element of userconfig.xml that the backend contributed, validated. */
  readonly configuration: ElementValue;
  /** A primary that has not heard `tick` for so long acknowledges no modification until it hears it again. Undefined: no limit. */
  readonly coreSilenceMaxMs?: number;
  readonly log: Log;
}

/** - `journal`: copy only what the journal names. - `compare`: walk both trees, compare metadata and digests, copy what differs. */
export type ResyncMode = 'journal' | 'compare';

export interface ResyncProgress {
  readonly mode: ResyncMode;
  /** Why everything is compared. */
  readonly reason?: string;
  readonly bytesDone: number;
  /** Estimate while walking. */
  readonly bytesTotal: number;
  readonly objectsDone: number;
  readonly objectsTotal: number;
  /** Bytes of content really sent to the peer. */
  readonly bytesSent: number;
  readonly bytesPerSecond: number;
  readonly secondsLeft?: number;
}

/** Result of the last finished resync, kept until the next one. */
export interface ResyncSummary {
  readonly mode: ResyncMode;
  /** Why everything was compared. */
  readonly reason?: string;
  readonly bytesSent: number;
  readonly objectsSent: number;
  /** Size of all replicated data, bytes: what a full copy would have sent. */
  readonly bytesInTree: number;
  readonly durationMs: number;
}

/** A verification compares both copies, names, attributes and content, while the application works. */
export interface VerifyOptions {
  /** What differs on the peer is copied from this node, and compared again. */
  readonly repair: boolean;
  /** Content compared per second; undefined: what the configuration says. */
  readonly bytesPerSecondMax?: number;
}

export interface VerifyProgress {
  /** Of this verification. */
  readonly id: string;
  readonly phase: 'comparing' | 'repairing';
  readonly objectsDone: number;
  readonly bytesDone: number;
  /** As far as known: the size at the last verification or resync. */
  readonly bytesTotal?: number;
  readonly bytesPerSecond: number;
  readonly secondsLeft?: number;
  /** Objects that differ, so far. */
  readonly differences: number;
}

export interface VerifyDifference {
  /** The replicated directory. */
  readonly directory: string;
  /** Relative to it; bytes that are no text are shown by their code. Empty: the directory itself. */
  readonly path: string;
  /** What differs, in short words: `content`, `mode`, `missing there`, … */
  readonly differs: readonly string[];
  /** The same for people, with the values of both nodes: "here" is the node of the result. */
  readonly detail: string;
}

/** Outcome of the last verification, kept by both nodes over restarts. */
export interface VerifyResult {
  readonly id: string;
  readonly outcome: 'identical' | 'different';
  /** The node that was primary and compared. */
  readonly node: string;
  /** ISO 8601, wall clock of that node: when the comparison ended. */
  readonly at: string;
  readonly durationMs: number;
  readonly objects: number;
  readonly bytes: number;
  /** Objects that differ now. */
  readonly differences: number;
  /** The first of them. */
  readonly listed: readonly VerifyDifference[];
  /** Objects that differed before the repair. */
  readonly repaired: number;
}

/** A verification that ended without a result. */
export interface VerifyFailure {
  readonly id: string;
  readonly at: string;
  readonly code: string;
  readonly message: string;
}

export interface VerifyStatus {
  readonly progress?: VerifyProgress;
  readonly last?: VerifyResult;
  /** Of the last one, when it was later than `last`. */
  readonly failure?: VerifyFailure;
}

/**
 * The link to the peer as seen from here:
 * - `none`: not wanted, or a secondary that waits for its primary;
 * - `connecting`, `resynchronising`;
 * - `connected`: every modification is on both nodes before it is acknowledged;
 * - `holding` (primary only): the link was lost while connected; modifications and fsync wait for `continueAlone` or `stop`.
 */
export type LinkState = 'none' | 'connecting' | 'resynchronising' | 'connected' | 'holding';

/** The last consistent image of a tree that a resync is changing. */
export interface ReplicationImage {
  /** ISO 8601, wall clock of its node: when the resync began. */
  readonly at: string;
  /** Names and objects that differ from it so far. */
  readonly changes: number;
}

export interface ReplicationStatus {
  readonly role: 'stopped' | 'primary' | 'secondary';
  readonly link: LinkState;
  /** Durable: this tree received part of a resync, or an acknowledged operation failed to apply here. It must not be promoted. */
  readonly inconsistent: boolean;
  /** Although it is inconsistent: what this tree was before the resync that has not finished can be put back, and promoted. */
  readonly image?: ReplicationImage;
  /** The journal on this node names everything that changed since this generation; undefined when there is no usable journal. */
  readonly journalSince?: string;
  readonly progress?: ResyncProgress;
  readonly lastResync?: ResyncSummary;
  readonly verification?: VerifyStatus;
  /** What was kept of this node's changes that were given up, if there is any. */
  readonly conflicts?: readonly ConflictEvent[];
  /** What the configuration makes different from the usual guarantees: a sentence for people. */
  readonly note?: string;
  /** Why the link is down or the backend failed: code and sentence. */
  readonly failure?: { readonly code: string; readonly message: string };
}

/** What a node has kept of its own changes that were given up after a split brain. */
export interface ConflictEvent {
  readonly id: string;
  /** The node whose changes were given up. */
  readonly node: string;
  /** The generation that was given up. */
  readonly generation: string;
  /** ISO 8601, wall clock of the node. */
  readonly at: string;
  /** Absent: the resync that overwrites has not finished. */
  readonly endedAt?: string;
}

export interface ConflictSummary extends ConflictEvent {
  readonly objects: number;
  /** Of content. */
  readonly bytes: number;
  /** Where it is kept on the node. */
  readonly folder: string;
  /** The extraction that runs, or ran last. */
  readonly extraction?: ConflictExtraction;
}

export interface ConflictExtraction {
  readonly to: string;
  readonly state: 'running' | 'done' | 'failed';
  readonly objects: number;
  readonly bytes: number;
  readonly failure?: { readonly code: string; readonly message: string };
}

export interface ConflictObject {
  /** Grows by one. */
  readonly number: number;
  /** Absolute, as applications knew it; bytes that are no text as \\xNN. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character' | 'block';
  /** `removed`: it was on this node only; `content`, `attributes`: what was overwritten. */
  readonly cause: 'removed' | 'content' | 'attributes';
  /** Permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** ISO 8601. */
  readonly modifiedAt: string;
  readonly size: number;
  /** Of content that was kept: SHA-256, hexadecimal. */
  readonly digest?: string;
  /** Another name of an object that is listed before, under this path. */
  readonly linkTo?: string;
}

export interface ConflictStore {
  /** Oldest first. */
  list(): Promise<readonly ConflictSummary[]>;
  /** Objects with a larger number than `after`, at most `limit`. @throws HoldfastError HF_CONFLICT_UNKNOWN */
  objects(id: string, options: { readonly after?: number; readonly limit: number }): Promise<readonly ConflictObject[]>;
  /**
   * Begins to copy what was kept below an existing or new folder, nothing that exists is overwritten; its end is seen in `list`.
   * @param options.paths these and what is below them; none: everything
   */
  extract(id: string, options: { readonly paths: readonly string[]; readonly to: string }): Promise<void>;
  /** @throws HoldfastError HF_CONFLICT_BUSY while its resync has not finished */
  delete(id: string): Promise<void>;
}

export interface Replica {
  /** Optional: not every backend keeps what it overwrites. */
  readonly conflicts?: ConflictStore | undefined;
  status(): ReplicationStatus;
  /** Called on every change of role, link, inconsistent, failure or the result of a verification, and at most every 500 ms for progress. */
  onStatus(listener: (status: ReplicationStatus) => void): void;
  /**
   * Becomes primary without a peer. From secondary: first applies everything received and acknowledged, and turns what was received
   * since the last checkpoint into the journal. Mounts read-write and journals from then on. Resolves when applications may start.
   * @param options.base generation that the peer may come back with; the journal counts from it.
   * @param options.fresh there is no usable history (first start by `prim`): the peer will be compared.
   * @param options.image puts an inconsistent tree back to `status().image` first; fails when there is none.
   * @throws HoldfastError when the tree is inconsistent and `force` is not set, or the mount fails.
   */
  becomePrimary(term: Term, options: { base: string; fresh: boolean; force: boolean; image?: boolean }): Promise<void>;
  /**
   * Becomes secondary: the paths are mounted read-only and the primary's connection is accepted if its epoch is at least `term.epoch`.
   * @param options.givenUp this copy has changes of its own, of that generation, which are given up for the primary's: whatever a resync
   *   overwrites or removes is kept aside first, until it has finished. Without room for that nothing is overwritten.
   */
  becomeSecondary(term: Term, options?: { readonly givenUp?: string }): Promise<void>;
  /**
   * Primary: connects to the peer's secondary and resynchronises it with the application online; retries until `disconnectPeer`.
   * Outcome through status: `connected` when both trees are identical and durable on the peer.
   * @param reason why everything must be compared, for people
   */
  connectPeer(term: Term, mode: ResyncMode, reason?: string): void;
  /** Primary: drops the peer. The link becomes `none`, or `holding` if it was connected. */
  disconnectPeer(): void;
  /** Primary in `holding`: the new term is durable, the journal is on, held writes go on without the peer. Base as in becomePrimary. */
  continueAlone(term: Term, options: { base: string }): Promise<void>;
  /**
   * Primary that must give up: answers every held modification with EIO, and every later one, so that the application can be killed
   * (a process that waits for a held write cannot die). Idempotent; ends with `stop`.
   */
  refuse(): void;
  /**
   * The core decides, and knows how its peer is: called several times per `coreSilenceMaxMs`. Whoever does not hear it must not acknowledge
   * modifications, because the peer may take over from a core that hangs. Optional: not every backend has a process of its own.
   */
  tick?(): void;
  /**
   * Primary that is connected: begins to compare both copies; the outcome comes through status. Optional: not every backend can.
   * @returns the id of the verification
   * @throws HoldfastError when it is not connected, or one runs already
   */
  verify?(options: VerifyOptions): Promise<string>;
  /** Ends a running verification without a result. Idempotent. */
  cancelVerify?(): Promise<void>;
  /**
   * Goes on with other values of the attributes that the backend names as `reconfigurable`; nothing else differs. Whatever role it has.
   * @throws HoldfastError when they could not be taken; it goes on as before
   */
  reconfigure?(configuration: ElementValue): Promise<void>;
  /**
   * Flushes, unmounts and disconnects. While the module is stopped the plain directory shows the data.
   * @throws HoldfastError HF_REPLICATION_BUSY naming the processes (pid, command) that still hold files; with `force` unmounts lazily.
   */
  stop(options: { force: boolean }): Promise<void>;
  /** Ends the backend's processes. Idempotent. */
  close(): Promise<void>;
}

export interface ReplicationBackend {
  /** Attributes of its element that a replica takes while it runs; then `Replica.reconfigure` is there. */
  readonly reconfigurable?: readonly string[];
  /** Directories, absolute, that this configuration replicates: the core refuses overlaps between modules before `open`. */
  directories(configuration: ElementValue): readonly string[];
  /** Opens one module's replica: starts its process, reads its journal and markers. @throws HoldfastError e.g. directory missing. */
  open(options: ReplicationOptions): Promise<Replica>;
}
