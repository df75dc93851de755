/**
 * The backing trees: every operation on an object of the replicated directories, addressed by handle (and name in a directory), never by
 * path. Both the primary's file system and the secondary's applier work through this class, so that the same request gives the same
 * result on both nodes. Results are numbers: 0 or more is success, `-errno` is failure; nothing throws for an operating error.
 *
 * Every object carries a random 64-bit id in the xattr `trusted.holdfast.id`: it is the object's name on the wire and survives renames
 * and restarts. Roots have the reserved ids 1, 2, … and no xattr.
 */
import { randomFillSync } from 'node:crypto';
import { HoldfastError } from '@holdfast/sdk';
import * as sys from '../system/calls.js';
import * as c from '../system/constants.js';
import { EBADF, EEXIST, EINVAL, ENAMETOOLONG, ENODATA, EOPNOTSUPP, EROFS, errnoName } from '../system/errno.js';
import { Stat } from '../system/stat.js';
import { Descriptors } from './descriptors.js';
import { handleAt, handleOf, isDirectory, isRegular, rootOf, type Handle } from './handle.js';

/** Reserved directory in each root: the stash of a resync's target. Hidden from applications, never replicated. */
export const RESERVED_NAME = Buffer.from('.holdfast');
/** Ids 1 to 255 belong to the roots. */
const OBJECT_ID_MIN = 256n;
const DESCRIPTORS_MAX = 4000;
const ID_XATTR = sys.cString('trusted.holdfast.id');
const EMPTY = sys.cString('');
const OWNER_UNCHANGED = 0xffffffff;

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

/** Changes of attributes; what is undefined stays. Times: `struct timespec` × 2 (atime, mtime) with UTIME_OMIT where unchanged. */
export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly times?: Buffer;
}

export interface DirectoryEntry {
  readonly name: Buffer;
  readonly ino: bigint;
  /** S_IFMT bits, 0 where the file system does not say. */
  readonly type: number;
  /** Where to continue after this entry. */
  readonly offset: bigint;
}

