/**
 * The resync engine's end on the primary, with the application online. Meanwhile modifications are made here only, and touch `pending`:
 * everything in which the trees may differ is in what is being sent or in `pending`. The work goes in rounds: each takes all of `pending`
 * and sends it; what the application touches meanwhile is the next round. From the second round on the application may touch at most half
 * of what was sent, so that rounds become small; then both file systems are flushed; then modifications are frozen for one last, small
 * round, and the trees are identical.
 *
 * In journal mode the first round is what the journal names; in compare mode it is a walk over everything. A journal that turns out not to
 * be enough (an object that moved in a way that no touched name tells) turns into a comparison by itself.
 */
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { ResyncProgress, ResyncSummary } from '@holdfast/sdk';
import type { Boundary } from '../boundary/boundary.js';
import { DirtySet, type DirtyObject } from '../journal/dirty-set.js';
import type { Channel } from '../link/channel.js';
import type { SyncPool } from '../secondary/applier.js';
import { isDirectory, isRegular, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { EALREADY, errnoName } from '../system/errno.js';
import type { Answer } from '../wire/messages.js';
import { RequestFlow, ResyncError, type StepOutcome, type Steps } from './flow.js';
import { ContentSender } from './source-content.js';
import { ReadAhead } from './read-ahead.js';
import { NameSender } from './source-names.js';
import { SourceTree } from './source-tree.js';

/** Intervals of one object while a resync runs: in memory only, so that a busy large file is not taken as a whole. */
const PENDING_RANGES_MAX = 16_384;
/** The last round is at most this large. */
const FROZEN_NAMES_MAX = 500;
const FROZEN_BYTES_MAX = 1 << 20;
/** What the application may always touch during a round. */
const ADMITTED_BYTES_MIN = 512 << 10;
const NAME_COST_BYTES = 4096;
/** A digest is sent for a granule: comparing is that much cheaper than copying. */
const COMPARE_DISCOUNT = 16;
const FROZEN_ROUNDS_MAX = 8;

export interface SourceOptions {
  readonly store: Store;
  readonly boundary: Boundary;
  readonly channel: Pick<Channel, 'send' | 'flush' | 'queuedBytes'>;
  readonly mode: 'journal' | 'compare';
  /** Why everything is compared, for people. */
  readonly reason?: string;
  /** What differs before the first step; copied. Empty in compare mode is right. */
  readonly differs: DirtySet;
  readonly pool: SyncPool;
  readonly nowMs: () => number;
  /** Number of the first request; `nextSeq` is where others go on. */
  readonly firstSeq: number;
  /** Size of the tree in bytes, when known: for the summary of a resync that does not walk it. */
  readonly treeBytes?: () => number | undefined;
  /** `admits()` was false and may be true now. */
  readonly release: () => void;
  /** Both trees are identical and on both disks, and the target has cleared its mark: delete the journal, then call `done`. */
  readonly identical: (done: () => void) => void;
  readonly done: (summary: ResyncSummary) => void;
  readonly failed: (error: HoldfastError) => void;
}

/** The journal does not say enough: everything must be compared. */
class JournalNotEnough extends Error {}

const PEER_WANTS_COMPARISON = 'the copy of the peer is in a state that no journal describes';
const JOURNAL_LACKS = 'something has moved in a way that the journal does not tell';

export class ResyncSource {
  /** Must get every touch until `done`: the journal's follower. */
  readonly pending = new DirtySet(PENDING_RANGES_MAX);
  readonly #options: SourceOptions;
  readonly #flow: RequestFlow;
  readonly #tree: SourceTree;
  readonly #content: ContentSender;
  readonly #steps: Steps;
  readonly #startMs: number;
  #names: NameSender;
  #mode: 'journal' | 'compare';
  #reason: string | undefined;
  #state: 'running' | 'ended' = 'running';
  #round = 0;
  #sentBeforeRound = 0;
  #isThrottled = false;
  #isFrozen = false;
  #isRefusing = false;
  #bytesTotal: number;

  constructor(options: SourceOptions) {
    const { store, boundary, channel, nowMs, firstSeq, mode, differs } = options;
    this.#options = options;
    this.#mode = mode;
    this.#reason = options.reason;
    this.#flow = new RequestFlow(channel, nowMs, firstSeq);
    this.#tree = new SourceTree(store, boundary);
    this.#content = new ContentSender(this.#tree, this.#flow, new ReadAhead(store, options.pool));
    this.#names = this.#newNames();
    this.#startMs = nowMs();
    this.pending.merge(differs);
    this.#bytesTotal = differs.rangeBytes;
    this.#steps = this.#run();
  }

  /** Sequence number for whatever comes after the resync. */
  get nextSeq(): number {
    return this.#flow.nextSeq;
  }

  /** False: modifications wait until `release`. */
  admits(): boolean {
    const isAdmitted = this.#state === 'ended' || this.#isAdmitting();
    if (!isAdmitted) this.#isRefusing = true;
    return isAdmitted;
  }

  /** Does a bounded amount of work. To be called once in every turn of the loop, and again soon while it says `more`. Never throws. */
  step(): StepOutcome {
    if (this.#state === 'ended') return 'waiting';
    try {
      this.#flow.beginStep();
      const outcome = this.#steps.next();
      this.#options.channel.flush();
      this.#releaseIfAdmitting();
      return outcome.done === true ? 'waiting' : outcome.value;
    } catch (error) {
      this.#fail(error);
      return 'waiting';
    }
  }

  /** Never throws. */
  answer(answer: Answer): void {
    if (this.#state === 'ended') return;
    try {
      this.#flow.answer(answer);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The link has ended. Nothing is called back any more; what waits is admitted. */
  stop(): void {
    this.#state = 'ended';
  }

  progress(): ResyncProgress {
    const { bytesDone, objectsDone } = this.#content;
    const bytesTotal = Math.max(bytesDone, this.#bytesTotal, this.#mode === 'compare' ? (this.#options.treeBytes?.() ?? 0) : 0);
    const seconds = Math.max(0.001, (this.#options.nowMs() - this.#startMs) / 1000);
    const bytesPerSecond = Math.round(bytesDone / seconds);
    return {
      mode: this.#mode,
      ...(this.#reason !== undefined && { reason: this.#reason }),
      bytesDone,
      bytesTotal,
      objectsDone,
      objectsTotal: Math.max(objectsDone, this.#names.objectsTotal),
      bytesSent: this.#flow.bytesSent,
      bytesPerSecond,
      ...(bytesPerSecond > 0 && { secondsLeft: Math.round((bytesTotal - bytesDone) / bytesPerSecond) }),
    };
  }

  #newNames(): NameSender {
    return new NameSender(this.#tree, this.#flow, this.#content, this.pending, this.#mode);
  }

  #fail(error: unknown): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#options.failed(error instanceof HoldfastError ? error : new ResyncError(messageOf(error)));
  }

  *#run(): Steps {
    for (;;) {
      try {
        yield* this.#pass();
        return;
      } catch (error) {
        if (!(error instanceof JournalNotEnough)) throw error;
        if (this.#mode === 'compare')
          throw new ResyncError('the trees do not become identical: is another process changing the directory?');
        yield* this.#flow.settled();
        // Everything is compared as it is from now on.
        this.pending.take();
        this.#mode = 'compare';
        this.#reason = error.message;
        this.#isFrozen = false;
        this.#round = 0;
        this.#names = this.#newNames();
      }
    }
  }

  *#pass(): Steps {
    let isPossible = true;
    this.#flow.request({ kind: 'resync-begin', mode: this.#mode }, ({ errno }) => {
      isPossible = errno === 0 || errno === EALREADY;
      this.#content.comparesDirty = errno === EALREADY;
      this.#content.comparesNew = errno === EALREADY;
    });
    yield* this.#flow.settled();
    if (!isPossible) throw new JournalNotEnough(PEER_WANTS_COMPARISON);
    if (this.#mode === 'compare') {
      this.#round = 1;
      yield* this.#names.walkAll();
      yield* this.#names.stampDirectories();
      yield* this.#flow.settled();
    }
    let isFlushed = false;
    for (let frozenRounds = 0; !this.#isFrozen || !this.pending.isEmpty; ) {
      if (!this.#isFrozen && (this.#round > 0 || this.pending.isEmpty) && this.#isSmall()) {
        if (isFlushed) this.#isFrozen = true;
        else yield* this.#flushBoth('resync-sync');
        isFlushed = true;
        continue;
      }
      yield* this.#sendRound();
      // What is dirty since was written while this resync ran.
      this.#content.comparesDirty = false;
      if (!this.#isFrozen) continue;
      frozenRounds += 1;
      if (frozenRounds > FROZEN_ROUNDS_MAX) throw new JournalNotEnough(JOURNAL_LACKS);
    }
    if (!this.#names.hasAllLinks()) throw new JournalNotEnough(JOURNAL_LACKS);
    yield* this.#finish();
  }

  *#sendRound(): Steps {
    this.#round += 1;
    this.#sentBeforeRound = this.#flow.bytesSent;
    const set = this.pending.take();
    this.#isThrottled = this.#round > 1;
    yield* this.#names.sendTouched(set);
    yield* this.#sendDirty(set);
    yield* this.#names.stampDirectories();
    yield* this.#flow.settled();
    this.#isThrottled = false;
  }

  /** Content and attributes of the objects that were touched. */
  *#sendDirty(set: DirtySet): Steps {
    const resolved: { readonly handle: Handle; readonly id: bigint; readonly dirty: DirtyObject }[] = [];
    for (const [handle, dirty] of set.objects) {
      yield* this.#flow.room();
      if (this.#names.wasCopied(handle) || !this.#tree.isAlive(handle) || this.#isExcluded(handle)) continue;
      const id = this.#tree.id(handle);
      if (id === undefined) continue;
      this.#makeKnown(handle, id, dirty);
      resolved.push({ handle, id, dirty });
    }
    yield* this.#flow.settled();
    for (const { handle, id, dirty } of resolved) {
      if (!this.#names.isKnown(id)) this.#again(handle, dirty);
      else if (isRegular(handle)) yield* this.#content.copyDirty(handle, id, dirty);
      else if (isDirectory(handle)) this.#names.stampLater(handle, id);
      else this.#content.sendAttributes(handle, id);
      yield* this.#flow.room();
    }
    yield* this.#flow.settled();
  }

  /** It was touched before it was moved out of what is replicated. */
  #isExcluded(handle: Handle): boolean {
    const { boundary, store } = this.#tree;
    return boundary.applies(handle) && (isDirectory(handle) ? boundary.excludesDirectory(handle) : store.isMarkedExcluded(handle));
  }

  #makeKnown(handle: Handle, id: bigint, { parent, name }: DirtyObject): void {
    if (this.#names.isKnown(id)) return;
    if (isDirectory(handle)) {
      this.#names.introduce(handle);
      return;
    }
    const place = parent === undefined || name === undefined ? undefined : { parent, name: Buffer.from(name, 'latin1') };
    const isThere =
      place !== undefined && this.#tree.store.lookup(place.parent, place.name) === handle && this.#names.introduce(place.parent);
    if (!isThere || !this.#names.bind(id, place)) this.#names.askFor(id);
  }

  /** The target does not know the object yet: its name was touched meanwhile, and the next round tells it. */
  #again(handle: Handle, { whole, ranges, parent, name }: DirtyObject): void {
    if (whole) this.pending.addWhole(handle, parent, name);
    else this.pending.addRange(handle, 0, 0, parent, name);
    for (const { start, end } of ranges) this.pending.addRange(handle, start, end, parent, name);
  }

  #isSmall(): boolean {
    const { pending } = this;
    if (pending.nameCount > FROZEN_NAMES_MAX || pending.objects.size > FROZEN_NAMES_MAX) return false;
    let bytes = pending.rangeBytes;
    for (const [handle, { whole }] of pending.objects) {
      if (whole && this.#tree.isAlive(handle)) bytes += this.#tree.store.stat.size / COMPARE_DISCOUNT;
    }
    return bytes <= FROZEN_BYTES_MAX;
  }

  #isAdmitting(): boolean {
    if (this.#isFrozen) return false;
    if (!this.#isThrottled) return true;
    const touched = this.pending.rangeBytes + this.pending.nameCount * NAME_COST_BYTES;
    return touched <= Math.max(ADMITTED_BYTES_MIN, (this.#flow.bytesSent - this.#sentBeforeRound) / 2);
  }

  #releaseIfAdmitting(): void {
    if (!this.#isRefusing || !(this.#state === 'ended' || this.#isAdmitting())) return;
    this.#isRefusing = false;
    this.#options.release();
  }

  *#finish(): Steps {
    yield* this.#flushBoth('resync-finish');
    let isDone = false;
    this.#options.identical(() => (isDone = true));
    while (!isDone) yield 'waiting';
    const { store, treeBytes, nowMs } = this.#options;
    this.#state = 'ended';
    this.#options.done({
      mode: this.#mode,
      ...(this.#reason !== undefined && { reason: this.#reason }),
      bytesSent: this.#flow.bytesSent,
      objectsSent: this.#content.objectsSent,
      bytesInTree: Math.round(this.#mode === 'compare' ? this.#names.bytesInTree : (treeBytes?.() ?? usedBytes(store))),
      durationMs: Math.round(nowMs() - this.#startMs),
    });
  }

  /** Both nodes' file systems to their disks, at the same time. */
  *#flushBoth(kind: 'resync-sync' | 'resync-finish'): Steps {
    const { store, pool } = this.#options;
    let left = store.roots.length;
    let failure = 0;
    this.#flow.request({ kind });
    for (let root = 0; root < store.roots.length; root += 1) {
      pool.run({ call: 'syncfs', fd: store.rootFd(root) }, (outcome) => {
        if (outcome !== 0) failure = outcome;
        left -= 1;
      });
    }
    yield* this.#flow.settled();
    while (left > 0) yield 'waiting';
    if (failure !== 0) throw new ResyncError(`flushing the file system failed: ${errnoName(failure)}; is the disk broken?`);
  }
}

/** What the file systems of the roots hold: an upper bound where nothing better is known. */
function usedBytes(store: Store): number {
  const into = Buffer.alloc(112);
  let sum = 0;
  for (let root = 0; root < store.roots.length; root += 1) {
    if (store.statfs(root, into) < 0) continue;
    const fragment = Number(into.readBigUInt64LE(8));
    sum += (Number(into.readBigUInt64LE(16)) - Number(into.readBigUInt64LE(24))) * fragment;
  }
  return sum;
}
