/** A simulated node: what its power cut spares (the disk), and what it does not. */
import type { Durable, MirrorState, ReplicationFacts } from '@holdfast/core/decide';
import type { Random, Schedule } from '@holdfast/sdk/testkit';

export interface Disk {
  durable: Durable;
  /** The replicated data: numbers of the writes that it holds. */
  writes: Set<number>;
  inconsistent: boolean;
  /** What a partial copy held before the resync that has not finished; never changed. The operator can have it where images are kept. */
  whole?: ReadonlySet<number>;
  /** Generation that a usable journal counts from. */
  journal: string | undefined;
  /** Generation that a resync has brought, as long as the decisions have not made durable that they have it. */
  unrecorded?: string;
  /** Generations to an older state of which this copy, or what it was made from, was put back: it may lack some of what was in them. */
  setBack?: readonly string[];
}

export function copyOfDisk(disk: Disk): Disk {
  return { ...disk, writes: new Set(disk.writes) };
}

/** One replication connection as one end sees it. */
export interface LinkEnd {
  readonly connection: number;
  /** Writes that were sent and have no answer. */
  readonly unanswered: number[];
}

export class SimulatedNode {
  state: MirrorState | undefined;
  facts: ReplicationFacts = { role: 'stopped', link: 'none', inconsistent: false };
  link: LinkEnd | undefined;
  /** Writes that clients sent and the primary holds. */
  held: number[] = [];
  /** The application runs. */
  accepting = false;
  /** Nothing of the node runs; or only its agent does not. */
  asleep: 'no' | 'node' | 'agent' = 'no';
  /** What came for the agent while it slept. */
  readonly inbox: (() => void)[] = [];
  readonly overdue: (() => void)[] = [];
  /** Likewise, from the replication connection. */
  readonly stream: (() => void)[] = [];
  incarnation = 0;
  /** Lose power when the next action has had its effect. */
  diesAtEffect = false;
  readonly failing = new Set<string>();
  /** So many of the next durable writes answer with an error; what they were to write may be on the disk all the same. */
  failingWrites = 0;
  scriptMsMax = 60;
  lastTickMs = 0;
  /** Newest heartbeat of the peer: older ones are dropped. */
  heard = 0;
  /** A backup of its disk. */
  backup: Disk | undefined;
  /** An operator said `primforce`, whatever the copy is. */
  isInsistedOn = false;
  /** It was put back to an old state, and has not met the other since: what it acknowledges is not promised to last. */
  isRestored = false;
  #sinceMs = 0;
  #baseMs: number;
  rate = 1;
  #wallMs: number;

  constructor(
    readonly name: string,
    readonly peer: string,
    public disk: Disk,
    private readonly schedule: Schedule,
    random: Random,
  ) {
    this.#baseMs = 1000 + random.below(100_000);
    this.#wallMs = 1_700_000_000_000 + random.below(100_000);
  }

  /** Monotonic clock of this node, which drifts. */
  get nowMs(): number {
    return this.#baseMs + (this.schedule.nowMs - this.#sinceMs) * this.rate;
  }

  get wallMs(): number {
    return this.#wallMs + this.nowMs;
  }

  drift(rate: number): void {
    this.#baseMs = this.nowMs;
    this.#sinceMs = this.schedule.nowMs;
    this.rate = rate;
  }

  jumpWallClock(byMs: number): void {
    this.#wallMs += byMs;
  }

  get isOn(): boolean {
    return this.state !== undefined;
  }
}
