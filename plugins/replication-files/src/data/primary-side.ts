/**
 * The primary in the data thread: serves the mounts, keeps journal or recent set, and owns the link to the secondary with its resync,
 * checkpoints and repairs.
 */
import { HoldfastError, messageOf, type ResyncProgress, type ResyncSummary, type VerifyProgress } from '@holdfast/sdk';
import { Continuity, type Inheritance } from '../continuity/continuity.js';
import { RecentLog } from '../continuity/recent-log.js';
import { FuseDevice } from '../fuse/device.js';
import { DirtySet, RecentSet, type TouchRecorder } from '../journal/dirty-set.js';
import { DataConnector } from '../link/data-connection.js';
import { FileSystem } from '../primary/file-system.js';
import { NodeTable } from '../primary/node-table.js';
import { Pipeline } from '../primary/pipeline.js';
import { ResyncSource } from '../resync/source.js';
import { errnoName } from '../system/errno.js';
import { ActivityKeeper } from './activity-keeper.js';
import { Attendance } from './attendance.js';
import { Checkpoint } from './checkpoint.js';
import { expandActivity } from './expand-activity.js';
import type { History } from './history.js';
import { JournalKeeper } from './journal-keeper.js';
import type { DataCommand } from './messages.js';
import { PeerLink } from './peer-link.js';
import type { PrimaryLink } from './primary-link.js';
import { ServedDevices } from './served-devices.js';
import type { RoleSurroundings } from './surroundings.js';
import { VerifyRun } from './verify-run.js';

/** A successor tries for so long to find the peer again before the core is asked; the application waits meanwhile. */
const RECONNECT_MAX_MS = 3000;
/** Requests that come without end do not keep a forced stop waiting for longer. */
const QUIET_MAX_MS = 3000;
/** The application counts as working for so long after a request. */
const ACTIVE_MS = 50;

type ConnectCommand = Extract<DataCommand, { kind: 'connect' }>;
type VerifyCommand = Extract<DataCommand, { kind: 'verify' }>;

export class PrimarySide {
  readonly #around: RoleSurroundings;
  readonly #nodes: NodeTable;
  readonly #pipeline: Pipeline;
  readonly #devices: ServedDevices;
  readonly #recent: RecentSet;
  readonly #continuity: Continuity | undefined;
  /** Devices on which the kernel may still send requests again. */
  readonly #repeating = new Set<FuseDevice>();
  /** A successor looks for the peer of its predecessor until then. */
  #reconnectUntilMs: number | undefined;
  readonly #activity: ActivityKeeper;
  readonly #attendance: Attendance;
  /** What the peer does not have, while alone. */
  readonly #journals: JournalKeeper;
  #link: PrimaryLink | undefined;
  #verifyRun: VerifyRun | undefined;
  #lastRequestMs = -Infinity;
  #resyncStartedMs = 0;
  /** Generation of the link that was connected last. */
  #lastGeneration: string | undefined;
  /** The replica stops: as soon as every request that has come is answered. */
  #onQuiet: { readonly untilMs: number; readonly end: () => void } | undefined;
  /** The replica stops: what to do if the link ends before its last checkpoint. */
  #onLinkEnd: (() => void) | undefined;
  lastResync: ResyncSummary | undefined;

