/**
 * The order of things for modifications on the primary: the peer first, then the backing tree, then the answer.
 *
 * - `alone`: performed at once, named in the journal before the answer. While a resync's last round freezes the tree they wait.
 * - `connected`: sent, and applied here when the peer has acknowledged, in the order in which they were sent.
 * - `holding`: the link was lost; modifications and fsyncs wait. What was sent but not acknowledged waits too, in front.
 * - `refusing`: everything is answered with EIO.
 *
 * While the agent is silent nothing is answered, whatever the flow: it hangs, and the peer may take over.
 *
 * One queue holds what cannot be finished at once. Its order is the order of the requests; only fsync and reads pass by.
 */
import { messageOf } from '@holdfast/sdk';
import type { ReplyTo } from '../fuse/device.js';
import type { TouchRecorder } from '../journal/dirty-set.js';
import { isDirectory } from '../store/handle.js';
import { EIO, EROFS, ESTALE, isDiskError, isFull } from '../system/errno.js';
import { CreateModification } from './creation.js';
import type { Modification, Trees } from './modification.js';
import type { Node } from './node.js';
import type { PeerRequests, PipelineSurroundings } from './pipeline-surroundings.js';
import { piecesOf } from './pieces.js';
import { STAGING_BYTES_MAX, stagingRequests } from './staging.js';

export type Flow = 'alone' | 'connected' | 'holding' | 'refusing';

interface Entry {
  readonly modification: Modification;
  /** `local`: to be applied without the peer. `covered`: to be sent when the activity log is durable. */
  state: 'local' | 'covered' | 'sent' | 'answered';
  /** What the activity log must have on the disk first. */
  need: number;
  /** For `unpin`; undefined: not covered. */
  period: number | undefined;
  /** Answers that have not come. */
  waiting: number;
  errno: number;
}

interface Sync {
  readonly to: ReplyTo;
  readonly node: Node;
  readonly isDatasync: boolean;
  /** What must still be done; 0: answer. */
  left: number;
  outcome: number;
}

export class Pipeline {
  readonly #trees: Trees;
  readonly #around: PipelineSurroundings;
  readonly #queue: Entry[] = [];
  readonly #syncs = new Set<Sync>();
  #flow: Flow = 'alone';
  #peer: PeerRequests | undefined;
  #session = 0;
  /** Since a divergence, until the peer has durably marked itself: nothing that it lacks may be answered, or its takeover would lose it. */
  #isFrozen = false;
  /** The agent was silent when something was to be answered, until `attend` finds it back. */
  #isUnattended = false;
  readonly #frozenAnswers: { modification: Modification; outcome: number }[] = [];
  /** Entries that are not sent yet, in order. */
  #covered: Entry[] = [];
  #isDraining = false;

  constructor(trees: Trees, around: PipelineSurroundings) {
    this.#trees = trees;
    this.#around = around;
    trees.nodes.onUnnamedGone = (node) => {
      if (this.#flow === 'connected' && node.introducedIn === this.#session) {
        this.#peer?.request({ kind: 'forget', object: node.id }, () => undefined);
      }
    };
  }

  get flow(): Flow {
    return this.#flow;
  }

  /** Modifications that were sent and not yet answered. */
  get unanswered(): number {
    let count = 0;
    for (const entry of this.#queue) if (entry.state === 'sent') count += 1;
    return count;
  }

  get isIdle(): boolean {
    return this.#queue.length === 0 && this.#syncs.size === 0 && this.#frozenAnswers.length === 0;
  }

  #admits(): boolean {
    return !this.#isHeldBack() && this.#around.admits();
  }

  /** Nothing may be answered now. */
  #isHeldBack(): boolean {
    if (!this.#isUnattended && !this.#around.isAttended()) this.#isUnattended = true;
    return this.#isFrozen || this.#isUnattended;
  }

  get isUnattended(): boolean {
    return this.#isUnattended;
  }

