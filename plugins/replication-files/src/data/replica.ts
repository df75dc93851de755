/** The state of one replica in the data thread: stopped, primary or secondary, and what is known of the difference from the peer. */
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { Boundary } from '../boundary/boundary.js';
import { exclusionsDigest } from '../configuration.js';
import { InconsistentMarker } from '../journal/marker.js';
import { Incoming } from '../secondary/incoming.js';
import { Store } from '../store/store.js';
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
  #history: History | undefined;
  #store: Store | undefined;
  #boundary: Boundary | undefined;
  #side: PrimarySide | SecondarySide | undefined;
  #lastResync: DataState['lastResync'];
  #reportedInconsistent = false;

  constructor(settings: DataSettings, epoll: EpollSet, pool: Pool, report: (report: DataReport) => void) {
    this.#settings = settings;
    this.#epoll = epoll;
    this.#pool = pool;
    this.#report = report;
    this.#marker = new InconsistentMarker(settings.stateDirectory);
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
      case 'become-secondary':
        return this.#becomeSecondary(command);
      case 'serve':
        return this.#primary().serve(command.fuseFds);
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
    if (this.#marker.isSet && !command.force) {
      throw new HoldfastError(
        'HF_REPLICATION_INCONSISTENT',
        `this tree is inconsistent (${this.#marker.reason ?? ''}): start the other node, or force`,
      );
    }
    const fromSecondary = this.#side instanceof SecondarySide;
    if (this.#side instanceof SecondarySide) {
      this.#history = this.#side.leave();
      this.#side = undefined;
    }
    const known = this.#history;
    // A stopped node's knowledge counts from one generation; a secondary's, from the generation that it was connected in.
    const usable = !command.fresh && !this.#marker.isSet && known !== undefined && (fromSecondary || known.base === command.base);
    this.#store ??= this.#open(command.backing);
    if (usable) eraseCleanMark(this.#settings.stateDirectory);
    else eraseHistory(this.#settings.stateDirectory);
    this.#marker.clear();
    this.#side = new PrimarySide(this.#surroundings(), usable ? { ...known, base: command.base } : undefined);
    this.#history = undefined;
  }

  #becomeSecondary(command: Command<'become-secondary'>): void {
    if (this.#side !== undefined)
      throw new HoldfastError('HF_REPLICATION_STATE', 'the replica must be stopped before it becomes secondary');
    this.#store ??= this.#open(command.backing);
    this.#side = new SecondarySide(this.#surroundings(), command.endpoint, this.#history);
    this.#history = undefined;
  }

  #open(backing: readonly string[]): Store {
    const store = new Store(backing);
    new WriteBehind(store, this.#pool).follow();
    this.#boundary = new Boundary(store, this.#settings.exclusions);
    // A process that was killed may have left something.
    new Incoming(store).clear();
    return store;
  }

  #stop(done: () => void): void {
    const side = this.#side;
    const finish = (history: History | undefined): void => {
      this.#side = undefined;
      this.#store?.close();
      this.#store = undefined;
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
    this.#side?.tick();
  }

  #surroundings(): RoleSurroundings {
    return {
      settings: this.#settings,
      epoll: this.#epoll,
      pool: this.#pool,
      store: this.#store as Store,
      boundary: this.#boundary as Boundary,
      marker: this.#marker,
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
