/**
 * An application that does everything twice, in a replicated directory and in a bare one on the same file system, and compares what it is
 * told: `duel-process.js SEED COUNT REPLICATED BARE SHARED SYNC`. Every operation must return the same number or errno, every read the same
 * bytes, every listing the same names. Now and then it also works in a directory that other processes use at the same time: nothing can
 * be compared there, but errors that a disk never gives are failures too. At the end both trees are compared as a whole.
 *
 * Prints `N operations` and ends with 0, or prints the last operations and the difference and ends with 1.
 */
import * as fs from 'node:fs';
import koffi from 'koffi';
import * as sys from '../src/system/calls.js';
import * as c from '../src/system/constants.js';
import { EIO, ENOSYS, ENXIO, ESTALE, errnoName } from '../src/system/errno.js';
import { Stat } from '../src/system/stat.js';
import { Random } from './random.js';
import { compareTrees } from './tree-comparison.js';

const libc = koffi.load('libc.so.6');
const mmap = libc.func('void *mmap(void*, uint64_t, int, int, int, int64_t)') as (...values: unknown[]) => unknown;
const munmap = libc.func('int munmap(void*, uint64_t)') as (...values: unknown[]) => number;
const msync = libc.func('int msync(void*, uint64_t, int)') as (...values: unknown[]) => number;
const memcpy = libc.func('void *memcpy(void*, void*, uint64_t)') as (...values: unknown[]) => unknown;
const ENOTCONN = 107;
const NEVER = [EIO, ENOTCONN, ESTALE, ENOSYS];

const [seedText = '1', countText = '1000', replicated = '', bare = '', shared = '', sync = ''] = process.argv.slice(2);
const random = new Random(Number(seedText));
const LAST_OPERATIONS = 40;
const SLOTS = 12;
const IO_BYTES_MAX = 300_000;

const DIRECTORIES = ['.', 'd0', 'd1', 'd2', 'd0/e', 'd1/f', 'd0/e/g'];
const NAMES = [...Array.from({ length: 14 }, (_, i) => `n${i}`), '-rf', 'ä', '\xff\xfe\n', 'x'.repeat(255), 'y'.repeat(256)];
const FLAGS = [fs.constants.O_RDWR, fs.constants.O_RDONLY, fs.constants.O_WRONLY];
const MODIFIERS = [
  0,
  fs.constants.O_CREAT,
  fs.constants.O_CREAT | fs.constants.O_EXCL,
  fs.constants.O_TRUNC,
  fs.constants.O_CREAT | fs.constants.O_TRUNC,
  fs.constants.O_APPEND,
  fs.constants.O_CREAT | fs.constants.O_APPEND,
  fs.constants.O_DIRECTORY,
  fs.constants.O_NOFOLLOW,
  fs.constants.O_DSYNC,
];
/** More than a file may have: on ext4, in 53 bits, and almost more than the kernel can say. */
const HUGE = [2 ** 44, 2 ** 52, 2n ** 53n, 2n ** 60n + 3n, 2n ** 63n - 1n] as const;

/** One of the directories in which the operations are done. */
class Side {
  readonly root: number;
  readonly slots: number[] = Array.from({ length: SLOTS }, () => -1);
  readonly bytes = Buffer.from(new ArrayBuffer(IO_BYTES_MAX));
  readonly stat = new Stat();

  constructor(path: string) {
    this.root = sys.openat(c.AT_FDCWD, sys.cString(path), c.O_RDONLY | c.O_DIRECTORY, 0);
    if (this.root < 0) throw new Error(`${path}: ${errnoName(this.root)}`);
  }
}

/** What an operation tells: a number or errno first, then whatever can be compared as text. */
type Outcome = readonly [number, ...(string | number)[]];
interface Operation {
  readonly text: string;
  readonly run: (side: Side) => Outcome;
}

