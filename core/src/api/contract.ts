/**
 * What the REST API and, through it, the command line need from a running agent. The engine implements it; fastify serves it; nothing in
 * here knows HTTP. Methods throw HoldfastError with a code that api/ maps to a status.
 */
import type { ConflictEvent, ConflictObject, ConflictSummary, Figure, VerifyStatus } from '@holdfast/sdk';
import type { ConfigurationService, ConfigureOptions, ConfigureResult } from './configuration-contract.js';
import type { ConfigurationValue } from '../model/configuration.js';
import type { NodeReport } from '../model/report.js';
import type { Resource } from '../model/resource.js';
import type { Phase, Quality } from '../model/state.js';

export type Verb = 'start' | 'stop' | 'restart' | 'stopstart' | 'swap' | 'prim' | 'second';

export interface VerbOptions {
  /** `second fullsync`: forget local data and take everything from the primary; `prim fullsync` likewise for the peer. */
  readonly fullsync?: boolean;
  /** `prim`: also on a partial copy, and against what the witness says. */
  readonly force?: boolean;
  /** `prim`: puts a partial copy back to its last consistent image first. */
  readonly image?: boolean;
  /** Of existing scripts: `swap nosync` is a swap, since there is next to nothing to copy. */
  readonly nosync?: boolean;
  /** Marks an automatic action; counts in maxloop. */
  readonly identity?: string;
}

export interface VerificationOptions {
  /** What differs on the secondary is copied from the primary, and compared again. */
  readonly repair?: boolean;
  /** Content compared per second; without it, what the configuration says. */
  readonly bytesPerSecondMax?: number;
}

/** The last comparison of both copies, and the one that is under way. */
export type VerificationView = VerifyStatus;

export type ConflictView = ConflictSummary;
export type ConflictObjectView = ConflictObject;

/** What of a conflict is to be copied where on the node. */
export interface ConflictExtractionOptions {
  /** Absolute, as applications knew them, with what is below; none: everything. */
  readonly paths?: readonly string[];
  /** Absolute; not in a replicated directory. */
  readonly to: string;
}

/** Switches the checks of a class that the module's configuration names. */
export interface ChecksSwitch {
  readonly class: string;
  readonly enabled: boolean;
}

/** Suspends or resumes what a module does by itself; kept over stop, start and reboot. */
export interface MaintenanceSwitch {
  readonly name: MaintenanceView['name'];
  readonly on: boolean;
  readonly identity?: string;
}

/** A switch that is off. */
export interface MaintenanceView {
  readonly name: 'checker' | 'errd' | 'failover';
  /** ISO 8601 of this node's wall clock. */
  readonly since: string;
  readonly by: string;
  readonly text: string;
}

/** The count of automatic actions. `reached`: the next one stops the module. */
export interface LoopView {
  readonly count: number;
  readonly max: number;
  readonly reached: boolean;
}

export interface LoopChange {
  readonly change: 'increment' | 'reset';
  readonly identity?: string;
}

/** A verdict about a resource whose checker takes it from outside. */
export interface OutsideVerdict {
  readonly resource: string;
  readonly value: 'up' | 'down' | 'unknown';
  /** For people. */
  readonly detail?: string;
  /** Who says so. */
  readonly identity?: string;
  /** Not to be found in the history. */
  readonly unrecorded?: boolean;
  /** Also of a resource that its checker finds out by itself: holds until the checker's next verdict. */
  readonly force?: boolean;
}

export interface ReplicationView {
  readonly role: 'stopped' | 'primary' | 'secondary';
  readonly link: NodeReport['link'];
  readonly condition: NodeReport['condition'];
  /** What a partial copy was before the resync began: `prim` with `image` puts it back. */
  readonly image?: { readonly at: string; readonly changes: number };
  readonly progress?: {
    readonly mode: 'journal' | 'compare';
    /** Why everything is compared. */
    readonly reason?: string;
    readonly bytesDone: number;
    readonly bytesTotal: number;
    readonly objectsDone: number;
    readonly objectsTotal: number;
    readonly bytesSent: number;
    readonly bytesPerSecond: number;
    readonly secondsLeft?: number;
  };
  readonly lastResync?: {
    readonly mode: 'journal' | 'compare';
    readonly reason?: string;
    readonly bytesSent: number;
    readonly objectsSent: number;
    readonly bytesInTree: number;
    readonly durationMs: number;
  };
  readonly verification?: VerificationView;
  /** What is kept of this node's changes that were given up after a split brain. */
  readonly conflicts?: readonly ConflictEvent[];
  /** What the configuration makes different from the usual guarantees. */
  readonly note?: string;
  readonly failure?: { readonly code: string; readonly message: string };
}

