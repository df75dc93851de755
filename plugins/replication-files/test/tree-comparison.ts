/** Two directories as applications see them: what differs, times and inode numbers apart. */
import { lstatSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from 'node:fs';

/** @returns the first difference, or undefined when there is none */
export function compareTrees(left: string, right: string): string | undefined {
  return compare(Buffer.from(left), Buffer.from(right), '.');
}

function compare(left: Buffer, right: Buffer, shown: string): string | undefined {
  const [ours, theirs] = [lstatSync(left, { bigint: true }), lstatSync(right, { bigint: true })];
  const [a, b] = [attributes(ours), attributes(theirs)];
  if (a !== b) return `${shown}: ${a} | ${b}`;
  if (ours.isFile() && !readFileSync(left).equals(readFileSync(right))) return `${shown}: other content`;
  if (ours.isSymbolicLink() && !readlinkSync(left, 'buffer').equals(readlinkSync(right, 'buffer'))) return `${shown}: other target`;
  if (!ours.isDirectory()) return undefined;
  const [names, others] = [namesIn(left), namesIn(right)];
  const [listed, listedThere] = [names, others].map((list) => list.map((name) => name.toString('latin1')).join('\n'));
  if (listed !== listedThere) return `${shown}: ${JSON.stringify(listed)} | ${JSON.stringify(listedThere)}`;
  for (const name of names) {
    const found = compare(below(left, name), below(right, name), `${shown}/${name.toString('latin1')}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function attributes(stat: BigIntStats): string {
  const size = stat.isDirectory() ? '' : `size ${stat.size}`;
  return `mode ${stat.mode.toString(8)} owner ${stat.uid}:${stat.gid} links ${stat.nlink} device ${stat.rdev} ${size}`;
}

function namesIn(path: Buffer): Buffer[] {
  return readdirSync(path, { encoding: 'buffer' }).sort((x, y) => Buffer.compare(x, y));
}

function below(path: Buffer, name: Buffer): Buffer {
  return Buffer.concat([path, Buffer.from('/'), name]);
}