  /** Looks whether a silent agent is back. */
  attend(): void {
    if (!this.#isUnattended || !this.#around.isAttended()) return;
    this.#isUnattended = false;
    // What is held waits for the core's decision, not for its ticks.
    if (!this.#isFrozen && this.#flow !== 'holding') this.thaw();
  }

  /** An answer was sent: unless another one is held back, nothing is outstanding. */
  answered(): void {
    if (this.#frozenAnswers.length === 0) this.#trees.nodes.answered();
  }

  /** A predecessor had a peer that may believe it has everything: as if the link had been lost. Before the first request. */
  beginHolding(): void {
    this.#flow = 'holding';
  }

  submit(modification: Modification): void {
    const refused = this.#flow === 'refusing' ? EIO : modification.prepare(this.#trees);
    if (refused !== 0) {
      modification.cancel(this.#trees);
      modification.fail(refused);
      return;
    }
    const need = this.#cover(modification);
    if (this.#flow === 'alone' && this.#queue.length === 0 && this.#isDurable(need) && this.#admits()) {
      this.#perform(modification);
      return;
    }
    const period = modification.isLocal ? undefined : this.#around.activity()?.pin();
    const entry: Entry = { modification, state: 'local', need, period, waiting: 0, errno: 0 };
    this.#queue.push(entry);
    if (this.#flow === 'connected' && isSendable(modification)) this.#sendWhenCovered(entry);
    this.resume();
  }

  #cover(modification: Modification): number {
    if (modification.isLocal) return 0;
    const touch = (recorder: TouchRecorder): void => {
      modification.touch(recorder);
    };
    return this.#around.activity()?.cover(touch) ?? 0;
  }

  #isDurable(need: number): boolean {
    return need === 0 || (this.#around.activity()?.isDurable(need) ?? true);
  }

  /** May it reach a disk? What was excluded when it came may be replicated now. */
  #isCovered(entry: Entry): boolean {
    if (entry.period === undefined && !entry.modification.isLocal) {
      entry.need = this.#cover(entry.modification);
      entry.period = this.#around.activity()?.pin();
    }
    return this.#isDurable(entry.need);
  }

  /** It was applied, or never will be. */
  #finished({ modification, period }: Entry): void {
    if (period === undefined || this.#around.activity()?.unpin(period) !== true) return;
    // A checkpoint that was cut meanwhile does not have it.
    this.#cover(modification);
  }

  /** fsync and fdatasync: on both nodes' disks, in parallel. */
  sync(to: ReplyTo, node: Node, isDatasync: boolean): void {
    if (this.#flow === 'refusing') {
      to.device.replyError(to, EIO);
      return;
    }
    const sync: Sync = { to, node, isDatasync, left: 0, outcome: 0 };
    this.#syncs.add(sync);
    if (node.isLocal || (this.#flow !== 'holding' && !this.#isHeldBack())) this.#startSync(sync);
  }

  /** The peer has all that this node has: from now on it is asked first. */
  connect(peer: PeerRequests): void {
    this.#peer = peer;
    this.#session += 1;
    this.#trees.nodes.forgetIds();
    this.#flow = 'connected';
    // What waited for the last round of the resync.
    for (const entry of this.#queue) {
      if (entry.state !== 'local' || !isSendable(entry.modification)) continue;
      // The log has begun anew.
      entry.need = this.#cover(entry.modification);
      this.#sendWhenCovered(entry);
    }
    this.resume();
  }

  /** The link was lost while connected, or before a diverged peer was marked. */
  hold(): void {
    if (this.#flow !== 'connected' && !this.#isFrozen) return;
    this.#peer = undefined;
    this.#flow = 'holding';
  }

  /**
   * The journal is on: goes on without the peer, first with what waited. To repair a peer (`awaitAnswers`): answers in flight are awaited,
   * and nothing is answered before `thaw`.
   */
  goAlone(options: { awaitAnswers: boolean }): void {
    this.#peer = undefined;
    this.#flow = 'alone';
    for (const entry of this.#covered.splice(0)) entry.state = 'local';
    if (options.awaitAnswers) {
      this.#isFrozen = true;
      return;
    }
    for (const entry of this.#queue) if (entry.state === 'sent') entry.state = 'local';
    // The peer's part of these will not come; what was done here before is done again, the journal included.
    for (const sync of [...this.#syncs]) {
      this.#syncs.delete(sync);
      this.#syncs.add({ ...sync, left: 0 });
    }
    this.thaw();
  }

  /** The peer's tree is durably marked as behind: answers are given again. */
  thaw(): void {
    this.#isFrozen = false;
    if (this.#isHeldBack()) return;
    for (const { modification, outcome } of this.#frozenAnswers.splice(0)) this.#answer(modification, outcome);
    this.answered();
    for (const sync of [...this.#syncs]) if (sync.left === 0) this.#startSync(sync);
    this.resume();
  }

  /** Answers everything with EIO, now and later. Nothing held is applied. */
  refuse(): void {
    this.#flow = 'refusing';
    this.#peer = undefined;
    this.#isFrozen = false;
    this.#isUnattended = false;
    this.#covered = [];
    for (const entry of this.#queue.splice(0)) {
      this.#finished(entry);
      this.#answer(entry.modification, -EIO);
    }
    for (const { modification } of this.#frozenAnswers.splice(0)) this.#answer(modification, -EIO);
    for (const sync of this.#syncs) sync.to.device.replyError(sync.to, EIO);
    this.#syncs.clear();
  }

  /** Sends and applies what need not wait any longer. */
  resume(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#sendCovered();
    let done = 0;
    try {
      for (; done < this.#queue.length; done += 1) {
        const entry = this.#queue[done] as Entry;
        if (entry.state === 'sent' || entry.state === 'covered' || this.#flow === 'holding' || this.#flow === 'refusing') break;
        if (entry.state === 'answered') this.#settle(entry);
        else if (!this.#isCovered(entry) || (this.#flow === 'alone' && !this.#admits())) break;
        else if (this.#flow === 'connected' && !entry.modification.isLocal) {
          // Only now, with everything before it done: what is staged is complete, and a file that was excluded is not any more.
          if (entry.modification.staged === undefined) this.#send(entry);
          else this.#stage(entry);
          break;
        } else this.#perform(entry.modification);
        this.#finished(entry);
      }
    } finally {
      this.#queue.splice(0, done);
      this.#isDraining = false;
    }
  }

  /** Applies, names it for the peer that does not have it, answers. */
  #perform(modification: Modification): void {
    const isJournalled = !modification.isLocal && this.#flow !== 'connected';
    // Named before too: when this process is killed between the two, the journal must not lack what is on the disk.
    if (isJournalled) this.#name(modification);
    this.#trees.nodes.serving(modification.to);
    const outcome = modification.apply(this.#trees);
    if (isJournalled) this.#name(modification);
    else if (!modification.isLocal) modification.touch(this.#around.recorder());
    this.#answer(modification, outcome);
  }

  #name(modification: Modification): void {
    modification.touch(this.#around.recorder());
    this.#around.flushJournal();
  }

  #answer(modification: Modification, outcome: number): void {
    if (this.#flow !== 'refusing' && this.#isHeldBack()) {
      this.#frozenAnswers.push({ modification, outcome });
      return;
    }
    if (outcome >= 0) {
      modification.reply(this.#trees);
      this.answered();
      return;
    }
    modification.cancel(this.#trees);
    modification.fail(-outcome);
  }

  #sendWhenCovered(entry: Entry): void {
    entry.state = 'covered';
    this.#covered.push(entry);
  }

  #sendCovered(): void {
    let sent = 0;
    while (this.#flow === 'connected' && sent < this.#covered.length) {
      const entry = this.#covered[sent] as Entry;
      if (!this.#isDurable(entry.need)) break;
      sent += 1;
      entry.state = 'local';
      this.#send(entry);
    }
    // A divergence has emptied the list.
    this.#covered.splice(0, Math.min(sent, this.#covered.length));
  }

  #send(entry: Entry): void {
    const { modification } = entry;
    const peer = this.#peer as PeerRequests;
    if (modification.needsRepair !== undefined) {
      this.#around.diverged(modification.needsRepair);
      this.resume();
      return;
    }
    for (const node of modification.concerns) {
      if (this.#introduce(peer, node)) continue;
      // Without a name the peer cannot find it. Applied here, and repaired afterwards.
      this.#around.diverged('an object without a known name was modified');
      return;
    }
    if (modification instanceof CreateModification) modification.createdInSession = this.#session;
    // Before the peer can have it: when this process is killed now, and the request never comes again, the nodes differ in this.
    modification.touch(this.#around.recorder());
    entry.state = 'sent';
    const bodies = piecesOf(modification.body(this.#trees));
    entry.waiting = bodies.length;
    const answered = (errno: number): void => {
      entry.waiting -= 1;
      if (entry.errno === 0) entry.errno = errno;
      if (entry.waiting > 0) return;
      entry.state = 'answered';
      if (errno !== 0 && modification instanceof CreateModification) modification.createdInSession = 0;
      this.resume();
    };
    for (const body of bodies) peer.request(body, answered);
  }

  /** Sends an object that comes into what is replicated, then its name. A peer that could not take it is repaired. */
  #stage(entry: Entry): void {
    const { modification } = entry;
    const { staged, needsRepair } = modification;
    const peer = this.#peer as PeerRequests;
    if (staged === undefined || needsRepair !== undefined) {
      this.#send(entry);
      return;
    }
    const session = this.#session;
    const requests = stagingRequests(this.#trees.store, staged);
    let failure: string | undefined;
    let isComplete = false;
    let left = 0;
    let bytesInFlight = 0;
    const goOn = (): void => {
      if (entry.state !== 'sent') return;
      if (this.#peer !== peer) {
        entry.state = 'local';
        this.resume();
        return;
      }
      try {
        while (failure === undefined && !isComplete && bytesInFlight < STAGING_BYTES_MAX) {
          const { value, done } = requests.next();
          isComplete = done === true;
          if (done === true) break;
          const bytes = value.kind === 'write' ? value.data.length : 0;
          left += 1;
          bytesInFlight += bytes;
          peer.request(value, (errno) => {
            left -= 1;
            bytesInFlight -= bytes;
            if (errno !== 0) failure = `the peer could not take a renamed file: errno ${errno}`;
            goOn();
          });
        }
      } catch (error) {
        failure = messageOf(error);
      }
      if (left > 0 || (failure === undefined && !isComplete)) return;
      entry.state = 'local';
      if (failure === undefined) {
        modification.stagedIn?.(session);
        this.#send(entry);
      } else {
        this.#around.diverged(failure);
        this.resume();
      }
    };
    entry.state = 'sent';
    goOn();
  }

  /** Tells the peer where an object is, its directories first; once per session. @returns false: no name is known */
  #introduce(peer: PeerRequests, node: Node): boolean {
    if (node.introducedIn === this.#session || this.#trees.nodes.isRoot(node)) return true;
    for (const { parent, name } of node.names) {
      if (this.#trees.boundary.excludes(parent.handle, name, isDirectory(node.handle))) continue;
      if (this.#trees.nodes.ensureId(parent) < 0n || this.#trees.nodes.ensureId(node) < 0n) continue;
      if (!this.#introduce(peer, parent)) continue;
      node.introducedIn = this.#session;
      peer.request({ kind: 'introduce', object: node.id, parent: parent.id, name }, (errno) => {
        if (errno === 0) return;
        node.introducedIn = 0;
        const recorder = this.#around.recorder();
        recorder.touchName(parent.handle, parent.id, name);
        recorder.touchWhole(node.handle, parent.handle, name);
        this.#around.diverged(`the peer does not have "${name.toString()}" as this node has it`);
      });
      return true;
    }
    return false;
  }

  /** The peer has answered: the local step, and whether both agree. */
  #settle(entry: Entry): void {
    const { modification } = entry;
    this.#trees.nodes.serving(modification.to);
    const outcome = modification.apply(this.#trees);
    modification.touch(this.#around.recorder());
    const peerSucceeded = entry.errno === 0;
    if (peerSucceeded && outcome < 0 && (isDiskError(-outcome) || outcome === -EROFS)) this.#around.diskFailed(-outcome);
    if (peerSucceeded !== outcome >= 0) {
      this.#around.diverged(
        peerSucceeded
          ? `the local step failed with errno ${-outcome}`
          : `the peer answered errno ${entry.errno} where the local step succeeded`,
      );
    } else if (isFull(outcome) && modification.isPartialWhenFailed === true)
      this.#around.diverged('both disks were full in the middle of it');
    if (this.#flow === 'alone') this.#around.flushJournal();
    this.#answer(modification, outcome);
  }

  #startSync(sync: Sync): void {
    const peer = this.#flow === 'connected' && !sync.node.isLocal ? this.#peer : undefined;
    // Without an id it was never modified since it has one: the peer has nothing of it that is not durable by checkpoint.
    const asksPeer = peer !== undefined && sync.node.id !== 0n && this.#introduce(peer, sync.node);
    sync.left = asksPeer ? 2 : 1;
    sync.outcome = 0;
    if (asksPeer) {
      peer.request({ kind: 'fsync', object: sync.node.id, datasync: sync.isDatasync }, (errno) => {
        // ESTALE: removed meanwhile, there is nothing to make durable.
        if (errno === 0 || errno === ESTALE) this.#syncStep(sync, 0);
        else this.#around.peerFailed(`fsync failed there with errno ${errno}`);
      });
    }
    this.#around.syncLocally(sync.node.handle, sync.isDatasync, (outcome) => {
      this.#syncStep(sync, outcome);
    });
  }

  #syncStep(sync: Sync, outcome: number): void {
    if (!this.#syncs.has(sync)) return;
    if (outcome < 0) sync.outcome = outcome;
    sync.left -= 1;
    if (sync.left > 0) return;
    // Held back it stays, and is done again.
    if (!sync.node.isLocal && this.#isHeldBack()) return;
    this.#syncs.delete(sync);
    sync.to.device.replyError(sync.to, -sync.outcome);
  }
}

/** What comes into what is replicated waits for everything before it. */
function isSendable(modification: Modification): boolean {
  return !modification.isLocal && (modification.staged === undefined || modification.needsRepair !== undefined);
}
