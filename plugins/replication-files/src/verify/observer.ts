/**
 * What a verification sees of an object, the same on both nodes: everything that must be identical but content. Reads only; an object
 * without an id stays without. The inode number and the number of links are local: they tell which names lead to one object.
 */
import { createHash } from 'node:crypto';
import type { Boundary } from '../boundary/boundary.js';
import { mtimeOf } from '../secondary/times.js';
import { isDirectory, isRegular, typeOf, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { flistxattr, fgetxattr, getxattr, listxattr } from '../system/calls.js';
import { S_IFDIR, S_IFLNK } from '../system/constants.js';
import { ENODATA, EOPNOTSUPP, ERANGE } from '../system/errno.js';
import { DIGEST_BYTES, SYMLINK_BYTES_MAX } from '../wire/limits.js';
import type { Listed, Observed } from '../wire/messages.js';

/** Other names are a matter of the file system. Our own hold the id, which is compared by itself. */
const COMPARED = /^(user\.|trusted\.(?!holdfast\.)|security\.|system\.posix_acl_(access|default)$)/;
const ATTRIBUTES_BYTES_MAX = 64 << 10;
/** The kernel allocates what is asked for; almost all objects have only our own. */
const NAMES_BYTES_EXPECTED = 1024;
/** Raw directory entries of one step. */
const BATCH_BYTES = 2048;
/** A directory with at most so many names is listed in one step. */
const NAMES_PER_STEP = 64;

const NOTHING = Buffer.alloc(0);

export class Observer {
  readonly #store: Store;
  readonly #boundary: Boundary;
  readonly #target = Buffer.alloc(SYMLINK_BYTES_MAX + 1);
  readonly #names = Buffer.from(new ArrayBuffer(ATTRIBUTES_BYTES_MAX));
  readonly #value = Buffer.from(new ArrayBuffer(ATTRIBUTES_BYTES_MAX));

  constructor(store: Store, boundary: Boundary) {
    this.#store = store;
    this.#boundary = boundary;
  }

  /** @returns -errno when it cannot be read; ESTALE: it is gone */
  observe(handle: Handle): Observed | number {
    const outcome = this.#store.attributes(handle);
    return outcome < 0 ? outcome : this.#observeMet(handle);
  }

  /** What is under a name; -errno (ENOENT: nothing). */
  observeName(directory: Handle, name: Buffer): { readonly handle: Handle; readonly object: Observed } | number {
    const handle = this.#store.lookup(directory, name);
    if (typeof handle === 'number') return handle;
    const object = this.#observeMet(handle);
    return typeof object === 'number' ? object : { handle, object };
  }

  /** Of the object that the store met last. */
  #observeMet(handle: Handle): Observed | number {
    const { stat } = this.#store;
    const { mode, uid, gid, rdev, ino, nlink } = stat;
    const size = isRegular(handle) ? stat.size : 0;
    const mtime = mtimeOf(stat);
    const id = this.#store.readId(handle);
    if (id < 0n) return Number(id);
    const length = typeOf(handle) === S_IFLNK ? this.#store.readlink(handle, this.#target) : 0;
    if (length < 0) return length;
    const attributes = this.#attributes(handle);
    if (typeof attributes === 'number') return attributes;
    const target = Buffer.from(this.#target.subarray(0, length));
    return { object: id, mode, uid, gid, rdev, size, mtime, ino, nlink, target, attributes };
  }

  /** Digest of names and values of the extended attributes. */
  #attributes(handle: Handle): Buffer | number {
    const fd = this.#store.descriptor(handle);
    if (fd < 0) return fd;
    const isOpen = isRegular(handle) || isDirectory(handle);
    const path = isOpen ? NOTHING : Buffer.from(`/proc/self/fd/${fd}\0`);
    const list = (bytes: number): number => (isOpen ? flistxattr(fd, this.#names, bytes) : listxattr(path, this.#names, bytes));
    let listed = list(NAMES_BYTES_EXPECTED);
    if (listed === -ERANGE) listed = list(ATTRIBUTES_BYTES_MAX);
    if (listed === -EOPNOTSUPP) return NOTHING;
    if (listed < 0) return listed;
    const names = this.#names
      .toString('latin1', 0, listed)
      .split('\0')
      .filter((name) => COMPARED.test(name))
      .sort();
    if (names.length === 0) return NOTHING;
    const hash = createHash('sha256');
    for (const name of names) {
      const key = Buffer.from(`${name}\0`, 'latin1');
      const length = isOpen
        ? fgetxattr(fd, key, this.#value, ATTRIBUTES_BYTES_MAX)
        : getxattr(path, key, this.#value, ATTRIBUTES_BYTES_MAX);
      if (length === -ENODATA) continue;
      if (length < 0) return length;
      hash.update(key).update(`${length}\0`).update(this.#value.subarray(0, length));
    }
    return hash.digest().subarray(0, DIGEST_BYTES);
  }

  /**
   * Names of a directory from a position on: all of them in one step when they are few. `next` is undefined at the end.
   * @returns or -errno
   */
  names(directory: Handle, cursor: bigint): { readonly names: readonly Buffer[]; readonly next: bigint | undefined } | number {
    const names: Buffer[] = [];
    for (let at = cursor; ; ) {
      const batch = this.#store.readDirectory(directory, at, BATCH_BYTES);
      if (typeof batch === 'number') return batch;
      if (batch.next === undefined) return { names, next: undefined };
      if (names.length > 0 && names.length + batch.entries.length > NAMES_PER_STEP) return { names, next: at };
      for (const { name, type } of batch.entries) if (this.#isReplicated(directory, name, type)) names.push(name);
      at = batch.next;
    }
  }

  /** What is excluded is each node's own. @param type 0 where the file system does not say */
  #isReplicated(directory: Handle, name: Buffer, type: number): boolean {
    if (!this.#boundary.applies(directory)) return true;
    const handle = type === 0 ? this.#store.lookup(directory, name) : undefined;
    const isOfDirectory = typeof handle === 'string' ? isDirectory(handle) : type === S_IFDIR;
    return !this.#boundary.excludes(directory, name, isOfDirectory);
  }

  /** A step of a listing. An object that cannot be read is listed with mode 0. @returns or -errno */
  list(directory: Handle, cursor: bigint): { readonly objects: readonly Listed[]; readonly next: bigint | undefined } | number {
    const found = this.names(directory, cursor);
    if (typeof found === 'number') return found;
    const objects = found.names.map((name): Listed => {
      const met = this.observeName(directory, name);
      return typeof met === 'number' ? { ...UNREADABLE, name } : { ...met.object, name };
    });
    return { objects, next: found.next };
  }
}

const UNREADABLE: Observed = {
  object: 0n,
  mode: 0,
  uid: 0,
  gid: 0,
  rdev: 0,
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  ino: 0n,
  nlink: 0,
  target: NOTHING,
  attributes: NOTHING,
};
