/**
 * The one place where a resync's target asks the keeper of conflicts before something is lost. Copying what is kept may take long: the
 * primary hears meanwhile that this node lives.
 */
import type { ConflictKeeper } from '../conflicts/keeper.js';
import type { Channel } from '../link/channel.js';
import { isRegular, typeOf, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { S_IFLNK } from '../system/constants.js';
import type { Attributes } from '../wire/messages.js';
import type { Stash } from './stash.js';
import { haveSameXattrs } from './xattrs.js';

const PING_MS = 500;

export class KeptTree {
  readonly #keeper: ConflictKeeper;
  readonly #store: Store;

  constructor(keeper: ConflictKeeper, store: Store, channel: Pick<Channel, 'send' | 'flush'>) {
    this.#keeper = keeper;
    this.#store = store;
    let pingMs = performance.now();
    keeper.onBreath = () => {
      const nowMs = performance.now();
      if (nowMs - pingMs < PING_MS) return;
      pingMs = nowMs;
      channel.send({ kind: 'ping', seq: 0 });
      channel.flush();
    };
  }

  met(handle: Handle, parent: Handle, name: Buffer): void {
    this.#keeper.met(handle, parent, name);
  }

  made(handle: Handle): void {
    this.#keeper.made(handle);
  }

  beforeContent(handle: Handle): void {
    this.#keeper.beforeContent(handle);
  }

  /** The object's present attributes are in the store's `stat`, and are there afterwards. */
  beforeAttributes(handle: Handle, { mode, uid, gid, size, xattrs }: Attributes): void {
    const { stat } = this.#store;
    if (isRegular(handle) && stat.size !== size) this.#keeper.beforeContent(handle);
    else {
      const isModeOther = typeOf(handle) !== S_IFLNK && stat.mode !== mode;
      const isOther = stat.uid !== uid || stat.gid !== gid || isModeOther || !haveSameXattrs(this.#store, handle, xattrs);
      if (isOther) this.#keeper.beforeAttributes(handle);
    }
    this.#store.attributes(handle);
  }

  /** One attribute, of which only the digest was known before. */
  beforeXattr(handle: Handle): void {
    this.#keeper.beforeAttributes(handle);
  }

  beforeMoved(handle: Handle, parent: Handle, name: Buffer): void {
    this.#keeper.beforeMoved(handle, parent, name);
  }

  /** What is in the stash now has no place in the new tree, or will be put into it again: then it was kept in vain. */
  beforeRemoved(stashes: readonly Stash[]): void {
    for (const stash of stashes) this.#keeper.beforeRemoved(stash.objects());
  }

  finished(): void {
    this.#keeper.end();
  }
}
