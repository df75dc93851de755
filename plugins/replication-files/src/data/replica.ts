/** The state of one replica in the data thread: stopped, primary or secondary, and what is known of the difference from the peer. */
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { Boundary } from '../boundary/boundary.js';
import { exclusionsDigest } from '../configuration.js';
import type { ConflictKeeper } from '../conflicts/keeper.js';
import { openKeeper } from '../conflicts/open-keeper.js';
import { Continuity, type Inheritance } from '../continuity/continuity.js';
import { Custody } from '../continuity/custody.js';
import { canClone } from '../image/clones.js';
import { eraseImage, readImage } from '../image/image-log.js';
import type { ImageFacts } from '../image/recorder.js';
import { RecordingStore } from '../image/recording-store.js';
import { forgetImage, restorableImage, restoreImage } from '../image/restore.js';
import { CheckpointMark } from '../journal/checkpoint-mark.js';
import { InconsistentMarker } from '../journal/marker.js';
import { Trash } from '../resync/trash.js';
import { Incoming } from '../secondary/incoming.js';
import { errnoName } from '../system/errno.js';
import type { EpollSet } from '../system/epoll.js';
import { adoptExclusions, eraseCleanMark, eraseHistory, readHistory, saveHistory, type History } from './history.js';
import type { DataCommand, DataReport, DataSettings, DataState } from './messages.js';
import type { Pool } from './pool.js';
import { PrimarySide } from './primary-side.js';
import { SecondarySide } from './secondary-side.js';
import type { RoleSurroundings } from './surroundings.js';
import { WriteBehind } from './write-behind.js';

type Command<Kind extends DataCommand['kind']> = Extract<DataCommand, { kind: Kind }>;

export class DataReplica {
  readonly #settings: DataSettings;
  readonly #epoll: EpollSet;
  readonly #pool: Pool;
  readonly #report: (report: DataReport) => void;
  readonly #marker: InconsistentMarker;
  readonly #custody: Custody | undefined;
  readonly #mark: CheckpointMark;
  #history: History | undefined;
  #keeper: ConflictKeeper | undefined;
  #store: RecordingStore | undefined;
  /** As long as the trees are not open. */
  #image: ImageFacts | undefined;
  #canImage: boolean | undefined;
  #boundary: Boundary | undefined;
  #trash: Trash | undefined;
  #side: PrimarySide | SecondarySide | undefined;
  #lastResync: DataState['lastResync'];
  #reportedInconsistent = false;

  constructor(settings: DataSettings, epoll: EpollSet, pool: Pool, report: (report: DataReport) => void) {
    this.#settings = settings;
    this.#epoll = epoll;
    this.#pool = pool;
    this.#report = report;
    this.#marker = new InconsistentMarker(settings.stateDirectory);
    this.#mark = new CheckpointMark(settings.stateDirectory);
    this.#image = this.#imageOfLastRun();
    this.#custody = settings.holderFd === undefined ? undefined : new Custody(settings.holderFd);
    if (!adoptExclusions(settings.stateDirectory, exclusionsDigest(settings.exclusions))) {
      report({ kind: 'log', level: 'info', message: 'what is replicated was changed by the configuration: the trees will be compared' });
    }
    const { history, reason } = readHistory(settings.stateDirectory);
    this.#history = this.#marker.isSet ? undefined : history;
    if (reason !== undefined) report({ kind: 'log', level: 'warn', message: `the journal of the last run is not used: ${reason}` });
    this.#changed();
  }

  /** @param done called once, when the command is done. @throws the error of a command that failed */
  handle(command: DataCommand, done: () => void): void {
    if (command.kind === 'stop') {
      this.#stop(done);
      return;
    }
    this.#perform(command);
    this.#changed();
    done();
  }