/** A farm as one node sees it. */
export interface FarmView {
  readonly leader?: string;
  /** Those who share the traffic. */
  readonly members: readonly string[];
  /** Number of the table that this node holds. */
  readonly table?: number;
  readonly groups: readonly {
    readonly name: string;
    /** Buckets of 256 that this node answers for now. */
    readonly accepts: number;
    readonly shares: readonly { readonly node: string; readonly power: number; readonly buckets: number; readonly ranges: string }[];
  }[];
  /** The other nodes. */
  readonly nodes: readonly { readonly node: string; readonly alive: boolean; readonly phase?: Phase; readonly quality?: Quality }[];
}

export interface ModuleView {
  readonly module: string;
  readonly id: number;
  readonly node: string;
  readonly phase: Phase | 'NOT CONFIGURED';
  readonly quality: Quality;
  /** `up-to-date`, `not up-to-date`, `degraded` … for people. */
  readonly detail: string;
  readonly reason: { readonly code: string; readonly text: string };
  /** ISO 8601 of this node's wall clock: since when in this phase. */
  readonly since: string;
  /** When the application was started last, by `start_prim`; absent: not since the agent runs. */
  readonly applicationSince?: string;
  readonly peer?: { readonly node: string; readonly alive: boolean; readonly phase?: Phase; readonly quality?: Quality };
  /** Absent in a module that is not configured. */
  readonly mode?: 'mirror' | 'farm' | 'light';
  readonly farm?: FarmView;
  readonly replication?: ReplicationView;
  readonly addresses: readonly { readonly address: string; readonly state: string }[];
  readonly generation: { readonly current: string; readonly epoch: number; readonly history: readonly string[] };
  /** Grade of the arbitration: what would happen at a network cut. */
  readonly arbitration: {
    readonly grade: 'none' | 'weak' | 'strong';
    /** What would happen now. */
    readonly text: string;
    readonly witnesses: readonly { readonly name: string; readonly reachable: boolean; readonly detail: string }[];
  };
  /** `edited`: the source folder differs. `peer`: the other node has another one. `stale`: taken when the module is started again. */
  readonly configuration: { readonly applied: string; readonly edited?: string; readonly peer?: string; readonly stale?: boolean };
  readonly maxloop: { readonly count: number; readonly max: number };
  /** The gravest failover rule that holds. */
  readonly rule?: { readonly label: string; readonly action: string };
  /** Switches that are off. */
  readonly maintenance?: readonly MaintenanceView[];
}

export interface ResourceView extends Resource {
  readonly since: string;
  /** What its checker measured last. */
  readonly figures?: readonly Figure[];
  readonly history: readonly { readonly at: string; readonly value: string; readonly detail: string; readonly by?: string }[];
}

export interface LogEntry {
  /** ISO 8601, wall clock of the node. */
  readonly at: string;
  readonly node: string;
  readonly module: string;
  /** C critical, E event, U user, S script, I info, D debug. */
  readonly level: 'C' | 'E' | 'U' | 'S' | 'I' | 'D';
  readonly component: string;
  readonly text: string;
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Grows by one; for `after`. */
  readonly sequence: number;
}

/** What a script wants in the module's log. */
export interface ScriptNote {
  readonly level: 'info' | 'event' | 'warning';
  readonly text: string;
}

export interface ModuleListEntry {
  readonly module: string;
  readonly id: number;
  readonly title: string;
  readonly version: string;
  readonly configured: boolean;
  /** The source was edited after it was applied. */
  readonly edited: boolean;
}

export interface StateForgotten {
  /** The damaged files, under the names that they have now; absolute. */
  readonly aside: readonly string[];
}

