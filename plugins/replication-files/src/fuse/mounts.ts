/**
 * The mounts of one replica. The replicated directory is bind-mounted aside first: the aside mount is the backing tree, reachable while
 * something else covers the directory. Secondary: a read-only bind over it. Primary: our FUSE over such a bind, so that an application
 * whose file system is unmounted by a stranger gets errors, and never writes to the plain directory unnoticed. Stopped: nothing.
 *
 * Every mount is recorded in `mounts.json` before it is made, so that the next process removes what a killed one left: a dead FUSE mount
 * ("Transport endpoint is not connected"), the aside and the read-only binds.
 */
import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import type { ReplicatedDirectory } from '../configuration.js';
import * as sys from '../system/calls.js';
import * as c from '../system/constants.js';
import { EBUSY, EINVAL, ENOENT, errnoName } from '../system/errno.js';
import { findHolders, mountsBelow, readMounts, type MountEntry } from './mount-table.js';
import { WRITE_BYTES_MAX, type SyncMode } from './protocol.js';

const RECORD_BLOCK_BYTES = 16 << 10;
const WRITE_BACK_MAX_MS = 3000;
/** Of the kernel's limit for all disks. Several such directories must leave room for the disks below: it is written there. */
const DIRTY_PERCENT_MAX = 5;
const STATVFS_BYTES = 112;
const STATVFS_FLAGS_AT = 72;
export const FUSE_TYPE = 'fuse.holdfast';

interface Recorded {
  readonly path: string;
  /** How many mounts were already stacked on the path. */
  readonly below: number;
}

interface Cover {
  readonly directory: string;
  readonly kind: 'read-only' | 'fuse';
}

export class Mounts {
  readonly #directories: readonly string[];
  readonly #required: readonly { readonly directory: string; readonly name: string }[];
  readonly #stateDirectory: string;
  #asides: string[] = [];
  /** Mounts over the directories, in the order in which they were made. */
  #covers: Cover[] = [];
  #recorded: Recorded[] = [];
  #isUncovering = false;

  constructor(directories: readonly ReplicatedDirectory[], stateDirectory: string) {
    this.#directories = directories.map(({ path }) => path);
    this.#required = directories.flatMap(({ path, required }) => required.map((name) => ({ directory: path, name })));
    this.#stateDirectory = stateDirectory;
  }

