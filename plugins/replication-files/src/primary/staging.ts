/** What the peer is sent of an object that comes into what is replicated, before it gets its name there. */
import { HoldfastError } from '@holdfast/sdk';
import { readContent, segmentAt } from '../resync/content.js';
import { atimeOf, mtimeOf } from '../secondary/times.js';
import { isRegular, rootOf, typeOf } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { S_IFLNK } from '../system/constants.js';
import { errnoName } from '../system/errno.js';
import { DATA_BYTES_MAX, SYMLINK_BYTES_MAX } from '../wire/limits.js';
import { VALID } from '../wire/messages.js';
import type { LiveBody, Staged } from './modification.js';

/** Content in flight at once. */
export const STAGING_BYTES_MAX = 4 << 20;

/**
 * The object, its content without holes, its attributes, and at last its way to the disk. A piece of content is valid until the next is
 * asked for.
 * @throws HoldfastError when the object cannot be read
 */
export function* stagingRequests(store: Store, { handle, id: object }: Staged): Generator<LiveBody, void, void> {
  must(store.attributes(handle));
  const { mode, uid, gid, rdev, size } = store.stat;
  const atime = atimeOf(store.stat);
  const mtime = mtimeOf(store.stat);
  const isLink = typeOf(handle) === S_IFLNK;
  const target = Buffer.alloc(isLink ? SYMLINK_BYTES_MAX + 1 : 0);
  const length = isLink ? must(store.readlink(handle, target)) : 0;
  yield { kind: 'stage', root: rootOf(handle), object, mode, uid, gid, rdev, target: target.subarray(0, length) };
  for (let at = 0; isRegular(handle) && at < size; ) {
    const segment = segmentAt(store, handle, at, size);
    if (typeof segment === 'number') {
      must(segment);
      return;
    }
    at += segment.length;
    for (let offset = segment.offset; segment.kind === 'data' && offset < at; ) {
      const data = readContent(store, handle, offset, Math.min(at - offset, DATA_BYTES_MAX));
      if (typeof data === 'number') must(data);
      else if (data.length === 0) return;
      else {
        yield { kind: 'write', object, offset, data };
        offset += data.length;
      }
    }
  }
  const times = VALID.uid | VALID.gid | VALID.atime | VALID.mtime;
  const valid = times | (isLink ? 0 : VALID.mode) | (isRegular(handle) ? VALID.size : 0);
  yield { kind: 'setattr', object, valid, mode: mode & 0o7777, uid, gid, size: isRegular(handle) ? size : 0, atime, mtime };
  // After the owner, whose change clears capabilities.
  for (const name of mustList(store.xattrs.names(handle))) {
    const value = store.xattrs.value(handle, name);
    if (typeof value === 'number') must(value);
    else yield { kind: 'setxattr', object, name, value, flags: 0, clearsSetgid: false };
  }
  if (isRegular(handle)) yield { kind: 'fsync', object, datasync: false };
}

function mustList(names: string[] | number): string[] {
  if (typeof names !== 'number') return names;
  must(names);
  return [];
}

function must(outcome: number): number {
  if (outcome < 0) throw new HoldfastError('HF_REPLICATION_SYSTEM', `reading a renamed file: ${errnoName(outcome)}; is the disk broken?`);
  return outcome;
}
