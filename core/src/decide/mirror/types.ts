/**
 * The mirror automaton's vocabulary: its state is plain JSON, its events are facts, its actions are data. The interpreter (engine/) runs
 * the actions and brings their outcome back as events; nothing in this folder does anything by itself.
 */
import type { Agreement, ClaimAnswer, WitnessFacts, WitnessGrade, WitnessRecord } from '../../model/arbitration.js';
import type { Lineage } from '../../model/generation.js';
import type { Reason } from '../../model/reason.js';
import type { DataCondition, NodeReport, SplitBrainPolicy } from '../../model/report.js';
import type { CheckAction, ResourceValue } from '../../model/resource.js';
import type { FailoverConfiguration, RuleFacts, RuleProgress } from '../../model/rules.js';
import type { MonotonicMs, NodeId, Phase, Quality } from '../../model/state.js';
import type { DetectorState } from '../detector.js';

/** Replaced as a whole, by the event `settings`. */
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
  readonly witness: WitnessGrade;
  /** What both nodes must have alike: kinds and attributes of the witnesses. Absent: only their grade is compared. */
  readonly witnesses?: string;
  /** A node that neither hears its peer nor gets an answer of the witness decides by itself after this time. */
  readonly undecidedLimitMs: number;
  /** What a primary does then. */
  readonly undecided: 'stop' | 'continue';
  /** The secondary asks the witness this much later than the primary. */
  readonly claimDelayMs: number;
  readonly configuration: string;
  /** Rules of <failover>; absent: only what is built in. */
  readonly rules?: FailoverConfiguration;
  /** Who gives way after a split brain, and whether by itself. Absent: `manual`. */
  readonly splitBrain?: SplitBrainPolicy;
  /** An automatic stopstart boots the machine instead. */
  readonly automaticReboot?: boolean;
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
  readonly agreement: Agreement;
  /**
   * The lineage is prepared, nobody has allowed it yet, and nothing was acknowledged in it: what holds if it is never allowed. A claim is
   * repeated with the same generation, because a witness may have granted it without being heard.
   */
  readonly before?: DurableBefore;
  /** Generation that a secondary asks the witness for, and the one that it is to follow. */
  readonly claim?: { readonly from: string; readonly generation: string };
  /** Generation whose changes were given up for the peer's, until a resync has replaced them: what it overwrites is kept aside. */
  readonly givenUp?: string;
  /** A secondary was let in during this reign: it may have everything, and may have taken over since. */
  readonly followed: boolean;
  /** The role was given up while the peer could take it over: without hearing the peer this node does not know who is newer. */
  readonly yielded: boolean;
  /** Primary when it was lost; follows since. */
  readonly formerPrimary: boolean;
  readonly loop: { readonly count: number; readonly sinceWallMs: number };
}

export type DurableBefore = Omit<Durable, 'before' | 'loop'>;

/** The replication backend as observed; a subset of the SDK's status. */
export interface ReplicationFacts {
  readonly role: 'stopped' | 'primary' | 'secondary';
  readonly link: 'none' | 'connecting' | 'resynchronising' | 'connected' | 'holding';
  readonly inconsistent: boolean;
  /** When the last consistent image was made that can be put back; absent: there is none. */
  readonly image?: string;
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

/** What every architecture does with the application of a module. */
export type ScriptAction =
  | { readonly kind: 'script'; readonly script: string; readonly arguments: readonly [string, string, string]; readonly force: boolean }
  | { readonly kind: 'startChecks'; readonly group: CheckGroup }
  | { readonly kind: 'stopChecks'; readonly group: CheckGroup };

export type ScriptStep =
  | { readonly kind: 'act'; readonly action: ScriptAction; readonly onFailure: 'abort' | 'continue' }
  | { readonly kind: 'groups'; readonly groups: readonly ScriptGroup[] };

export type Action =
  | { readonly kind: 'persist'; readonly durable: Durable }
  | {
      readonly kind: 'becomePrimary';
      readonly term: Term;
      readonly base: string;
      readonly fresh: boolean;
      readonly force?: true;
      readonly image?: true;
    }
  /** `givenUp`: what a resync overwrites is kept aside, under this generation. */
  | { readonly kind: 'becomeSecondary'; readonly term: Term; readonly givenUp?: string }
  /** `reason`: why everything is compared. */
  | { readonly kind: 'connectPeer'; readonly term: Term; readonly mode: 'journal' }
  | { readonly kind: 'connectPeer'; readonly term: Term; readonly mode: 'compare'; readonly reason: Reason }
  | { readonly kind: 'disconnectPeer' }
  | { readonly kind: 'continueAlone'; readonly term: Term; readonly base: string }
  /** Answered by an `actionDone` with `claim`. */
  | { readonly kind: 'claimWitness'; readonly from: string; readonly record: WitnessRecord }
  /** Not awaited: what it changed is seen in the facts. */
  | { readonly kind: 'armWitness'; readonly record: WitnessRecord }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'stopReplica'; readonly force: boolean }
  /** The machine; `reason`: why. */
  | { readonly kind: 'reboot'; readonly reason: Reason }
  | { readonly kind: 'probeAddresses' }
  | { readonly kind: 'acquireAddresses' }
  | { readonly kind: 'releaseAddresses' }
  | ScriptAction;

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
  /** Until the witness grants the generation; `from` is the one that it follows. */
  | { readonly kind: 'awaitGrant'; readonly from: string; readonly generation: string }
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
  readonly waitingFor?: number | undefined;
  /** What to do when a step with `abort` fails. */
  readonly onAbort: 'toWait' | 'toStop' | 'ignore';
  /** The verdict when it has finished: where the module settles. */
  readonly settle: { readonly quality: Quality; readonly reason: Reason };
  /** A stop must not be interrupted; a start may be overtaken by `stop`. */
  readonly leaving: boolean;
  /** Only makes something durable: the quality stays what it is. */
  readonly quiet?: boolean | undefined;
  /** Held modifications were answered with an error, so that the application can end. */
  readonly refused?: boolean | undefined;
}