export class Store {
  readonly roots: readonly Handle[];
  /** Attributes of the object that the last successful `lookup`, `create` or `attributes` met. Overwritten by the next. */
  readonly stat = new Stat();
  /** Told of every successful `write`. */
  onWritten: ((handle: Handle, offset: number, length: number) => void) | undefined;
  readonly #rootFds: readonly number[];
  readonly #descriptors: Descriptors;
  readonly #nameA = Buffer.from(new ArrayBuffer(c.PATH_BYTES_MAX + 1));
  readonly #nameB = Buffer.from(new ArrayBuffer(c.PATH_BYTES_MAX + 1));
  readonly #idBytes = Buffer.from(new ArrayBuffer(8));
  readonly #entries = Buffer.from(new ArrayBuffer(65536));
  #fsgid = 0;

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
        const xattr = sys.fgetxattr(fd, ID_XATTR, this.#idBytes, 8);
        if (xattr === -EOPNOTSUPP) throw unsuitable(path, 'no trusted extended attributes');
        roots.push(handle);
      }
    } catch (error) {
      for (const fd of fds) sys.close(fd);
      throw error;
    }
    this.roots = roots;
    this.#rootFds = fds;
    this.#descriptors = new Descriptors(fds, DESCRIPTORS_MAX);
    sys.umask(0);
  }

  close(): void {
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

  unpin(handle: Handle): void {
    this.#descriptors.unpin(handle);
  }

  /** Closes the cached descriptor, if it is not pinned. */
  release(handle: Handle): void {
    this.#descriptors.forget(handle);
  }

  /** The handle of `name` in `parent`, with its attributes in `stat`; or -errno. */
  lookup(parent: Handle, name: Uint8Array): Handle | number {
    if (name.length > c.NAME_BYTES_MAX) return -ENAMETOOLONG;
    const fd = this.#descriptors.get(parent);
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

  /** @returns the object's id, 0n when it has none yet, or -errno as a negative bigint */
  readId(handle: Handle): bigint {
    const root = this.roots.indexOf(handle);
    if (root >= 0) return BigInt(root + 1);
    const fd = this.#descriptors.get(handle);
    if (fd < 0) return BigInt(fd);
    const outcome =
      isRegular(handle) || isDirectory(handle)
        ? sys.fgetxattr(fd, ID_XATTR, this.#idBytes, 8)
        : sys.getxattr(procPath(fd), ID_XATTR, this.#idBytes, 8);
    if (outcome === -ENODATA) return 0n;
    if (outcome < 0) return BigInt(outcome);
    return outcome === 8 ? this.#idBytes.readBigUInt64LE(0) : 0n;
  }

  /** @returns 0 or -errno */
  writeId(handle: Handle, id: bigint): number {
    if (this.roots.includes(handle)) return -EINVAL;
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : this.#setId(fd, handle, id);
  }

  #setId(fd: number, handle: Handle, id: bigint): number {
    this.#idBytes.writeBigUInt64LE(id, 0);
    return isRegular(handle) || isDirectory(handle)
      ? sys.fsetxattr(fd, ID_XATTR, this.#idBytes, 8, 0)
      : sys.setxattr(procPath(fd), ID_XATTR, this.#idBytes, 8, 0);
  }

  /** Creates an object of any type with id and owner; its attributes are in `stat`. EEXIST: the name is taken. @returns handle or -errno */
  create(parent: Handle, name: Uint8Array, object: NewObject): Handle | number {
    if (name.length > c.NAME_BYTES_MAX) return -ENAMETOOLONG;
    const parentFd = this.#descriptors.get(parent);
    if (parentFd < 0) return parentFd;
    const path = terminate(this.#nameA, name);
    this.#setGroup(object.gid);
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
    // A handle of an earlier object cannot be the same, but its descriptor may still be cached under it on file systems without
    // inode generations.
    this.#descriptors.forget(handle);
    this.#descriptors.adopt(handle, fd);
    return handle;
  }

  #finishCreation(fd: number, root: number, type: number, object: NewObject): Handle | number {
    const handle = handleOf(root, fd, type);
    if (typeof handle === 'number') return handle;
    let outcome = this.#setId(fd, handle, object.id);
    if (outcome < 0) return outcome;
    if (object.uid !== 0) {
      outcome = sys.fchownat(fd, EMPTY, object.uid, OWNER_UNCHANGED, c.AT_EMPTY_PATH);
      if (outcome < 0) return outcome;
      // The change of owner cleared them, but they were asked for at creation.
      if (object.mode & (c.S_ISUID | c.S_ISGID) && type === c.S_IFREG) {
        outcome = sys.fchmod(fd, object.mode & 0o7777);
        if (outcome < 0) return outcome;
      }
    }
    outcome = this.stat.of(fd);
    return outcome < 0 ? outcome : handle;
  }

  /** New files get this group unless their directory is setgid: exactly what the kernel would do for the application. */
  #setGroup(gid: number): void {
    if (this.#fsgid === gid) return;
    sys.setfsgid(gid);
    this.#fsgid = gid;
  }

  link(object: Handle, parent: Handle, name: Uint8Array): number {
    if (name.length > c.NAME_BYTES_MAX) return -ENAMETOOLONG;
    const fd = this.#descriptors.pin(object);
    if (fd < 0) return fd;
    const parentFd = this.#descriptors.get(parent);
    const outcome = parentFd < 0 ? parentFd : sys.linkat(fd, EMPTY, parentFd, terminate(this.#nameA, name), c.AT_EMPTY_PATH);
    this.#descriptors.unpin(object);
    return outcome;
  }

  unlink(parent: Handle, name: Uint8Array): number {
    return this.#remove(parent, name, 0);
  }

  rmdir(parent: Handle, name: Uint8Array): number {
    return this.#remove(parent, name, c.AT_REMOVEDIR);
  }

  #remove(parent: Handle, name: Uint8Array, flags: number): number {
    if (name.length > c.NAME_BYTES_MAX) return -ENAMETOOLONG;
    const fd = this.#descriptors.get(parent);
    return fd < 0 ? fd : sys.unlinkat(fd, terminate(this.#nameA, name), flags);
  }

  /** @param flags 0, RENAME_NOREPLACE or RENAME_EXCHANGE */
  rename(parent: Handle, name: Uint8Array, newParent: Handle, newName: Uint8Array, flags: number): number {
    if (name.length > c.NAME_BYTES_MAX || newName.length > c.NAME_BYTES_MAX) return -ENAMETOOLONG;
    const fd = this.#descriptors.pin(parent);
    if (fd < 0) return fd;
    const newFd = this.#descriptors.get(newParent);
    const outcome = newFd < 0 ? newFd : sys.renameat2(fd, terminate(this.#nameA, name), newFd, terminate(this.#nameB, newName), flags);
    this.#descriptors.unpin(parent);
    return outcome;
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

  /** @returns bytes read (fewer at the end of the file) or -errno */
  read(handle: Handle, offset: number, into: Uint8Array, length: number): number {
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : sys.pread(fd, into, length, offset);
  }

  fallocate(handle: Handle, mode: number, offset: number, length: number): number {
    const fd = this.#descriptors.get(handle);
    return fd < 0 ? fd : sys.fallocate(fd, mode, offset, length);
  }

  /** Next data or hole. @param whence SEEK_DATA or SEEK_HOLE @returns offset or -errno (ENXIO: nothing more) */
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
    const isRoot = this.roots.includes(directory);
    const entries: DirectoryEntry[] = [];
    let next: bigint | undefined;
    for (let at = 0; at < bytes; at += this.#entries.readUInt16LE(at + 16)) {
      const name = Buffer.from(this.#entries.subarray(at + 19, this.#entries.indexOf(0, at + 19)));
      next = this.#entries.readBigInt64LE(at + 8);
      if (isDots(name) || (isRoot && name.equals(RESERVED_NAME))) continue;
      entries.push({ name, ino: this.#entries.readBigUInt64LE(at), type: (this.#entries[at + 18] as number) << 12, offset: next });
    }
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

/** A random id for a new object. */
export function newObjectId(): bigint {
  if (idPoolAt === idPool.length) {
    randomFillSync(idPool);
    idPoolAt = 0;
  }
  const id = idPool.readBigUInt64LE(idPoolAt);
  idPoolAt += 8;
  return id >= OBJECT_ID_MIN ? id : newObjectId();
}
const idPool = Buffer.alloc(4096);
let idPoolAt = idPool.length;

export function rootId(root: number): bigint {
  return BigInt(root + 1);
}

function terminate(scratch: Buffer, name: Uint8Array): Buffer {
  if (name.length >= scratch.length) throw new Error(`a name of ${name.length} bytes reached the store unchecked`);
  scratch.set(name);
  scratch[name.length] = 0;
  return scratch;
}

function isDots(name: Buffer): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

/** For calls that take no descriptor opened as O_PATH: the link leads to the object itself, symlinks included. */
function procPath(fd: number): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}\0`);
}

function unsuitable(path: string, why: string): HoldfastError {
  return new HoldfastError(
    'HF_REPLICATION_FILE_SYSTEM',
    `the file system of ${path} cannot be replicated: ${why}; use ext4, XFS, btrfs or tmpfs`,
    { path },
  );
}
