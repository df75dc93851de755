/**
 * What the REST API and, through it, the command line need from a running agent. The engine implements it; fastify serves it; nothing in
 * here knows HTTP. Methods throw HoldfastError with a code that api/ maps to a status.
 */
import type { NodeReport } from '../model/report.js';
import type { Resource } from '../model/resource.js';
import type { Phase, Quality } from '../model/state.js';

export type Verb = 'start' | 'stop' | 'restart' | 'stopstart' | 'swap' | 'prim' | 'second';

export interface VerbOptions {
  /** `second fullsync`: forget local data and take everything from the primary; `prim fullsync` likewise for the peer. */
  readonly fullsync?: boolean;
  /** `swap nosync` is not supported yet: refused with a code. */
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
export interface VerificationView {
  readonly progress?: {
    readonly id: string;
    readonly phase: 'comparing' | 'repairing';
    readonly objectsDone: number;
    readonly bytesDone: number;
    readonly bytesTotal?: number;
    readonly bytesPerSecond: number;
    readonly secondsLeft?: number;
    readonly differences: number;
  };
  readonly last?: {
    readonly id: string;
    readonly outcome: 'identical' | 'different';
    /** The node that was primary and compared: "here" in the details. */
    readonly node: string;
    /** ISO 8601, wall clock of that node. */
    readonly at: string;
    readonly durationMs: number;
    readonly objects: number;
    readonly bytes: number;
    readonly differences: number;
    readonly listed: readonly {
      readonly directory: string;
      readonly path: string;
      readonly differs: readonly string[];
      readonly detail: string;
    }[];
    readonly repaired: number;
  };
  readonly failure?: { readonly id: string; readonly at: string; readonly code: string; readonly message: string };
}

export interface ReplicationView {
  readonly role: 'stopped' | 'primary' | 'secondary';
  readonly link: NodeReport['link'];
  readonly condition: NodeReport['condition'];
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
  readonly failure?: { readonly code: string; readonly message: string };
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
  readonly peer?: { readonly node: string; readonly alive: boolean; readonly phase?: Phase; readonly quality?: Quality };
  readonly replication?: ReplicationView;
  readonly addresses: readonly { readonly address: string; readonly state: string }[];
  readonly generation: { readonly current: string; readonly epoch: number; readonly history: readonly string[] };
  /** Grade of the arbitration: what would happen at a network cut. */
  readonly arbitration: { readonly grade: 'none' | 'weak' | 'strong'; readonly text: string };
  readonly configuration: { readonly applied: string; readonly edited?: string };
  readonly maxloop: { readonly count: number; readonly max: number };
}

export interface ResourceView extends Resource {
  readonly since: string;
  readonly history: readonly { readonly at: string; readonly value: string; readonly detail: string }[];
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

export interface ModuleListEntry {
  readonly module: string;
  readonly id: number;
  readonly title: string;
  readonly version: string;
  readonly configured: boolean;
  /** The source was edited after it was applied. */
  readonly edited: boolean;
}

export interface ConfigureResult {
  readonly module: string;
  readonly digest: string;
  readonly warnings: readonly string[];
}

export interface ClusterView {
  readonly node: string;
  readonly digest: string;
  readonly nodes: readonly { readonly name: string; readonly address: string; readonly reachable: boolean; readonly digest?: string }[];
  readonly plugins: readonly { readonly id: string; readonly version: string; readonly state: string; readonly error?: string }[];
}

export interface AgentService {
  readonly node: string;
  cluster(): Promise<ClusterView>;
  modules(): Promise<readonly ModuleListEntry[]>;
  module(name: string): Promise<ModuleView>;
  resources(name: string): Promise<readonly ResourceView[]>;
  /** Entries after `after` (exclusive), newest last; at most `limit`; `levels` as letters, for example "CEU". */
  log(name: string, query: { after?: number; limit?: number; levels?: string }): Promise<readonly LogEntry[]>;
  /** Accepts the command and returns once it is durably taken, not when it is finished: `wait` polls `module`. */
  command(name: string, verb: Verb, options: VerbOptions): Promise<void>;
  /** Begins to compare both copies, on a connected primary; the outcome is in the view of the module. Returns the verification's id. */
  verify(name: string, options: VerificationOptions): Promise<{ readonly id: string }>;
  /** Ends a running comparison without a result. */
  cancelVerification(name: string): Promise<void>;
  /** Copies a module folder (absolute path on this node) into the node's modules. `id` fixes the module's number. */
  install(folder: string, options: { name?: string; id?: number; replace?: boolean }): Promise<ModuleListEntry>;
  uninstall(name: string): Promise<void>;
  /** Validates and applies the module's userconfig.xml. With `check` only validates. */
  configure(name: string, options: { check?: boolean }): Promise<ConfigureResult>;
  /** Every log entry as it is written, for the event stream; returns an unsubscribe function. */
  subscribe(listener: (entry: LogEntry) => void): () => void;
}