export type Command =
  | { readonly verb: 'start'; readonly boot: boolean }
  /** `shutdown`: the agent ends; boot="auto" starts the module again. */
  | { readonly verb: 'stop'; readonly shutdown: boolean }
  | { readonly verb: 'restart'; readonly automatic: boolean }
  | { readonly verb: 'stopstart'; readonly automatic: boolean }
  | { readonly verb: 'swap' }
  /**
   * `force`: also on data that is partly synchronised, and against what the witness says. `image`: puts a partial copy back to its last
   * consistent image first.
   */
  | { readonly verb: 'prim'; readonly force?: boolean; readonly image?: boolean }
  | { readonly verb: 'second'; readonly fullsync: boolean }
  /** An automatic action that somebody else takes: only counted. */
  | { readonly verb: 'incloop'; readonly identity: string }
  | { readonly verb: 'resetloop' };

export interface DownResource {
  readonly value: ResourceValue;
  readonly detail: string;
  readonly action: CheckAction;
  readonly early?: true;
}

export interface MirrorState {
  readonly settings: MirrorSettings;
  readonly phase: Phase;
  readonly quality: Quality;
  readonly reason: Reason;
  /** As last made durable: what the peer may be told. */
  readonly durable: Durable;
  readonly detector: DetectorState;
  readonly peer?: NodeReport | undefined;
  readonly replication: ReplicationFacts;
  readonly witness: WitnessFacts;
  /** The question to the witness that is under way or was answered last. */
  readonly claim?:
    | {
        readonly generation: string;
        readonly askedMs: MonotonicMs;
        /** Absent: answered. */
        readonly actionId?: number;
        readonly answer?: ClaimAnswer;
        readonly owner?: NodeId;
      }
    | undefined;
  readonly armIssuedMs: MonotonicMs;
  /** The agreement that this start has offered: an older one the peer may have revoked since. */
  readonly offered: number;
  /** When the module was started last. */
  readonly startedMs: MonotonicMs;
  /** A secondary that lost its primary and got no answer: it may still ask. */
  readonly successor: boolean;
  readonly groups: readonly ScriptGroup[];
  readonly addresses: 'released' | 'acquired';
  /** Observed by the level-triggered repair: what the kernel says of the addresses. */
  readonly addressesObserved: 'held' | 'absent' | 'conflict' | 'unknown';
  /** Those that are down, the gravest of them. */
  readonly resources: Readonly<Record<string, DownResource>>;
  /** What the failover rules need to know of this node's resources, and how long which rule has held. */
  readonly ruleFacts: RuleFacts;
  readonly ruleProgress: RuleProgress;
  /** The failover rule that keeps the module in WAIT. */
  readonly blockedBy?: string | undefined;
  /** `holdfast failover off`: no takeover by itself, whatever is configured. */
  readonly failoverSuspended: boolean;
  readonly sequence?: Sequence | undefined;
  /** Commands that wait for the sequence under way to finish. */
  readonly queue: readonly Command[];
  /** What WAIT shall become: decided by itself, forced by `prim`, or secondary only. */
  readonly intent: 'decide' | 'prim' | 'second';
  /** The operator's `prim` holds for a partial copy too. */
  readonly forced: boolean;
  /** The operator's `prim` puts a partial copy back to its image first. */
  readonly fromImage: boolean;
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
        /** Its check goes on while the module waits. */
        readonly early?: true;
      }
    | { readonly kind: 'ruleFacts'; readonly facts: RuleFacts }
    | { readonly kind: 'failoverSwitch'; readonly suspended: boolean }
    | { readonly kind: 'addresses'; readonly observed: 'held' | 'absent' | 'conflict' | 'unknown' }
    | { readonly kind: 'operator'; readonly command: Command }
    | { readonly kind: 'witness'; readonly facts: WitnessFacts }
    /** `facts`: what the rules of these settings need to know. */
    | { readonly kind: 'settings'; readonly settings: MirrorSettings; readonly facts?: RuleFacts }
    | {
        readonly kind: 'actionDone';
        readonly id: number;
        readonly error?: string;
        /** Of `claimWitness`: without it the witness gave no answer. `owner`: who holds the record. */
        readonly claim?: { readonly answer: ClaimAnswer; readonly owner?: NodeId };
      }
  );

export interface Transition {
  readonly state: MirrorState;
  readonly actions: readonly IssuedAction[];
  /** Reasons worth a line in the log, in order. */
  readonly reasons: readonly Reason[];
}
