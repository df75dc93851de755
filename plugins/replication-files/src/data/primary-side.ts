/**
 * The primary in the data thread: serves the mounts, keeps journal or recent set, and owns the link to the secondary with its resync,
 * checkpoints and repairs.
 */
import { HoldfastError, messageOf, type ResyncProgress, type ResyncSummary, type VerifyProgress } from '@holdfast/sdk';
import { FuseDevice } from '../fuse/device.js';
import { DirtySet, RecentSet, type TouchRecorder } from '../journal/dirty-set.js';
import { Journal } from '../journal/journal.js';
import { DataConnector } from '../link/data-connection.js';
import { FileSystem } from '../primary/file-system.js';
import { NodeTable } from '../primary/node-table.js';
import { Pipeline } from '../primary/pipeline.js';
import { ResyncSource } from '../resync/source.js';
import type { Handle } from '../store/handle.js';
import { EPOLLIN } from '../system/constants.js';
import { errnoName } from '../system/errno.js';
import { ActivityKeeper } from './activity-keeper.js';
import { Checkpoint } from './checkpoint.js';
import { expandActivity } from './expand-activity.js';
import { Untracked, type History } from './history.js';
import type { DataCommand } from './messages.js';
import { PeerLink } from './peer-link.js';
import type { PrimaryLink } from './primary-link.js';
import type { RoleSurroundings } from './surroundings.js';
import { VerifyRun } from './verify-run.js';

const RESTORE_INTERVAL_MS = 5000;
/** The application counts as working for so long after a request. */
const ACTIVE_MS = 50;

type ConnectCommand = Extract<DataCommand, { kind: 'connect' }>;
type VerifyCommand = Extract<DataCommand, { kind: 'verify' }>;

export class PrimarySide {
  readonly #around: RoleSurroundings;
  readonly #nodes: NodeTable;
  readonly #pipeline: Pipeline;
  readonly #fileSystem: FileSystem;
  readonly #devices: FuseDevice[] = [];
  readonly #recent = new RecentSet();
  /** What the peer does not have, while alone. */
  #journal: Journal | Untracked;
  readonly #activity: ActivityKeeper;
  #link: PrimaryLink | undefined;
  #journalIsUnsynced = false;
  #fileLostMs = 0;
  #verifyRun: VerifyRun | undefined;
  #lastRequestMs = -Infinity;
  #resyncStartedMs = 0;
  /** Generation of the link that was connected last. */
  #lastGeneration: string | undefined;
  /** The replica stops: what to do if the link ends before its last checkpoint. */
  #onLinkEnd: (() => void) | undefined;
  lastResync: ResyncSummary | undefined;