export interface ClusterView {
  readonly node: string;
  readonly digest: string;
  readonly nodes: readonly { readonly name: string; readonly address: string; readonly reachable: boolean; readonly digest?: string }[];
  readonly plugins: readonly { readonly id: string; readonly version: string; readonly state: string; readonly error?: string }[];
}

/** What a module has configured below <vip>, and where the nodes are: enough to configure whatever stands before them. */
export interface VirtualAddressView {
  readonly module: string;
  /** In the order of cluster.xml; addresses in the order of its networks, IP literals. */
  readonly nodes: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  /** `type`: of the driver. `value`: the element, with its defaults. */
  readonly elements: readonly { readonly type: string; readonly element: string; readonly value: ConfigurationValue }[];
}

export interface AgentService {
  readonly node: string;
  cluster(): Promise<ClusterView>;
  modules(): Promise<readonly ModuleListEntry[]>;
  module(name: string): Promise<ModuleView>;
  /** All of them, or the one of this name. */
  resources(name: string, query?: { readonly name?: string }): Promise<readonly ResourceView[]>;
  /** Entries after `after` (exclusive), newest last; at most `limit`; `levels` as letters, for example "CEU". */
  log(name: string, query: { after?: number; limit?: number; levels?: string }): Promise<readonly LogEntry[]>;
  virtualAddresses(name: string): Promise<VirtualAddressView>;
  /** Accepts the command and returns once it is durably taken, not when it is finished: `wait` polls `module`. */
  command(name: string, verb: Verb, options: VerbOptions): Promise<void>;
  /** Begins to compare both copies, on a connected primary; the outcome is in the view of the module. Returns the verification's id. */
  verify(name: string, options: VerificationOptions): Promise<{ readonly id: string }>;
  /** Ends a running comparison without a result. */
  cancelVerification(name: string): Promise<void>;
  /** What this node has kept of its changes that were given up, oldest first. */
  conflicts(name: string): Promise<readonly ConflictView[]>;
  /** Objects of one, in order, with a larger number than `after`; at most `limit`. */
  conflictObjects(name: string, id: string, query: { after?: number; limit?: number }): Promise<readonly ConflictObjectView[]>;
  /** Begins to copy objects of one to a folder of the node; its end is seen in `conflicts`. */
  extractConflict(name: string, id: string, options: ConflictExtractionOptions): Promise<void>;
  deleteConflict(name: string, id: string): Promise<void>;
  /** Enables or disables a class of checks; resolves when they are started or stopped. */
  switchChecks(name: string, options: ChecksSwitch): Promise<void>;
  /** Says what is the case with a resource, in place of its checker. */
  setResource(name: string, verdict: OutsideVerdict): Promise<void>;
  /** Writes a line of a script into the module's log. */
  note(name: string, note: ScriptNote): Promise<void>;
  /** Suspends or resumes checkers, the watch over processes, or the failover; resolves when it is durable and holds. */
  maintain(name: string, change: MaintenanceSwitch): Promise<void>;
  /** The count of automatic actions, changed first when a change is given. */
  loop(name: string, change?: LoopChange): Promise<LoopView>;
  /** Copies a module folder (absolute path on this node) into the node's modules. `id` fixes the module's number. */
  install(folder: string, options: { name?: string; id?: number; replace?: boolean }): Promise<ModuleListEntry>;
  uninstall(name: string): Promise<void>;
  /**
   * Gives up what the node knew of a module that is refused because its state cannot be read. The files are kept; the module is stopped
   * then, a node of unknown history: its copy is older than any.
   * @throws HoldfastError HF_MODULE_STATE_INTACT when it is not refused for that
   */
  forgetState(name: string): Promise<StateForgotten>;
  /** Validates the module's folder and applies it, on both nodes where the other one is reached; while it runs, as far as it can be. */
  configure(name: string, options: ConfigureOptions): Promise<ConfigureResult>;
  /** Everything else about configurations. */
  readonly configurations: ConfigurationService;
  /** Every log entry as it is written, for the event stream; returns an unsubscribe function. */
  subscribe(listener: (entry: LogEntry) => void): () => void;
}