  /**
   * @param history undefined: nothing is known of the difference, a later peer must be compared
   * @param heir what a killed predecessor left; its mounts are served at once
   */
  constructor(around: RoleSurroundings, history: History | undefined, heir?: { readonly left: Inheritance; readonly reconnects: boolean }) {
    this.#around = around;
    const { store, boundary, pool, epoll } = around;
    this.#attendance = new Attendance(around);
    const isPaired = heir?.left.memory.isPaired === true;
    this.#continuity = around.custody === undefined ? undefined : Continuity.begin(around.custody, heir?.left);
    this.#recent = new RecentSet(this.#continuity === undefined ? undefined : new RecentLog(this.#continuity.memory));
    this.#activity = new ActivityKeeper(around, () => {
      this.#pipeline.resume();
    });
    this.#journals = new JournalKeeper(around, this.#activity, () => {
      this.refuse();
    });
    // A successor that has to hold leaves journal and activity log as they are, for a power cut, until it begins new ones.
    if (history !== undefined && !isPaired) {
      if (history.activity !== undefined) expandActivity(history.activity, store, history.set);
      this.#journals.begin(history.base, history.set);
    }
    store.onCreated = (handle) => this.#activity.log?.created(handle);
    this.#nodes = new NodeTable(store, boundary, this.#continuity);
    const trees = { store, nodes: this.#nodes, boundary };
    this.#pipeline = new Pipeline(trees, {
      recorder: () => this.#recorder(),
      activity: () => this.#activity.log,
      flushJournal: () => {
        this.#journals.flush();
      },
      admits: () => this.#link?.source?.admits() ?? true,
      diverged: (reason) => {
        this.#repair(reason);
      },
      syncLocally: (handle, isDatasync, done) => {
        this.#journals.sync(handle, isDatasync, this.#pipeline.flow !== 'connected', done);
      },
      diskFailed: around.diskFailed,
      isAttended: () => this.#attendance.isAttended,
      peerFailed: (reason) => {
        this.#lose(new HoldfastError('HF_REPLICATION_PEER_DISK', reason));
      },
    });
    const fileSystem = new FileSystem(trees, this.#pipeline, pool, this.#continuity, around.settings.sync);
    this.#devices = new ServedDevices(epoll, fileSystem, (device, areMoreWaiting) => {
      this.#lastRequestMs = around.nowMs();
      // Requests that come again are in front: when nothing waits, all have come.
      if (!areMoreWaiting && this.#repeating.delete(device) && this.#repeating.size === 0) this.#nodes.allRepeated();
    });
    if (heir === undefined) this.#continuity?.publish();
    else this.#inherit(heir.left, heir.reconnects, isPaired ? history : undefined);
  }

  /** @param repair the journal of a repair that was not finished: then the recent set alone is not everything */
  #inherit(left: Inheritance, reconnects: boolean, repair: History | undefined): void {
    const { nowMs } = this.#around;
    if (left.memory.isPaired) {
      this.#pipeline.beginHolding();
      this.#recent.merge(left.recent);
      if (repair !== undefined) this.#recent.merge(repair.set);
      if (reconnects) this.#reconnectUntilMs = nowMs() + RECONNECT_MAX_MS;
    }
    this.#nodes.inherit(left);
    this.#continuity?.publish();
    left.memory.release();
    for (const device of this.serve(left.devices)) {
      this.#repeating.add(device);
      const outcome = device.requestAgain();
      if (outcome < 0) throw new HoldfastError('HF_REPLICATION_PROCESS', `the kernel does not send requests again: ${errnoName(outcome)}`);
    }
  }

  get linkState(): 'none' | 'resynchronising' | 'connected' | 'holding' {
    if (this.#pipeline.flow === 'holding') return this.#reconnectUntilMs === undefined ? 'holding' : 'resynchronising';
    // Until its summary is there the resync is not over for others.
    if (this.#pipeline.flow === 'connected' && this.#link?.source === undefined) return 'connected';
    return this.#link?.source === undefined && this.#link?.repairs === undefined ? 'none' : 'resynchronising';
  }

  get journalSince(): string | undefined {
    return this.#pipeline.flow === 'alone' ? this.#journals.journal?.base : undefined;
  }

  get progress(): ResyncProgress | undefined {
    return this.#link?.source?.progress();
  }

  get verifying(): VerifyProgress | undefined {
    return this.#verifyRun?.progress;
  }

  serve(fuseFds: readonly number[]): readonly FuseDevice[] {
    return fuseFds.map((fd, root) => {
      const device = new FuseDevice(fd, root);
      if (this.#continuity !== undefined) device.agree(this.#continuity.memory.fuseFeatures);
      device.onDiskError = (errno) => this.#pipeline.flow === 'connected' && this.#around.diskFailed(errno);
      this.#continuity?.keepDevice(root, fd);
      this.#devices.add(device);
      return device;
    });
  }

  #recorder(): TouchRecorder {
    return this.#pipeline.flow === 'connected' ? this.#recent : this.#journals.recorder;
  }

  connect(command: ConnectCommand): void {
    const resumes = this.#reconnectUntilMs !== undefined && this.#pipeline.flow === 'holding' && command.mode === 'journal';
    if (this.#pipeline.flow !== 'alone' && this.#pipeline.flow !== 'connected' && !resumes) {
      throw new HoldfastError('HF_REPLICATION_STATE', `a primary that is ${this.#pipeline.flow} takes no new link`);
    }
    if (this.#link !== undefined) this.dropLink(this.#link.number, 'replaced by a new link');
    const { epoll, settings, nowMs } = this.#around;
    const link: PrimaryLink = {
      number: command.link,
      session: Buffer.from(command.keys.cookie).toString('hex'),
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
      if (resumes) this.#repair('the replicator of the primary was replaced');
      else this.#startSource(link, command.mode, command.reason);
    };
    link.connector = new DataConnector(epoll, command.endpoint, Buffer.from(command.keys.cookie), done, command.localAddress);
  }

  #startSource(link: PrimaryLink, mode: 'journal' | 'compare', reason?: string): void {
    const peer = link.peer as PeerLink;
    const { store, boundary, pool, nowMs } = this.#around;
    const known = this.#journals.journal?.set;
    if (mode === 'journal' && known === undefined) {
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
      differs: mode === 'journal' && known !== undefined ? known : new DirtySet(),
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
    this.#journals.recorder.follower = source.pending;
    this.#resyncStartedMs = nowMs();
    link.source = source;
    this.#around.changed();
  }

  /** Both trees are the same and durable, and the peer's mark is gone: from here on the peer comes first. */
  #identical(link: PrimaryLink, peer: PeerLink): void {
    this.#around.mark.connected(link.generation, link.session);
    // A successor that finds more than differs repairs what is the same.
    if (this.#continuity !== undefined) this.#continuity.memory.isPaired = true;
    // The log before the journal: without one of both, what is modified from now on would have no base.
    this.#activity.restart(link.generation);
    this.#journals.end();
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
      // A link that is lost before the peer has marked itself leaves a journal, which goes on.
      if (this.#journals.journal === undefined) this.#journals.begin(link.generation, this.#recent.all());
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
    this.#reconnectUntilMs = undefined;
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
    this.#journals.recorder.follower = undefined;
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
    if (this.#pipeline.flow !== 'holding') {
      // The peer was marked before the link was lost; now it is outdated too.
      this.#unpair();
      return;
    }
    if (this.#journals.journal !== undefined) this.#journals.journal.sync();
    else this.#journals.begin(base, this.#recent.all());
    this.#activity.log?.rebase(this.#journals.journal?.base ?? base);
    this.#unpair();
    this.#recent.clear();
    this.#pipeline.goAlone({ awaitAnswers: false });
    this.#around.changed();
  }

  /** The core says that the peer cannot take over: a successor needs not wait for it. */
  #unpair(): void {
    this.#reconnectUntilMs = undefined;
    if (this.#continuity !== undefined) this.#continuity.memory.isPaired = false;
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
    this.#continuity?.memory.giveUp();
    this.#verifyRun?.interrupt('HF_REPLICATION_STATE', 'the application is being stopped');
    this.#pipeline.refuse();
    this.#around.changed();
  }

  /** Once per turn of the loop. @returns true: there is more to do at once */
  turn(): boolean {
    this.#endWhenQuiet();
    this.#attendance.follow(this.#pipeline);
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
    return Math.min(this.#verifyRun?.waitMs ?? Infinity, this.#attendance.waitMs);
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
    this.#journals.restoreFile();
    const { journal } = this.#journals;
    if (this.#pipeline.flow === 'alone' && journal !== undefined) this.#activity.flush(journal);
    if (this.#reconnectUntilMs === undefined || this.#around.nowMs() < this.#reconnectUntilMs) return;
    this.#reconnectUntilMs = undefined;
    this.#around.changed();
  }

  /**
   * After the directories were unmounted: serves what the kernel has written back, flushes both nodes, tells the peer, closes. `done` gets
   * what is known for the next start, when nothing uses a descriptor any more.
   */
  finish(done: (history: History | undefined) => void): void {
    this.#verifyRun?.interrupt('HF_REPLICATION_STATE', 'the module stops on this node');
    this.#onQuiet = {
      untilMs: this.#around.nowMs() + QUIET_MAX_MS,
      end: () => {
        this.#finish(done);
      },
    };
    this.#endWhenQuiet();
  }

  #endWhenQuiet(): void {
    if (this.#onQuiet === undefined) return;
    const { untilMs, end } = this.#onQuiet;
    const { flow } = this.#pipeline;
    const waits = (flow === 'connected' || flow === 'alone') && this.#around.nowMs() < untilMs;
    if (waits && !(this.#devices.serveAll() && this.#pipeline.isIdle)) return;
    this.#onQuiet = undefined;
    end();
  }

  #finish(done: (history: History | undefined) => void): void {
    this.#devices.end();
    const link = this.#link;
    const close = (): void => {
      this.#onLinkEnd = undefined;
      const history = this.#close();
      this.#around.pool.whenIdle(() => {
        this.#devices.close();
        this.#continuity?.end();
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
    const journalled = this.#journals.close();
    if (journalled !== undefined) return journalled;
    return generation === undefined ? undefined : { base: generation, set: this.#recent.all() };
  }
}
