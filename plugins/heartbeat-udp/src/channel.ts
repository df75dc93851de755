/** What the agent and the sending process say to each other over the IPC channel (structured clone). Sessions are numbered by the agent. */
import type { HeartbeatOptions, ReceivedHeartbeat } from '@holdfast/sdk';
import type { CodedFailure } from './errors.js';
import type { Refusal } from './wire/link-receiver.js';

export type ToProcess =
  | { readonly kind: 'open'; readonly session: number; readonly options: HeartbeatOptions; readonly incarnation: Uint8Array }
  /** A new payload, sent at once, or a tick of the agent (its monotonic time), or both. */
  | { readonly kind: 'update'; readonly session: number; readonly payload?: Uint8Array; readonly tickMs?: number }
  | { readonly kind: 'close'; readonly session: number; readonly goodbye: boolean };

/** Frames refused since open, by reason. */
export type Refusals = Readonly<Partial<Record<Refusal, number>>>;

export interface Privileges {
  /** 'SCHED_FIFO 10', or why not. */
  readonly scheduling: string;
  /** 'protected', or why not. */
  readonly outOfMemory: string;
}

export type FromProcess =
  | { readonly kind: 'ready'; readonly privileges: Privileges }
  | { readonly kind: 'opened'; readonly session: number }
  | { readonly kind: 'refused'; readonly session: number; readonly failure: CodedFailure }
  | { readonly kind: 'heartbeat'; readonly session: number; readonly heartbeat: ReceivedHeartbeat }
  /** A link lost its socket, or has one again (`failure` undefined). */
  | { readonly kind: 'link'; readonly session: number; readonly link: string; readonly failure: CodedFailure | undefined }
  | { readonly kind: 'failed'; readonly session: number; readonly failure: CodedFailure }
  /** Sign of life of the process, every REPORT_INTERVAL_MS, with the refusals of every session. */
  | { readonly kind: 'report'; readonly refusals: readonly { readonly session: number; readonly refusals: Refusals }[] }
  | { readonly kind: 'closed'; readonly session: number; readonly refusals: Refusals };

export const REPORT_INTERVAL_MS = 100;

/** The clock of every time that crosses the channel or leaves the plug-in: the same for all processes of a machine. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
