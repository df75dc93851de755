/**
 * An application that does everything twice: `twin-process.js NAME SEED TWIN SECONDS`, once in its working directory and once in the bare
 * directory TWIN, and compares every result. Both are its own below NAME. Prints a line for each difference, and at the end `done N MS`:
 * requests, and the longest time that one of them took.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { ENODATA } from '../src/system/errno.js';
import { cString, fallocate, fgetxattr, fremovexattr, fsetxattr, linkat, openat, renameat2 } from '../src/system/calls.js';
import { AT_EMPTY_PATH, AT_FDCWD, O_TMPFILE } from '../src/system/constants.js';
import { Random } from './random.js';

const [own = '', seed = '', twin = '', seconds = ''] = process.argv.slice(2);
const random = new Random(Number(seed));
const PLACES = [own, `${twin}/${own}`] as const;
const DIRECTORIES = ['.', 'd0', 'd1', 'd2', 'd0/e', 'd1/f'];
const { O_RDWR, O_CREAT, O_EXCL } = fs.constants;

interface Pair {
  readonly fds: readonly [number, number];
  readonly what: string;
}

let longestMs = 0;
let done = 0;
const kept: Pair[] = [];

const name = (): string => `${random.pick(DIRECTORIES)}/n${random.below(12)}`;
const xattr = (): Buffer => cString(random.pick(['user.one', 'user.two', 'trusted.three']));
const directory = (): string => random.pick(DIRECTORIES.slice(1));

/** The result, or the error's code: what the application sees. */
function outcome(act: () => unknown): unknown {
  const startMs = performance.now();
  try {
    return act();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
  } finally {
    longestMs = Math.max(longestMs, performance.now() - startMs);
  }
}

function compare(what: string, real: unknown, model: unknown): void {
  done += 1;
  if (JSON.stringify(real) !== JSON.stringify(model)) {
    process.stdout.write(`${what}: ${JSON.stringify(real)} instead of ${JSON.stringify(model)}\n`);
  }
}

function both(what: string, act: (at: string) => unknown): void {
  compare(
    what,
    outcome(() => act(PLACES[0])),
    outcome(() => act(PLACES[1])),
  );
}

function shape(stat: fs.Stats): unknown {
  const isFile = stat.isFile();
  return {
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    ...(stat.isDirectory() ? {} : { nlink: stat.nlink }),
    ...(isFile && { size: stat.size }),
  };
}

/** Opens on both sides; what only one of them could open is a difference already. */
function open(path: string, flags: number): Pair | undefined {
  const fds = PLACES.map((at) => outcome(() => fs.openSync(`${at}/${path}`, flags, 0o640)));
  const [real, model] = fds;
  compare(`open ${path} ${flags}`, typeof real === 'number' ? 'open' : real, typeof model === 'number' ? 'open' : model);
  if (typeof real === 'number' && typeof model === 'number') return { fds: [real, model], what: path };
  for (const fd of fds) if (typeof fd === 'number') fs.closeSync(fd);
  return undefined;
}

function onPair({ fds, what }: Pair, verb: string, act: (fd: number) => unknown): void {
  compare(
    `${verb} ${what}`,
    outcome(() => act(fds[0])),
    outcome(() => act(fds[1])),
  );
}

function usePair(pair: Pair): void {
  const at = random.pick([0, 100, 4096 * random.below(30), random.below(100_000)]);
  const data = Buffer.alloc(random.pick([1, 300, 4096, 70_000]), random.below(256));
  switch (random.below(6)) {
    case 0:
    case 1:
      return onPair(pair, 'write', (fd) => fs.writeSync(fd, data, 0, data.length, at));
    case 2:
      return onPair(pair, 'read', (fd) => {
        const into = Buffer.alloc(5000);
        return createHash('sha1')
          .update(into.subarray(0, fs.readSync(fd, into, 0, 5000, at)))
          .digest('hex');
      });
    case 3:
      return onPair(pair, 'ftruncate', (fd) => {
        fs.ftruncateSync(fd, at);
      });
    case 4:
      return onPair(pair, 'fstat', (fd) => shape(fs.fstatSync(fd)));
    default:
      return onPair(pair, 'fsync', (fd) => {
        fs.fsyncSync(fd);
      });
  }
}

function close(pair: Pair): void {
  onPair(pair, 'close', (fd) => {
    fs.closeSync(fd);
  });
}

function keepOrClose(pair: Pair): void {
  if (kept.length < 12) kept.push(pair);
  else close(pair);
}