  #perform(command: Exclude<DataCommand, { kind: 'stop' }>): void {
    const side = this.#side;
    switch (command.kind) {
      case 'become-primary':
        return this.#becomePrimary(command);
      case 'resume-primary':
        return this.#resumePrimary(command);
      case 'become-secondary':
        return this.#becomeSecondary(command);
      case 'serve':
        this.#primary().serve(command.fuseFds);
        return;
      case 'connect':
        return this.#primary().connect(command);
      case 'continue-alone':
        return this.#primary().continueAlone(command.base);
      case 'refuse':
        if (side instanceof PrimarySide) side.refuse();
        return;
      case 'verify':
        return this.#primary().verify(command);
      case 'cancel-verify':
        if (side instanceof PrimarySide) side.cancelVerify();
        return;
      case 'limit':
        this.#settings.resyncBytesPerSecondMax = command.resyncBytesPerSecondMax;
        return;
      case 'expect':
        if (!(side instanceof SecondarySide))
          throw new HoldfastError('HF_REPLICATION_STATE', 'a primary was welcomed by a replica that is not secondary');
        return side.expect(command);
      case 'drop-link':
        if (side instanceof PrimarySide) side.dropLink(command.link, command.reason);
        else side?.dropLink(command.link);
        return;
      case 'end':
        throw new Error('the loop ends by itself');
    }
  }

  #primary(): PrimarySide {
    if (this.#side instanceof PrimarySide) return this.#side;
    throw new HoldfastError('HF_REPLICATION_STATE', 'the replica is not primary');
  }

  #becomePrimary(command: Command<'become-primary'>): void {
    if (this.#side instanceof PrimarySide) throw new HoldfastError('HF_REPLICATION_STATE', 'the replica is primary already');
    if (command.image) this.#takeImage(command.backing);
    if (this.#marker.isSet && !command.force) {
      throw new HoldfastError(
        'HF_REPLICATION_INCONSISTENT',
        `this tree is inconsistent (${this.#marker.reason ?? ''}): start the other node, or force`,
      );
    }
    const fromSecondary = this.#side instanceof SecondarySide;
    this.#closeKeeper();
    if (this.#side instanceof SecondarySide) {
      this.#history = this.#side.leave();
      this.#side = undefined;
    }
    const known = this.#history;
    // A stopped node's knowledge counts from one generation; a secondary's, from the generation that it was connected in.
    const usable = !command.fresh && !this.#marker.isSet && known !== undefined && (fromSecondary || known.base === command.base);
    this.#store ??= this.#open(command.backing);
    // What the operator made of this copy is newer than its image.
    this.#store.image.abandon('this copy was declared good as it is');
    if (usable) eraseCleanMark(this.#settings.stateDirectory);
    else eraseHistory(this.#settings.stateDirectory);
    this.#marker.clear();
    this.#side = new PrimarySide(this.#surroundings(), usable ? { ...known, base: command.base } : undefined);
    this.#history = undefined;
  }

  /** Puts the tree back to what it was before the resync that did not finish. It can be interrupted, and asked for again. */
  #takeImage(backing: readonly string[]): void {
    const store = (this.#store ??= this.#open(backing));
    const image = this.#marker.isSet ? restorableImage(store, this.#settings.stateDirectory) : undefined;
    if (image === undefined) throw new HoldfastError('HF_REPLICATION_IMAGE', 'there is no image of this copy that could be promoted');
    store.image.pause();
    restoreImage(store, image);
    this.#history = undefined;
    eraseHistory(this.#settings.stateDirectory);
    this.#marker.clear();
    store.image.end();
    forgetImage(store);
    const message = `this copy was put back to what it was at ${image.header.at}: ${image.records.length} changes of an unfinished resync`;
    this.#report({ kind: 'log', level: 'warn', message });
  }

  /** One that belongs to a tree that is whole is not needed. */
  #imageOfLastRun(): ImageFacts | undefined {
    const { stateDirectory } = this.#settings;
    const left = readImage(stateDirectory);
    if (left !== undefined && this.#marker.isSet) return { at: left.header.at, changes: left.records.length };
    if (left !== undefined) eraseImage(stateDirectory);
    return undefined;
  }

  /** The trees and their history are as the predecessor left them: nothing is erased, nothing begins anew. */
  #resumePrimary({ backing, reconnects }: Command<'resume-primary'>): void {
    const left = this.#custody === undefined ? 'there is no holder' : Continuity.inherit(this.#custody, backing.length);
    if (typeof left === 'string') {
      throw new HoldfastError('HF_REPLICATION_PROCESS', `the replicator has ended, and its successor cannot go on: ${left}`);
    }
    this.#store ??= this.#open(backing);
    this.#side = new PrimarySide(this.#surroundings(), this.#history, { left, reconnects } satisfies {
      left: Inheritance;
      reconnects: boolean;
    });
    this.#history = undefined;
  }

  #becomeSecondary(command: Command<'become-secondary'>): void {
    if (this.#side !== undefined)
      throw new HoldfastError('HF_REPLICATION_STATE', 'the replica must be stopped before it becomes secondary');
    this.#store ??= this.#open(command.backing);
    if (command.mayLack) this.#marker.set('the replicator has ended while it was connected', 'journal');
    this.#keeper = openKeeper(this.#settings, this.#store, command.givenUp, (message) => {
      this.#report({ kind: 'log', level: 'warn', message });
    });
    this.#side = new SecondarySide(this.#surroundings(), command.endpoint, this.#history);
    this.#history = undefined;
  }

  #open(backing: readonly string[]): RecordingStore {
    const store = new RecordingStore(backing, this.#settings.stateDirectory, (message) => {
      this.#report({ kind: 'log', level: 'warn', message });
    });
    this.#canImage = store.roots.every((_handle, root) => canClone(store, root));
    new WriteBehind(store, this.#pool).follow();
    store.lastCloses.closeElsewhere = (fd) => {
      this.#pool.run({ call: 'close', fd }, () => undefined);
    };
    const trash = (this.#trash = new Trash(store));
    // The room of what was removed, before anybody hears that there is none.
    store.roomMakers.push(
      () => this.#pool.finishCloses(),
      () => trash.removeSome(),
    );
    this.#boundary = new Boundary(store, this.#settings.exclusions);
    // A process that was killed may have left something.
    new Incoming(store).clear();
    return store;
  }

  #stop(done: () => void): void {
    const side = this.#side;
    const finish = (history: History | undefined): void => {
      this.#side = undefined;
      this.#closeKeeper();
      this.#image = this.#store === undefined ? this.#image : this.#store.image.facts;
      this.#store?.close();
      this.#store = undefined;
      this.#trash = undefined;
      this.#history = history;
      this.#save(history);
      this.#changed();
      done();
    };
    if (side instanceof PrimarySide) {
      side.finish(finish);
      return;
    }
    const history = side instanceof SecondarySide ? side.leave() : this.#history;
    this.#pool.whenIdle(() => {
      finish(history);
    });
  }

  #closeKeeper(): void {
    this.#keeper?.close();
    this.#keeper = undefined;
  }

  /** A module stops whatever the disk says; what cannot be saved costs a comparison later. */
  #save(history: History | undefined): void {
    try {
      const failure = history === undefined ? undefined : saveHistory(this.#settings.stateDirectory, history);
      if (failure !== undefined) {
        const message = `what differs from the peer cannot be saved, after a restart the trees are compared: ${failure}`;
        this.#report({ kind: 'log', level: 'warn', message });
      }
    } catch (error) {
      this.#report({ kind: 'log', level: 'error', message: messageOf(error) });
    }
  }

  /** @returns true: there is more to do at once */
  turn(): boolean {
    const isMore = this.#side?.turn() === true;
    if (this.#marker.isSet !== this.#reportedInconsistent) this.#changed();
    return isMore;
  }

  /** How long the loop may sleep when nothing happens. */
  get sleepMaxMs(): number {
    return this.#side instanceof PrimarySide ? this.#side.sleepMaxMs : Infinity;
  }

  tick(): void {
    const side = this.#side;
    side?.tick();
    // A resync looks into the reserved directory itself.
    if (side !== undefined && side.linkState !== 'resynchronising') this.#trash?.removeSome();
  }

  #surroundings(): RoleSurroundings {
    return {
      settings: this.#settings,
      epoll: this.#epoll,
      pool: this.#pool,
      store: this.#store as RecordingStore,
      boundary: this.#boundary as Boundary,
      trash: this.#trash as Trash,
      marker: this.#marker,
      custody: this.#custody,
      keeper: this.#keeper,
      mark: this.#mark,
      nowMs: () => performance.now(),
      changed: () => {
        this.#changed();
      },
      verified: (outcome) => {
        this.#report({ kind: 'verified', outcome });
      },
      linkLost: (link, error) => {
        this.#report({ kind: 'link-lost', link, code: error.code, message: error.message });
      },
      diskFailed: (errno) => {
        const message = `the disk of this node fails (${errnoName(errno)}): the other node has everything and takes over`;
        this.#report({ kind: 'disk-failed', message });
        return blockForEver();
      },
      log: (level, message) => {
        this.#report({ kind: 'log', level, message });
      },
    };
  }

  #changed(): void {
    const side = this.#side;
    this.#reportedInconsistent = this.#marker.isSet;
    if (side instanceof PrimarySide) this.#lastResync = side.lastResync ?? this.#lastResync;
    this.#report({
      kind: 'state',
      state: {
        role: side === undefined ? 'stopped' : side instanceof PrimarySide ? 'primary' : 'secondary',
        link: side?.linkState ?? 'none',
        inconsistent: this.#marker.isSet,
        image: this.#store === undefined ? this.#image : this.#store.image.facts,
        canImage: this.#canImage,
        journalSince: side instanceof PrimarySide ? side.journalSince : side === undefined ? this.#history?.base : undefined,
        progress: side instanceof PrimarySide ? side.progress : undefined,
        lastResync: this.#lastResync,
        verifying: side instanceof PrimarySide ? side.verifying : undefined,
      },
    });
  }
}

/** The process ends this thread. */
function blockForEver(): never {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (;;) Atomics.wait(never, 0, 0);
}