const path = (): Buffer => Buffer.from(`${random.pick(DIRECTORIES)}/${random.pick(NAMES)}`, 'latin1');
const directoryPath = (): Buffer => Buffer.from(random.pick(DIRECTORIES));
const anyPath = (): Buffer => (random.below(6) === 0 ? directoryPath() : path());
const flat = (outcome: number): Outcome => [Math.min(outcome, 0)];
const shown = (name: Buffer): string => JSON.stringify(name.toString('latin1')).slice(0, 40);
const data = Buffer.from(new ArrayBuffer(IO_BYTES_MAX));
const length = (): number => random.pick([1, 10, 100, 700, 4096, 4097, 20_000]) * (random.below(30) === 0 ? 14 : 1);
const offset = (): number => random.pick([0, random.below(1000), random.below(300_000), 4096 * random.below(60)]);
/** How large a file may be, a kernel that writes back learns when it does. */
const farOffset = (): number | bigint => (sync !== 'fsync' && random.below(150) === 0 ? random.pick(HUGE) : offset());

/** One operation from the stream of random numbers: the same for every side. */
type Maker = () => Operation;

function onSlot(text: string, run: (fd: number, side: Side) => Outcome): Operation {
  const slot = random.below(SLOTS);
  return {
    text: `slot ${slot}: ${text}`,
    run: (side) => {
      const fd = side.slots[slot] ?? -1;
      return fd < 0 ? [0, 'nothing open'] : run(fd, side);
    },
  };
}

function onPath(text: string, name: Buffer, run: (root: number, name: Buffer, side: Side) => Outcome): Operation {
  return { text: `${text} ${shown(name)}`, run: (side) => run(side.root, sys.cString(name), side) };
}

function onPaths(text: string, from: Buffer, to: Buffer, run: (root: number, from: Buffer, to: Buffer) => number): Operation {
  return { text: `${text} ${shown(from)} ${shown(to)}`, run: (side) => flat(run(side.root, sys.cString(from), sys.cString(to))) };
}

const open: Maker = () => {
  const [slot, flags, mode] = [random.below(SLOTS), random.pick(FLAGS) | random.pick(MODIFIERS), random.pick([0o644, 0o600, 0o4755])];
  const name = anyPath();
  return {
    text: `slot ${slot}: open ${shown(name)} flags 0${flags.toString(8)} mode 0${mode.toString(8)}`,
    run: (side) => {
      const old = side.slots[slot] as number;
      if (old >= 0) sys.close(old);
      // A pipe without a reader must not be waited for.
      side.slots[slot] = sys.openat(side.root, sys.cString(name), flags | c.O_NONBLOCK | c.O_CLOEXEC, mode);
      return flat(side.slots[slot]);
    },
  };
};

const write: Maker = () => {
  const [at, bytes, seed] = [farOffset(), length(), random.below(251) + 1];
  return onSlot(`pwrite ${bytes} at ${at}`, (fd) => {
    for (let i = 0; i < bytes; i += 1) data[i] = (i * seed) & 0xff;
    return [sys.pwrite(fd, data, bytes, at as number)];
  });
};

const append: Maker = () => {
  const bytes = length();
  return onSlot(`write ${bytes}`, (fd) => [sys.write(fd, data.fill(bytes & 0xff, 0, bytes), bytes)]);
};

const read: Maker = () => {
  const [at, bytes] = [offset(), Math.min(IO_BYTES_MAX, length() * 3)];
  return onSlot(`pread ${bytes} at ${at}`, (fd, { bytes: into }) => {
    const got = sys.pread(fd, into, bytes, at);
    return [got, got > 0 ? into.toString('latin1', 0, got) : ''];
  });
};

const mapped: Maker = () => {
  const [page, text] = [random.below(8) * 4096, `mapped ${random.below(1e6)}`];
  return onSlot(`mmap, write and msync at ${page}`, (fd, side) => {
    if (side.stat.of(fd) < 0 || side.stat.size < page + 4096) return [0, 'too short'];
    const at = mmap(null, 4096, 3, 1, fd, page);
    if (koffi.address(at) === 0xffff_ffff_ffff_ffffn) return [-koffi.errno()];
    memcpy(at, Buffer.from(text), text.length);
    const outcome = msync(at, 4096, 4);
    return [munmap(at, 4096) + outcome];
  });
};

const describeStat = ({ mode, nlink, uid, gid, rdev, size, type }: Stat): string =>
  [mode.toString(8), type === c.S_IFDIR ? 0 : size, nlink, uid, gid, rdev].join(' ');