const ACTIONS: readonly (() => void)[] = [
  () => {
    const pair = open(name(), O_RDWR | O_CREAT | (random.below(3) === 0 ? O_EXCL : 0));
    if (pair === undefined) return;
    usePair(pair);
    keepOrClose(pair);
  },
  () => {
    const pair = open(name(), O_RDWR);
    if (pair !== undefined) keepOrClose(pair);
  },
  () => {
    const pair = kept[random.below(kept.length)];
    if (pair !== undefined) usePair(pair);
  },
  () => {
    const pair = kept.splice(random.below(kept.length), 1)[0];
    if (pair !== undefined) close(pair);
  },
  () => {
    const path = name();
    both(`unlink ${path}`, (at) => {
      fs.unlinkSync(`${at}/${path}`);
    });
  },
  () => {
    const [from, to] = [name(), name()];
    both(`rename ${from} ${to}`, (at) => {
      fs.renameSync(`${at}/${from}`, `${at}/${to}`);
    });
  },
  () => {
    const [from, to, flags] = [name(), name(), random.pick([1, 2, 4, 5])];
    both(`rename ${from} ${to} with ${flags}`, (at) =>
      renameat2(AT_FDCWD, cString(`${at}/${from}`), AT_FDCWD, cString(`${at}/${to}`), flags),
    );
  },
  () => {
    const [from, to] = [directory(), directory()];
    both(`rename ${from} ${to}`, (at) => {
      fs.renameSync(`${at}/${from}`, `${at}/${to}`);
    });
  },
  () => {
    const [from, to] = [name(), name()];
    both(`link ${from} ${to}`, (at) => {
      fs.linkSync(`${at}/${from}`, `${at}/${to}`);
    });
  },
  () => {
    const [path, target] = [name(), random.pick(['a', '../b'])];
    both(`symlink ${path}`, (at) => {
      fs.symlinkSync(target, `${at}/${path}`);
    });
  },
  () => {
    const path = name();
    both(`readlink ${path}`, (at) => fs.readlinkSync(`${at}/${path}`));
  },
  () => {
    const [path, mode] = [name(), random.pick([0o644, 0o600, 0o755])];
    both(`chmod ${path}`, (at) => {
      fs.chmodSync(`${at}/${path}`, mode);
    });
  },
  () => {
    const [path, owner] = [name(), random.below(3)];
    both(`chown ${path}`, (at) => {
      fs.chownSync(`${at}/${path}`, owner, owner);
    });
  },
  () => {
    const path = directory();
    both(`mkdir ${path}`, (at) => {
      fs.mkdirSync(`${at}/${path}`);
    });
  },
  () => {
    const path = directory();
    both(`rmdir ${path}`, (at) => {
      fs.rmdirSync(`${at}/${path}`);
    });
  },
  () => {
    const path = name();
    both(`stat ${path}`, (at) => shape(fs.lstatSync(`${at}/${path}`)));
  },
  () => {
    const path = random.pick(DIRECTORIES);
    both(`list ${path}`, (at) => fs.readdirSync(`${at}/${path}`).sort());
  },
  () => {
    const pair = kept[random.below(kept.length)];
    if (pair === undefined) return;
    const [mode, from, length] = [random.pick([0, 1, 3]), 4096 * random.below(20), 4096 * (1 + random.below(10))];
    onPair(pair, 'fallocate', (fd) => fallocate(fd, mode, from, length));
  },
  () => {
    const pair = kept[random.below(kept.length)];
    if (pair === undefined) return;
    const [value, flags] = [Buffer.alloc(random.pick([1, 40]), random.below(256)), random.below(3)];
    const attribute = xattr();
    onPair(pair, `fsetxattr ${flags}`, (fd) => fsetxattr(fd, attribute, value, value.length, flags));
  },
  () => {
    const pair = kept[random.below(kept.length)];
    const attribute = xattr();
    if (pair === undefined) return;
    const model = fremovexattr(pair.fds[1], attribute);
    const real = outcome(() => fremovexattr(pair.fds[0], attribute));
    // When it came again, nobody can tell whether the first attempt removed it.
    compare(`fremovexattr ${pair.what}`, real, model === -ENODATA && real === 0 ? 0 : model);
  },
  () => {
    const pair = kept[random.below(kept.length)];
    const attribute = xattr();
    if (pair === undefined) return;
    onPair(pair, 'fgetxattr', (fd) => {
      const into = Buffer.alloc(64);
      return [fgetxattr(fd, attribute, into, into.length), into.toString('hex')];
    });
  },
  () => {
    const path = random.pick(DIRECTORIES);
    const [real, model] = PLACES.map((at) => openat(AT_FDCWD, cString(`${at}/${path}`), O_RDWR | O_TMPFILE, 0o640)) as [number, number];
    compare(`open unnamed in ${path}`, Math.min(real, 0), Math.min(model, 0));
    if (real < 0 || model < 0) return;
    const pair: Pair = { fds: [real, model], what: 'unnamed' };
    usePair(pair);
    keepOrClose(pair);
  },
  () => {
    const path = name();
    const pair = random.pick(kept.filter(({ what }) => what === 'unnamed').concat(kept.slice(0, 1)));
    if (pair === undefined) return;
    const [real, model] = pair.fds.map((fd, side) => {
      return outcome(() => linkat(fd, cString(''), AT_FDCWD, cString(`${PLACES[side] ?? ''}/${path}`), AT_EMPTY_PATH));
    });
    compare(`link what is open as ${pair.what} to ${path}`, real, model);
  },
];

for (const at of PLACES) fs.mkdirSync(at, { recursive: true });
const end = performance.now() + Number(seconds) * 1000;
while (performance.now() < end) random.pick(ACTIONS)();
for (const pair of kept) {
  onPair(pair, 'last fstat', (fd) => shape(fs.fstatSync(fd)));
  close(pair);
}
// No tool compares devices.
for (const path of DIRECTORIES.flatMap((each) => Array.from({ length: 12 }, (_, index) => `${each}/n${index}`))) {
  both(`remove the whiteout ${path}`, (at) => {
    if (fs.lstatSync(`${at}/${path}`).isCharacterDevice()) fs.unlinkSync(`${at}/${path}`);
  });
}
process.stdout.write(`done ${done} ${longestMs.toFixed(0)}\n`);
