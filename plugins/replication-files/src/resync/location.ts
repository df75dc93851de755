/** Where a directory is now: its parent and its name there. The kernel knows it for every directory; for files nobody does. */
import { readlinkSync } from 'node:fs';
import { handleOf, rootOf, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { close, cString, openat } from '../system/calls.js';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY, S_IFDIR } from '../system/constants.js';

const PARENT = cString('..');

export interface Place {
  readonly parent: Handle;
  readonly name: Buffer;
}

/** Undefined for a root, and for a directory that was removed. */
export function placeOfDirectory(store: Store, directory: Handle): Place | undefined {
  if (store.roots.includes(directory)) return undefined;
  const fd = store.descriptor(directory);
  if (fd < 0) return undefined;
  const name = nameByPath(fd);
  const parentFd = openat(fd, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (parentFd < 0) return undefined;
  const parent = handleOf(rootOf(directory), parentFd, S_IFDIR);
  close(parentFd);
  if (typeof parent === 'number') return undefined;
  if (name === undefined) return searchParent(store, parent, directory);
  // A removed directory still shows its old place, with " (deleted)" behind the name.
  return store.lookup(parent, name) === directory ? { parent, name } : undefined;
}

/** Undefined when the path is longer than the kernel shows. */
function nameByPath(fd: number): Buffer | undefined {
  try {
    const path = readlinkSync(`/proc/self/fd/${fd}`, 'buffer');
    return Buffer.from(path.subarray(path.lastIndexOf(0x2f) + 1));
  } catch {
    return undefined;
  }
}

function searchParent(store: Store, parent: Handle, directory: Handle): Place | undefined {
  if (store.attributes(directory) < 0 || store.stat.nlink === 0) return undefined;
  const { ino } = store.stat;
  for (let next: bigint | undefined = 0n; next !== undefined; ) {
    const batch: ReturnType<Store['readDirectory']> = store.readDirectory(parent, next);
    if (typeof batch === 'number') return undefined;
    const found = batch.entries.find((entry) => entry.ino === ino && store.lookup(parent, entry.name) === directory);
    if (found !== undefined) return { parent, name: found.name };
    next = batch.next;
  }
  return undefined;
}
