/**
 * The mirror automaton's vocabulary: its state is plain JSON, its events are facts, its actions are data. The interpreter (engine/) runs
 * the actions and brings their outcome back as events; nothing in this folder does anything by itself.
 */
import type { Lineage } from '../../model/generation.js';
import type { Reason } from '../../model/reason.js';
import type { DataCondition, NodeReport } from '../../model/report.js';
import type { CheckAction, ResourceValue } from '../../model/resource.js';
import type { MonotonicMs, NodeId, Phase, Quality } from '../../model/state.js';
import type { DetectorState } from '../detector.js';

/** Fixed for the lifetime of an automaton. */
export interface MirrorSettings {
  readonly module: string;
  readonly node: NodeId;
  readonly peer: NodeId;
  readonly replicated: boolean;
  readonly hasAddresses: boolean;
  readonly failover: boolean;
  /** `alone`, `lastprim` or a node name. */
  readonly defaultPrimary: string;
  readonly maxLoop: number;
  readonly loopIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  /** After a swap the old primary waits this long for the peer to take over. */
  readonly swapLimitMs: number;
  readonly configuration: string;
}

/** What survives a power cut. Written by `persist` before anything that others can see depends on it. */
export interface Durable {
  readonly lineage: Lineage;
  readonly condition: DataCondition;
  readonly lastRole: 'none' | 'primary' | 'secondary';
  readonly forkedAs: 'none' | 'primary' | 'secondary';
  /** The peer is known not to have the current generation. */
  readonly peerOutdated: boolean;
  /** Generation that the peer may come back with: the journal counts from it. */
  readonly peerBase: string;
  /** The module was started and not stopped since (boot="auto"). */
  readonly started: boolean;
  readonly loop: { readonly count: number; readonly sinceWallMs: number };
}

/** The replication backend as observed; a subset of the SDK's status. */
export interface ReplicationFacts {
  readonly role: 'stopped' | 'primary' | 'secondary';
  readonly link: 'none' | 'connecting' | 'resynchronising' | 'connected' | 'holding';
  readonly inconsistent: boolean;
  readonly journalSince?: string;
  readonly failure?: string;
}

/** Groups of scripts that are running: prim, second, both, sec as in the reference product. */
export type ScriptGroup = 'both' | 'prim' | 'second' | 'sec';
export type CheckGroup = ScriptGroup | 'pre';

export interface Term {
  readonly generation: string;
  readonly epoch: number;
}

export type Action =
  | { readonly kind: 'persist'; readonly durable: Durable }
  | { readonly kind: 'script'; readonly script: string; readonly arguments: readonly [string, string, string]; readonly force: boolean }
  | { readonly kind: 'becomePrimary'; readonly term: Term; readonly base: string; readonly fresh: boolean }
  | { readonly kind: 'becomeSecondary'; readonly term: Term }
  /** `reason`: why everything is compared. */
  | { readonly kind: 'connectPeer'; readonly term: Term; readonly mode: 'journal' }
  | { readonly kind: 'connectPeer'; readonly term: Term; readonly mode: 'compare'; readonly reason: Reason }
  | { readonly kind: 'disconnectPeer' }
  | { readonly kind: 'continueAlone'; readonly term: Term; readonly base: string }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'stopReplica'; readonly force: boolean }
  | { readonly kind: 'probeAddresses' }
  | { readonly kind: 'acquireAddresses' }
  | { readonly kind: 'releaseAddresses' }
  | { readonly kind: 'startChecks'; readonly group: CheckGroup }
  | { readonly kind: 'stopChecks'; readonly group: CheckGroup };

/** An action as handed to the interpreter. Outcomes are matched by id; `awaited` actions hold up the sequence. */
export interface IssuedAction {
  readonly id: number;
  readonly action: Action;
}

/**
 * One step of a sequence: an action, a change of state between actions, or a condition to wait for.
 * `onFailure`: `abort` ends the sequence and lets `failure` of the sequence decide; `continue` goes on after logging.
 */
export type Step =
  | { readonly kind: 'act'; readonly action: Action; readonly onFailure: 'abort' | 'continue' }
  | { readonly kind: 'enter'; readonly phase: Phase; readonly quality: Quality }
  | { readonly kind: 'groups'; readonly groups: readonly ScriptGroup[] }
  /** `before`: what was durable before the new generation, to go back to while nothing was acknowledged in it. */
  | { readonly kind: 'awaitPeerOutdated'; readonly before: Durable }
  | { readonly kind: 'awaitPeerPrimary'; readonly limitMs: number };

