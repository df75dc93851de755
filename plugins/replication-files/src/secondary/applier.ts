/**
 * The secondary's end of a link: every message of the primary, in the order of the stream. With `async: second` a write or a new file is
 * acknowledged before it is applied, while there is room; everything else, and everything with `none`, after. When `handle`
 * returns, all that was received is applied.
 *
 * What was acknowledged and cannot be applied makes this tree worthless for a takeover: the durable mark is set first, then the
 * link is closed with the reason.
 */
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { Boundary } from '../boundary/boundary.js';
import type { ConflictKeeper } from '../conflicts/keeper.js';
import type { CheckpointMark } from '../journal/checkpoint-mark.js';
import type { RecentSet } from '../journal/dirty-set.js';
import type { ImageRecorder } from '../image/recorder.js';
import type { InconsistentMarker } from '../journal/marker.js';
import type { Channel, Delivered } from '../link/channel.js';
import { KeptTree } from '../resync/kept-tree.js';
import { ResyncTarget } from '../resync/target.js';
import type { Trash } from '../resync/trash.js';
import type { Store } from '../store/store.js';
import { S_IFMT, S_IFREG } from '../system/constants.js';
import { errnoName } from '../system/errno.js';
import { WireError } from '../wire/bytes.js';
import { VerifyResponder } from '../verify/responder.js';
import type { LiveRequest, Request, ResyncRequest, VerifyRequest } from '../wire/messages.js';
import { Bindings } from './bindings.js';
import { DivergedError, LiveOperations, type Modification } from './live.js';
import { Room } from './room.js';

/** Runs what waits for a disk on another thread. */
export interface SyncPool {
  /** @param done called on this thread; 0, or an errno of either sign */
  run(
    job: {
      readonly call: 'fsync' | 'fdatasync' | 'syncfs' | 'load';
      readonly fd: number;
      readonly offset?: number;
      readonly length?: number;
    },
    done: (outcome: number) => void,
  ): void;
}

/** The checkpoints of this session, as this node counts them. */
export interface SessionMark extends Pick<CheckpointMark, 'begin' | 'flushed' | 'confirmed'> {
  connected(): void;
}

export interface ApplierOptions {
  readonly store: Store;
  readonly boundary: Boundary;
  readonly channel: Pick<Channel, 'send' | 'flush' | 'fail'>;
  readonly marker: InconsistentMarker;
  /** Keeps what a resync overwrites; undefined: nobody wants it. */
  readonly keeper?: ConflictKeeper | undefined;
  /** Of a store that can preserve what a resync changes. */
  readonly image?: ImageRecorder;
  readonly recent: RecentSet;
  readonly mark?: SessionMark | undefined;
  readonly pool: SyncPool;
  /** Of the store; removed bit by bit by whoever owns both. */
  readonly trash: Trash;
  readonly async: 'second' | 'none';
  /** The result of a verification, as the primary tells it. */
  readonly onVerified: (result: string) => void;
  readonly onState: (state: 'resynchronising' | 'connected') => void;
  /** The link was closed from this end, or the primary said that it gave up. */
  readonly onFailed: (error: HoldfastError) => void;
}

export class Applier {
  readonly #options: ApplierOptions;
  readonly #bindings: Bindings;
  readonly #live: LiveOperations;
  readonly #target: ResyncTarget;
  readonly #responder: VerifyResponder;
  readonly #room: Room;
  #state: 'new' | 'resynchronising' | 'connected' | 'closed' = 'new';

