/**
 * Checkpoints of a connected pair, driven by the primary: both nodes cut their recent sets at the same point of the stream, flush their
 * file systems, and forget what was before the cut: the secondary one checkpoint later, because what is on its way at the cut is
 * performed before it there and after it here. So the last modifications are followed by two checkpoints. The times of everything in a
 * set are sent too, so that they are identical.
 */
import type { ActivityLog } from '../journal/activity-log.js';
import type { DirtySet, RecentSet } from '../journal/dirty-set.js';
import type { Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import type { PeerRequests } from '../primary/pipeline-surroundings.js';
import { atimeOf, mtimeOf } from '../secondary/times.js';
import { STAMPS_MAX } from '../wire/limits.js';
import type { Stamp } from '../wire/messages.js';
import type { RoleSurroundings } from './surroundings.js';

const INTERVAL_MS = 2000;

export class Checkpoint {
  readonly #around: RoleSurroundings;
  readonly #recent: RecentSet;
  readonly #activity: ActivityLog | undefined;
  readonly #peer: PeerRequests;
  #isRunning = false;
  #lastMs: number;
  #onLast: (() => void) | undefined;
  #isCancelled = false;
  /** The secondary still remembers what the last checkpoint was about. */
  #isFollowUpDue = false;

  constructor(around: RoleSurroundings, recent: RecentSet, activity: ActivityLog | undefined, peer: PeerRequests) {
    this.#around = around;
    this.#recent = recent;
    this.#activity = activity;
    this.#peer = peer;
    this.#lastMs = around.nowMs();
  }

  tick(): void {
    if (this.#isRunning || (this.#recent.isEmpty && !this.#isFollowUpDue) || this.#around.nowMs() - this.#lastMs < INTERVAL_MS) return;
    this.#begin();
  }

  /** A checkpoint of everything, before the link closes. `done` is called once, also when a node could not flush. */
  last(done: () => void): void {
    this.#onLast = done;
    if (!this.#isRunning) this.#begin();
  }

  /** The link is no longer connected: what is under way says nothing more to the peer. */
  cancel(): void {
    this.#isCancelled = true;
  }

  #begin(): void {
    const { store, pool, log } = this.#around;
    this.#isRunning = true;
    const isLast = this.#onLast !== undefined;
    const number = this.#around.mark.begin();
    this.#activity?.cut();
    const touched = this.#recent.cut();
    this.#isFollowUpDue = !touched.isEmpty;
    const stamps = stampsOf(store, touched);
    for (let at = 0; at < stamps.length; at += STAMPS_MAX) {
      this.#peer.request({ kind: 'times', stamps: stamps.slice(at, at + STAMPS_MAX) }, () => undefined);
    }
    let left = 1 + store.roots.length;
    let failed = false;
    const step = (outcome: number): void => {
      if (outcome !== 0) failed = true;
      left -= 1;
      if (left > 0 || this.#isCancelled) return;
      if (failed) {
        log('warn', 'a checkpoint failed: a node could not flush its file system');
        this.#isFollowUpDue = false;
        this.#end(isLast);
        return;
      }
      // Before it is forgotten what the peer would lack otherwise.
      this.#around.mark.flushed(number, true);
      this.#recent.forgetPrevious();
      this.#activity?.forgetPrevious();
      this.#peer.request({ kind: 'checkpoint', phase: 'done' }, () => {
        this.#end(isLast);
      });
    };
    this.#peer.request({ kind: 'checkpoint', phase: 'begin' }, (outcome) => {
      step(outcome);
      // Not before: what was on its way at the cut is performed here only now, and the peer forgets it.
      for (let root = 0; root < store.roots.length; root += 1) pool.run({ call: 'syncfs', fd: store.rootFd(root) }, step);
    });
  }

  #end(wasLast: boolean): void {
    this.#isRunning = false;
    this.#lastMs = this.#around.nowMs();
    if (wasLast && !this.#isFollowUpDue) this.#onLast?.();
    else if (this.#onLast !== undefined) this.#begin();
  }
}

/** Times of every object that the set names and that still exists. */
function stampsOf(store: Store, set: DirtySet): Stamp[] {
  const handles = new Set<Handle>(set.objects.keys());
  for (const [directory, { names }] of set.directories) {
    handles.add(directory);
    for (const name of names) {
      const handle = store.lookup(directory, Buffer.from(name, 'latin1'));
      if (typeof handle !== 'number') handles.add(handle);
    }
  }
  const stamps: Stamp[] = [];
  for (const handle of handles) {
    const object = store.readId(handle);
    if (object <= 0n || store.attributes(handle) < 0 || store.stat.nlink === 0) continue;
    stamps.push({ object, atime: atimeOf(store.stat), mtime: mtimeOf(store.stat) });
  }
  return stamps;
}
