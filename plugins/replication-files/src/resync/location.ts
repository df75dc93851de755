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
  let path: Buffer;
  try {
    path = readlinkSync(`/proc/self/fd/${fd}`, 'buffer');
  } catch {
    return undefined;
  }
  const name = Buffer.from(path.subarray(path.lastIndexOf(0x2f) + 1));
  const parentFd = openat(fd, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (parentFd < 0) return undefined;
  const parent = handleOf(rootOf(directory), parentFd, S_IFDIR);
  close(parentFd);
  if (typeof parent === 'number') return undefined;
  // A removed directory still shows its old place, with " (deleted)" behind the name.
  return store.lookup(parent, name) === directory ? { parent, name } : undefined;
}
