/**
 * Puts a tree back to its image. Every step only looks at what is there and what the image says: it may be interrupted anywhere and begun
 * again. First whatever has a name that is not its own is moved out of the way; then no directory is below one that it does not belong to,
 * and each name can be given back; then contents; then attributes, of which times must be last.
 */
import { HoldfastError } from '@holdfast/sdk';
import { placeOfDirectory } from '../resync/location.js';
import { makeXattrs } from '../resync/xattrs.js';
import { timesBuffer } from '../secondary/times.js';
import { isDirectory, rootOf, typeOf } from '../store/handle.js';
import { newObjectId } from '../store/object-id.js';
import type { Store } from '../store/store.js';
import { S_IFLNK } from '../system/constants.js';
import { ENOENT, errnoName, isGone } from '../system/errno.js';
import { syncfs } from '../system/calls.js';
import { LIMBO_DIRECTORY, ownDirectory, removeReserved, restoreClone } from './clones.js';
import { readImage, type ContentRecord, type ImageContent, type NameRecord, type ObjectRecord } from './image-log.js';
import { isOf } from './recorder.js';

/** The image that can be put back, if there is one. */
export function restorableImage(store: Store, stateDirectory: string): ImageContent | undefined {
  const content = readImage(stateDirectory);
  return content !== undefined && isOf(content.header.roots, store) ? content : undefined;
}

/** Everything is on the disk when it returns. @throws HoldfastError HF_REPLICATION_IMAGE; it can be tried again */
export function restoreImage(store: Store, { records }: ImageContent): void {
  const names = records.filter((record) => record.kind === 'name');
  const contents = records.filter((record) => record.kind === 'content');
  const objects = records.filter((record) => record.kind === 'object');
  for (const record of names) moveAway(store, record);
  for (const record of names) putBack(store, record);
  for (const record of contents) fill(store, record);
  // A power cut now must not find what follows without what was before.
  syncAll(store);
  // Whatever else is there was moved away, or is the resync's: none of it is part of the image.
  for (let root = 0; root < store.roots.length; root += 1) must('removing what the resync left', removeReserved(store, root, true));
  for (const record of objects) setBack(store, record);
  syncAll(store);
}

/** What the image needed is superfluous: after its record was erased. */
export function forgetImage(store: Store): void {
  for (let root = 0; root < store.roots.length; root += 1) must('removing the clones', removeReserved(store, root, false));
}

function moveAway(store: Store, { directory, name, object }: NameRecord): void {
  const bytes = Buffer.from(name, 'latin1');
  const local = store.lookup(directory, bytes);
  if (typeof local === 'number') {
    if (!isGone(local) && local !== -ENOENT) must(`looking up "${name}"`, local);
    return;
  }
  if (local === object) return;
  const limbo = ownDirectory(store, rootOf(directory), LIMBO_DIRECTORY);
  if (typeof limbo === 'number') throw failure('making a directory', limbo);
  must(`moving "${name}" away`, store.rename(directory, bytes, limbo, Buffer.from(newObjectId().toString(16)), 0));
}

function putBack(store: Store, { directory, name, object }: NameRecord): void {
  if (object === undefined) return;
  const bytes = Buffer.from(name, 'latin1');
  if (store.lookup(directory, bytes) === object) return;
  if (!isDirectory(object)) {
    must(`putting "${name}" back`, store.link(object, directory, bytes));
    return;
  }
  const place = placeOfDirectory(store, object);
  if (place === undefined) throw failure(`finding the directory "${name}"`, -ENOENT);
  must(`putting "${name}" back`, store.rename(place.parent, place.name, directory, bytes, 0));
}

function fill(store: Store, { object, clone }: ContentRecord): void {
  const outcome = restoreClone(store, rootOf(object), object, clone);
  if (outcome !== -ENOENT) must('putting the content of a file back', outcome);
}

function setBack(store: Store, record: ObjectRecord): void {
  const { object, mode, uid, gid, atime, mtime } = record;
  const outcome = store.attributes(object);
  if (isGone(outcome)) return;
  must('reading attributes', outcome);
  must('setting the owner', store.setAttributes(object, { uid, gid }));
  const xattrs = record.xattrs.map(([name, value]) => ({ name, value: Buffer.from(value, 'base64') }));
  makeXattrs(store, object, xattrs, (name, value) => store.xattrs.set(object, name, value, 0));
  if (record.id !== undefined) {
    const { era } = store;
    store.era = record.era;
    must('writing an id', store.writeId(object, BigInt(`0x${record.id}`)));
    store.era = era;
  }
  const times = timesBuffer({ seconds: atime[0], nanoseconds: atime[1] }, { seconds: mtime[0], nanoseconds: mtime[1] });
  must('setting attributes', store.setAttributes(object, { ...(typeOf(object) !== S_IFLNK && { mode }), times }));
}

function syncAll(store: Store): void {
  for (let root = 0; root < store.roots.length; root += 1) must('flushing', syncfs(store.rootFd(root)));
}

function must(what: string, outcome: number): void {
  if (outcome < 0) throw failure(what, outcome);
}

function failure(what: string, outcome: number): HoldfastError {
  const message = `the image of this copy could not be put back, ${what}: ${errnoName(outcome)}; free some space and try again`;
  return new HoldfastError('HF_REPLICATION_IMAGE', message, { errno: Math.abs(outcome) });
}
