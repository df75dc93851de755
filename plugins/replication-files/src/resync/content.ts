/** Content of a regular file as a resync sees it: segments of data and holes, and digests of granules. The same on both nodes. */
import { createHash } from 'node:crypto';
import type { Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { SEEK_DATA, SEEK_HOLE } from '../system/constants.js';
import { ENXIO } from '../system/errno.js';
import { DATA_BYTES_MAX, DIGEST_BYTES, GRANULE_BYTES } from '../wire/limits.js';

export interface Segment {
  readonly kind: 'data' | 'hole';
  readonly offset: number;
  readonly length: number;
}

/** The next segment at `offset`, cut at `end`; or -errno. */
export function segmentAt(store: Store, file: Handle, offset: number, end: number): Segment | number {
  const data = store.seek(file, offset, SEEK_DATA);
  if (data === -ENXIO || data >= end) return { kind: 'hole', offset, length: end - offset };
  if (data < 0) return data;
  if (data > offset) return { kind: 'hole', offset, length: data - offset };
  const hole = store.seek(file, offset, SEEK_HOLE);
  const stop = hole < 0 ? end : Math.min(hole, end);
  return { kind: 'data', offset, length: Math.max(1, stop - offset) };
}

const scratch = Buffer.from(new ArrayBuffer(DATA_BYTES_MAX));

/** Content of at most DATA_BYTES_MAX bytes; shorter at the end of the file. A view that the next call overwrites. @returns or -errno */
export function readContent(store: Store, file: Handle, offset: number, length: number): Buffer | number {
  const wanted = Math.min(length, DATA_BYTES_MAX);
  let done = 0;
  while (done < wanted) {
    const got = store.read(file, offset + done, scratch.subarray(done), wanted - done);
    if (got < 0) return got;
    if (got === 0) break;
    done += got;
  }
  return scratch.subarray(0, done);
}

/** Digests of the granules from `offset` to `offset + length`: zeros for one that is a hole or beyond the end. @returns or -errno */
export function digestsOf(store: Store, file: Handle, offset: number, length: number): Buffer | number {
  const digests = Buffer.alloc(Math.ceil(length / GRANULE_BYTES) * DIGEST_BYTES);
  const end = offset + length;
  let at = offset;
  while (at < end) {
    const segment = segmentAt(store, file, at, end);
    if (typeof segment === 'number') return segment;
    if (segment.kind === 'hole') {
      // A granule of which only a part is a hole is read as a whole.
      const next = Math.floor((segment.offset + segment.length) / GRANULE_BYTES) * GRANULE_BYTES;
      if (next > at) {
        at = next;
        continue;
      }
      if (segment.offset + segment.length >= end) return digests;
    }
    const content = readContent(store, file, at, GRANULE_BYTES);
    if (typeof content === 'number') return content;
    if (content.length > 0) digestOf(content).copy(digests, ((at - offset) / GRANULE_BYTES) * DIGEST_BYTES);
    at += GRANULE_BYTES;
  }
  return digests;
}

function digestOf(content: Buffer): Buffer {
  return createHash('sha256').update(content).digest().subarray(0, DIGEST_BYTES);
}