export interface Sequence {
  /** For logs: `start`, `stop`, `takeover`, … */
  readonly name: string;
  readonly steps: readonly Step[];
  /** Index of the step under way. */
  readonly at: number;
  /** When the step under way began. */
  readonly stepSinceMs: MonotonicMs;
  /** Id of the action under way; undefined while a condition is awaited. */
  readonly waitingFor?: number;
  /** What to do when a step with `abort` fails. */
  readonly onAbort: 'toWait' | 'toStop' | 'ignore';
  /** The verdict when it has finished: where the module settles. */
  readonly settle: { readonly quality: Quality; readonly reason: Reason };
  /** A stop must not be interrupted; a start may be overtaken by `stop`. */
  readonly leaving: boolean;
  /** Held modifications were answered with an error, so that the application can end. */
  readonly refused?: boolean;
}

export type Command =
  | { readonly verb: 'start'; readonly boot: boolean }
  /** `shutdown`: the agent ends; boot="auto" starts the module again. */
  | { readonly verb: 'stop'; readonly shutdown: boolean }
  | { readonly verb: 'restart'; readonly automatic: boolean }
  | { readonly verb: 'stopstart'; readonly automatic: boolean }
  | { readonly verb: 'swap' }
  | { readonly verb: 'prim' }
  | { readonly verb: 'second'; readonly fullsync: boolean };

export interface MirrorState {
  readonly settings: MirrorSettings;
  readonly phase: Phase;
  readonly quality: Quality;
  readonly reason: Reason;
  /** As last made durable: what the peer may be told. */
  readonly durable: Durable;
  readonly detector: DetectorState;
  readonly peer?: NodeReport;
  readonly replication: ReplicationFacts;
  readonly groups: readonly ScriptGroup[];
  readonly addresses: 'released' | 'acquired';
  /** Observed by the level-triggered repair: what the kernel says of the addresses. */
  readonly addressesObserved: 'held' | 'absent' | 'conflict' | 'unknown';
  readonly resources: Readonly<Record<string, { readonly value: ResourceValue; readonly detail: string; readonly action: CheckAction }>>;
  readonly sequence?: Sequence;
  /** Commands that wait for the sequence under way to finish. */
  readonly queue: readonly Command[];
  /** What WAIT shall become: decided by itself, forced by `prim`, or secondary only. */
  readonly intent: 'decide' | 'prim' | 'second';
  /** Leaving in good order for the peer. */
  readonly handingOver: boolean;
  /** ALONE, but the application cannot run here: this node only holds the newest data until the peer has it and takes over. */
  readonly withdrawn: boolean;
  /** WAIT does not try again before this time (address taken by another host, step failed). */
  readonly blockedUntilMs: MonotonicMs;
  /** When connectPeer was issued last: the backend needs a moment until its status shows it. */
  readonly connectIssuedMs: MonotonicMs;
  readonly nextActionId: number;
  readonly nowMs: MonotonicMs;
  readonly wallMs: number;
  /** Supplied by the interpreter with every event: an unused generation id. */
  readonly freshGeneration: string;
}

interface EventBase {
  readonly nowMs: MonotonicMs;
  readonly wallMs: number;
  readonly freshGeneration: string;
}

export type MirrorEvent = EventBase &
  (
    | { readonly kind: 'tick' }
    | {
        readonly kind: 'heartbeat';
        readonly link: string;
        readonly receivedMs: MonotonicMs;
        readonly agentTickAgeMs: number;
        readonly goodbye: boolean;
        readonly report?: NodeReport;
      }
    | { readonly kind: 'replication'; readonly facts: ReplicationFacts }
    | {
        readonly kind: 'resource';
        readonly name: string;
        readonly value: ResourceValue;
        readonly detail: string;
        readonly action: CheckAction;
      }
    | { readonly kind: 'addresses'; readonly observed: 'held' | 'absent' | 'conflict' | 'unknown' }
    | { readonly kind: 'operator'; readonly command: Command }
    | { readonly kind: 'actionDone'; readonly id: number; readonly error?: string }
  );

export interface Transition {
  readonly state: MirrorState;
  readonly actions: readonly IssuedAction[];
  /** Reasons worth a line in the log, in order. */
  readonly reasons: readonly Reason[];
}