  constructor(options: ApplierOptions) {
    this.#options = options;
    const { store, boundary, marker, keeper, recent, pool, channel, trash } = options;
    this.#room = new Room(store);
    this.#bindings = new Bindings(store.roots);
    const kept = keeper === undefined || keeper.hasEnded ? undefined : new KeptTree(keeper, store, channel);
    this.#target = new ResyncTarget({ store, boundary, marker, pool, bindings: this.#bindings, trash, kept, image: options.image });
    this.#live = new LiveOperations(store, this.#bindings, recent, boundary, (parent, name, directory) =>
      this.#target.discard(parent, name, directory),
    );
    this.#responder = new VerifyResponder({
      store,
      boundary,
      bindings: this.#bindings,
      pool,
      answer: (answer, isLater) => {
        if (this.#state === 'closed') return;
        options.channel.send(answer);
        if (isLater) options.channel.flush();
      },
      result: options.onVerified,
    });
  }

  /** Applies messages and answers them. Never throws. */
  handle(messages: readonly Delivered[]): void {
    try {
      if (this.#state === 'resynchronising') this.#target.foresee(messages);
      for (let at = 0; at < messages.length && this.#state !== 'closed'; ) {
        const acknowledged = this.#options.async === 'second' ? this.#acknowledgeAhead(messages, at) : 0;
        for (let i = at; i < at + acknowledged; i += 1) this.#applyAcknowledged(messages[i] as Modification);
        at += acknowledged;
        const message = messages[at];
        if (message === undefined) break;
        if (acknowledged === 0) {
          this.#handleOne(message);
          at += 1;
        }
      }
      this.#options.channel.flush();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The channel has ended: answers of the pool that still come are dropped. */
  close(): void {
    this.#state = 'closed';
    this.#live.end();
    this.#target.close();
  }

  /** @returns how many messages from `at` on were acknowledged; the acknowledgements are on their way before anything is applied */
  #acknowledgeAhead(messages: readonly Delivered[], at: number): number {
    let count = 0;
    for (let message = messages[at]; this.#isAcknowledgedAhead(message); message = messages[at + count]) {
      this.#acknowledge(message.seq, 0);
      count += 1;
    }
    if (count > 0) this.#options.channel.flush();
    return count;
  }

  /** The primary has made sure that it can succeed: with room for it, only a disk that breaks is in its way. */
  #isAcknowledgedAhead(message: Delivered | undefined): message is Modification {
    if (message === undefined || this.#state !== 'connected') return false;
    if (message.kind === 'write') return this.#room.admits(message.data.length);
    return message.kind === 'create' && (message.mode & S_IFMT) === S_IFREG && this.#room.admits(0);
  }

  #applyAcknowledged(request: Modification): void {
    if (this.#state === 'closed') return;
    const errno = this.#live.apply(request);
    if (errno === 0) return;
    throw new HoldfastError(
      'HF_REPLICATION_APPLY',
      `an acknowledged ${request.kind} failed here: ${errnoName(errno)}; is the disk full or broken?`,
      {
        errno,
      },
    );
  }

  #handleOne(message: Delivered): void {
    switch (message.kind) {
      case 'failed':
        this.close();
        this.#options.onFailed(new HoldfastError(message.code, message.message));
        return;
      case 'ack':
      case 'statuses':
      case 'digests':
      case 'listing':
      case 'contents':
        throw new WireError(`an answer (${message.kind}) from the primary`);
      default:
        if (isLive(message)) this.#handleLive(message);
        else if (isQuestion(message)) this.#handleQuestion(message);
        else this.#handleResync(message);
    }
  }

  #handleLive(request: LiveRequest): void {
    if (this.#state !== 'connected') throw new WireError(`${request.kind} before the resync has finished`);
    switch (request.kind) {
      case 'fsync':
        this.#fsync(request.seq, request.object, request.datasync);
        return;
      case 'checkpoint':
        if (request.phase === 'begin') {
          this.#options.recent.cut();
          this.#bindings.checkpoint();
          const number = this.#options.mark?.begin() ?? 0;
          this.#syncAll(request.seq, () => this.#options.mark?.flushed(number, false));
        } else {
          this.#options.mark?.confirmed();
          this.#options.recent.forgetOlder();
          this.#acknowledge(request.seq, 0);
        }
        return;
      default:
        this.#acknowledge(request.seq, this.#live.apply(request));
    }
  }

  #handleQuestion(request: VerifyRequest): void {
    if (this.#state !== 'connected') throw new WireError(`${request.kind} before the resync has finished`);
    try {
      this.#responder.handle(request);
    } catch (error) {
      // A question changes nothing: whatever goes wrong with it says nothing against this tree.
      throw error instanceof WireError ? error : new WireError(`${request.kind} could not be answered: ${messageOf(error)}`);
    }
  }

  #handleResync(request: ResyncRequest): void {
    if (request.kind === 'resync-begin') {
      this.#live.end();
      this.#responder.reset();
      this.#enter('resynchronising');
    } else if (this.#state !== 'resynchronising') throw new WireError(`${request.kind} outside a resync`);
    if (request.kind === 'resync-sync' || request.kind === 'resync-finish') {
      const isLast = request.kind === 'resync-finish';
      this.#target.keepRemoved();
      if (isLast) this.#target.putAside();
      this.#syncAll(request.seq, () => {
        if (!isLast) return;
        this.#options.mark?.connected();
        this.#target.finish();
        this.#options.recent.clear();
        this.#enter('connected');
      });
      return;
    }
    this.#options.channel.send(this.#target.handle(request));
  }

  #enter(state: 'resynchronising' | 'connected'): void {
    this.#state = state;
    this.#options.onState(state);
  }

  #fsync(seq: number, object: bigint, datasync: boolean): void {
    const { store, pool } = this.#options;
    const handle = this.#live.existing(object);
    const fd = handle === undefined ? undefined : store.pin(handle);
    if (handle === undefined || fd === undefined || fd < 0) {
      this.#acknowledge(seq, fd === undefined ? 0 : -fd);
      return;
    }
    pool.run({ call: datasync ? 'fdatasync' : 'fsync', fd }, (outcome) => {
      store.unpin(handle);
      this.#acknowledgeLater(seq, outcome);
    });
  }

  /** syncfs of every root; the answer when all are done, after `then` when all went well. */
  #syncAll(seq: number, then?: () => void): void {
    const { store, pool } = this.#options;
    let left = store.roots.length;
    let failure = 0;
    for (let root = 0; root < store.roots.length; root += 1) {
      pool.run({ call: 'syncfs', fd: store.rootFd(root) }, (outcome) => {
        if (outcome !== 0) failure = outcome;
        left -= 1;
        if (left > 0 || this.#state === 'closed') return;
        try {
          if (failure === 0) then?.();
          this.#acknowledgeLater(seq, failure);
        } catch (error) {
          this.#fail(error);
        }
      });
    }
  }

  #acknowledge(seq: number, errno: number): void {
    this.#options.channel.send({ kind: 'ack', seq, errno });
  }

  #acknowledgeLater(seq: number, outcome: number): void {
    if (this.#state === 'closed') return;
    this.#acknowledge(seq, Math.abs(outcome));
    this.#options.channel.flush();
  }

  #fail(error: unknown): void {
    if (this.#state === 'closed') return;
    const reason =
      error instanceof HoldfastError ? error : new HoldfastError('HF_REPLICATION_APPLY', messageOf(error), {}, { cause: error });
    const isOwn = !(reason instanceof WireError);
    try {
      // Durable before the primary can know: it must never believe in a good secondary that is not one.
      if (isOwn && this.#state === 'connected') {
        this.#options.marker.set(reason.message, reason instanceof DivergedError ? 'compare' : 'journal');
      }
    } finally {
      this.close();
      this.#options.channel.fail(reason.code, reason.message.slice(reason.code.length + 2));
      this.#options.onFailed(reason);
    }
  }
}

const LIVE: ReadonlySet<string> = new Set<LiveRequest['kind']>([
  'introduce',
  'create',
  'link',
  'unlink',
  'rmdir',
  'rename',
  'setattr',
  'write',
  'fallocate',
  'fsync',
  'checkpoint',
  'times',
  'stage',
  'adopt',
  'create-unnamed',
  'forget',
  'setxattr',
  'removexattr',
  'whiteout',
]);

function isLive(message: Request): message is LiveRequest {
  return LIVE.has(message.kind);
}

function isQuestion(message: ResyncRequest | VerifyRequest): message is VerifyRequest {
  return message.kind.startsWith('verify-');
}
