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
 * Makes an object's extended attributes the given ones, changing only what differs.
 * @param set writes one value; its outcome is 0 or -errno
 * @returns false when a value that is given by digest is another here
 * @throws TargetError
 */
export function makeXattrs(store: Store, handle: Handle, wanted: readonly Xattr[], set: (name: string, value: Buffer) => number): boolean {
  const local = store.xattrs.names(handle);
  if (typeof local === 'number') throw new TargetError('listing extended attributes', local);
  const names = new Set(wanted.map(({ name }) => name));
  for (const name of local) if (!names.has(name)) must(`removing the extended attribute ${name}`, store.xattrs.remove(handle, name));
  let isComplete = true;
  for (const xattr of wanted) {
    const current = store.xattrs.value(handle, xattr.name);
    if ('digest' in xattr) isComplete &&= typeof current !== 'number' && digestOf(current).equals(xattr.digest);
    else if (typeof current === 'number' || !current.equals(xattr.value)) {
      must(`setting the extended attribute ${xattr.name}`, set(xattr.name, xattr.value));
    }
  }
  return isComplete;
}

function digestOf(value: Buffer): Buffer {
  return createHash('sha256').update(value).digest().subarray(0, DIGEST_BYTES);
}
