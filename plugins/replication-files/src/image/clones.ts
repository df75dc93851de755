/**
 * Where the content of an image is kept: `<root>/.holdfast/image`, one file per object, which shares its blocks with the original until
 * that is changed. A clone gets its name when it is complete. Both the clone and the change that follows it are transactions of one file
 * system, in this order: no power cut leaves the change without the clone.
 */
import { ENOENT, EOPNOTSUPP, isGone } from '../system/errno.js';
import { IMAGE_DIRECTORY, keepingRootTimes } from '../resync/stash.js';
import { isDirectory, type Handle } from '../store/handle.js';
import { newObjectId } from '../store/object-id.js';
import { RESERVED_NAME, type Store } from '../store/store.js';
import { cloneFile } from '../system/calls.js';

export const LIMBO_DIRECTORY = Buffer.from('limbo');
const PROBE = Buffer.alloc(4096, 'x');
const UNNAMED = { mode: 0o100600, uid: 0, gid: 0, rdev: 0, target: undefined } as const;

/** Whether files of this root can share blocks. */
export function canClone(store: Store, root: number): boolean {
  const [from, to] = [0, 1].map(() => store.createUnnamed(store.roots[root] as Handle, { ...UNNAMED, id: newObjectId() })) as [
    Handle | number,
    Handle | number,
  ];
  const written = typeof from === 'number' ? from : store.write(from, 0, PROBE);
  const outcome = written < 0 ? written : clone(store, from, to);
  for (const file of [from, to]) if (typeof file !== 'number') drop(store, file);
  return outcome >= 0;
}

/** @returns 0 or -errno */
export function makeClone(store: Store, root: number, file: Handle, name: string): number {
  const directory = ownDirectory(store, root, IMAGE_DIRECTORY);
  if (typeof directory === 'number') return directory;
  const made = store.createUnnamed(directory, { ...UNNAMED, id: newObjectId() });
  if (typeof made === 'number') return made;
  const cloned = clone(store, file, made);
  const outcome = cloned < 0 ? cloned : store.link(made, directory, Buffer.from(name));
  drop(store, made);
  return outcome;
}

/** Makes the content of `file` what the clone has. @returns 0, -ENOENT: it was never completed, and nothing was changed; or -errno */
export function restoreClone(store: Store, root: number, file: Handle, name: string): number {
  const directory = ownDirectory(store, root, IMAGE_DIRECTORY);
  const kept = typeof directory === 'number' ? directory : store.lookup(directory, Buffer.from(name));
  if (typeof kept === 'number') return isGone(kept) ? -ENOENT : kept;
  const { size } = store.stat;
  const outcome = store.setAttributes(file, { size: 0 });
  const cloned = outcome < 0 || size === 0 ? outcome : clone(store, kept, file);
  return cloned < 0 ? cloned : store.setAttributes(file, { size });
}

/** Removes everything in a root's reserved directory. @param keepsClones all but the clones @returns 0 or -errno */
export function removeReserved(store: Store, root: number, keepsClones: boolean): number {
  const parent = store.roots[root] as Handle;
  const reserved = store.lookup(parent, RESERVED_NAME);
  if (typeof reserved === 'number') return reserved === -ENOENT ? 0 : reserved;
  const outcome = empty(store, reserved, keepsClones ? IMAGE_DIRECTORY : undefined);
  if (keepsClones) return outcome;
  return outcome < 0 ? outcome : keepingRootTimes(store, root, () => store.rmdir(parent, RESERVED_NAME));
}

/** Removes the clones of a root. @returns 0 or -errno */
export function removeClones(store: Store, root: number): number {
  const reserved = store.lookup(store.roots[root] as Handle, RESERVED_NAME);
  const directory = typeof reserved === 'number' ? reserved : store.lookup(reserved, IMAGE_DIRECTORY);
  if (typeof directory === 'number') return directory === -ENOENT ? 0 : directory;
  const outcome = empty(store, directory);
  return outcome < 0 ? outcome : store.rmdir(reserved as Handle, IMAGE_DIRECTORY);
}

/** A directory in the reserved one, made if it is not there. */
export function ownDirectory(store: Store, root: number, name: Buffer): Handle | number {
  const reserved = keepingRootTimes(store, root, () => store.reservedDirectory(root));
  if (typeof reserved === 'number') return reserved;
  const found = store.lookup(reserved, name);
  if (found !== -ENOENT) return found;
  return store.create(reserved, name, { ...UNNAMED, mode: 0o040700, id: newObjectId() });
}

function clone(store: Store, from: Handle | number, to: Handle | number): number {
  if (typeof from === 'number' || typeof to === 'number') return -EOPNOTSUPP;
  const source = store.pin(from);
  const target = source < 0 ? source : store.descriptor(to);
  const outcome = target < 0 ? target : cloneFile(target, source);
  if (source >= 0) store.unpin(from);
  return outcome;
}

function drop(store: Store, unnamed: Handle): void {
  store.unpin(unnamed);
  store.release(unnamed);
}

/** @param kept a name that stays */
function empty(store: Store, directory: Handle, kept?: Buffer): number {
  for (;;) {
    const batch = store.readDirectory(directory, 0n);
    if (typeof batch === 'number') return batch;
    const entries = batch.entries.filter(({ name }) => kept === undefined || !name.equals(kept));
    if (entries.length === 0) return 0;
    for (const { name } of entries) {
      const handle = store.lookup(directory, name);
      if (typeof handle === 'number') return handle;
      const below = isDirectory(handle) ? empty(store, handle) : 0;
      const outcome = below < 0 ? below : isDirectory(handle) ? store.rmdir(directory, name) : store.unlink(directory, name);
      if (outcome < 0) return outcome;
      store.release(handle);
    }
  }
}
