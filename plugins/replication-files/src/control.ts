/** Messages between the agent and a replicator process, over the IPC channel of `fork`. The agent asks, the process answers and reports. */
import type { ReplicationEndpoint, ReplicationStatus, ResyncMode, Term, VerifyOptions } from '@holdfast/sdk';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { ReplicatedDirectory } from './configuration.js';
import type { SyncMode } from './fuse/protocol.js';

/** What may change while a replicator runs. */
export interface ReplicatorLimits {
  /** Undefined: no limit. */
  readonly resyncBytesPerSecondMax: number | undefined;
  /** Undefined: no limit. */
  readonly verifyBytesPerSecondMax: number | undefined;
  /** Undefined: only on request. */
  readonly verifyEveryMs: number | undefined;
}

export interface ReplicatorOptions extends ReplicatorLimits {
  readonly module: string;
  readonly localNode: string;
  readonly peerNode: string;
  readonly local: ReplicationEndpoint;
  readonly peer: ReplicationEndpoint;
  /** Base64. */
  readonly key: string;
  readonly stateDirectory: string;
  readonly directories: readonly ReplicatedDirectory[];
  readonly async: 'second' | 'none';
  readonly sync: SyncMode;
  readonly lockTimeoutSeconds: number;
  /** An agent that is silent for so long hangs: nothing is acknowledged. Undefined: no limit. */
  readonly agentSilenceMaxMs: number | undefined;
}

/** Descriptor of a replicator and of its holder: the socket between them. After stdin, stdout, stderr and the agent's channel. */
export const HOLDER_SOCKET_FD = 4;
/** How one ends that a successor could not help: its mounts are not what they should be, or its disk fails. */
export const EXIT_FINAL = 71;

/** A peer that a primary is to bring up to date and to keep connected. */
export interface WantedPeer {
  readonly term: Term;
  readonly mode: ResyncMode;
  /** Why everything is compared, if it is. */
  readonly reason?: string;
}

/** What a successor of a killed replicator is to go on with. */
export interface ResumePoint {
  readonly role: 'primary' | 'secondary';
  readonly term: Term;
  /** Primary: the peer that was wanted. */
  readonly wanted: WantedPeer | undefined;
  /** A secondary: was it connected? */
  readonly mayLack: boolean;
  /** A verification that has ended with the killed process. */
  readonly verifyId?: string;
}

export type ControlCommand =
  | { readonly kind: 'open'; readonly options: ReplicatorOptions; readonly hasHolder: boolean; readonly resume?: ResumePoint }
  | {
      readonly kind: 'become-primary';
      readonly term: Term;
      readonly base: string;
      readonly fresh: boolean;
      readonly force: boolean;
      readonly image: boolean;
    }
  | { readonly kind: 'become-secondary'; readonly term: Term; readonly givenUp?: string }
  | ({ readonly kind: 'connect-peer' } & WantedPeer)
  | { readonly kind: 'disconnect-peer' }
  | { readonly kind: 'continue-alone'; readonly term: Term; readonly base: string }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'verify'; readonly verifyId: string; readonly options: VerifyOptions }
  | { readonly kind: 'cancel-verify' }
  | { readonly kind: 'limit'; readonly limits: ReplicatorLimits }
  | { readonly kind: 'stop'; readonly force: boolean }
  | { readonly kind: 'close' }
  /** The agent decides. Not answered. `atMs`: by the clock that all processes share, so that a message that was late says so. */
  | { readonly kind: 'tick'; readonly atMs: number }
  /** Answered at once by a `pong`. */
  | { readonly kind: 'ping' };

export type ControlRequest = ControlCommand & { readonly id: number };

export interface ControlFailure {
  readonly code: string;
  /** Begins with the code. */
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export type ControlReport =
  | { readonly kind: 'outcome'; readonly id: number; readonly failure?: ControlFailure }
  | { readonly kind: 'pong' }
  /** The operator wants a new process, of whatever version is installed now. */
  | { readonly kind: 'replace' }
  | { readonly kind: 'status'; readonly status: ReplicationStatus }
  | { readonly kind: 'log'; readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly message: string };

export function failureOf(error: unknown): ControlFailure {
  if (error instanceof HoldfastError) return { code: error.code, message: error.message, details: error.details };
  return { code: 'HF_REPLICATION_SYSTEM', message: `HF_REPLICATION_SYSTEM: ${messageOf(error)}`, details: {} };
}

export function errorOf(failure: ControlFailure): HoldfastError {
  return new HoldfastError(failure.code, failure.message.replace(`${failure.code}: `, ''), failure.details);
}