/** What a call that failed has left there says nothing. */
const described = (outcome: number, stat: Stat): [number, ...string[]] => (outcome < 0 ? [outcome] : [outcome, describeStat(stat)]);

const list: Maker = () =>
  onPath('list', directoryPath(), (root, name, side) => {
    const fd = sys.openat(root, name, c.O_RDONLY | c.O_DIRECTORY, 0);
    if (fd < 0) return [fd];
    const names: string[] = [];
    for (let got = sys.getdents64(fd, side.bytes, 4096); got > 0; got = sys.getdents64(fd, side.bytes, 4096)) {
      for (let at = 0; at < got; at += side.bytes.readUInt16LE(at + 16)) {
        names.push(`${side.bytes[at + 18]} ${side.bytes.toString('latin1', at + 19, side.bytes.indexOf(0, at + 19))}`);
      }
    }
    sys.close(fd);
    return [0, names.sort().join('\n')];
  });

const seek: Maker = () => {
  const [at, whence] = [offset(), random.pick([c.SEEK_DATA, c.SEEK_HOLE])];
  return onSlot(`seek ${whence} from ${at}`, (fd, side) => {
    if (side.stat.of(fd) < 0 || side.stat.type !== c.S_IFREG) return [0];
    const found = sys.lseek(fd, at, whence);
    // What was allocated and not written is data or not, as the page cache happens to have it: only the kind of answer is compared, and
    // what follows must not depend on it.
    sys.lseek(fd, at, c.SEEK_SET);
    return [found >= 0 || found === -ENXIO ? 0 : found];
  });
};

/** Files that took their names go. */
function makeDirectories({ root }: Side): Outcome {
  const outcomes = DIRECTORIES.slice(1).map((name) => {
    const [removed, made] = [sys.unlinkat(root, sys.cString(name), 0), sys.mkdirat(root, sys.cString(name), 0o755)];
    return `${removed} ${made}`;
  });
  return [0, ...outcomes];
}

const times = (): Buffer => {
  const out = Buffer.alloc(32);
  const seconds = random.below(40) === 0 ? random.pick([2n ** 34n, 2n ** 40n, -(2n ** 40n), 2n ** 60n]) : BigInt(random.below(2 ** 31));
  out.writeBigInt64LE(seconds, 0);
  out.writeBigInt64LE(BigInt(random.below(1e9)), 8);
  out.writeBigInt64LE(BigInt(random.below(2 ** 31)), 16);
  out.writeBigInt64LE(BigInt(random.pick([c.UTIME_OMIT, random.below(1e9)])), 24);
  return out;
};

