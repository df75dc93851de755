/**
 * What a rename means for the boundary between what is replicated and what is not.
 *
 * - `same`: nothing changes its side: one rename on both nodes, or on this one alone.
 * - `out`, `in`: a file leaves what is replicated, or comes into it.
 * - `anew`: a directory crosses, or what is in it is excluded by its path: for the peer the old one goes and a new one comes.
 * - `refused`: an exchange, a whiteout or a file with hard links across the boundary. EXDEV, as between file systems: who renames then
 *   copies.
 */
import { isDirectory, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { RENAME_EXCHANGE, RENAME_WHITEOUT } from '../system/constants.js';
import type { Trees } from './modification.js';

export type RenameKind = 'same' | 'out' | 'in' | 'anew' | 'refused';

/** One end of a rename. */
export interface End {
  readonly directory: Handle;
  readonly name: Uint8Array;
}

export function renameKind(trees: Trees, from: End, to: End, flags: number): RenameKind {
  const kind = kindOf(trees, from, to, flags);
  return kind !== 'same' && (flags & RENAME_WHITEOUT) !== 0 ? 'refused' : kind;
}

function kindOf(trees: Trees, from: End, to: End, flags: number): RenameKind {
  const { store, boundary } = trees;
  if (!boundary.applies(from.directory)) return 'same';
  const moved = store.lookup(from.directory, from.name);
  if (typeof moved === 'number') return 'same';
  const isLinked = !isDirectory(moved) && store.stat.nlink > 1;
  const sides = sidesOf(trees, moved, from, to);
  if (flags === RENAME_EXCHANGE) return isPlainExchange(trees, sides, from, to) ? 'same' : 'refused';
  if (isDirectory(moved)) {
    if ((sides.was && sides.willBe) || sides.isSamePlace) return 'same';
    return holdsHardLinks(trees, moved, to) ? 'refused' : 'anew';
  }
  if (sides.was === sides.willBe) return 'same';
  if (isLinked) return 'refused';
  return sides.was ? 'in' : 'out';
}

interface Sides {
  /** Excluded before, and after. */
  readonly was: boolean;
  readonly willBe: boolean;
  /** A directory in which the same names are excluded before and after. */
  readonly isSamePlace: boolean;
}

function sidesOf({ boundary }: Trees, object: Handle, from: End, to: End): Sides {
  const isOfDirectory = isDirectory(object);
  return {
    was: boundary.excludes(from.directory, from.name, isOfDirectory),
    willBe: boundary.excludes(to.directory, to.name, isOfDirectory),
    isSamePlace: !isOfDirectory || boundary.isSamePlace(from.directory, from.name, to.directory, to.name),
  };
}

function isPlainExchange(trees: Trees, moved: Sides, from: End, to: End): boolean {
  const there = trees.store.lookup(to.directory, to.name);
  if (typeof there === 'number') return true;
  const exchanged = sidesOf(trees, there, to, from);
  const sides = [moved.was, moved.willBe, exchanged.was, exchanged.willBe];
  return sides.every(Boolean) || (!sides.some(Boolean) && moved.isSamePlace && exchanged.isSamePlace);
}

/** A file with another name elsewhere could be on both sides afterwards. */
function holdsHardLinks({ store, boundary }: Trees, directory: Handle, to: End): boolean {
  let isFound = false;
  boundary.visitAs(directory, to.directory, to.name, (handle) => {
    isFound ||= !isDirectory(handle) && store.stat.nlink > 1;
  });
  return isFound;
}

export function isEmpty(store: Store, directory: Handle): boolean {
  for (let next: bigint | undefined = 0n; next !== undefined; ) {
    const batch: ReturnType<Store['readDirectory']> = store.readDirectory(directory, next);
    if (typeof batch === 'number') return true;
    if (batch.entries.length > 0) return false;
    next = batch.next;
  }
  return true;
}
