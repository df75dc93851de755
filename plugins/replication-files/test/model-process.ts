/**
 * A file system against its model: every random operation is done in the working directory and in a bare directory, and both must answer
 * the same: `model-process.js SEED OPERATIONS BARE-DIRECTORY`. Prints a line for each difference; nothing means that all is well.
 */
import * as fs from 'node:fs';
import koffi from 'koffi';
import * as sys from '../src/system/calls.js';
import * as c from '../src/system/constants.js';
import { errnoName } from '../src/system/errno.js';
import { Random } from './random.js';
import { differences, describeTree } from './tree.js';

const libc = koffi.load('libc.so.6');
const native = (prototype: string): ((...values: unknown[]) => number) => {
  const call = libc.func(prototype) as (...values: unknown[]) => number;
  return (...values) => {
    const outcome = call(...values);
    return outcome < 0 ? -koffi.errno() : outcome;
  };
};
const lsetxattr = native('int lsetxattr(void*, void*, void*, uint64_t, int)');
const lgetxattr = native('int64_t lgetxattr(void*, void*, void*, uint64_t)');
const llistxattr = native('int64_t llistxattr(void*, void*, uint64_t)');
const lremovexattr = native('int lremovexattr(void*, void*)');
const faccessat = native('int faccessat(int, void*, int, int)');
const copyFileRange = native('int64_t copy_file_range(int, void*, int, void*, uint64_t, uint32_t)');

const USER = 1000;
const AT_EACCESS = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const OPERATIONS = Number(process.argv[3]);
/** The tree under test, and its model. */
const BASES = [process.cwd(), process.argv[4] as string] as const;
const COMPARED_EVERY = 400;

const generator = new Random(Number(process.argv[2]));
const random = (below: number): number => generator.below(below);
const pick = <T>(list: readonly T[]): T => generator.pick(list);
const DIRECTORIES = ['', 'd0/', 'd1/', 'd2/', 'd0/e/', 'd1/f/'];
const name = (): string => `${pick(DIRECTORIES)}${pick(['n', 'n', 'm'])}${random(12)}`;
const directory = (): string => pick(DIRECTORIES.slice(1)).slice(0, -1);
const anything = (): string => pick([name, name, directory])();
const MODES = [0o644, 0o600, 0o666, 0o755, 0o777, 0o4755, 0o2755, 0o6777, 0o2644, 0o1777, 0o2770, 0o000, 0o070];
const mode = (): number => pick(MODES);

/** A file system that shares extents stops at the end of the last whole block: that is no error, and who copies asks for the rest. */
function copyAll(source: number, target: number, length: number): number {
  let copied = 0;
  while (copied < length) {
    const outcome = copyFileRange(source, null, target, null, length - copied, 0);
    if (outcome <= 0) return copied > 0 ? copied : outcome;
    copied += outcome;
  }
  return copied;
}

/** Open files of both trees that outlive their names. */
const kept: { readonly fds: readonly [number, number]; readonly label: string }[] = [];

function acl(): Buffer {
  const entries: [tag: number, permissions: number, id: number][] = [[1, random(8), -1]];
  if (random(2) === 0) entries.push([2, random(8), USER]);
  if (random(3) === 0) entries.push([2, random(8), 1001]);
  entries.push([4, random(8), -1]);
  if (random(2) === 0) entries.push([8, random(8), 1002]);
  if (entries.length > 2 || random(3) === 0) entries.push([0x10, random(8), -1]);
  entries.push([0x20, random(8), -1]);
  const out = Buffer.alloc(4 + entries.length * 8);
  out.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id], index) => {
    out.writeUInt16LE(tag, 4 + index * 8);
    out.writeUInt16LE(permissions, 6 + index * 8);
    out.writeInt32LE(id, 8 + index * 8);
  });
  return out;
}

const XATTRS = ['user.a', 'user.b', 'trusted.t', 'security.s', 'user.', 'unknown.x', 'system.posix_acl_access', 'system.posix_acl_default'];
const FLAGS = [0, 0, c.XATTR_CREATE, c.XATTR_REPLACE];

type Step = (base: string, index: 0 | 1) => number | string;
interface Operation {
  readonly label: string;
  readonly step: Step;
}

function path(base: string, relative: string): Buffer {
  return sys.cString(`${base}/${relative}`);
}

function withFd(base: string, relative: string, flags: number, act: (fd: number) => number | string, created = 0): number | string {
  const fd = sys.openat(c.AT_FDCWD, path(base, relative), flags | c.O_CLOEXEC, created);
  if (fd < 0) return fd;
  const outcome = act(fd);
  sys.close(fd);
  return outcome;
}

