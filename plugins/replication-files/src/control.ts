/** Messages between the agent and a replicator process, over the IPC channel of `fork`. The agent asks, the process answers and reports. */
import type { ReplicationEndpoint, ReplicationStatus, ResyncMode, Term, VerifyOptions } from '@holdfast/sdk';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { ReplicatedDirectory } from './configuration.js';

export interface ReplicatorOptions {
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
  readonly lockTimeoutSeconds: number;
  /** Undefined: no limit. */
  readonly resyncBytesPerSecondMax: number | undefined;
  /** Undefined: no limit. */
  readonly verifyBytesPerSecondMax: number | undefined;
  /** Undefined: only on request. */
  readonly verifyEveryMs: number | undefined;
}

export type ControlCommand =
  | { readonly kind: 'open'; readonly options: ReplicatorOptions }
  | { readonly kind: 'become-primary'; readonly term: Term; readonly base: string; readonly fresh: boolean; readonly force: boolean }
  | { readonly kind: 'become-secondary'; readonly term: Term }
  | { readonly kind: 'connect-peer'; readonly term: Term; readonly mode: ResyncMode; readonly reason?: string }
  | { readonly kind: 'disconnect-peer' }
  | { readonly kind: 'continue-alone'; readonly term: Term; readonly base: string }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'verify'; readonly verifyId: string; readonly options: VerifyOptions }
  | { readonly kind: 'cancel-verify' }
  | { readonly kind: 'stop'; readonly force: boolean }
  | { readonly kind: 'close' };

export type ControlRequest = ControlCommand & { readonly id: number };

export interface ControlFailure {
  readonly code: string;
  /** Begins with the code. */
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export type ControlReport =
  | { readonly kind: 'outcome'; readonly id: number; readonly failure?: ControlFailure }
  | { readonly kind: 'status'; readonly status: ReplicationStatus }
  | { readonly kind: 'log'; readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly message: string };

export function failureOf(error: unknown): ControlFailure {
  if (error instanceof HoldfastError) return { code: error.code, message: error.message, details: error.details };
  return { code: 'HF_REPLICATION_SYSTEM', message: `HF_REPLICATION_SYSTEM: ${messageOf(error)}`, details: {} };
}

export function errorOf(failure: ControlFailure): HoldfastError {
  return new HoldfastError(failure.code, failure.message.replace(`${failure.code}: `, ''), failure.details);
}
