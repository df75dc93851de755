/**
 * Witnesses: the third party that two nodes ask when they no longer hear each other, so that at most one of them goes on.
 *
 * A *strong* witness keeps one record per module of a cluster and changes it by compare-and-set. Whoever wants to go on alone claims the
 * move from the generation that both nodes had to a generation of its own; of any number of claims from one generation at most one is
 * granted, whenever they arrive, and a witness that lost its record grants none. No clock is involved. A *weak* witness only says whether
 * this node still reaches the world: that makes two primaries less likely and excludes nothing. The two are different types, so that
 * nobody can take the one for the other.
 *
 * Every operation may be repeated. When it rejects, nothing is known: the request may have been carried out, or may be carried out later.
 */
import type { ElementValue, Log } from './plugin.js';

/** What a strong witness knows about one module. All three are compared and kept as they are. */
export interface WitnessRecord {
  /** Generation of the data that may be served. At most WITNESS_TEXT_CHARS_MAX characters, like the owner; both not empty. */
  readonly generation: string;
  /** Node that serves it, or has served it last. */
  readonly owner: string;
  /** Whole number from 0; grows with every generation. */
  readonly epoch: number;
}

export const WITNESS_TEXT_CHARS_MAX = 128;

export interface WitnessClaim {
  /** The generation that both nodes had when they were last identical. */
  readonly from: string;
  /** What the record becomes when the claim is granted: a new generation, which no other claim has. */
  readonly record: WitnessRecord;
}

export type ArmAnswer =
  /** The record is durably what was given. */
  | { readonly outcome: 'armed' }
  /** Nothing changed: the witness knows a larger epoch, so the caller was deposed. */
  | { readonly outcome: 'refused'; readonly found: WitnessRecord };

export type ClaimAnswer =
  /** The record is durably the one of the claim, and every other claim from the same generation is refused from now on. */
  | { readonly outcome: 'granted' }
  /** Nothing changed. `found` is absent when the witness has no record: it lost its state, or was never armed. */
  | { readonly outcome: 'refused'; readonly found?: WitnessRecord };

/**
 * The record of one module. Operations reject with a HoldfastError when there is no trustworthy answer:
 * - HF_WITNESS_UNREACHABLE: no connection, or no answer in time; also when the signal aborts or the witness is closed;
 * - HF_WITNESS_AUTHENTICATION: one side does not know the other (key, password, certificate), or the key cannot be read;
 * - HF_WITNESS_STATE: the witness cannot use its state (disk, no leader, a record that nobody of ours wrote);
 * - HF_WITNESS_PROTOCOL: the answer is not one; something else listens there;
 * - HF_WITNESS_INVALID: the record or claim given breaks the rules of WitnessRecord; nothing was sent.
 * They have a limit of their own and end at the latest then, without a signal too.
 */
export interface StrongWitness {
  readonly grade: 'strong';
  /** For people: kind and place, for example `http 192.0.2.50:9600`. */
  readonly name: string;
  /**
   * While both nodes are connected and identical, the primary writes what they have in common. Replaces any record whose epoch is not
   * larger, also an absent one. Idempotent.
   */
  arm(record: WitnessRecord, signal?: AbortSignal): Promise<ArmAnswer>;
  /**
   * Atomically: when the record's generation is `from`, it becomes `record`: granted. When it is `record` already, with the same owner:
   * granted (an earlier answer was lost). Everything else, no record included: refused.
   */
  claim(claim: WitnessClaim, signal?: AbortSignal): Promise<ClaimAnswer>;
  /** The record as it is now, never an older one; undefined when there is none. Also the proof that the witness answers. */
  read(signal?: AbortSignal): Promise<WitnessRecord | undefined>;
  /** Ends what is under way (it rejects) and gives connections back. Idempotent. */
  close(): Promise<void>;
}

export interface WitnessReach {
  readonly reached: boolean;
  /** For people: `10.0.0.107 answered in 2 ms`, `no answer from 10.0.0.107, 10.0.0.108`. */
  readonly detail: string;
}

export interface WeakWitness {
  readonly grade: 'weak';
  readonly name: string;
  /** Whether this node reaches the witness now. Rejects as the operations of a strong witness do when it cannot even be tried. */
  reaches(signal?: AbortSignal): Promise<WitnessReach>;
  close(): Promise<void>;
}

export type Witness = StrongWitness | WeakWitness;

export interface WitnessOptions {
  /** Names the cluster among all that use a witness; the same on every node, and never another one's. */
  readonly cluster: string;
  readonly module: string;
  readonly localNode: string;
  /** The node's folder of configuration, absolute: keys of witnesses are files there, not text in userconfig.xml. */
  readonly configurationDirectory: string;
  /** The element of userconfig.xml that the witness contributed, validated. */
  readonly configuration: ElementValue;
  readonly log: Log;
}

export interface WitnessProvider {
  /** Pure: no I/O before the first operation, so that a witness that is away never keeps a module from starting. */
  create(options: WitnessOptions): Witness;
}
