/**
 * Extended attributes in a resync: the whole set of an object travels with its other attributes, short values as they are, longer ones by
 * digest, so that an object that is the same costs no message of its own.
 */
import { createHash } from 'node:crypto';
import type { Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { ENODATA } from '../system/errno.js';
import { DIGEST_BYTES, XATTR_INLINE_BYTES_MAX } from '../wire/limits.js';
import type { Xattr } from '../wire/messages.js';
import { must, TargetError } from './stash.js';

/** A longer value is only sent when it differs. */
const INLINE_VALUE_BYTES_MAX = 1024;
/** A value up to this size is replaced in one step. */
const REPLACED_BYTES_MAX = 64;

/** All that an object has, or -errno. */
export function xattrsOf(store: Store, handle: Handle): Xattr[] | number {
  const names = store.xattrs.names(handle);
  if (typeof names === 'number') return names;
  const xattrs: Xattr[] = [];
  let inlineBytes = 0;
  for (const name of names) {
    const value = store.xattrs.value(handle, name);
    // Removed between the two calls, by a server on this node that is not ours.
    if (value === -ENODATA) continue;
    if (typeof value === 'number') return value;
    const isInline = value.length <= INLINE_VALUE_BYTES_MAX && inlineBytes + value.length <= XATTR_INLINE_BYTES_MAX;
    if (isInline) inlineBytes += value.length;
    xattrs.push(isInline ? { name, value } : { name, digest: digestOf(value) });
  }
  return xattrs;
}

/**
 * Makes an object's extended attributes the given ones, changing only what differs. What will be another is removed before anything is
 * set: some file systems have so little room for them that old and new values together do not fit.
 * @param set writes one value; its outcome is 0 or -errno
 * @returns false when a value that is given by digest is another here: there is none now
 * @throws TargetError
 */
export function makeXattrs(store: Store, handle: Handle, wanted: readonly Xattr[], set: (name: string, value: Buffer) => number): boolean {
  const local = store.xattrs.names(handle);
  if (typeof local === 'number') throw new TargetError('listing extended attributes', local);
  if (local.length === 0 && wanted.length === 0) return true;
  const remove = (name: string): number => must(`removing the extended attribute ${name}`, store.xattrs.remove(handle, name));
  const names = new Set(wanted.map(({ name }) => name));
  for (const name of local) if (!names.has(name)) remove(name);
  const lacking: Xattr[] = [];
  for (const xattr of wanted) {
    const current = store.xattrs.value(handle, xattr.name);
    if (isSame(current, xattr)) continue;
    lacking.push(xattr);
    if (typeof current !== 'number' && current.length > REPLACED_BYTES_MAX) remove(xattr.name);
  }
  for (const xattr of lacking) {
    if ('value' in xattr) must(`setting the extended attribute ${xattr.name}`, set(xattr.name, xattr.value));
  }
  return !lacking.some((xattr) => 'digest' in xattr);
}

/** Whether there is nothing to change. */
export function haveSameXattrs(store: Store, handle: Handle, wanted: readonly Xattr[]): boolean {
  const local = store.xattrs.names(handle);
  if (typeof local === 'number') throw new TargetError('listing extended attributes', local);
  return local.length === wanted.length && wanted.every((xattr) => isSame(store.xattrs.value(handle, xattr.name), xattr));
}

function isSame(current: Buffer | number, xattr: Xattr): boolean {
  if (typeof current === 'number') return false;
  return 'digest' in xattr ? digestOf(current).equals(xattr.digest) : current.equals(xattr.value);
}

function digestOf(value: Buffer): Buffer {
  return createHash('sha256').update(value).digest().subarray(0, DIGEST_BYTES);
}
