/**
 * A rename that changes what is replicated. Here it is one rename, as the application asked for. For the peer it is:
 *
 * - out: the name goes.
 * - in: the object is staged there first (content, attributes, on its disk), then takes its name in one step: whoever writes a file under
 *   an excluded name and renames it to its real one never finds half of it on the other node, and what was there before stays until then.
 * - a directory, or a file too large to hold up everything else: the peer is marked as behind and repaired from this node.
 *
 * What comes in has new ids: the peer may still have the object that it once was, with content of that time.
 */
import type { TouchRecorder } from '../journal/dirty-set.js';
import { isDirectory, isRegular, type Handle } from '../store/handle.js';
import { EXCLUDED_ID, newObjectId } from '../store/object-id.js';
import { RENAME_NOREPLACE } from '../system/constants.js';
import { EEXIST, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EXDEV } from '../system/errno.js';
import type { ReplyTo } from '../fuse/device.js';
import type { LiveBody, Staged, Trees } from './modification.js';
import { checkDirectory, ensureIds, NameModification, Victim } from './namespace.js';
import type { Node } from './node.js';
import { isEmpty, renameKind, type RenameKind } from './rename-kind.js';

/** Larger files come in by a repair of the peer: while one is staged, all other modifications wait. */
const STAGED_BYTES_MAX = 64 << 20;

export class CrossingModification extends NameModification {
  readonly #newParent: Node;
  readonly #newName: Buffer;
  readonly #flags: number;
  readonly #kind: RenameKind;
  readonly #id = newObjectId();
  #movedHandle: Handle = '';
  #isLarge = false;
  #replaced: Victim | undefined;
  #stagedInSession = 0;

  /** @param kind as it is now; the rename is refused if that changes while it waits */
  constructor(to: ReplyTo, parent: Node, name: Buffer, newParent: Node, newName: Buffer, flags: number, kind: RenameKind) {
    super(to, parent, name);
    this.#newParent = newParent;
    this.#newName = Buffer.from(newName);
    this.#flags = flags;
    this.#kind = kind;
  }

  override prepare(trees: Trees): number {
    if (this.#kind === 'refused') return EXDEV;
    const refused = this.prepareName(trees, true) || checkDirectory(trees, this.#newParent, this.#newName, true);
    if (refused !== 0) return refused;
    const { store } = trees;
    const moved = store.lookup(this.parent.handle, this.name);
    if (typeof moved === 'number') return -moved;
    if (store.stat.isFixed) return EPERM;
    this.#movedHandle = moved;
    this.#isLarge = isRegular(moved) && store.stat.size > STAGED_BYTES_MAX;
    const there = store.lookup(this.#newParent.handle, this.#newName);
    if (typeof there !== 'number') {
      const impossible = this.#whyNotOver(trees, there);
      if (impossible !== 0) return impossible;
      this.#replaced = new Victim(trees, there);
    } else if (there !== -ENOENT) return -there;
    this.concerns = (this.#kind === 'out' ? [this.parent] : [this.#newParent, ...(this.#replaced?.toIntroduce ?? [])]).filter(
      (node) => !node.isExcluded,
    );
    return ensureIds(trees, [this.parent, this.#newParent, ...this.concerns]);
  }

  /** @returns errno of a rename that the peer would not refuse as this node does */
  #whyNotOver({ store }: Trees, there: Handle): number {
    if (this.#flags === RENAME_NOREPLACE) return EEXIST;
    if (isDirectory(there) !== this.isOfDirectory) return this.isOfDirectory ? ENOTDIR : EISDIR;
    return isDirectory(there) && !isEmpty(store, there) ? ENOTEMPTY : 0;
  }

  override get isLocal(): boolean {
    return false;
  }

  protected get isOfDirectory(): boolean {
    return isDirectory(this.#movedHandle);
  }

  get needsRepair(): string | undefined {
    if (this.#kind !== 'anew' && !(this.#kind === 'in' && this.#isLarge)) return undefined;
    return `"${this.name.toString()}" was renamed to "${this.#newName.toString()}", which changes what is replicated`;
  }

  get staged(): Staged | undefined {
    return this.#kind === 'in' ? { handle: this.#movedHandle, id: this.#id } : undefined;
  }

  stagedIn(session: number): void {
    this.#stagedInSession = session;
  }

  body(): LiveBody {
    if (this.#kind === 'out') return { kind: 'unlink', parent: this.parent.id, name: this.name };
    return { kind: 'adopt', object: this.#id, parent: this.#newParent.id, name: this.#newName, flags: this.#flags };
  }

  apply(trees: Trees): number {
    const { store, nodes, boundary } = trees;
    const from = { directory: this.parent.handle, name: this.name };
    const to = { directory: this.#newParent.handle, name: this.#newName };
    if (renameKind(trees, from, to, this.#flags) !== this.#kind) return -EXDEV;
    // Before the rename: after a crash between the two the old name leads to an object that is not the peer's, which costs a copy. After
    // it, the new name could lead to an object that the peer believes to have.
    const failed =
      this.#kind === 'anew' ? this.#renew(trees) : store.writeId(this.#movedHandle, this.#kind === 'in' ? this.#id : EXCLUDED_ID);
    if (failed < 0) return failed;
    const outcome = store.rename(from.directory, from.name, to.directory, to.name, this.#flags);
    if (outcome < 0) return outcome;
    boundary.moved(this.#movedHandle);
    this.#replaced?.gone(trees, this.#newParent, this.#newName);
    const moved = nodes.find(this.#movedHandle);
    if (moved !== undefined) {
      nodes.addName(moved, this.#newParent, this.#newName);
      nodes.removeName(moved, this.parent, this.name);
    }
    if (this.isOfDirectory) nodes.judgeAll();
    else if (moved !== undefined) {
      moved.id = this.#kind === 'in' ? this.#id : 0n;
      moved.introducedIn = this.#stagedInSession;
    }
    return outcome;
  }

  /** New ids for all that will be replicated below, the mark of the excluded for the rest. @returns 0 or -errno */
  #renew({ store, nodes, boundary }: Trees): number {
    let failure = 0;
    boundary.visitAs(this.#movedHandle, this.#newParent.handle, this.#newName, (handle, isExcluded) => {
      const id = isExcluded ? EXCLUDED_ID : newObjectId();
      const outcome = store.writeId(handle, id);
      if (outcome < 0) failure = outcome;
      const node = nodes.find(handle);
      if (node === undefined) return;
      node.id = isExcluded ? 0n : id;
      node.introducedIn = 0;
    });
    return failure;
  }

  override touch(recorder: TouchRecorder): void {
    if (!this.parent.isExcluded && this.#kind !== 'in') super.touch(recorder);
    if (this.#newParent.isExcluded || this.#kind === 'out') return;
    recorder.touchName(this.#newParent.handle, this.#newParent.id, this.#newName);
    if (!this.isOfDirectory) recorder.touchWhole(this.#movedHandle, this.#newParent.handle, this.#newName);
  }

  override cancel(trees: Trees): void {
    this.#replaced?.stays(trees);
  }
}
