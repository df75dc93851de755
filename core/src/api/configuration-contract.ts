/** Configurations of modules as the API offers them: what is applied, what was edited, how one becomes the other, and the way back. */
import type { ConfigurationChange } from '../model/configuration-change.js';

export interface ConfigureOptions {
  /** Only validate, here. */
  readonly check?: boolean;
  /** Say what would change and whether that could be applied; change nothing. */
  readonly dryRun?: boolean;
  /** This node alone, whatever the other one has. */
  readonly local?: boolean;
}

export interface PeerOutcome {
  readonly node: string;
  /**
   * `undecided`: it has stored the configuration, did not answer since, and will ask when it is back. `unreachable`: it was not told.
   * `failed`: it has applied it, and its module could not take it.
   */
  readonly outcome: 'applied' | 'unchanged' | 'planned' | 'undecided' | 'unreachable' | 'not installed' | 'failed';
  readonly changes: readonly ConfigurationChange[];
  readonly text: string;
}

export interface ConfigureResult {
  readonly module: string;
  readonly digest: string;
  readonly warnings: readonly string[];
  readonly outcome: 'valid' | 'planned' | 'unchanged' | 'applied';
  /** What differs from the configuration before, on this node. */
  readonly changes: readonly ConfigurationChange[];
  /** The module went on running. */
  readonly live: boolean;
  /** Absent: this node alone was asked for. */
  readonly peer?: PeerOutcome;
}

export interface KeptConfiguration {
  readonly number: number;
  readonly digest: string;
  /** Of the files. */
  readonly signature: string;
  /** ISO 8601, wall clock of this node. */
  readonly at: string;
  /** `config`, or `rollback to N`. */
  readonly origin: string;
}

/** Both phases of a configuration: what was edited and what is applied. */
export interface ConfigurationView {
  readonly module: string;
  readonly node: string;
  readonly applied?: KeptConfiguration;
  /** The source folder. `at`: its youngest file. `problem`: why it cannot be applied. */
  readonly edited: { readonly digest?: string; readonly signature?: string; readonly at?: string; readonly problem?: string };
  readonly state: 'applied' | 'edited, not applied' | 'not configured';
  /** The running module still has the configuration before the applied one: it takes it when it is started again. */
  readonly stale: boolean;
  /** Stored here and not decided upon: the node that coordinates has not said whether it holds. */
  readonly undecided?: { readonly digest: string; readonly coordinator: string; readonly since: string };
  /** Applied before, newest first. */
  readonly kept: readonly KeptConfiguration[];
  /** What the other node's module has, as it says in its heartbeats. */
  readonly peer?: { readonly node: string; readonly digest: string; readonly same: boolean };
}

export interface ConfigurationDifference {
  readonly module: string;
  readonly from: string;
  readonly to: string;
  readonly same: boolean;
  /** Unified difference of userconfig.xml; empty: there is none. */
  readonly text: string;
  /** Other files that differ. */
  readonly files: readonly { readonly path: string; readonly change: 'added' | 'removed' | 'changed' }[];
}

/** Files as they travel. */
export interface ConfigurationFiles {
  /** Base64. */
  readonly files: readonly { readonly path: string; readonly executable: boolean; readonly content: string }[];
}

export interface PrepareBody extends ConfigurationFiles {
  readonly transaction: string;
  /** The node that decides. */
  readonly coordinator: string;
  readonly origin: string;
  /** Only answer what would change. */
  readonly dryRun?: boolean;
}

export interface PrepareAnswer {
  /** `prepared`: durable, and waiting for the decision. `unchanged`: these very files are applied already. */
  readonly outcome: 'prepared' | 'unchanged' | 'planned';
  readonly changes: readonly ConfigurationChange[];
}

export type TransactionOutcome = 'committed' | 'aborted' | 'pending';

/** What the node that coordinates a change asks of the other, and the other of it after a failure. */
export interface ConfigurationParticipant {
  /** Checks and stores a configuration; it is not applied. @throws what the module or this node has against it */
  prepare(module: string, body: PrepareBody): Promise<PrepareAnswer>;
  /** Applies what was prepared. Idempotent. */
  commit(module: string, transaction: string): Promise<void>;
  /** Forgets what was prepared. Idempotent. */
  abort(module: string, transaction: string): Promise<void>;
  /** What was decided here. A transaction that is not known was never committed. */
  outcome(module: string, transaction: string): Promise<{ readonly outcome: TransactionOutcome }>;
  /** The applied configuration's files. */
  files(module: string): Promise<ConfigurationFiles>;
}

export interface ConfigurationService extends ConfigurationParticipant {
  view(module: string): Promise<ConfigurationView>;
  /** Of the applied configuration to the edited one; `with` a kept number or a node: of that one to the applied one. */
  difference(module: string, options: { with?: string }): Promise<ConfigurationDifference>;
  /** Applies a kept configuration again, and makes it the source; default: the one before. */
  rollback(module: string, options: ConfigureOptions & { to?: number }): Promise<ConfigureResult>;
  /** Takes a stopped module's configuration away; what is kept stays. */
  deconfigure(module: string): Promise<void>;
}
