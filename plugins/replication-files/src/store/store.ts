/**
 * The backing trees: every operation on an object of the replicated directories, addressed by handle (and name in a directory), never by
 * path. Both the primary's file system and the secondary's applier work through this class, so that the same request gives the same
 * result on both nodes. Results are numbers: 0 or more is success, `-errno` is failure; nothing throws for an operating error.
 *
 * Every object carries a random 64-bit id in the xattr `trusted.holdfast.id`: it is the object's name on the wire and survives renames
 * and restarts. Roots have the reserved ids 1, 2, … and no xattr. Behind the id may be the era in which a primary made the object: a
 * number that only this node's activity log knows.
 */
import { HoldfastError } from '@holdfast/sdk';
import * as sys from '../system/calls.js';
import * as c from '../system/constants.js';
import { EBADF, EEXIST, EINVAL, EOPNOTSUPP, EPERM, EROFS, errnoName } from '../system/errno.js';
import { Stat } from '../system/stat.js';
import { ACCESS_ACL, DEFAULT_ACL } from '../wire/xattr-names.js';
import { entriesIn, type DirectoryEntry } from './directory-entries.js';
import { Descriptors } from './descriptors.js';
import { createAsGroup, createAsOwnGroup } from './file-group.js';
import { handleAt, handleOf, isDirectory, isRegular, openHandle, rootOf, type Handle } from './handle.js';
import { refusedName, terminate } from './names.js';
import { EXCLUDED_ID } from './object-id.js';
import { LastCloses } from './last-closes.js';
import { ID_XATTR_BYTES_MAX, procPath, readEraOf, readIdOf, writeIdOf, Xattrs } from './xattrs.js';

/** Reserved directory in each root: the stash of a resync's target. Hidden from applications, never replicated. */
export const RESERVED_NAME = Buffer.from('.holdfast');
const DESCRIPTORS_MAX = 4000;
const EMPTY = sys.cString('');
const SELF = sys.cString('.');
const DEFAULT_ACL_NAME = sys.cString(DEFAULT_ACL);
const OWNER_UNCHANGED = 0xffffffff;
/** Larger writes go on to the disk at once and leave no second copy in memory: the kernel keeps what was written through the mount. */
const UNCACHED_BYTES_MIN = 128 << 10;

/** What a new object is. `target` only for symlinks, `rdev` only for devices. */
export interface NewObject {
  /** Type and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly target: Buffer | undefined;
  readonly id: bigint;
}

/** Whom the character device belongs to that RENAME_WHITEOUT leaves, and its id. */
export type Whiteout = Pick<NewObject, 'uid' | 'gid' | 'id'>;

/** Changes of attributes; what is undefined stays. Times: `struct timespec` × 2 (atime, mtime) with UTIME_OMIT where unchanged. */
export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly times?: Buffer;
}

export class Store {
  readonly roots: readonly Handle[];
  /** Attributes of the object that the last successful `lookup`, `create` or `attributes` met. Overwritten by the next. */
  readonly stat = new Stat();
  readonly xattrs: Xattrs;
  /** What objects that get an id carry behind it; 0: nothing. */
  era = 0;
  /** Told of every object that `create` made. */
  onCreated: ((handle: Handle) => void) | undefined;
  /** Told of every successful `write` that the kernel keeps in its cache. */
  onWritten: ((handle: Handle, offset: number, length: number) => void) | undefined;
  readonly lastCloses: LastCloses;
  readonly #rootFds: readonly number[];
  readonly #descriptors: Descriptors;
  readonly #nameA = Buffer.from(new ArrayBuffer(c.PATH_BYTES_MAX + 1));
  readonly #nameB = Buffer.from(new ArrayBuffer(c.PATH_BYTES_MAX + 1));
  readonly #idBytes = Buffer.from(new ArrayBuffer(ID_XATTR_BYTES_MAX));
  readonly #entries = Buffer.from(new ArrayBuffer(65536));
  readonly #vector = Buffer.from(new ArrayBuffer(16));
  /** Roots whose file system, or kernel, does not know uncached writes. */
  readonly #cachedOnly = new Set<number>();

