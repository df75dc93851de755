/** What a directory holds, as one line of text per path: everything that lstat says, content, links between names, extended attributes. */
import { createHash } from 'node:crypto';
import { closeSync, constants, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from 'node:fs';
import { close, cString, getxattr, listxattr, openat } from '../src/system/calls.js';
import { AT_FDCWD, O_CLOEXEC, O_NOFOLLOW, O_PATH } from '../src/system/constants.js';
import { isReplicatedXattr } from '../src/wire/xattr-names.js';

export interface TreeOptions {
  /** Times are compared too; not wanted where two trees were made one after the other. */
  readonly times: boolean;
  /** Names (with the path from the root, `/a/b`) that are left out; the times of directories are too then. */
  readonly isOwn?: (label: string) => boolean;
}

/** @returns path → description; Holdfast's own directory in the root is left out */
export function describeTree(root: string, { times, isOwn }: TreeOptions = { times: true }): Map<string, string> {
  const out = new Map<string, string>();
  const links = new Map<bigint, string>();
  const add = (path: Buffer, label: string): BigIntStats => {
    const stat = lstatSync(path, { bigint: true });
    out.set(label, describe(path, label, stat, links, times && !(isOwn !== undefined && stat.isDirectory())));
    return stat;
  };
  const walk = (path: Buffer, shown: string): void => {
    for (const name of readdirSync(path, { encoding: 'buffer' }).sort((x, y) => Buffer.compare(x, y))) {
      if (shown === '' && name.toString() === '.holdfast') continue;
      const full = Buffer.concat([path, Buffer.from('/'), name]);
      const label = `${shown}/${name.toString('latin1')}`;
      if (isOwn?.(label) === true) continue;
      if (add(full, label).isDirectory()) walk(full, label);
    }
  };
  add(Buffer.from(root), '');
  walk(Buffer.from(root), '');
  return out;
}

/** Empty: none. */
export function differences(left: Map<string, string>, right: Map<string, string>): string {
  const lines: string[] = [];
  for (const [name, is] of left) if (right.get(name) !== is) lines.push(`${name}: a has ${is}, b has ${right.get(name) ?? 'nothing'}`);
  for (const name of right.keys()) if (!left.has(name)) lines.push(`${name}: only on b`);
  return lines.length === 0 ? '' : `${lines.length} differences: ${lines.slice(0, 10).join('; ')}`;
}

function describe(path: Buffer, label: string, stat: BigIntStats, links: Map<bigint, string>, times: boolean): string {
  const isFile = stat.isFile();
  const first = links.get(stat.ino) ?? label;
  links.set(stat.ino, first);
  const content = isFile ? digestOf(path) : stat.isSymbolicLink() ? readlinkSync(path, 'latin1') : '';
  // Sizes of directories, and link counts of theirs on some file systems, are not the application's.
  const size = isFile ? stat.size : 0n;
  const links2 = stat.isDirectory() ? 0n : stat.nlink;
  // Listing a directory and reading a link change their access times.
  const stamps = times ? [isFile ? stat.atimeNs : 0n, stat.mtimeNs] : [];
  return [stat.mode.toString(8), stat.uid, stat.gid, size, stat.rdev, links2, ...stamps, first, content, xattrsOf(path)].join(' ');
}

function digestOf(path: Buffer): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOATIME);
  try {
    return createHash('sha1').update(readFileSync(fd)).digest('hex');
  } finally {
    closeSync(fd);
  }
}

function xattrsOf(path: Buffer): string {
  const fd = openat(AT_FDCWD, cString(path), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0) throw new Error(`opening ${path.toString()} failed with ${fd}`);
  const object = cString(`/proc/self/fd/${fd}`);
  const bytes = Buffer.alloc(64 << 10);
  const length = listxattr(object, bytes, bytes.length);
  const names = length <= 0 ? [] : bytes.toString('latin1', 0, length - 1).split('\0');
  const shown = names
    .filter((name) => isReplicatedXattr(name))
    .sort()
    .map((name) => {
      const got = getxattr(object, cString(Buffer.from(name, 'latin1')), bytes, bytes.length);
      return `${name}=${got < 0 ? got : bytes.toString('base64', 0, got)}`;
    });
  close(fd);
  return shown.join(',');
}
