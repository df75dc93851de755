/**
 * Compares two directory trees byte for byte: names, types, content, mode, owner, link structure, symlink and device targets, modification
 * times. Names are bytes. What belongs to the replication itself (`.holdfast` in the root) is not part of the data.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

export interface TreeSummary {
  readonly objects: number;
  readonly bytes: number;
  /** Relative path (latin1) to what is there. */
  readonly entries: ReadonlyMap<string, string>;
}

const RESERVED = '.holdfast';

export async function summarise(root: string): Promise<TreeSummary> {
  const entries = new Map<string, string>();
  const links = new Map<bigint, string>();
  let bytes = 0;
  const walk = async (path: Buffer, relative: string): Promise<void> => {
    const stats = await lstat(path, { bigint: true });
    const kind = stats.mode & 0o170000n;
    const words = [`mode ${stats.mode.toString(8)}`, `owner ${stats.uid}:${stats.gid}`];
    if (kind === 0o100000n) {
      bytes += Number(stats.size);
      const first = links.get(stats.ino);
      if (first === undefined) links.set(stats.ino, relative);
      words.push(`size ${stats.size}`, first === undefined ? `sha256 ${await digest(path)}` : `same file as ${first}`);
    }
    if (kind === 0o120000n) words.push(`to ${(await readlink(path, { encoding: 'buffer' })).toString('latin1')}`);
    if (kind === 0o060000n || kind === 0o020000n) words.push(`device ${stats.rdev}`);
    if (kind !== 0o120000n) words.push(`mtime ${stats.mtimeNs}`);
    entries.set(relative, words.join(', '));
    if (kind !== 0o040000n) return;
    const names = await readdir(path, { encoding: 'buffer' });
    for (const name of names.sort((a, b) => Buffer.compare(a, b))) {
      if (relative === '' && name.toString('latin1') === RESERVED) continue;
      await walk(Buffer.concat([path, Buffer.from('/'), name]), `${relative}/${name.toString('latin1')}`);
    }
  };
  await walk(Buffer.from(root), '');
  return { objects: entries.size, bytes, entries };
}

async function digest(path: Buffer): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** What differs, one line each; empty when the trees are identical. */
export function differences(first: TreeSummary, second: TreeSummary): string[] {
  const paths = [...new Set([...first.entries.keys(), ...second.entries.keys()])].sort();
  return paths
    .filter((path) => first.entries.get(path) !== second.entries.get(path))
    .map((path) => `${path === '' ? '/' : path}: ${first.entries.get(path) ?? 'missing'} | ${second.entries.get(path) ?? 'missing'}`);
}
