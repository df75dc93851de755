/** What the main thread of a replicator and its data thread say to each other. Plain data: it is cloned between the threads. */
import type {
  ReplicationEndpoint,
  ResyncMode,
  ResyncProgress,
  ResyncSummary,
  VerifyFailure,
  VerifyProgress,
  VerifyResult,
} from '@holdfast/sdk';
import type { Exclusion } from '../boundary/rules.js';
import type { ImageFacts } from '../image/recorder.js';
import type { SyncMode } from '../fuse/protocol.js';

export interface DataSettings {
  /** Name of this node. */
  readonly node: string;
  /** The replicated directories, as applications see them. */
  readonly directories: readonly string[];
  readonly stateDirectory: string;
  readonly async: 'second' | 'none';
  readonly sync: SyncMode;
  /** For each directory, in order: what of it is not replicated. */
  readonly exclusions: readonly (readonly Exclusion[])[];
  /** A peer that is silent for so long is lost. */
  readonly silenceMaxMs: number;
  /** See AgentAttention. An agent that is silent for longer hangs. */
  readonly attention: { readonly shared: SharedArrayBuffer; readonly silenceMaxMs: number };
  /** Undefined: no limit. The command `limit` changes it. */
  resyncBytesPerSecondMax: number | undefined;
  /** Commands wait in the message port; a write here wakes the data thread. */
  readonly wakeFd: number;
  /** Connected to the holder. */
  readonly holderFd: number | undefined;
}

export interface DataLinkKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly cookie: Uint8Array;
}

export type DataCommand =
  /** Opens the backing trees and becomes primary without a link. The mounts follow with `serve`. */
  | {
      readonly kind: 'become-primary';
      readonly backing: readonly string[];
      readonly base: string;
      readonly fresh: boolean;
      readonly force: boolean;
      /** The tree is put back to its last consistent image first. */
      readonly image: boolean;
    }
  /**
   * Goes on where a primary was killed whose mounts are still there, and serves them. `reconnects`: a peer that has everything may be
   * connected again by `connect`; otherwise, and when that takes too long, the core is asked as after a lost link.
   */
  | { readonly kind: 'resume-primary'; readonly backing: readonly string[]; readonly reconnects: boolean }
  /** The /dev/fuse descriptor of each directory, in order. */
  | { readonly kind: 'serve'; readonly fuseFds: readonly number[] }
  /** `mayLack`: a secondary was killed that was connected, and may have acknowledged what it had not applied. */
  | {
      readonly kind: 'become-secondary';
      readonly backing: readonly string[];
      readonly endpoint: ReplicationEndpoint;
      readonly mayLack: boolean;
      /** Generation whose changes are given up here: what a resync overwrites is kept aside. */
      readonly givenUp: string | undefined;
    }
  /** Secondary: a primary was welcomed; its data connection shows this cookie. */
  | {
      readonly kind: 'expect';
      readonly link: number;
      readonly keys: DataLinkKeys;
      readonly generation: string;
      readonly async: 'second' | 'none';
      /** This copy is older than the primary knows it to have been. */
      readonly isRestored: boolean;
    }
  /** Primary: the secondary has welcomed us. */
  | {
      readonly kind: 'connect';
      readonly link: number;
      readonly endpoint: ReplicationEndpoint;
      readonly localAddress: string;
      readonly keys: DataLinkKeys;
      readonly generation: string;
      readonly mode: ResyncMode;
      /** Why everything is compared. */
      readonly reason: string | undefined;
    }
  /** Ends the link with this number, if it is still that one. */
  | { readonly kind: 'drop-link'; readonly link: number; readonly reason: string }
  | { readonly kind: 'continue-alone'; readonly base: string }
  | { readonly kind: 'refuse' }
  | {
      readonly kind: 'verify';
      readonly verifyId: string;
      readonly repair: boolean;
      readonly bytesPerSecondMax: number | undefined;
    }
  | { readonly kind: 'cancel-verify' }
  | { readonly kind: 'limit'; readonly resyncBytesPerSecondMax: number | undefined }
  /** Flushes, writes the last word of journal or marker, closes link, devices and trees. Back to stopped. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'end' };

export type DataRequest = DataCommand & { readonly id: number };

/** State of the data side, complete: sent on every change. */
export interface DataState {
  readonly role: 'stopped' | 'primary' | 'secondary';
  readonly link: 'none' | 'resynchronising' | 'connected' | 'holding';
  readonly inconsistent: boolean;
  /** What can be promoted although it is inconsistent. */
  readonly image: ImageFacts | undefined;
  /** Whether a resync can keep an image at all; undefined: not known yet. */
  readonly canImage: boolean | undefined;
  readonly journalSince: string | undefined;
  readonly progress: ResyncProgress | undefined;
  readonly lastResync: ResyncSummary | undefined;
  readonly verifying: VerifyProgress | undefined;
}

export interface DataFailure {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export type DataReport =
  | { readonly kind: 'outcome'; readonly id: number; readonly failure: DataFailure | undefined }
  | { readonly kind: 'state'; readonly state: DataState }
  | { readonly kind: 'verified'; readonly outcome: VerifyResult | VerifyFailure }
  /** The last report: the thread serves nothing any more, and the process must end. */
  | { readonly kind: 'disk-failed'; readonly message: string }
  | { readonly kind: 'link-lost'; readonly link: number; readonly code: string; readonly message: string }
  | { readonly kind: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string };