function describeStat(base: string, relative: string, times: boolean): string {
  const stat = fs.lstatSync(`${base}/${relative}`, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return 'absent';
  const size = stat.isDirectory() ? 0n : stat.size;
  return [stat.mode.toString(8), stat.uid, stat.gid, stat.nlink, size, stat.rdev, ...(times ? [stat.atimeNs, stat.mtimeNs] : [])].join(' ');
}

const read: (relative: string) => Operation = (relative) => ({
  label: `read ${relative}`,
  step: (base) =>
    withFd(base, relative, c.O_RDONLY | c.O_NONBLOCK | c.O_NOFOLLOW, (fd) => {
      const into = Buffer.alloc(500_000);
      const got = sys.read(fd, into, into.length);
      return got < 0 ? got : `${got} ${into.subarray(0, got).reduce((sum, byte) => (sum * 31 + byte) | 0, 7)}`;
    }),
});

const MAKERS: readonly (() => Operation)[] = [
  () => {
    const [relative, wanted, at] = [name(), mode(), random(100_000)];
    const data = Buffer.alloc(pick([1, 100, 5000]), 1 + random(200));
    const flags = c.O_RDWR | c.O_CREAT | c.O_NONBLOCK | pick([0, 0, c.O_EXCL, fs.constants.O_TRUNC, fs.constants.O_APPEND]);
    return {
      label: `write ${relative} mode ${wanted.toString(8)} flags ${flags} at ${at}`,
      step: (base) => withFd(base, relative, flags, (fd) => sys.pwrite(fd, data, data.length, at), wanted),
    };
  },
  () => read(name()),
  () => {
    const relative = anything();
    return { label: `stat ${relative}`, step: (base) => describeStat(base, relative, false) };
  },
  () => {
    const relative = directory();
    return { label: `list ${relative}`, step: (base) => fs.readdirSync(`${base}/${relative}`).sort().join(' ') };
  },
  () => {
    const relative = anything();
    return { label: `unlink ${relative}`, step: (base) => sys.unlinkat(c.AT_FDCWD, path(base, relative), 0) };
  },
  () => {
    const relative = anything();
    return { label: `rmdir ${relative}`, step: (base) => sys.unlinkat(c.AT_FDCWD, path(base, relative), c.AT_REMOVEDIR) };
  },
  () => {
    const [relative, wanted] = [directory(), mode() | 0o700];
    return { label: `mkdir ${relative} ${wanted.toString(8)}`, step: (base) => sys.mkdirat(c.AT_FDCWD, path(base, relative), wanted) };
  },
  () => {
    const [from, to, flags] = [anything(), anything(), pick([0, 0, 1, 2, 4, 5, 3, 6])];
    return {
      label: `rename ${from} ${to} ${flags}`,
      step: (base) => sys.renameat2(c.AT_FDCWD, path(base, from), c.AT_FDCWD, path(base, to), flags),
    };
  },
  () => {
    const [from, to] = [anything(), name()];
    return { label: `link ${from} ${to}`, step: (base) => sys.linkat(c.AT_FDCWD, path(base, from), c.AT_FDCWD, path(base, to), 0) };
  },
  () => {
    const [target, relative] = [pick(['n1', '../d0/n2', 'nowhere', 'x'.repeat(pick([59, 60, 300]))]), name()];
    return { label: `symlink ${relative}`, step: (base) => sys.symlinkat(sys.cString(target), c.AT_FDCWD, path(base, relative)) };
  },
  () => {
    const [relative, type, wanted] = [name(), pick([0o010000, 0o140000, c.S_IFCHR]), mode() & 0o777];
    const device = type === c.S_IFCHR ? pick([0, 0x103]) : 0;
    return {
      label: `mknod ${relative} ${(type | wanted).toString(8)} ${device}`,
      step: (base) => sys.mknodat(c.AT_FDCWD, path(base, relative), type | wanted, device),
    };
  },
  () => {
    const [relative, wanted] = [anything(), mode()];
    return { label: `chmod ${relative} ${wanted.toString(8)}`, step: (base) => sys.chmod(path(base, relative), wanted) };
  },
  () => {
    // Not both -1: the kernel's request does not tell that from other things.
    const [relative, uid, gid] = [anything(), pick([0, USER, 1001, -1]), pick([0, USER, 1001, 1002])];
    return {
      label: `lchown ${relative} ${uid} ${gid}`,
      step: (base) => sys.fchownat(c.AT_FDCWD, path(base, relative), uid, gid, c.AT_SYMLINK_NOFOLLOW),
    };
  },
  () => {
    const [relative, size] = [name(), pick([0, 100, random(200_000)])];
    return {
      label: `truncate ${relative} ${size}`,
      step: (base) => withFd(base, relative, c.O_WRONLY | c.O_NONBLOCK, (fd) => sys.ftruncate(fd, size)),
    };
  },
  () => {
    // Not those that FUSE itself refuses: collapse, insert, unshare.
    const [relative, how] = [name(), pick([0, 1, 3, 16, 17, 2])];
    const [at, length] = [random(50_000), pick([0, 1, 4096, 10_000])];
    return {
      label: `fallocate ${relative} ${how} ${at} ${length}`,
      step: (base) => withFd(base, relative, c.O_RDWR | c.O_NONBLOCK, (fd) => sys.fallocate(fd, how, at, length)),
    };
  },
  () => {
    const relative = anything();
    const times = Buffer.alloc(32);
    for (const at of [0, 16]) {
      times.writeBigInt64LE(BigInt(pick([0, -1, -100_000_000, 5_000_000_000, 1_600_000_000])), at);
      times.writeBigInt64LE(BigInt(pick([0, 1, 999_999_999, c.UTIME_OMIT])), at + 8);
    }
    const isWhole = times.readBigInt64LE(8) !== BigInt(c.UTIME_OMIT) && times.readBigInt64LE(24) !== BigInt(c.UTIME_OMIT);
    return {
      label: `utimens ${relative}`,
      step: (base) => {
        const outcome = sys.utimensat(c.AT_FDCWD, path(base, relative), times, c.AT_SYMLINK_NOFOLLOW);
        return outcome < 0 ? outcome : describeStat(base, relative, isWhole);
      },
    };
  },
  () => {
    const [relative, xattr, flags] = [anything(), pick(XATTRS), pick(FLAGS)];
    const value = xattr.startsWith('system.') ? acl() : Buffer.alloc(pick([0, 1, 30, 500]), random(256));
    return {
      label: `setxattr ${relative} ${xattr} ${value.toString('hex', 0, 60)} ${flags}`,
      step: (base) => lsetxattr(path(base, relative), sys.cString(xattr), value, value.length, flags),
    };
  },
  () => {
    const [relative, value, which] = [anything(), acl(), pick(['access', 'default'])];
    return {
      label: `setfacl ${relative} ${which} ${value.toString('hex')}`,
      step: (base) => sys.setxattr(path(base, relative), sys.cString(`system.posix_acl_${which}`), value, value.length, 0),
    };
  },
  () => {
    const [relative, xattr, room] = [anything(), pick(XATTRS), pick([0, 3, 1000])];
    return {
      label: `getxattr ${relative} ${xattr} ${room}`,
      step: (base) => {
        const into = Buffer.alloc(1000);
        const got = lgetxattr(path(base, relative), sys.cString(xattr), into, room);
        return got < 0 ? got : `${got} ${room === 0 ? '' : into.toString('hex', 0, got)}`;
      },
    };
  },
  () => {
    const [relative, room] = [anything(), pick([0, 8, 4000])];
    // XFS shows ACLs under a second name.
    return {
      label: `listxattr ${relative} ${room}`,
      step: (base) => {
        const isRoot = process.geteuid?.() === 0;
        const into = Buffer.alloc(4000);
        const got = llistxattr(path(base, relative), into, isRoot ? room : into.length);
        if (got < 0 || (isRoot && (got === 0 || room === 0))) return Math.sign(got) * (got < 0 ? -got : 1);
        const names = into.toString('latin1', 0, got).split('\0');
        // btrfs shows all names to everybody; only root can read what they hold.
        return names
          .filter((xattr) => !xattr.startsWith(isRoot ? 'trusted.SGI_ACL' : 'trusted.'))
          .sort()
          .join(' ');
      },
    };
  },
  () => {
    const [relative, xattr] = [anything(), pick(XATTRS)];
    return { label: `removexattr ${relative} ${xattr}`, step: (base) => lremovexattr(path(base, relative), sys.cString(xattr)) };
  },
  () => {
    const [relative, wanted] = [anything(), random(8)];
    return { label: `access ${relative} ${wanted}`, step: (base) => faccessat(c.AT_FDCWD, path(base, relative), wanted, AT_EACCESS) };
  },
  () => {
    const [from, to, length] = [name(), name(), 1 + random(20_000)];
    return {
      label: `copy ${from} ${to} ${length}`,
      step: (base) =>
        withFd(base, from, c.O_RDONLY | c.O_NONBLOCK, (source) =>
          withFd(base, to, c.O_WRONLY | c.O_NONBLOCK, (target) => copyAll(source, target, length)),
        ),
    };
  },
  () => {
    // An unnamed file that is written, changed, and perhaps given a name.
    const [where, wanted, to] = [pick(['.', directory()]), mode(), random(4) === 0 ? undefined : name()];
    const [data, flags] = [Buffer.alloc(1 + random(9000), random(256)), pick([0, 0, c.O_EXCL])];
    return {
      label: `tmpfile ${where} mode ${wanted.toString(8)} flags ${flags} to ${to ?? 'nothing'}`,
      step: (base) =>
        withFd(
          base,
          where,
          c.O_RDWR | c.O_TMPFILE | flags,
          (fd) => {
            const done = [sys.pwrite(fd, data, data.length, 50), sys.fchmod(fd, wanted)];
            done.push(sys.fsetxattr(fd, sys.cString('user.tmp'), data, Math.min(data.length, 100), 0));
            const { size, nlink, mode: made, uid, gid } = fs.fstatSync(fd);
            const proc = sys.cString(`/proc/self/fd/${fd}`);
            if (to !== undefined) done.push(sys.linkat(c.AT_FDCWD, proc, c.AT_FDCWD, path(base, to), AT_SYMLINK_FOLLOW));
            done.push(sys.pwrite(fd, data, data.length, 0), fs.fstatSync(fd).nlink);
            return [...done, size, nlink, made.toString(8), uid, gid].join(' ');
          },
          wanted,
        ),
    };
  },
  () => {
    // Opened now, used later: whatever happens to the name.
    const relative = name();
    const fds: [number, number] = [-1, -1];
    return {
      label: `keep ${relative}`,
      step: (base, index) => {
        const fd = sys.openat(c.AT_FDCWD, path(base, relative), c.O_RDWR | c.O_NONBLOCK | c.O_CLOEXEC, 0);
        if (fd < 0) return fd;
        fds[index] = fd;
        if (index === 1 && fds[0] >= 0) kept.push({ fds, label: relative });
        return 0;
      },
    };
  },
  useKept,
  useKept,
];

function useKept(): Operation {
  const index = random(kept.length);
  const file = kept[index];
  if (file === undefined) return read(name());
  const what = random(9);
  const [at, amount, wanted] = [random(60_000), 1 + random(5000), mode()];
  const data = Buffer.alloc(amount, random(256));
  if (what === 0 || kept.length > 12) {
    kept.splice(index, 1);
    return { label: `close ${file.label}`, step: (_base, which) => sys.close(file.fds[which]) };
  }
  const steps: ((fd: number) => number | string)[] = [
    (fd) => sys.pwrite(fd, data, amount, at),
    (fd) => sys.ftruncate(fd, at),
    (fd) => sys.fchmod(fd, wanted),
    (fd) => sys.fsetxattr(fd, sys.cString('user.kept'), data, amount % 200, 0),
    (fd) => sys.fremovexattr(fd, sys.cString('user.kept')),
    (fd) => sys.fallocate(fd, 1, at, amount),
    (fd) => sys.fsync(fd),
    (fd) => {
      const stat = fs.fstatSync(fd);
      const into = Buffer.alloc(100_000);
      const got = sys.pread(fd, into, into.length, 0);
      const sum = into.subarray(0, Math.max(0, got)).reduce((total, byte) => (total * 31 + byte) | 0, 7);
      return [stat.mode.toString(8), stat.nlink, stat.size, stat.uid, stat.gid, got, sum].join(' ');
    },
  ];
  const step = steps[what - 1] as (fd: number) => number | string;
  return { label: `fd ${file.label} step ${what} at ${at} amount ${amount}`, step: (_base, which) => step(file.fds[which]) };
}

function outcomeOf({ step }: Operation, index: 0 | 1): string {
  try {
    const outcome = step(BASES[index], index);
    return typeof outcome === 'number' && outcome < 0 ? errnoName(outcome) : String(outcome);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

function become(uid: number): void {
  process.seteuid?.(0);
  process.setegid?.(uid === 0 ? 0 : USER);
  process.seteuid?.(uid);
}

process.setgroups?.([1002]);
let problems = 0;
for (let count = 1; count <= OPERATIONS && problems < 5; count += 1) {
  const operation = pick(MAKERS)();
  const [uid, umask] = [pick([0, 0, USER]), pick([0, 0o022, 0o077, 0o027])];
  become(uid);
  process.umask(umask);
  const [is, expected] = [outcomeOf(operation, 0), outcomeOf(operation, 1)];
  become(0);
  const who = `#${count} uid ${uid} umask ${umask.toString(8)}: ${operation.label}`;
  if (process.env['TRACE'] !== undefined) process.stderr.write(`${who} = ${is}\n`);
  if (is !== expected) {
    process.stdout.write(`${who}: ${is}, the model says ${expected}\n`);
    problems += 1;
  }
  if (count % COMPARED_EVERY !== 0 && count !== OPERATIONS) continue;
  const difference = differences(describeTree(BASES[0], { times: false }), describeTree(BASES[1], { times: false }));
  if (difference === '') continue;
  process.stdout.write(`after #${count}: ${difference}\n`);
  problems += 1;
}
