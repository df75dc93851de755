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
  const known = nameOfOpen(fd);
  const parentFd = openat(fd, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (parentFd < 0) return undefined;
  const parent = handleOf(rootOf(directory), parentFd, S_IFDIR);
  close(parentFd);
  if (typeof parent === 'number') return undefined;
  const name = known ?? nameIn(store, parent, directory);
  // A removed directory still shows its old place, with " (deleted)" behind the name.
  return name !== undefined && store.lookup(parent, name) === directory ? { parent, name } : undefined;
}

/** Undefined when the path is longer than the kernel tells. */
function nameOfOpen(fd: number): Buffer | undefined {
  try {
    const path = readlinkSync(`/proc/self/fd/${fd}`, 'buffer');
    return Buffer.from(path.subarray(path.lastIndexOf(0x2f) + 1));
  } catch {
    return undefined;
  }
}

/** The name under which a directory is listed in its parent. */
function nameIn(store: Store, parent: Handle, directory: Handle): Buffer | undefined {
  if (store.attributes(directory) < 0) return undefined;
  const { ino } = store.stat;
  for (let next: bigint | undefined = 0n; next !== undefined; ) {
    const batch: ReturnType<Store['readDirectory']> = store.readDirectory(parent, next);
    if (typeof batch === 'number') return undefined;
    next = batch.next;
    const found = batch.entries.find((entry) => entry.ino === ino);
    if (found !== undefined) return found.name;
  }
  return undefined;
}
