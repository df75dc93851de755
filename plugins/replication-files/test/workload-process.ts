/**
 * An application that does everything at random, below its working directory, for a while: `workload-process.js SEED SECONDS`. Errors of
 * the kind that random requests meet are part of the game; EIO and a lost mount end it.
 */
import * as fs from 'node:fs';
import { cString, close, fallocate, linkat, openat, removexattr, renameat2, setxattr } from '../src/system/calls.js';
import { AT_EMPTY_PATH, AT_FDCWD, O_RDWR, O_TMPFILE, RENAME_WHITEOUT } from '../src/system/constants.js';
import { Random } from './random.js';

const DIRECTORIES = ['.', 'd0', 'd1', 'd2', 'd0/e', 'd1/f'];
const seconds = Number(process.argv[3]);

const generator = new Random(Number(process.argv[2]));
const random = (below: number): number => generator.below(below);
const pick = <T>(list: readonly T[]): T => generator.pick(list);
const name = (): string => `${pick(DIRECTORIES)}/n${random(25)}`;
const directory = (): string => pick(DIRECTORIES.slice(1));
const kept: number[] = [];

function withFile(path: string, act: (fd: number) => void): void {
  const fd = fs.openSync(path, 'r+');
  try {
    act(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function write(path: string): void {
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o640);
  const data = Buffer.alloc(pick([1, 100, 4096, 70_000]), random(256));
  for (let count = 1 + random(3); count > 0; count -= 1)
    fs.writeSync(fd, data, 0, data.length, pick([0, random(300_000), 4096 * random(50)]));
  if (random(5) === 0) fs.fsyncSync(fd);
  if (random(3) === 0 && kept.length < 20) kept.push(fd);
  else fs.closeSync(fd);
}

/** Writes to a file that may have been renamed or removed since it was opened. */
function writeKept(): void {
  const fd = kept.splice(random(kept.length), 1)[0];
  if (fd === undefined) return;
  fs.writeSync(fd, Buffer.alloc(5000, random(256)), 0, 5000, random(100_000));
  fs.closeSync(fd);
}

const XATTRS = ['user.a', 'user.b', 'trusted.c'];

function setXattr(path: string): void {
  const value = Buffer.alloc(pick([0, 20, 1500]), random(256));
  setxattr(cString(path), cString(pick(XATTRS)), value, value.length, 0);
}

/** Owner, one user, group, mask, others. */
function setAcl(path: string, kind: string): void {
  const acl = Buffer.alloc(4 + 5 * 8);
  acl.writeUInt32LE(2, 0);
  [1, 2, 4, 0x10, 0x20].forEach((tag, index) => {
    acl.writeUInt16LE(tag, 4 + index * 8);
    acl.writeUInt16LE(random(8), 6 + index * 8);
    acl.writeInt32LE(tag === 2 ? 1000 : -1, 8 + index * 8);
  });
  setxattr(cString(path), cString(`system.posix_acl_${kind}`), acl, acl.length, 0);
}

function unnamed(path: string): void {
  const fd = openat(AT_FDCWD, cString('.'), O_RDWR | O_TMPFILE, 0o640);
  if (fd < 0) return;
  try {
    fs.writeSync(fd, Buffer.alloc(pick([10, 70_000]), random(256)));
    fs.fchmodSync(fd, 0o666);
    if (random(3) > 0) linkat(fd, cString(''), AT_FDCWD, cString(path), AT_EMPTY_PATH);
    fs.writeSync(fd, 'after');
  } finally {
    close(fd);
  }
}

const ACTIONS: readonly (() => void)[] = [
  () => write(name()),
  () => write(name()),
  () => write(name()),
  writeKept,
  () => fs.unlinkSync(name()),
  () => fs.renameSync(name(), name()),
  () => renameat2(AT_FDCWD, cString(name()), AT_FDCWD, cString(name()), 1 + random(2)),
  () => fs.linkSync(name(), name()),
  () => fs.symlinkSync(pick(['a', '../b']), name()),
  () => fs.truncateSync(name(), pick([0, random(400_000)])),
  () => fs.chmodSync(name(), pick([0o644, 0o4755, 0o600])),
  () => fs.chownSync(name(), random(3), random(3)),
  () => fs.mkdirSync(directory()),
  () => fs.rmdirSync(directory()),
  () => fs.renameSync(directory(), directory()),
  () => withFile(name(), (fd) => fallocate(fd, pick([0, 1, 3, 16]), 4096 * random(40), 4096 * (1 + random(20)))),
  () => fs.utimesSync(name(), random(1e9), random(1e9)),
  () => setXattr(pick([name, directory])()),
  () => removexattr(cString(name()), cString(pick(XATTRS))),
  () => setAcl(pick([name, directory])(), 'access'),
  () => setAcl(directory(), 'default'),
  () => unnamed(name()),
  () => renameat2(AT_FDCWD, cString(name()), AT_FDCWD, cString(name()), RENAME_WHITEOUT),
];

const end = performance.now() + seconds * 1000;
let done = 0;
while (performance.now() < end) {
  try {
    pick(ACTIONS)();
    done += 1;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EIO' || code === 'ENOTCONN' || code === undefined) break;
  }
}
process.stdout.write(`${done}\n`);
