/**
 * Two modules must not replicate the same files: each would fail over its own half. Pure comparison of normalised paths; symbolic links
 * are the backend's business, which sees the disk.
 */
import { posix } from 'node:path';

export interface ReplicatedDirectories {
  readonly name: string;
  readonly directories: readonly string[];
}

export interface DirectoryOverlap {
  readonly first: { readonly module: string; readonly directory: string };
  readonly second: { readonly module: string; readonly directory: string };
  /** `inside`: the directory of `second` lies below that of `first`. */
  readonly relation: 'same' | 'inside';
}

/** Every overlapping pair, also within one module, where a file would be replicated twice. */
export function findOverlaps(modules: readonly ReplicatedDirectories[]): readonly DirectoryOverlap[] {
  const all = modules.flatMap(({ name, directories }) =>
    directories.map((directory) => ({ module: name, directory: normalise(directory) })),
  );
  const overlaps: DirectoryOverlap[] = [];
  all.forEach((first, index) => {
    for (const second of all.slice(index + 1)) {
      if (first.directory === second.directory) overlaps.push({ first, second, relation: 'same' });
      else if (isInside(second.directory, first.directory)) overlaps.push({ first, second, relation: 'inside' });
      else if (isInside(first.directory, second.directory)) overlaps.push({ first: second, second: first, relation: 'inside' });
    }
  });
  return overlaps;
}

function normalise(directory: string): string {
  // POSIX keeps a leading double slash apart; Linux does not.
  return posix.resolve('/', directory).replace(/^\/+/, '/');
}

function isInside(inner: string, outer: string): boolean {
  return inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}