  /**
   * @param paths the backing trees (aside mounts), in the order of the configuration
   * @throws HoldfastError HF_REPLICATION_DIRECTORY_MISSING, HF_REPLICATION_FILE_SYSTEM when it has no handles or no xattr
   */
  constructor(paths: readonly string[]) {
    const fds: number[] = [];
    const roots: Handle[] = [];
    try {
      for (const [index, path] of paths.entries()) {
        const fd = sys.openat(c.AT_FDCWD, sys.cString(path), c.O_RDONLY | c.O_DIRECTORY | c.O_CLOEXEC | c.O_NOATIME, 0);
        if (fd < 0) throw new HoldfastError('HF_REPLICATION_DIRECTORY_MISSING', `${path}: ${errnoName(fd)}`, { path });
        fds.push(fd);
        const handle = handleOf(index, fd, c.S_IFDIR);
        if (typeof handle === 'number') throw unsuitable(path, `no file handles (${errnoName(handle)})`);
        const opened = openHandle(fd, handle);
        if (opened < 0) throw unsuitable(path, `its file handles cannot be opened (${errnoName(opened)})`);
        sys.close(opened);
        const id = readIdOf(fd, handle, this.#idBytes);
        if (id < 0n) throw unsuitable(path, `no trusted extended attributes (${errnoName(Number(id))})`);
        roots.push(handle);
      }
    } catch (error) {
      for (const fd of fds) sys.close(fd);
      throw error;
    }
    this.roots = roots;
    this.#rootFds = fds;
    this.#descriptors = new Descriptors(fds, DESCRIPTORS_MAX);
    this.lastCloses = new LastCloses(this.#descriptors);
    this.xattrs = new Xattrs(this.#descriptors);
    sys.umask(0);
  }

  close(): void {
    createAsOwnGroup();
    this.#descriptors.closeAll();
    for (const fd of this.#rootFds) sys.close(fd);
  }

  /** Real descriptor of a root, valid until `close`. */
  rootFd(root: number): number {
    return this.#rootFds[root] as number;
  }

  /** @returns a descriptor that is valid until the next call on this store, or -errno (ESTALE: the object is gone) */
  descriptor(handle: Handle): number {
    return this.#descriptors.get(handle);
  }

  /** A descriptor that stays open until `unpin`: for pool threads, and to keep an unlinked object alive. @returns it, or -errno */
  pin(handle: Handle): number {
    return this.#descriptors.pin(handle);
  }

  /** Takes over a descriptor of this object that another process had opened. */
  adopt(handle: Handle, fd: number): void {
    this.#descriptors.adopt(handle, fd);
  }

  unpin(handle: Handle): void {
    const fd = this.#descriptors.unpin(handle);
    if (fd >= 0) this.lastCloses.close(handle, fd);
  }

  /** Closes the cached descriptor; one that is pinned, with its last `unpin`. */
  release(handle: Handle): void {
    const fd = this.#descriptors.forget(handle);
    if (fd >= 0) this.lastCloses.close(handle, fd);
  }

  /** A directory in which a name is asked for. */
  #at(parent: Handle, name: Uint8Array): number {
    const refused = refusedName(name);
    return refused < 0 ? refused : this.#descriptors.get(parent);
  }

  /** The handle of `name` in `parent`, with its attributes in `stat`; or -errno. */
  lookup(parent: Handle, name: Uint8Array): Handle | number {
    const fd = this.#at(parent, name);
    if (fd < 0) return fd;
    const path = terminate(this.#nameA, name);
    const outcome = this.stat.at(fd, path);
    return outcome < 0 ? outcome : handleAt(rootOf(parent), fd, path, this.stat.type);
  }

  /** Attributes into `stat`. @returns 0 or -errno */
  attributes(handle: Handle): number {
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : this.stat.of(fd);
  }

  /** @returns the object's id, 0n when it has none yet or is not replicated, or -errno as a negative bigint */
  readId(handle: Handle): bigint {
    const id = this.#readAnyId(handle);
    return id === EXCLUDED_ID ? 0n : id;
  }

  /** True for an object that was moved out of what is replicated, or made outside. */
  isMarkedExcluded(handle: Handle): boolean {
    return this.#readAnyId(handle) === EXCLUDED_ID;
  }

  #readAnyId(handle: Handle): bigint {
    const root = this.roots.indexOf(handle);
    if (root >= 0) return BigInt(root + 1);
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? BigInt(fd) : readIdOf(fd, handle, this.#idBytes);
  }

  /** @returns the era in which this node made the object as primary, or 0 */
  readEra(handle: Handle): number {
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? 0 : readEraOf(fd, handle, this.#idBytes);
  }

  /** @returns 0 or -errno */
  writeId(handle: Handle, id: bigint): number {
    if (this.roots.includes(handle)) return -EINVAL;
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : writeIdOf(fd, handle, id, this.era, this.#idBytes);
  }

  /**
   * Permissions of a new object as a file system makes them of what was asked for: without the umask where the directory has a default
   * ACL, which the backing file system then applies.
   */
  creationMode(parent: Handle, mode: number, umask: number): number {
    const fd = umask === 0 ? -1 : this.#descriptors.get(parent);
    return fd >= 0 && sys.fgetxattr(fd, DEFAULT_ACL_NAME, null, 0) >= 0 ? mode : mode & ~(umask & 0o777);
  }

  /** Creates an object of any type with id and owner; its attributes are in `stat`. EEXIST: the name is taken. @returns handle or -errno */
  create(parent: Handle, name: Uint8Array, object: NewObject): Handle | number {
    const parentFd = this.#at(parent, name);
    if (parentFd < 0) return parentFd;
    const path = terminate(this.#nameA, name);
    createAsGroup(object.gid);
    const type = object.mode & c.S_IFMT;
    let fd = -1;
    let outcome: number;
    if (type === c.S_IFREG) {
      fd = sys.openat(parentFd, path, c.O_RDWR | c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW | c.O_NOATIME | c.O_CLOEXEC, object.mode & 0o7777);
      outcome = fd;
    } else if (type === c.S_IFDIR) outcome = sys.mkdirat(parentFd, path, object.mode & 0o7777);
    else if (type === c.S_IFLNK) outcome = sys.symlinkat(terminate(this.#nameB, object.target ?? EMPTY), parentFd, path);
    else outcome = sys.mknodat(parentFd, path, object.mode, object.rdev);
    if (outcome < 0) return outcome;
    if (fd < 0) {
      const flags = type === c.S_IFDIR ? c.O_RDONLY | c.O_DIRECTORY | c.O_NOATIME : c.O_PATH;
      fd = sys.openat(parentFd, path, flags | c.O_NOFOLLOW | c.O_CLOEXEC, 0);
    }
    const handle = fd < 0 ? fd : this.#finishCreation(fd, rootOf(parent), type, object);
    if (typeof handle === 'number') {
      if (fd >= 0) sys.close(fd);
      sys.unlinkat(parentFd, path, type === c.S_IFDIR ? c.AT_REMOVEDIR : 0);
      return handle;
    }
    return this.#adopt(handle, fd);
  }

  /**
   * As `create` of a regular file, but without a name. It lives as long as a descriptor of it is open: it comes pinned.
   * @returns handle or -errno (EOPNOTSUPP, EISDIR: the file system cannot)
   */
  createUnnamed(parent: Handle, object: NewObject): Handle | number {
    const parentFd = this.#descriptors.get(parent);
    if (parentFd < 0) return parentFd;
    createAsGroup(object.gid);
    const fd = sys.openat(parentFd, SELF, c.O_RDWR | c.O_TMPFILE | c.O_NOATIME | c.O_CLOEXEC, object.mode & 0o7777);
    if (fd < 0) return fd;
    const handle = this.#finishCreation(fd, rootOf(parent), c.S_IFREG, object);
    if (typeof handle === 'number') {
      sys.close(fd);
      return handle;
    }
    this.#descriptors.pin(this.#adopt(handle, fd));
    return handle;
  }

  /**
   * A handle of an earlier object cannot be the same, but its descriptor may still be cached under it on file systems without inode
   * generations.
   */
  #adopt(handle: Handle, fd: number): Handle {
    const old = this.#descriptors.forget(handle);
    if (old >= 0) sys.close(old);
    this.#descriptors.adopt(handle, fd);
    this.onCreated?.(handle);
    return handle;
  }

  #finishCreation(fd: number, root: number, type: number, object: NewObject): Handle | number {
    const handle = handleOf(root, fd, type);
    if (typeof handle === 'number') return handle;
    let outcome = writeIdOf(fd, handle, object.id, this.era, this.#idBytes);
    if (outcome < 0) return outcome;
    outcome = this.stat.of(fd);
    if (outcome < 0 || object.uid === 0) return outcome < 0 ? outcome : handle;
    const { mode } = this.stat;
    outcome = sys.fchownat(fd, EMPTY, object.uid, OWNER_UNCHANGED, c.AT_EMPTY_PATH);
    // The change of owner clears them, but they were asked for at creation.
    if (outcome >= 0 && mode & (c.S_ISUID | c.S_ISGID) && type === c.S_IFREG) outcome = sys.fchmod(fd, mode & 0o7777);
    if (outcome >= 0) outcome = this.stat.of(fd);
    return outcome < 0 ? outcome : handle;
  }

  link(object: Handle, parent: Handle, name: Uint8Array): number {
    const fd = this.#descriptors.pin(object);
    if (fd < 0) return fd;
    const parentFd = this.#at(parent, name);
    const outcome = parentFd < 0 ? parentFd : sys.linkat(fd, EMPTY, parentFd, terminate(this.#nameA, name), c.AT_EMPTY_PATH);
    this.unpin(object);
    return outcome;
  }

  unlink(parent: Handle, name: Uint8Array): number {
    return this.#remove(parent, name, 0);
  }

  rmdir(parent: Handle, name: Uint8Array): number {
    return this.#remove(parent, name, c.AT_REMOVEDIR);
  }

  #remove(parent: Handle, name: Uint8Array, flags: number): number {
    const fd = this.#at(parent, name);
    return fd < 0 ? fd : sys.unlinkat(fd, terminate(this.#nameA, name), flags);
  }

  /** @param flags of renameat2(2); what RENAME_WHITEOUT leaves behind belongs to nobody in particular, see `whiteout` */
  rename(parent: Handle, name: Uint8Array, newParent: Handle, newName: Uint8Array, flags: number): number {
    const fd = refusedName(name) || this.#descriptors.pin(parent);
    if (fd < 0) return fd;
    const newFd = this.#at(newParent, newName);
    const outcome = newFd < 0 ? newFd : sys.renameat2(fd, terminate(this.#nameA, name), newFd, terminate(this.#nameB, newName), flags);
    this.unpin(parent);
    return outcome;
  }

  /**
   * RENAME_WHITEOUT, with all that a new object has.
   * @param flags may add RENAME_NOREPLACE @returns what is under the old name, 0 when nothing happened, or -errno
   */
  whiteout(parent: Handle, name: Uint8Array, newParent: Handle, newName: Uint8Array, flags: number, left: Whiteout): Handle | number {
    createAsGroup(left.gid);
    const outcome = this.rename(parent, name, newParent, newName, flags | c.RENAME_WHITEOUT);
    return outcome < 0 ? outcome : this.labelWhiteout(parent, name, left);
  }

  /** Id and owner of the whiteout that a rename has left. @returns as `whiteout` */
  labelWhiteout(parent: Handle, name: Uint8Array, left: Whiteout): Handle | number {
    const handle = this.lookup(parent, name);
    // Two names of one object: nothing happened.
    if (typeof handle === 'number' || this.stat.type !== c.S_IFCHR || this.stat.rdev !== 0) return 0;
    const fd = this.#descriptors.get(handle);
    if (fd < 0) return fd;
    this.onCreated?.(handle);
    const labelled = writeIdOf(fd, handle, left.id, this.era, this.#idBytes);
    const owned = labelled < 0 ? labelled : sys.fchownat(fd, EMPTY, left.uid, OWNER_UNCHANGED, c.AT_EMPTY_PATH);
    return owned < 0 ? owned : handle;
  }

  /**
   * Sets an extended attribute. `clearsSetgid`: as a file system does when the ACL is changed by somebody outside of the file's group.
   * @returns 0 or -errno
   */
  setXattr(handle: Handle, name: string, value: Uint8Array, flags: number, clearsSetgid: boolean): number {
    const outcome = this.xattrs.set(handle, name, value, flags);
    if (outcome < 0 || !clearsSetgid || name !== ACCESS_ACL) return outcome;
    const known = this.attributes(handle);
    return known < 0 || (this.stat.mode & c.S_ISGID) === 0 ? known : this.setAttributes(handle, { mode: this.stat.mode & ~c.S_ISGID });
  }

  /**
   * Whether modifications of an object can succeed here at all.
   * @param beyondAppending what an append-only object does not allow @returns 0, -EPERM or -errno
   */
  checkMutable(handle: Handle, beyondAppending: boolean): number {
    const outcome = this.attributes(handle);
    if (outcome < 0) return outcome;
    return (beyondAppending ? this.stat.isFixed : this.stat.isImmutable) ? -EPERM : 0;
  }

  /** Owner, then mode (a change of owner clears setuid), then size, then times. @returns 0 or the first -errno */
  setAttributes(handle: Handle, change: AttributeChange): number {
    const fd = this.#descriptors.get(handle);
    if (fd < 0) return fd;
    let outcome = 0;
    if (change.uid !== undefined || change.gid !== undefined) {
      outcome = sys.fchownat(fd, EMPTY, change.uid ?? OWNER_UNCHANGED, change.gid ?? OWNER_UNCHANGED, c.AT_EMPTY_PATH);
    }
    if (outcome >= 0 && change.mode !== undefined) {
      const mode = change.mode & 0o7777;
      outcome = isRegular(handle) || isDirectory(handle) ? sys.fchmod(fd, mode) : sys.chmod(procPath(fd), mode);
    }
    if (outcome >= 0 && change.size !== undefined) outcome = sys.ftruncate(fd, change.size);
    if (outcome >= 0 && change.times !== undefined) outcome = sys.utimensat(fd, EMPTY, change.times, c.AT_EMPTY_PATH);
    return outcome < 0 ? outcome : 0;
  }

  /** Writes all of `data`. @returns its length or -errno (ENOSPC: a part may have been written) */
  write(handle: Handle, offset: number, data: Uint8Array): number {
    const fd = this.#descriptors.get(handle);
    if (fd < 0) return fd;
    if (data.length >= UNCACHED_BYTES_MIN && !this.#cachedOnly.has(rootOf(handle))) {
      const outcome = this.#writeUncached(fd, offset, data);
      if (outcome !== -EOPNOTSUPP) return outcome === -EBADF ? -EROFS : outcome;
      this.#cachedOnly.add(rootOf(handle));
    }
    let done = sys.pwrite(fd, data, data.length, offset);
    while (done >= 0 && done < data.length) {
      const more = sys.pwrite(fd, data.subarray(done), data.length - done, offset + done);
      if (more < 0) return more;
      done += more;
    }
    if (done < 0) return done === -EBADF ? -EROFS : done;
    this.onWritten?.(handle, offset, done);
    return done;
  }

  #writeUncached(fd: number, offset: number, data: Uint8Array): number {
    let done = 0;
    while (done < data.length) {
      sys.pointVector(this.#vector, data.subarray(done), data.length - done);
      const outcome = sys.pwritev2(fd, this.#vector, offset + done, c.RWF_DONTCACHE);
      if (outcome < 0) return outcome;
      done += outcome;
    }
    return done;
  }

  /** @returns bytes read (fewer at the end of the file) or -errno */
  read(handle: Handle, offset: number, into: Uint8Array, length: number): number {
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : sys.pread(fd, into, length, offset);
  }

  fallocate(handle: Handle, mode: number, offset: number, length: number): number {
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : sys.fallocate(fd, mode, offset, length);
  }

  /**
   * Next data or hole; SEEK_SET: whether a file may be that long. @param whence SEEK_DATA, SEEK_HOLE or SEEK_SET
   * @returns offset or -errno (ENXIO: nothing more)
   */
  seek(handle: Handle, offset: number, whence: number): number {
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : sys.lseek(fd, offset, whence);
  }

  /** @returns bytes of the target or -errno */
  readlink(handle: Handle, into: Uint8Array): number {
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : sys.readlinkat(fd, EMPTY, into, into.length);
  }

  /** `struct statvfs` into `into` (112 bytes). */
  statfs(root: number, into: Uint8Array): number {
    return sys.fstatvfs(this.rootFd(root), into);
  }

  /**
   * One batch of raw `struct linux_dirent64` records from position `offset` (0n: start), `.` and `..` included: for replies that must be
   * filled without an object per entry. The buffer is used again by the next call.
   * @returns bytes in `rawEntries`, 0 at the end, or -errno
   */
  readRawEntries(directory: Handle, offset: bigint, bytesMax: number): number {
    const fd = this.#descriptors.get(directory);
    if (fd < 0) return fd;
    const bytes = this.#listFrom(fd, offset, bytesMax);
    // ext4: a description whose first use was at the end (its predecessor was closed in the middle of a listing) says once that the
    // directory is empty. No directory is: it has `.` and `..`.
    return bytes === 0 && offset === 0n ? this.#listFrom(fd, offset, bytesMax) : bytes;
  }

  #listFrom(fd: number, offset: bigint, bytesMax: number): number {
    const moved = sys.lseek(fd, offset, c.SEEK_SET);
    return moved < 0 ? moved : sys.getdents64(fd, this.#entries, Math.min(bytesMax, this.#entries.length));
  }

  get rawEntries(): Buffer {
    return this.#entries;
  }

  /** One batch of entries after `offset`, without `.`, `..` and the reserved directory; `next` is undefined at the end. Or -errno. */
  readDirectory(
    directory: Handle,
    offset: bigint,
    bytesMax = this.#entries.length,
  ): { entries: DirectoryEntry[]; next: bigint | undefined } | number {
    const bytes = this.readRawEntries(directory, offset, bytesMax);
    if (bytes < 0) return bytes;
    const { entries, next } = entriesIn(this.#entries, bytes, this.roots.includes(directory) ? RESERVED_NAME : undefined);
    return { entries, next };
  }

  /** True for the reserved directory's name in a root: applications and peers must not touch it. */
  isReserved(parent: Handle, name: Uint8Array): boolean {
    return name.length === RESERVED_NAME.length && RESERVED_NAME.equals(name) && this.roots.includes(parent);
  }

  /** The reserved directory of a root, created if it is not there (mode 0700). @returns handle or -errno */
  reservedDirectory(root: number): Handle | number {
    const parent = this.roots[root] as Handle;
    const made = sys.mkdirat(this.rootFd(root), terminate(this.#nameA, RESERVED_NAME), 0o700);
    return made < 0 && made !== -EEXIST ? made : this.lookup(parent, RESERVED_NAME);
  }
}

function unsuitable(path: string, why: string): HoldfastError {
  return new HoldfastError(
    'HF_REPLICATION_FILE_SYSTEM',
    `the file system of ${path} cannot be replicated: ${why}; use ext4, XFS, btrfs or tmpfs`,
    { path },
  );
}
