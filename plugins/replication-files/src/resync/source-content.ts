/**
 * Content of regular files, from the source to the target: all of it for a new file, dirty ranges for one that the journal names, and what
 * differs by digests where nothing is known. Holes stay holes. Reading and sending are one step of the only thread, so that a later write
 * of the application is either in what is sent, or touches the range again.
 */
import type { DirtyObject } from '../journal/dirty-set.js';
import { isRegular, type Handle } from '../store/handle.js';
import { ENODATA, errnoName, ESTALE } from '../system/errno.js';
import { DATA_BYTES_MAX, DIGEST_BYTES, DIGEST_SPAN_BYTES_MAX, GRANULE_BYTES } from '../wire/limits.js';
import { digestsOf, readContent, segmentAt } from './content.js';
import { ResyncError, type RequestFlow, type Steps } from './flow.js';
import type { AttributesRequest, SourceTree } from './source-tree.js';

const HOLE_DIGEST = Buffer.alloc(DIGEST_BYTES);

export class ContentSender {
  /** Objects that have been dealt with. */
  objectsDone = 0;
  /** Objects that were not the same: new, moved, or with other content. */
  objectsSent = 0;
  bytesDone = 0;

  constructor(
    private readonly tree: SourceTree,
    private readonly flow: RequestFlow,
  ) {}

  /** Everything of a file that is new and empty on the target. */
  *copyNew(file: Handle, object: bigint): Steps {
    if (!this.tree.isAlive(file)) return;
    yield* this.#copySpan(file, object, 0, this.tree.store.stat.size, false);
    this.sendAttributes(file, object);
  }

  /** What a journal names. */
  *copyDirty(file: Handle, object: bigint, { whole, ranges }: DirtyObject): Steps {
    if (whole) {
      yield* this.compare(file, object);
      return;
    }
    this.objectsSent += 1;
    for (const { start, end } of ranges) {
      if (!this.tree.isAlive(file)) return;
      yield* this.#copySpan(file, object, start * GRANULE_BYTES, Math.min(end * GRANULE_BYTES, this.tree.store.stat.size), true);
    }
    this.sendAttributes(file, object);
  }

  /** Granules whose digests differ. Returns when everything is asked; what differs is sent as the answers come, attributes at the end. */
  *compare(file: Handle, object: bigint): Steps {
    if (!this.tree.isAlive(file)) return;
    const { size } = this.tree.store.stat;
    if (size === 0) this.sendAttributes(file, object);
    let isSame = true;
    for (let offset = 0; offset < size; offset += DIGEST_SPAN_BYTES_MAX) {
      yield* this.flow.room();
      const length = Math.min(DIGEST_SPAN_BYTES_MAX, size - offset);
      this.flow.request({ kind: 'digest', object, offset, length }, (answer) => {
        if (answer.kind !== 'digests' || answer.errno !== 0)
          throw new ResyncError(`the peer answered digest with ${errnoName(answer.errno)}`);
        if (this.#sendDifferent(file, object, offset, length, answer.digests) && isSame) {
          isSame = false;
          this.objectsSent += 1;
        }
        this.bytesDone += length;
        if (offset + length >= size) this.sendAttributes(file, object);
      });
    }
  }

  /**
   * Mode, owner, size, times and extended attributes as they are now; it also makes a new object complete. Nothing for an object that has
   * gone.
   */
  sendAttributes(handle: Handle, object: bigint): void {
    const request = this.tree.attributes(handle, object);
    if (request === undefined) return;
    this.#requestAttributes(request, () => {
      this.#sendWithXattrs(handle, object);
    });
    this.objectsDone += 1;
  }

  /** As `sendAttributes`, after every long value: the target lacks at least one. */
  #sendWithXattrs(handle: Handle, object: bigint): void {
    const request = this.tree.attributes(handle, object);
    if (request === undefined) return;
    for (const xattr of request.xattrs) {
      const value = 'digest' in xattr ? this.tree.store.xattrs.value(handle, xattr.name) : -ENODATA;
      if (typeof value !== 'number') this.flow.request({ kind: 'xattr', object, name: xattr.name, value });
    }
    this.#requestAttributes(request, () => {
      throw new ResyncError('the peer does not keep the extended attributes that it is given');
    });
  }

  #requestAttributes(request: AttributesRequest, onLacking: () => void): void {
    this.flow.request(request, (answer) => {
      if (answer.kind === 'ack' && answer.errno === 0) return;
      if (answer.kind !== 'ack' || answer.errno !== ENODATA) {
        throw new ResyncError(`the peer answered attributes with ${answer.kind} ${errnoName(answer.errno)}`);
      }
      onLacking();
    });
  }

  *#copySpan(file: Handle, object: bigint, from: number, to: number, punches: boolean): Steps {
    for (let at = from; at < to; ) {
      yield* this.flow.room();
      const next = this.#copyPiece(file, object, at, to, punches);
      this.bytesDone += next - at;
      at = next;
    }
  }

  /** One segment, or a part of it. @returns where to go on */
  #copyPiece(file: Handle, object: bigint, at: number, to: number, punches: boolean): number {
    const segment = segmentAt(this.tree.store, file, at, to);
    if (segment === -ESTALE) return to;
    if (typeof segment === 'number') throw new ResyncError(`reading a file failed: ${errnoName(segment)}; is the disk broken?`);
    if (segment.kind === 'hole') {
      if (punches) this.flow.request({ kind: 'hole', object, offset: at, length: segment.length });
      return at + segment.length;
    }
    const data = readContent(this.tree.store, file, at, Math.min(segment.length, DATA_BYTES_MAX));
    if (data === -ESTALE) return to;
    if (typeof data === 'number') throw new ResyncError(`reading a file failed: ${errnoName(data)}; is the disk broken?`);
    // The file became shorter meanwhile: its size is touched.
    if (data.length === 0) return to;
    this.flow.request({ kind: 'data', object, offset: at, data });
    return at + data.length;
  }

  /** @returns whether anything differed */
  #sendDifferent(file: Handle, object: bigint, offset: number, length: number, theirs: Buffer): boolean {
    if (!this.tree.isAlive(file) || !isRegular(file)) return false;
    const end = Math.min(offset + length, this.tree.store.stat.size);
    if (end <= offset) return false;
    let isDifferent = false;
    const ours = digestsOf(this.tree.store, file, offset, end - offset);
    if (ours === -ESTALE) return false;
    if (typeof ours === 'number') throw new ResyncError(`reading a file failed: ${errnoName(ours)}; is the disk broken?`);
    for (let granule = 0; granule * DIGEST_BYTES < ours.length; granule += 1) {
      const digest = ours.subarray(granule * DIGEST_BYTES, (granule + 1) * DIGEST_BYTES);
      const their = theirs.subarray(granule * DIGEST_BYTES, (granule + 1) * DIGEST_BYTES);
      if (digest.equals(their.length === DIGEST_BYTES ? their : HOLE_DIGEST)) continue;
      isDifferent = true;
      const stop = Math.min(offset + (granule + 1) * GRANULE_BYTES, end);
      for (let at = offset + granule * GRANULE_BYTES; at < stop; ) at = this.#copyPiece(file, object, at, stop, true);
    }
    return isDifferent;
  }
}
