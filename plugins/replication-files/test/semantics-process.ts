/**
 * What an application expects of a local file system, checked in the working directory. Prints a line for each thing that is not so;
 * nothing means that all is well. With the argument `fsync` holes need not be found.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import koffi from 'koffi';
import * as sys from '../src/system/calls.js';
import * as c from '../src/system/constants.js';
import { EEXIST, EINVAL, EOPNOTSUPP } from '../src/system/errno.js';

const libc = koffi.load('libc.so.6');
const mmap = libc.func('void* mmap(void*, uint64_t, int, int, int, int64_t)') as (...values: unknown[]) => unknown;
const msync = libc.func('int msync(void*, uint64_t, int)') as (...values: unknown[]) => number;
const munmap = libc.func('int munmap(void*, uint64_t)') as (...values: unknown[]) => number;
const memcpy = libc.func('void* memcpy(void*, void*, uint64_t)') as (...values: unknown[]) => unknown;
const NOBODY = 65534;

function check(what: string, isSo: () => boolean): void {
  try {
    if (!isSo()) process.stdout.write(`not so: ${what}\n`);
  } catch (error) {
    process.stdout.write(`failed: ${what}: ${String(error)}\n`);
  }
}

const rename = (from: string, to: string, flags: number): number =>
  sys.renameat2(c.AT_FDCWD, sys.cString(from), c.AT_FDCWD, sys.cString(to), flags);
const read = (path: string): string => fs.readFileSync(path, 'utf8');
const asNobody = (command: string): boolean => spawnSync('sh', ['-c', command], { uid: NOBODY, gid: NOBODY }).status === 0;
/** `act` on an open file. */
function opened<T>(path: string, flags: number, act: (fd: number) => T): T {
  const fd = fs.openSync(path, flags, 0o644);
  try {
    return act(fd);
  } finally {
    fs.closeSync(fd);
  }
}
const { O_RDWR, O_CREAT, O_DIRECT } = fs.constants;

