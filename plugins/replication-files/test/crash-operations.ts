/**
 * The operations that crash tests put together into sequences, each on few names in a directory of its own, so that they meet. Written once
 * for the node that crashes and for the bare directory that says what should be there.
 */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import type { Random } from './random.js';

const fallocate = koffi.load('libc.so.6').func('int fallocate64(int, int, int64_t, int64_t)') as unknown as {
  readonly async: (...values: unknown[]) => void;
};
const LARGE_BYTES = 100_000;
const { O_RDWR, O_CREAT, O_EXCL, O_APPEND } = constants;

/** One modifying system call each: what is in flight when a node crashes is done or not, or, of a write, done up to the end of a page. */
export interface CrashOperation {
  /** Names that it changes, or whose content it changes. */
  readonly touches: readonly string[];
  /** What is on both disks when it has returned. */
  readonly syncs?: string;
  readonly run: (directory: string) => Promise<unknown>;
}

async function withFile(path: string, flags: number, act: (file: fs.FileHandle) => Promise<unknown>): Promise<void> {
  const file = await fs.open(path, flags, 0o640);
  try {
    await act(file);
  } finally {
    await file.close();
  }
}

function allocate(file: fs.FileHandle, mode: number, offset: number, length: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fallocate.async(file.fd, mode, offset, length, (_error: unknown, outcome: number) => {
      if (outcome === 0) resolve();
      else reject(Object.assign(new Error('fallocate failed'), { code: 'EFALLOCATE' }));
    });
  });
}

const pattern = (bytes: number, seed: number): Buffer => Buffer.from(Array.from({ length: bytes }, (_, i) => (i * seed) & 0xff));
const edit = (name: string, act: (file: fs.FileHandle) => Promise<unknown>): CrashOperation => ({
  touches: [name],
  run: (directory) => withFile(join(directory, name), O_RDWR, act),
});
const sync = (name: string, act: (file: fs.FileHandle) => Promise<unknown>): CrashOperation => ({
  touches: [],
  syncs: name,
  run: (directory) => withFile(join(directory, name), O_RDWR, act),
});
const move = (from: string, to: string): CrashOperation => ({
  touches: [from, to],
  run: (directory) => fs.rename(join(directory, from), join(directory, to)),
});

/** `f` is large, `g` small, `d` a directory with `h` in it; `n`, `m`, `l` and `s` are not there at first. */
export const OPERATIONS: Readonly<Record<string, CrashOperation>> = {
  create: { touches: ['n'], run: (directory) => withFile(join(directory, 'n'), O_RDWR | O_CREAT | O_EXCL, async () => undefined) },
  fill: edit('n', (file) => file.write(pattern(9000, 5), 0, 9000, 0)),
  write: edit('f', (file) => file.write(pattern(5000, 7), 0, 5000, 63_000)),
  overwrite: edit('g', (file) => file.write(pattern(300, 11), 0, 300, 0)),
  append: {
    touches: ['g'],
    run: (directory) => withFile(join(directory, 'g'), O_RDWR | O_APPEND, (file) => file.write(pattern(3000, 13))),
  },
  'cut-down': edit('f', (file) => file.truncate(10_000)),
  'cut-up': edit('f', (file) => file.truncate(200_000)),
  punch: edit('f', (file) => allocate(file, 3, 4096, 65_536)),
  allocate: edit('g', (file) => allocate(file, 0, 0, 70_000)),
  rename: move('f', 'n'),
  'rename-over': move('f', 'g'),
  'rename-back': move('n', 'f'),
  'rename-directory': move('d', 'm'),
  'move-in': move('g', 'd/g'),
  'move-out': move('d/h', 'h'),
  link: { touches: ['f', 'l'], run: (directory) => fs.link(join(directory, 'f'), join(directory, 'l')) },
  unlink: { touches: ['f'], run: (directory) => fs.unlink(join(directory, 'f')) },
  'unlink-small': { touches: ['g'], run: (directory) => fs.unlink(join(directory, 'g')) },
  mkdir: { touches: ['m'], run: (directory) => fs.mkdir(join(directory, 'm')) },
  rmdir: { touches: ['m'], run: (directory) => fs.rmdir(join(directory, 'm')) },
  symlink: { touches: ['s'], run: (directory) => fs.symlink('f', join(directory, 's')) },
  chmod: { touches: ['f'], run: (directory) => fs.chmod(join(directory, 'f'), 0o600) },
  fsync: sync('f', (file) => file.sync()),
  fdatasync: sync('g', (file) => file.datasync()),
};
const NAMES = Object.keys(OPERATIONS);

export type Sequence = readonly string[];

export async function prepare(directory: string): Promise<void> {
  await fs.mkdir(join(directory, 'd'), { recursive: true });
  await fs.writeFile(join(directory, 'f'), pattern(LARGE_BYTES, 3), { mode: 0o644 });
  await fs.writeFile(join(directory, 'g'), 'small', { mode: 0o644 });
  await fs.writeFile(join(directory, 'd/h'), 'in d', { mode: 0o644 });
}

/** @returns the error's code, or `ok` */
export async function perform(name: string, directory: string): Promise<string> {
  try {
    await OPERATIONS[name]?.run(directory);
    return 'ok';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** All sequences of so many operations, in a fixed order. */
export function* allSequences(length: number): Generator<Sequence> {
  if (length === 0) {
    yield [];
    return;
  }
  for (const first of NAMES) for (const rest of allSequences(length - 1)) yield [first, ...rest];
}

export function someSequence(random: Random): Sequence {
  return Array.from({ length: 1 + random.below(3) }, () => random.pick(NAMES));
}

/** What is in a directory, as text; times apart. */
export function pictureOf(directory: string): string {
  const lines: string[] = [];
  const links = new Map<bigint, string>();
  const visit = (path: string, shown: string): void => {
    for (const name of readdirSync(path).sort()) {
      const [full, label] = [join(path, name), `${shown}/${name}`];
      const stat = lstatSync(full, { bigint: true });
      const first = links.get(stat.ino) ?? label;
      links.set(stat.ino, first);
      const what = stat.isFile() ? `${stat.size} ${digest(readFileSync(full))} ${first}` : stat.isSymbolicLink() ? readlinkSync(full) : '';
      lines.push(`${label} ${stat.mode.toString(8)} ${what}`);
      if (stat.isDirectory()) visit(full, label);
    }
  };
  visit(directory, '');
  return lines.join('\n');
}

export function digest(content: Buffer): string {
  return createHash('sha1').update(content).digest('hex').slice(0, 12);
}