/** Makers with their weights: what applications do most comes most. */
const MAKERS: readonly (readonly [number, Maker])[] = [
  [14, open],
  [20, write],
  [8, append],
  [22, read],
  [2, mapped],
  [3, seek],
  [5, list],
  [10, () => onPath('stat', anyPath(), (root, name, { stat }) => described(stat.at(root, name), stat))],
  [4, () => onSlot('fstat', (fd, { stat }) => described(stat.of(fd), stat))],
  [
    2,
    () => {
      const at = random.below(10) === 0 ? random.pick(HUGE) : random.pick([0, random.below(400_000)]);
      return onSlot(`ftruncate ${at}`, (fd) => [sys.ftruncate(fd, at as number)]);
    },
  ],
  [
    2,
    () => {
      const [mode, at, bytes] = [random.pick([0, 1, 3, 16, 17]), 4096 * random.below(60), 1 + random.below(100_000)];
      return onSlot(`fallocate mode ${mode} ${at}+${bytes}`, (fd) => [sys.fallocate(fd, mode, at, bytes)]);
    },
  ],
  [1, () => onSlot('fsync', (fd) => [sys.fsync(fd)])],
  [1, () => onSlot('fdatasync', (fd) => [sys.fdatasync(fd)])],
  [1, () => onSlot('fchmod', (fd) => [sys.fchmod(fd, 0o640)])],
  [2, () => onPath('mkdir', anyPath(), (root, name) => [sys.mkdirat(root, name, 0o755)])],
  [1, () => ({ text: 'make the directories again', run: makeDirectories })],
  [1, () => onPath('rmdir', anyPath(), (root, name) => [sys.unlinkat(root, name, c.AT_REMOVEDIR)])],
  [4, () => onPath('unlink', path(), (root, name) => [sys.unlinkat(root, name, 0)])],
  [5, () => onPaths('rename', path(), path(), (root, from, to) => sys.renameat2(root, from, root, to, 0))],
  [1, () => onPaths('rename', anyPath(), anyPath(), (root, from, to) => sys.renameat2(root, from, root, to, 0))],
  [1, () => onPaths('rename NOREPLACE', path(), anyPath(), (root, from, to) => sys.renameat2(root, from, root, to, 1))],
  [1, () => onPaths('rename EXCHANGE', anyPath(), anyPath(), (root, from, to) => sys.renameat2(root, from, root, to, 2))],
  [3, () => onPaths('link', path(), path(), (root, from, to) => sys.linkat(root, from, root, to, 0))],
  [
    1,
    () => {
      // None leads out of the tree, where the others work.
      const target = Buffer.from(random.pick(['n1', './n2', 'nowhere', 'd0', 'z'.repeat(4000)]));
      return onPath('symlink', path(), (root, name) => [sys.symlinkat(sys.cString(target), root, name)]);
    },
  ],
  [
    1,
    () =>
      onPath('readlink', path(), (root, name, { bytes }) => {
        const got = sys.readlinkat(root, name, bytes, 4096);
        return [got, got > 0 ? bytes.toString('latin1', 0, got) : ''];
      }),
  ],
  [
    1,
    () => {
      const [mode, device] = random.pick([
        [0o010644, 0],
        [0o140600, 0],
        [0o020600, 0x103],
        [0o060600, 0x00f0_1234],
        [0o100400, 0],
      ] as const);
      return onPath(`mknod 0${mode.toString(8)}`, path(), (root, name) => [sys.mknodat(root, name, mode, device)]);
    },
  ],
  [
    1,
    () => {
      const [uid, gid] = [random.pick([0, 1, 65534, 0xffffffff, 0xfffffffe]), random.below(3)];
      return onPath(`chown ${uid}:${gid}`, anyPath(), (root, name) => [sys.fchownat(root, name, uid, gid, c.AT_SYMLINK_NOFOLLOW)]);
    },
  ],
  [
    1,
    () => {
      const stamp = times();
      return onPath('utimens', anyPath(), (root, name) => [sys.utimensat(root, name, stamp, c.AT_SYMLINK_NOFOLLOW)]);
    },
  ],
];
const WEIGHTED = MAKERS.flatMap(([weight, maker]) => Array.from({ length: weight }, () => maker));

const last: string[] = [];

function fail(what: string): never {
  process.stdout.write(`seed ${seedText}: ${what}\nlast operations:\n  ${last.join('\n  ')}\n`);
  process.exit(1);
}

function remember(text: string): void {
  last.push(text);
  if (last.length > LAST_OPERATIONS) last.shift();
}

const told = ([outcome, ...rest]: Outcome): string => {
  const text = rest.join(' ');
  return `${outcome < 0 ? errnoName(outcome) : outcome} ${text.length > 200 ? `${text.slice(0, 200)}…` : text}`;
};

const [ours, theirs, others] = [new Side(replicated), new Side(bare), new Side(shared)] as const;
const count = Number(countText);
for (let done = 0; done < count; done += 1) {
  const operation = random.pick(WEIGHTED)();
  if (random.below(5) === 0) {
    remember(`${done} (shared) ${operation.text}`);
    const [outcome] = operation.run(others);
    if (NEVER.includes(-outcome)) fail(`${operation.text} in the shared directory: ${errnoName(outcome)}`);
    continue;
  }
  const expected = operation.run(theirs);
  remember(`${done} ${operation.text}: ${told(expected)}`);
  const found = operation.run(ours);
  if (expected.length !== found.length || expected.some((value, index) => value !== found[index])) {
    fail(`operation ${done}: ${operation.text}: a disk says ${told(expected)}, the replicated directory ${told(found)}`);
  }
}
for (const side of [ours, theirs, others]) for (const fd of side.slots) if (fd >= 0) sys.close(fd);
const difference = compareTrees(replicated, bare);
if (difference !== undefined) fail(`at the end: ${difference}`);
process.stdout.write(`${count} operations\n`);