  /** @param history undefined: nothing is known of the difference, a later peer must be compared */
  constructor(around: RoleSurroundings, history: History | undefined) {
    this.#around = around;
    this.#activity = new ActivityKeeper(around, () => {
      this.#pipeline.resume();
    });
    if (history?.activity !== undefined) expandActivity(history.activity, around.store, history.set);
    this.#journal = history === undefined ? new Untracked() : this.#newJournal(history.base, history.set);
    // After the journal, which has all that an earlier log named.
    if (this.#journal instanceof Journal && this.#journal.hasFile) this.#activity.start(this.#journal.base);
    const { store, boundary } = around;
    store.onCreated = (handle) => this.#activity.log?.created(handle);
    this.#nodes = new NodeTable(store, boundary);
    const trees = { store, nodes: this.#nodes, boundary };
    this.#pipeline = new Pipeline(trees, {
      recorder: () => this.#recorder(),
      activity: () => this.#activity.log,
      flushJournal: () => {
        this.#flushJournal();
      },
      admits: () => this.#link?.source?.admits() ?? true,
      diverged: (reason) => {
        this.#repair(reason);
      },
      syncLocally: (handle, isDatasync, done) => {
        this.#syncLocally(handle, isDatasync, done);
      },
      diskFailed: around.diskFailed,
      peerFailed: (reason) => {
        this.#lose(new HoldfastError('HF_REPLICATION_PEER_DISK', reason));
      },
    });
    this.#fileSystem = new FileSystem(trees, this.#pipeline, around.pool);
    this.#fileSystem.onBufferFree = () => {
      for (const device of this.#devices) around.epoll.change(device.fd, EPOLLIN);
    };
  }

  get linkState(): 'none' | 'resynchronising' | 'connected' | 'holding' {
    if (this.#pipeline.flow === 'holding') return 'holding';
    // Until its summary is there the resync is not over for others.
    if (this.#pipeline.flow === 'connected' && this.#link?.source === undefined) return 'connected';
    return this.#link?.source === undefined && this.#link?.repairs === undefined ? 'none' : 'resynchronising';
  }

  get journalSince(): string | undefined {
    return this.#pipeline.flow === 'alone' && this.#journal instanceof Journal ? this.#journal.base : undefined;
  }

  get progress(): ResyncProgress | undefined {
    return this.#link?.source?.progress();
  }

  get verifying(): VerifyProgress | undefined {
    return this.#verifyRun?.progress;
  }

  serve(fuseFds: readonly number[]): void {
    for (const [root, fd] of fuseFds.entries()) {
      const device = new FuseDevice(fd, root);
      device.onDiskError = (errno) => this.#pipeline.flow === 'connected' && this.#around.diskFailed(errno);
      this.#devices.push(device);
      this.#around.epoll.add(fd, EPOLLIN, () => {
        this.#serve(device);
      });
    }
  }

  #serve(device: FuseDevice): void {
    this.#lastRequestMs = this.#around.nowMs();
    const outcome = this.#fileSystem.serve(device);
    if (outcome === 'full') for (const each of this.#devices) this.#around.epoll.change(each.fd, 0);
    else if (outcome === 'ended') this.#drop(device);
  }

  #drop(device: FuseDevice): void {
    this.#around.epoll.remove(device.fd);
    device.close();
    this.#devices.splice(this.#devices.indexOf(device), 1);
  }

  #recorder(): TouchRecorder {
    return this.#pipeline.flow === 'connected' ? this.#recent : this.#journal;
  }

  #newJournal(base: string, set: DirtySet): Journal {
    return new Journal(this.#around.settings.stateDirectory, base, set, undefined, (reason) => {
      this.#fileLostMs = this.#around.nowMs();
      // What it said of the time before the last flush is said nowhere else.
      this.#activity.remove();
      const message = `the journal cannot be written and is kept in memory; if this node fails the trees are compared: ${reason}`;
      this.#around.log('error', message);
    });
  }

  #flushJournal(): void {
    if (!(this.#journal instanceof Journal) || !this.#journal.isPending) return;
    this.#journalIsUnsynced = true;
    this.#orRefuse(this.#journal, (journal) => {
      journal.flush();
    });
  }

  /** A journal that lacks something and cannot be removed would be believed by the next start: then nothing more may be modified. */
  #orRefuse(journal: Journal, step: (journal: Journal) => void): void {
    try {
      step(journal);
    } catch (error) {
      this.#around.log('error', messageOf(error));
      this.refuse();
    }
  }

  #syncLocally(handle: Handle, isDatasync: boolean, done: (outcome: number) => void): void {
    const { store, pool } = this.#around;
    const fd = store.pin(handle);
    if (fd < 0) {
      done(fd);
      return;
    }
    const needsJournal = this.#journalIsUnsynced && this.#pipeline.flow !== 'connected';
    const journal = needsJournal && this.#journal instanceof Journal && this.#journal.hasFile ? this.#journal : undefined;
    let left = journal === undefined ? 1 : 2;
    let failure = 0;
    const step = (outcome: number): void => {
      if (outcome < 0) failure = outcome;
      left -= 1;
      if (left === 0) done(failure);
    };
    pool.run({ call: isDatasync ? 'fdatasync' : 'fsync', fd }, (outcome) => {
      store.unpin(handle);
      step(outcome);
    });
    if (journal === undefined) return;
    const journalFd = journal.fd;
    this.#journalIsUnsynced = false;
    pool.run({ call: 'fdatasync', fd: journalFd }, (outcome) => {
      // A file that was rewritten meanwhile was durable before the old one was closed; one that was removed is durably gone.
      if (outcome < 0 && journal.fd === journalFd) {
        this.#orRefuse(journal, () => {
          journal.loseFile(errnoName(outcome));
        });
      }
      step(0);
    });
  }

  connect(command: ConnectCommand): void {
    if (this.#pipeline.flow !== 'alone' && this.#pipeline.flow !== 'connected') {
      throw new HoldfastError('HF_REPLICATION_STATE', `a primary that is ${this.#pipeline.flow} takes no new link`);
    }
    if (this.#link !== undefined) this.dropLink(this.#link.number, 'replaced by a new link');
    const { epoll, settings, nowMs } = this.#around;
    const link: PrimaryLink = {
      number: command.link,
      generation: command.generation,
      peer: undefined,
      connector: undefined,
      source: undefined,
      checkpoint: undefined,
      repairs: undefined,
      nextResyncSeq: 1,
    };
    this.#link = link;
    const done = (outcome: number | HoldfastError): void => {
      link.connector = undefined;
      if (typeof outcome !== 'number') {
        this.#lose(outcome);
        return;
      }
      link.peer = new PeerLink(
        epoll,
        outcome,
        {
          sendKey: Buffer.from(command.keys.sendKey),
          receiveKey: Buffer.from(command.keys.receiveKey),
          silenceMaxMs: settings.silenceMaxMs,
          nowMs,
        },
        {
          onResyncAnswer: (answer) => {
            link.source?.answer(answer);
            // Its first answer means that the peer is durably marked as behind.
            if (link.repairs !== undefined && link.source !== undefined) this.#repairStarted(link);
          },
          onDrained: () => undefined,
          onLost: (error) => {
            this.#lose(error);
          },
          onFailed: (code, message) => {
            this.#lose(new HoldfastError(code, message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message));
          },
        },
      );
      this.#startSource(link, command.mode, command.reason);
    };
    link.connector = new DataConnector(epoll, command.endpoint, Buffer.from(command.keys.cookie), done, command.localAddress);
  }

  #startSource(link: PrimaryLink, mode: 'journal' | 'compare', reason?: string): void {
    const peer = link.peer as PeerLink;
    const { store, boundary, pool, nowMs } = this.#around;
    if (mode === 'journal' && !(this.#journal instanceof Journal)) {
      this.#lose(new HoldfastError('HF_REPLICATION_NO_JOURNAL', 'there is no usable journal on this node: the trees must be compared'));
      return;
    }
    const source = new ResyncSource({
      store,
      boundary,
      channel: peer.channel,
      mode,
      ...(mode === 'compare' && reason !== undefined && { reason }),
      // A comparison finds by itself what a journal knows, and sends only what really differs.
      differs: mode === 'journal' && this.#journal instanceof Journal ? this.#journal.set : new DirtySet(),
      pool,
      nowMs,
      firstSeq: link.nextResyncSeq,
      release: () => {
        this.#pipeline.resume();
      },
      identical: (done) => {
        this.#identical(link, peer);
        done();
      },
      done: (summary) => {
        this.lastResync = summary;
        link.nextResyncSeq = source.nextSeq;
        link.source = undefined;
        this.#around.changed();
        this.#verifyRun?.connected(peer);
      },
      failed: (error) => {
        this.#lose(error);
      },
    });
    this.#journal.follower = source.pending;
    this.#resyncStartedMs = nowMs();
    link.source = source;
    this.#around.changed();
  }

  /** Both trees are the same and durable, and the peer's mark is gone: from here on the peer comes first. */
  #identical(link: PrimaryLink, peer: PeerLink): void {
    // The log first: without one of both, what is modified from now on would have no base.
    this.#activity.restart(link.generation);
    if (this.#journal instanceof Journal) this.#journal.abandon();
    this.#journal = new Untracked();
    this.#recent.clear();
    this.#lastGeneration = link.generation;
    this.#pipeline.connect(peer);
    link.checkpoint = new Checkpoint(this.#around, this.#recent, this.#activity.log, peer);
    this.#around.changed();
  }

  /** Turns a connected link into one that resynchronises what differs, from this node's truth. */
  #repair(reason: string, how: 'journal' | 'compare' = 'journal'): void {
    const link = this.#link;
    if (link === undefined || link.repairs !== undefined) return;
    if (this.#verifyRun?.isRepairing === false) this.#verifyRun.interrupt('HF_REPLICATION_DIVERGED', `the nodes differ: ${reason}`);
    this.#around.log('warn', `the nodes differ and are repaired from this one: ${reason}`);
    try {
      this.#journal = this.#newJournal(link.generation, this.#recent.all());
    } catch (error) {
      this.#lose(error instanceof HoldfastError ? error : new HoldfastError('HF_REPLICATION_JOURNAL', messageOf(error)));
      return;
    }
    link.repairs = how;
    link.checkpoint?.cancel();
    link.checkpoint = undefined;
    this.#pipeline.goAlone({ awaitAnswers: true });
    this.#around.changed();
  }

  #repairStarted(link: PrimaryLink): void {
    link.repairs = undefined;
    this.#pipeline.thaw();
  }

  /** The link is gone, for whatever reason but a command. */
  #lose(error: HoldfastError): void {
    const link = this.#link;
    if (link === undefined) return;
    this.#endLink(link);
    this.#around.linkLost(link.number, error);
    this.#around.changed();
  }

  #endLink(link: PrimaryLink): void {
    this.#link = undefined;
    this.#verifyRun?.interrupt('HF_REPLICATION_LINK_LOST', 'the link to the peer ended before the comparison');
    link.source?.stop();
    link.connector?.cancel();
    link.peer?.close();
    this.#journal.follower = undefined;
    this.#pipeline.hold();
    this.#pipeline.resume();
    this.#onLinkEnd?.();
  }

  dropLink(number: number, reason: string): void {
    const link = this.#link;
    if (link?.number !== number) return;
    if (link.peer?.channel.isOpen === true) link.peer.channel.fail('HF_REPLICATION_DROPPED', reason);
    this.#endLink(link);
    this.#around.changed();
  }

  /** @throws HoldfastError HF_REPLICATION_JOURNAL when an old journal can neither be replaced nor removed: the caller stays holding */
  continueAlone(base: string): void {
    if (this.#pipeline.flow !== 'holding') return;
    if (this.#journal instanceof Journal) this.#journal.sync();
    else this.#journal = this.#newJournal(base, this.#recent.all());
    this.#activity.log?.rebase(base);
    this.#recent.clear();
    this.#pipeline.goAlone({ awaitAnswers: false });
    this.#around.changed();
  }

  /** @throws HoldfastError HF_REPLICATION_VERIFY when it cannot begin */
  verify({ verifyId, repair, bytesPerSecondMax }: VerifyCommand): void {
    const link = this.#link;
    if (link?.peer === undefined || this.linkState !== 'connected') {
      throw new HoldfastError('HF_REPLICATION_VERIFY', `a primary whose link is ${this.linkState} has nothing to compare with`);
    }
    if (this.#verifyRun !== undefined) throw new HoldfastError('HF_REPLICATION_VERIFY', 'a verification is running already');
    this.#verifyRun = new VerifyRun(link.peer, {
      id: verifyId,
      repair,
      bytesPerSecondMax,
      around: this.#around,
      nodes: this.#nodes,
      recent: this.#recent,
      isApplicationActive: () => this.#around.nowMs() - this.#lastRequestMs < ACTIVE_MS,
      repairPeer: (what, reason) => {
        if (what !== 'everything') this.#recent.merge(what);
        this.#repair(reason, what === 'everything' ? 'compare' : 'journal');
      },
      ended: () => {
        this.#verifyRun = undefined;
        this.#around.changed();
      },
    });
  }

  cancelVerify(): void {
    this.#verifyRun?.interrupt('HF_REPLICATION_VERIFY_CANCELLED', 'the verification was cancelled');
  }

  refuse(): void {
    this.#verifyRun?.interrupt('HF_REPLICATION_STATE', 'the application is being stopped');
    this.#pipeline.refuse();
    this.#around.changed();
  }

  /** Once per turn of the loop. @returns true: there is more to do at once */
  turn(): boolean {
    const link = this.#link;
    if (link?.peer === undefined) return false;
    if (link.repairs !== undefined && link.source === undefined && link.peer.unanswered === 0) this.#startSource(link, link.repairs);
    this.#verifyRun?.step();
    const outcome = link.source === undefined || this.#isAhead(link.source) ? 'waiting' : link.source.step();
    if (this.#link === link) link.peer.channel.flush();
    return outcome === 'more';
  }

  /** How long the loop may sleep when nothing happens. */
  get sleepMaxMs(): number {
    return this.#verifyRun?.waitMs ?? Infinity;
  }

  /** Has the resync sent more than its bandwidth allows? Its last round, for which the application waits, is never held up. */
  #isAhead(source: ResyncSource): boolean {
    const limit = this.#around.settings.resyncBytesPerSecondMax;
    if (limit === undefined || !source.admits()) return false;
    const seconds = (this.#around.nowMs() - this.#resyncStartedMs) / 1000;
    return source.progress().bytesSent > limit * seconds;
  }

  /** About twice a second. */
  tick(): void {
    this.#link?.peer?.channel.tick();
    if (this.#pipeline.flow === 'connected') this.#link?.checkpoint?.tick();
    if (this.#link?.source !== undefined || this.#verifyRun !== undefined) this.#around.changed();
    this.#restoreJournalFile();
    if (this.#pipeline.flow === 'alone' && this.#journal instanceof Journal) this.#activity.flush(this.#journal);
  }

  /** There may be room on the disk again. */
  #restoreJournalFile(): void {
    const { nowMs, log } = this.#around;
    if (!(this.#journal instanceof Journal) || this.#journal.hasFile || nowMs() - this.#fileLostMs < RESTORE_INTERVAL_MS) return;
    this.#fileLostMs = nowMs();
    this.#orRefuse(this.#journal, (journal) => {
      if (!journal.restoreFile()) return;
      this.#activity.start(journal.base);
      log('info', 'the journal is on the disk again');
    });
  }

  /**
   * After the directories were unmounted: flushes both nodes, tells the peer, closes. `done` gets what is known for the next start, when
   * nothing uses a descriptor any more.
   */
  finish(done: (history: History | undefined) => void): void {
    for (const device of this.#devices) this.#around.epoll.remove(device.fd);
    this.#verifyRun?.interrupt('HF_REPLICATION_STATE', 'the module stops on this node');
    const link = this.#link;
    const close = (): void => {
      this.#onLinkEnd = undefined;
      const history = this.#close();
      this.#around.pool.whenIdle(() => {
        for (const device of this.#devices.splice(0)) device.close();
        done(history);
      });
    };
    if (link?.checkpoint === undefined || this.#pipeline.flow !== 'connected') {
      close();
      return;
    }
    // A peer that is lost meanwhile is not waited for.
    this.#onLinkEnd = close;
    link.checkpoint.last(close);
    link.peer?.channel.flush();
  }

  /** @returns what is known of the difference from the peer */
  #close(): History | undefined {
    // What was sent and not answered may be on the peer and is not here: only a link without such has a history.
    const generation = this.#pipeline.flow === 'connected' && this.#pipeline.isIdle ? this.#lastGeneration : undefined;
    this.#pipeline.refuse();
    // Removed when what it says is known to be on the disk in better words.
    this.#activity.close();
    if (this.#link !== undefined) this.dropLink(this.#link.number, 'the primary stops');
    if (this.#journal instanceof Journal) {
      const { base, set } = this.#journal;
      let isSaved = false;
      this.#orRefuse(this.#journal, (journal) => {
        isSaved = journal.close();
      });
      return { base, set, isSaved };
    }
    return generation === undefined ? undefined : { base: generation, set: this.#recent.all() };
  }
}
