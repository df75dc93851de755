/**
 * Descriptors of objects by handle, a bounded number of them (second-chance replacement). Never one descriptor per inode: the limit of a
 * process is 20,000 on common systems, a tree has millions of files. A pinned descriptor stays: it keeps an unlinked file alive, or a
 * pool thread is using it.
 */
import { close } from '../system/calls.js';
import { openHandle, rootOf, type Handle } from './handle.js';

interface Descriptor {
  readonly fd: number;
  pins: number;
  used: boolean;
  /** Not to be kept when nobody uses it any more. */
  isForgotten: boolean;
}

export class Descriptors {
  readonly #open = new Map<Handle, Descriptor>();
  readonly #mountFds: readonly number[];
  readonly #countMax: number;

  /** @param mountFds a real descriptor of each root */
  constructor(mountFds: readonly number[], countMax: number) {
    this.#mountFds = mountFds;
    this.#countMax = countMax;
  }

  /** @returns a descriptor that is valid until the next call of this object, or -errno */
  get(handle: Handle): number {
    const known = this.#open.get(handle);
    if (known !== undefined) {
      known.used = true;
      return known.fd;
    }
    const fd = openHandle(this.#mountFds[rootOf(handle)] as number, handle);
    if (fd >= 0) this.#keep(handle, fd);
    return fd;
  }

  /** Takes over a descriptor that was just opened by other means. */
  adopt(handle: Handle, fd: number): void {
    if (this.#open.has(handle)) close(fd);
    else this.#keep(handle, fd);
  }

  /** As `get`, and the descriptor stays open until as many `unpin`. */
  pin(handle: Handle): number {
    const fd = this.get(handle);
    if (fd >= 0) (this.#open.get(handle) as Descriptor).pins += 1;
    return fd;
  }

  /** @returns the descriptor, to be closed, when it was forgotten meanwhile and this was the last pin; or -1 */
  unpin(handle: Handle): number {
    const known = this.#open.get(handle);
    if (known === undefined || known.pins === 0) throw new Error('a descriptor was unpinned more often than pinned');
    known.pins -= 1;
    return known.isForgotten && known.pins === 0 ? this.forget(handle) : -1;
  }

  /**
   * Gives the descriptor up: what was removed should not keep its blocks. One that is pinned goes with its last pin.
   * @returns it, to be closed, or -1
   */
  forget(handle: Handle): number {
    const known = this.#open.get(handle);
    if (known === undefined) return -1;
    known.isForgotten = true;
    if (known.pins > 0) return -1;
    this.#open.delete(handle);
    return known.fd;
  }

  closeAll(): void {
    for (const known of this.#open.values()) close(known.fd);
    this.#open.clear();
  }

  #keep(handle: Handle, fd: number): void {
    if (this.#open.size >= this.#countMax) this.#evict();
    this.#open.set(handle, { fd, pins: 0, used: true, isForgotten: false });
  }

  /** Closes a sixteenth, so that the search is paid once for many. If everything is pinned the table grows. */
  #evict(): void {
    let wanted = Math.max(1, this.#countMax >> 4);
    let looks = this.#open.size * 2;
    for (const [handle, known] of this.#open) {
      looks -= 1;
      if (wanted === 0 || looks < 0) return;
      // To the end of the order: what is pinned or was used is looked at again last (a Map iterates over what is added meanwhile).
      this.#open.delete(handle);
      if (known.pins > 0 || known.used) {
        known.used = false;
        this.#open.set(handle, known);
        continue;
      }
      close(known.fd);
      wanted -= 1;
    }
  }
}
