/**
 * What `limits.spec.ts` does in a replicated directory: `limits-process.js make|change|remove|refuse WHAT WHERE`, below the directory
 * WHERE. Everything is done relative to a descriptor or a working directory, so that paths may become longer than the kernel takes at once.
 */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as sys from '../src/system/calls.js';
import * as c from '../src/system/constants.js';
import { EFBIG, errnoName } from '../src/system/errno.js';

const EMLINK = 31;
const IS_FULL = process.env['LIMITS'] === 'full';
/** ext4's limit; other file systems may take more. */
const LINKS = IS_FULL ? 65_000 : 500;
const ENTRIES = IS_FULL ? 100_000 : 3000;
const DEEP = 40;

const [action = '', what = '', where = ''] = process.argv.slice(2);

function must(outcome: number, text: string): number {
  if (outcome < 0) throw new Error(`${text}: ${errnoName(outcome)}`);
  return outcome;
}

/** Names that are hard to write down. */
function oddNames(): Buffer[] {
  const texts = [
    'x'.repeat(255),
    'ä'.repeat(127),
    '...',
    '..a',
    ' ',
    '-',
    '*',
    '\n',
    'a\nb',
    '\x01\x7f',
    '.holdfast',
    'con.',
    '\\',
    '"\'`$(x)',
  ];
  const bytes = [Buffer.from([0xff]), Buffer.from([0xc3, 0x28]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.alloc(255, 0xfe)];
  return [...texts.map((text) => Buffer.from(text)), ...bytes];
}

const create = (fd: number, name: Uint8Array, text: string): void => {
  const file = must(sys.openat(fd, sys.cString(name), c.O_RDWR | c.O_CREAT, 0o644), 'open');
  must(sys.pwrite(file, Buffer.from(text), text.length, 0), 'write');
  sys.close(file);
};

const WORK: Readonly<Record<string, Readonly<Record<'make' | 'change' | 'remove', (fd: number) => void>>>> = {
  names: {
    make(fd) {
      for (const [index, name] of oddNames().entries()) {
        if (index % 3 === 2) must(sys.symlinkat(sys.cString(name), fd, sys.cString(name)), 'symlink');
        else create(fd, name, String(index));
      }
    },
    change(fd) {
      const names = oddNames();
      for (let i = 0; i + 1 < names.length; i += 2) {
        must(sys.renameat2(fd, sys.cString(names[i] as Buffer), fd, sys.cString(names[i + 1] as Buffer), c.RENAME_EXCHANGE), 'rename');
      }
    },
    remove(fd) {
      for (const name of oddNames()) must(sys.unlinkat(fd, sys.cString(name), 0), 'unlink');
    },
  },
  /** A path of 40 × 255 bytes. */
  deep: {
    make(fd) {
      for (const top of ['p', 'q']) descend(down(fd, top.repeat(255)), DEEP);
    },
    change(fd) {
      const [from, to] = ['p', 'q'].map((top) => walk(opened(fd, top.repeat(255)), DEEP - 5));
      // The lower end of one into that of the other, in both directions.
      must(sys.renameat2(from ?? -1, DEEPER, to ?? -1, sys.cString('moved'), 0), 'rename');
      must(sys.renameat2(to ?? -1, DEEPER, from ?? -1, DEEPER, 0), 'rename');
      must(sys.renameat2(to ?? -1, sys.cString('moved'), to ?? -1, DEEPER, 0), 'rename');
      create(walk(from ?? -1, 3), Buffer.from('new'), 'new');
      create(walk(to ?? -1, 4), Buffer.from('file'), 'changed');
    },
    remove(fd) {
      for (const top of ['p', 'q']) removeTree(fd, sys.cString(top.repeat(255)));
    },
  },
  /** As many hard links as the file system takes. */
  links: {
    make(fd) {
      create(fd, Buffer.from('file'), 'linked');
      let count = 1;
      for (; count < (IS_FULL ? LINKS + 10 : LINKS); count += 1) {
        const outcome = sys.linkat(fd, sys.cString('file'), fd, sys.cString(`link${count}`), 0);
        if (outcome === -EMLINK) break;
        must(outcome, `link ${count}`);
      }
      assert.equal(count, LINKS);
    },
    change(fd) {
      const file = must(sys.openat(fd, sys.cString('file'), c.O_RDWR, 0), 'open');
      // All names that were seen last go, the file stays known by its descriptor alone.
      for (let i = LINKS - 200; i < LINKS; i += 1) must(sys.unlinkat(fd, sys.cString(`link${i}`), 0), 'unlink');
      must(sys.unlinkat(fd, sys.cString('file'), 0), 'unlink');
      must(sys.pwrite(file, Buffer.from('changed'), 7, 0), 'write');
      must(sys.linkat(fd, sys.cString('link1'), fd, sys.cString('file'), 0), 'link');
      for (let i = LINKS - 200; i < LINKS; i += 1) must(sys.linkat(fd, sys.cString('link5'), fd, sys.cString(`link${i}`), 0), 'link');
      sys.close(file);
    },
    remove(fd) {
      for (const name of fs.readdirSync(`/proc/self/fd/${fd}`)) must(sys.unlinkat(fd, sys.cString(name), 0), 'unlink');
    },
  },
  /** A directory with very many entries. */
  many: {
    make(fd) {
      for (let i = 0; i < ENTRIES; i += 1) must(sys.mknodat(fd, sys.cString(`entry ${i}`), c.S_IFREG | 0o600, 0), 'mknod');
    },
    change(fd) {
      for (let i = 0; i < ENTRIES; i += 100) create(fd, Buffer.from(`entry ${i}`), 'changed');
      for (let i = 1; i < ENTRIES; i += 100)
        must(sys.renameat2(fd, sys.cString(`entry ${i}`), fd, sys.cString(`entry ${i + 1}`), c.RENAME_EXCHANGE), 'rename');
    },
    remove(fd) {
      for (const name of fs.readdirSync(`/proc/self/fd/${fd}`)) must(sys.unlinkat(fd, sys.cString(name), 0), 'unlink');
    },
  },
  /** Offsets beyond 32 bits. */
  large: {
    make(fd) {
      const file = must(sys.openat(fd, sys.cString('sparse'), c.O_RDWR | c.O_CREAT, 0o644), 'open');
      for (const at of [0, 2 ** 30, 1.5 * 2 ** 30]) must(sys.pwrite(file, Buffer.from(`at ${at}`), 10, at), 'write');
      sys.close(file);
    },
    change(fd) {
      const file = must(sys.openat(fd, sys.cString('sparse'), c.O_RDWR, 0), 'open');
      must(sys.ftruncate(file, 2 ** 39), 'truncate');
      must(sys.pwrite(file, Buffer.from('far away'), 8, 2 ** 39 - 8), 'write');
      must(sys.fallocate(file, c.FALLOC_FL_KEEP_SIZE | c.FALLOC_FL_PUNCH_HOLE, 2 ** 38, 2 ** 36), 'punch');
      sys.close(file);
    },
    remove(fd) {
      must(sys.unlinkat(fd, sys.cString('sparse'), 0), 'unlink');
    },
  },
};

const DEEPER = sys.cString('n'.repeat(255));

function opened(fd: number, name: string): number {
  return must(sys.openat(fd, sys.cString(name), c.O_RDONLY | c.O_DIRECTORY, 0), 'open');
}

function down(fd: number, name: string): number {
  must(sys.mkdirat(fd, sys.cString(name), 0o755), 'mkdir');
  return opened(fd, name);
}

function descend(fd: number, left: number): void {
  create(fd, Buffer.from('file'), `level ${left}`);
  if (left === 0) return;
  const next = down(fd, 'n'.repeat(255));
  sys.close(fd);
  descend(next, left - 1);
}

function walk(fd: number, steps: number): number {
  let at = fd;
  for (let step = 0; step < steps; step += 1) at = opened(at, 'n'.repeat(255));
  return at;
}

function removeTree(fd: number, name: Buffer): void {
  const directory = must(sys.openat(fd, name, c.O_RDONLY | c.O_DIRECTORY, 0), 'open');
  for (const entry of fs.readdirSync(`/proc/self/fd/${directory}`, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(directory, sys.cString(entry.name));
    else must(sys.unlinkat(directory, sys.cString(entry.name), 0), 'unlink');
  }
  sys.close(directory);
  must(sys.unlinkat(fd, name, c.AT_REMOVEDIR), 'rmdir');
}

/** Prints what is not refused as a disk would. */
function refuseSizes(fd: number): void {
  const file = must(sys.openat(fd, sys.cString('file'), c.O_RDWR | c.O_CREAT, 0o644), 'open');
  const expect = (text: string, outcome: number): void => {
    if (outcome !== -EFBIG) process.stdout.write(`${text}: ${errnoName(outcome)}\n`);
  };
  for (const size of [2n ** 45n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 60n, 2n ** 63n - 1n]) {
    expect(`truncate to ${size}`, sys.ftruncate(file, size as unknown as number));
    expect(`write at ${size - 1n}`, sys.pwrite(file, Buffer.alloc(10), 10, (size - 10n) as unknown as number));
    expect(`allocate to ${size}`, sys.fallocate(file, 0, 0, size as unknown as number));
  }
  const times = Buffer.alloc(32);
  for (const seconds of [2n ** 33n, 2n ** 53n + 1n, -(2n ** 62n), 2n ** 63n - 1n]) {
    for (const at of [0, 16]) times.writeBigInt64LE(seconds, at);
    must(sys.utimensat(fd, sys.cString('file'), times, 0), 'utimensat');
  }
  must(sys.pwrite(file, Buffer.from('alive'), 5, 0), 'write');
  sys.close(file);
}

fs.mkdirSync(where, { recursive: true });
const top = must(sys.openat(c.AT_FDCWD, sys.cString(where), c.O_RDONLY | c.O_DIRECTORY, 0), where);
if (action === 'refuse') refuseSizes(top);
else WORK[what]?.[action as 'make' | 'change' | 'remove'](top);