check('a shared mapping that is written reaches the file', () => {
  fs.writeFileSync('mapped', Buffer.alloc(65_536));
  opened('mapped', O_RDWR, (fd) => {
    const at = mmap(null, 65_536, 3, 1, fd, 0);
    memcpy(at, Buffer.from('written'), 7);
    msync(at, 65_536, 4);
    munmap(at, 65_536);
  });
  return read('mapped').startsWith('written');
});
check('O_DIRECT reads back what it wrote', () =>
  opened('direct', O_RDWR | O_CREAT | O_DIRECT, (fd) => {
    // Direct I/O wants aligned memory: a fresh anonymous mapping is.
    const page = mmap(null, 4096, 3, 0x22, -1, 0);
    memcpy(page, Buffer.from('direct'), 6);
    const pwrite = libc.func('int64_t pwrite64(int, void*, uint64_t, int64_t)') as (...values: unknown[]) => number;
    return pwrite(fd, page, 4096, 0) === 4096 && read('direct').startsWith('direct');
  }),
);
check('RENAME_EXCHANGE exchanges, RENAME_NOREPLACE does not replace, RENAME_WHITEOUT leaves a device behind', () => {
  fs.writeFileSync('r1', '1');
  fs.writeFileSync('r2', '2');
  const exchanged = rename('r1', 'r2', 2) === 0 && read('r1') === '2' && rename('r1', 'r2', 1) === -EEXIST;
  const whitened = rename('r1', 'r3', 4) === 0 && rename('r2', 'r4', 5) === 0 && rename('r3', 'r4', 6) === -EINVAL;
  const left = fs.lstatSync('r1');
  fs.mkdirSync('rd1');
  fs.mkdirSync('rd2/inner', { recursive: true });
  const directories = rename('rd1', 'rd2', 1) === -EEXIST && rename('rd1', 'rd2', 2) === 0 && fs.existsSync('rd1/inner');
  const mixed = rename('rd1', 'r3', 2) === 0 && fs.existsSync('r3/inner') && read('rd1') === '2';
  return exchanged && whitened && left.isCharacterDevice() && left.rdev === 0 && directories && mixed;
});
check('a rename of one hard link onto another does nothing', () => {
  fs.writeFileSync('h1', 'h');
  fs.linkSync('h1', 'h2');
  fs.renameSync('h1', 'h2');
  return fs.statSync('h1').nlink === 2 && fs.statSync('h1').ino === fs.statSync('h2').ino;
});
check('an unlinked file that is open can be read, written, cut and changed', () =>
  opened('gone', O_RDWR | O_CREAT, (fd) => {
    fs.writeSync(fd, 'abc');
    fs.unlinkSync('gone');
    fs.writeSync(fd, 'def');
    fs.fchmodSync(fd, 0o600);
    fs.ftruncateSync(fd, 4);
    const into = Buffer.alloc(10);
    return fs.readSync(fd, into, 0, 10, 0) === 4 && into.toString('utf8', 0, 4) === 'abcd' && fs.fstatSync(fd).nlink === 0;
  }),
);
check('a file replaced by a rename lives on for who has it open', () => {
  fs.writeFileSync('old', 'old');
  return opened('old', O_RDWR, (fd) => {
    fs.writeFileSync('new', 'new');
    fs.renameSync('new', 'old');
    fs.writeSync(fd, 'OLD', 0);
    const into = Buffer.alloc(3);
    fs.readSync(fd, into, 0, 3, 0);
    return into.toString() === 'OLD' && read('old') === 'new';
  });
});
check('fallocate extends, keeps the size, punches and zeroes; what is not supported says so', () =>
  opened('allocated', O_RDWR | O_CREAT, (fd) => {
    fs.writeSync(fd, Buffer.alloc(20_000, 1));
    const kept = sys.fallocate(fd, 1, 0, 40_000) === 0 && fs.fstatSync(fd).size === 20_000;
    const grown = sys.fallocate(fd, 0, 0, 30_000) === 0 && fs.fstatSync(fd).size === 30_000;
    const data = process.argv[2] === 'fsync' ? 4096 : 8192;
    const punched = sys.fallocate(fd, 3, 4096, 4096) === 0 && sys.lseek(fd, 4096, c.SEEK_DATA) === data;
    // tmpfs cannot.
    const zeroing = sys.fallocate(fd, 16, 0, 100);
    const zeroed = zeroing === -EOPNOTSUPP || (zeroing === 0 && fs.readFileSync('allocated')[50] === 0);
    return kept && grown && punched && zeroed && sys.fallocate(fd, 8, 0, 4096) === -EOPNOTSUPP;
  }),
);
check('holes stay holes', () => {
  fs.writeFileSync('sparse', '');
  fs.truncateSync('sparse', 10_000_000);
  return opened('sparse', O_RDWR, (fd) => {
    fs.writeSync(fd, 'x', 5_000_000);
    return fs.fstatSync(fd).blocks < 100;
  });
});
check('times have nanoseconds and may lie before 1970', () => {
  fs.writeFileSync('times', '');
  const times = Buffer.alloc(32);
  times.writeBigInt64LE(-5n, 0);
  times.writeBigInt64LE(123_456_789n, 8);
  times.writeBigInt64LE(1_600_000_000n, 16);
  times.writeBigInt64LE(987_654_321n, 24);
  sys.utimensat(c.AT_FDCWD, sys.cString('times'), times, 0);
  const stat = fs.statSync('times', { bigint: true });
  return stat.atimeNs === -5_000_000_000n + 123_456_789n && stat.mtimeNs === 1_600_000_000_987_654_321n;
});
check('a setgid directory gives its group to what others create in it', () => {
  fs.mkdirSync('shared');
  fs.chownSync('shared', 0, 100);
  fs.chmodSync('shared', 0o2777);
  const made = asNobody('touch shared/file && mkdir shared/directory');
  const [file, directory] = [fs.statSync('shared/file'), fs.statSync('shared/directory')];
  return made && file.gid === 100 && file.uid === NOBODY && directory.gid === 100 && (directory.mode & 0o2000) !== 0;
});
check('writing and a change of owner clear setuid', () => {
  for (const name of ['suid1', 'suid2']) {
    fs.writeFileSync(name, 'x');
    fs.chmodSync(name, 0o6777);
  }
  asNobody('echo y >> suid1');
  fs.chownSync('suid2', 1, 1);
  return (fs.statSync('suid1').mode & 0o6000) === 0 && (fs.statSync('suid2').mode & 0o6000) === 0;
});
check('permissions are checked', () => {
  fs.writeFileSync('secret', 'x');
  fs.chmodSync('secret', 0o600);
  return !asNobody('cat secret') && !asNobody('rm secret') && !asNobody('touch unwanted');
});
check('names have up to 255 bytes of any kind', () => {
  fs.writeFileSync('n'.repeat(255), '');
  fs.writeFileSync(Buffer.from([0xff, 0x0a, 0x20, 0x01]), '');
  let code: unknown;
  try {
    fs.writeFileSync('n'.repeat(256), '');
  } catch (error) {
    code = (error as NodeJS.ErrnoException).code;
  }
  return code === 'ENAMETOOLONG' && fs.readdirSync('.', 'buffer').some((name) => name[0] === 0xff);
});
check('a large directory is listed completely, also while it shrinks', () => {
  fs.mkdirSync('large');
  for (let i = 0; i < 1500; i += 1) fs.writeFileSync(`large/${i}`, '');
  const listed = new Set(fs.readdirSync('large')).size;
  fs.rmSync('large', { recursive: true });
  return listed === 1500 && !fs.existsSync('large');
});
check('special files, and programs that run', () => {
  const made = sys.mknodat(c.AT_FDCWD, sys.cString('null'), c.S_IFCHR | 0o666, 0x103) === 0;
  fs.writeFileSync('null', 'into the void');
  fs.copyFileSync('/bin/true', 'program');
  fs.chmodSync('program', 0o755);
  return made && fs.statSync('null').isCharacterDevice() && spawnSync(`${process.cwd()}/program`).status === 0;
});