  /** Lazily unmounts what an earlier process of this replica left. */
  removeLeftovers(): void {
    for (const mount of readMounts().reverse()) {
      if (mount.type === FUSE_TYPE && this.#directories.includes(mount.path)) detach(mount.path);
    }
    for (const { path, below } of readRecord(this.#recordPath).reverse()) {
      while (stacked(path) > below) {
        if (!detach(path)) break;
      }
    }
    this.#recorded = [];
    this.#writeRecord();
  }

  /**
   * Takes over what a killed process had mounted. Looks only at /proc: nobody serves the directories at this moment.
   * @param covers over each directory, the first at the bottom
   * @throws HoldfastError HF_REPLICATION_MOUNT
   */
  adopt(covers: readonly Cover['kind'][]): void {
    this.#asides = this.#directories.map((_, index) => this.#asidePath(index));
    this.#covers = covers.flatMap((kind) => this.#directories.map((directory) => ({ directory, kind })));
    this.#recorded = readRecord(this.#recordPath);
    const missing = this.#asides.find((aside) => stacked(aside) === 0) ?? this.strayed();
    if (missing !== undefined) {
      throw new HoldfastError('HF_REPLICATION_MOUNT', `${missing} is not mounted as the ended replicator had left it`, { path: missing });
    }
  }

  #asidePath(index: number): string {
    return join(this.#stateDirectory, 'backing', String(index));
  }

  /** @throws HoldfastError HF_REPLICATION_DIRECTORY_MISSING, HF_REPLICATION_SUBMOUNT */
  check(): void {
    for (const directory of this.#directories) {
      const stat = statSync(directory, { throwIfNoEntry: false });
      if (stat?.isDirectory() !== true) {
        throw new HoldfastError(
          'HF_REPLICATION_DIRECTORY_MISSING',
          `${directory} is not a directory; create it on this node before the module starts`,
          { directory },
        );
      }
      const below = mountsBelow(directory);
      if (below.length > 0) {
        throw new HoldfastError(
          'HF_REPLICATION_SUBMOUNT',
          `${below.join(', ')} is mounted below the replicated ${directory}; replicate it as a directory of its own, or unmount it`,
          { directory, below },
        );
      }
    }
  }

  /**
   * As `check`, and what the configuration wants to find there. Before a role is taken.
   * @throws HoldfastError also HF_REPLICATION_CONTENT_MISSING
   */
  checkContent(): void {
    this.check();
    for (const { directory, name } of this.#required) {
      if (lstatSync(join(directory, name), { throwIfNoEntry: false }) !== undefined) continue;
      throw new HoldfastError(
        'HF_REPLICATION_CONTENT_MISSING',
        `${join(directory, name)} is not there, and <tocheck> wants it: is the file system of ${directory} mounted on this node?`,
        { directory, path: name },
      );
    }
  }

  /** The backing paths, in order, while they are mounted. */
  get asides(): readonly string[] {
    return [...this.#asides];
  }

  /** Bind-mounts every directory aside. @returns the backing paths, in order */
  mountAside(): readonly string[] {
    if (this.#asides.length > 0) return this.#asides;
    for (const [index, directory] of this.#directories.entries()) {
      const aside = this.#asidePath(index);
      mkdirSync(aside, { recursive: true, mode: 0o700 });
      this.#record(aside);
      this.#asides.push(aside);
      call('bind', directory, sys.mount(sys.cString(directory), sys.cString(aside), null, c.MS_BIND, null));
      // Else a mount over the directory would propagate to the aside mount and cover the backing tree.
      call('make private', aside, sys.mount(null, sys.cString(aside), null, c.MS_PRIVATE, null));
      // What is read here should not change access times on this node alone. Best-effort: a container may not be allowed to.
      sys.mount(null, sys.cString(aside), null, c.MS_REMOUNT | c.MS_BIND | c.MS_NOATIME | optionsOf(aside), null);
    }
    return this.#asides;
  }

  /** Covers directory `index` with our FUSE. @param rootMode attributes of the backing root @returns the descriptor of /dev/fuse */
  mountFuse(index: number, rootMode: number): number {
    const directory = this.#directories[index] as string;
    const fd = sys.openat(c.AT_FDCWD, sys.cString('/dev/fuse'), c.O_RDWR | c.O_CLOEXEC | c.O_NONBLOCK, 0);
    if (fd < 0) {
      throw new HoldfastError('HF_REPLICATION_MOUNT', `/dev/fuse: ${errnoName(fd)}; load the kernel module "fuse" and run as root`);
    }
    const options = [
      `fd=${fd}`,
      `rootmode=${(rootMode & c.S_IFMT).toString(8)}`,
      'user_id=0',
      'group_id=0',
      'allow_other',
      'default_permissions',
      `max_read=${WRITE_BYTES_MAX}`,
    ].join(',');
    this.#record(directory);
    const outcome = sys.mount(sys.cString('holdfast'), sys.cString(directory), sys.cString(FUSE_TYPE), 0, sys.cString(options));
    if (outcome < 0) {
      sys.close(fd);
      throw new HoldfastError('HF_REPLICATION_MOUNT', `mounting over ${directory}: ${errnoName(outcome)}`, { directory });
    }
    this.#covers.push({ directory, kind: 'fuse' });
    return fd;
  }

  /**
   * Lets the kernel read ahead as much as one request holds, and keep more of what is to be written back than it trusts a FUSE with by
   * itself (a hundredth of what it keeps for all disks). Best-effort: only speed depends on it.
   */
  tune(index: number, sync: SyncMode): void {
    const mount = topmost(this.#directories[index] as string);
    if (mount === undefined) return;
    try {
      writeFileSync(`/sys/class/bdi/${mount.device}/read_ahead_kb`, String(WRITE_BYTES_MAX / 1024));
      if (sync === 'fsync') writeFileSync(`/sys/class/bdi/${mount.device}/max_ratio`, String(DIRTY_PERCENT_MAX));
    } catch {
      // A container without a writable /sys: reads are slower, and what is written back too.
    }
  }

  /** Covers every directory with a read-only view of itself, unless it has one. */
  mountReadOnly(): void {
    for (const directory of this.#directories) {
      if (this.#covers.some((cover) => cover.directory === directory)) continue;
      this.#record(directory);
      const path = sys.cString(directory);
      call('bind', directory, sys.mount(path, path, null, c.MS_BIND, null));
      this.#covers.push({ directory, kind: 'read-only' });
      call('make private', directory, sys.mount(null, path, null, c.MS_PRIVATE, null));
      call('make read-only', directory, sys.mount(null, path, null, c.MS_REMOUNT | c.MS_BIND | c.MS_RDONLY, null));
    }
  }

  /**
   * Has the kernel send what applications have written and it still keeps. Best-effort, and only for a while: the answers are not waited
   * for.
   */
  async writeBack(): Promise<void> {
    const directories = this.#covers.filter(({ kind }) => kind === 'fuse').map(({ directory }) => directory);
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => (timer = setTimeout(resolve, WRITE_BACK_MAX_MS)));
    await Promise.race([Promise.all(directories.map(writeBack)), deadline]);
    clearTimeout(timer);
  }

  /**
   * Uncovers the directories. Waits for no application: a busy mount is refused (or detached with `force`).
   * @throws HoldfastError HF_REPLICATION_BUSY
   */
  async uncover(force: boolean): Promise<void> {
    this.#isUncovering = true;
    try {
      while (this.#covers.length > 0) {
        const { directory, kind } = this.#covers.at(-1) as Cover;
        // Who still reads the read-only view keeps what is open: nothing is written there.
        const flags = force || kind === 'read-only' ? c.MNT_DETACH : 0;
        const outcome = await sys.umountWithoutBlocking(sys.cString(directory), flags);
        if (outcome === -EBUSY) throw busy(directory);
        if (outcome < 0 && outcome !== -EINVAL && outcome !== -ENOENT) call('unmount', directory, outcome);
        this.#covers.pop();
        this.#unrecord(directory);
      }
    } finally {
      this.#isUncovering = false;
    }
  }

  /** The first directory that should show our FUSE and does not: somebody unmounted it, or mounted over it. */
  strayed(): string | undefined {
    const expected = this.#covers.filter(({ kind }) => kind === 'fuse');
    // A mount that is being removed by this process is gone before it hears of it.
    if (expected.length === 0 || this.#isUncovering) return undefined;
    const mounts = readMounts();
    return expected.find(({ directory }) => mounts.findLast(({ path }) => path === directory)?.type !== FUSE_TYPE)?.directory;
  }

  /** Removes the aside mounts. The store must be closed. */
  removeAside(): void {
    for (const aside of this.#asides.reverse()) {
      detach(aside);
      this.#unrecord(aside);
    }
    this.#asides = [];
  }

  get #recordPath(): string {
    return join(this.#stateDirectory, 'mounts.json');
  }

  #record(path: string): void {
    this.#recorded.push({ path, below: stacked(path) });
    this.#writeRecord();
  }

  #unrecord(path: string): void {
    const index = this.#recorded.findLastIndex((recorded) => recorded.path === path);
    if (index >= 0) this.#recorded.splice(index, 1);
    this.#writeRecord();
  }

  /**
   * In place and at a size that is there from the start: mounting and unmounting must work on a full disk. Best-effort for that reason: a
   * record that cannot be written costs only the cleaning up after a crash.
   */
  #writeRecord(): void {
    const text = JSON.stringify({ boot: bootId(), mounts: this.#recorded });
    try {
      const fd = openSync(this.#recordPath, constants.O_WRONLY | constants.O_CREAT, 0o600);
      try {
        const bytes = Math.max(fstatSync(fd).size, Math.ceil(Buffer.byteLength(text) / RECORD_BLOCK_BYTES) * RECORD_BLOCK_BYTES);
        const content = Buffer.alloc(bytes, ' ');
        content.write(text);
        writeSync(fd, content, 0, bytes, 0);
      } finally {
        closeSync(fd);
      }
    } catch {
      // As said above.
    }
  }
}

/** Options of a bind mount that a remount would drop: read-only, nosuid, nodev, noexec. */
function optionsOf(path: string): number {
  const fd = sys.openat(c.AT_FDCWD, sys.cString(path), c.O_RDONLY | c.O_DIRECTORY | c.O_CLOEXEC, 0);
  if (fd < 0) return 0;
  const statvfs = Buffer.alloc(STATVFS_BYTES);
  const outcome = sys.fstatvfs(fd, statvfs);
  sys.close(fd);
  return outcome < 0 ? 0 : Number(statvfs.readBigUInt64LE(STATVFS_FLAGS_AT)) & (c.MS_RDONLY | c.MS_NOSUID | c.MS_NODEV | c.MS_NOEXEC);
}

async function writeBack(directory: string): Promise<void> {
  const fd = await sys.openWithoutBlocking(sys.cString(directory), c.O_RDONLY | c.O_DIRECTORY | c.O_CLOEXEC);
  if (fd < 0) return;
  await sys.syncfsWithoutBlocking(fd);
  sys.close(fd);
}

function stacked(path: string): number {
  return readMounts().filter((mount) => mount.path === path).length;
}

function topmost(path: string): MountEntry | undefined {
  return readMounts().findLast((mount) => mount.path === path);
}

function detach(path: string): boolean {
  return sys.umount2(sys.cString(path), c.MNT_DETACH) >= 0;
}

function call(what: string, path: string, outcome: number): void {
  if (outcome < 0) throw new HoldfastError('HF_REPLICATION_MOUNT', `${what} ${path}: ${errnoName(outcome)}`, { path });
}

function busy(directory: string): HoldfastError {
  const mount = topmost(directory);
  const holders = mount === undefined ? [] : findHolders(mount);
  const named = holders.map((holder) => `${holder.command} (pid ${holder.pid})`).join(', ') || 'a process that /proc does not show';
  return new HoldfastError('HF_REPLICATION_BUSY', `${directory} is still in use by ${named}; stop it, or stop the module with force`, {
    directory,
    holders,
  });
}

/** Nothing of an earlier boot is still mounted: its record says nothing. */
function readRecord(path: string): Recorded[] {
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as { boot?: unknown; mounts?: unknown };
    return record.boot === bootId() && Array.isArray(record.mounts) ? (record.mounts as Recorded[]) : [];
  } catch {
    return [];
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
