/**
 * Content of regular files, from the source to the target: all of it for a new file, dirty ranges for one that the journal names, and what
 * differs by digests where nothing is known. Holes stay holes. Reading and sending are one step of the only thread, so that a later write
 * of the application is either in what is sent, or touches the range again.
 */
import type { DirtyObject } from '../journal/dirty-set.js';
import { isRegular, type Handle } from '../store/handle.js';
import { ENODATA, errnoName, ESTALE } from '../system/errno.js';
import { attributesBytesMax } from '../wire/encode.js';
import { DATA_BYTES_MAX, DIGEST_BYTES, DIGEST_SPAN_BYTES_MAX, GRANULE_BYTES, SMALL_BYTES_MAX } from '../wire/limits.js';
import { STATUS, type Answer, type Attributes, type SmallObject } from '../wire/messages.js';
import { digestsOf, readContent, segmentAt } from './content.js';
import type { Fifo } from './fifo.js';
import { ResyncError, type RequestFlow, type Steps } from './flow.js';
import { willNeed, type ReadAhead } from './read-ahead.js';
import type { SourceTree } from './source-tree.js';

const NOTHING = Buffer.alloc(0);
const HOLE_DIGEST = Buffer.alloc(DIGEST_BYTES);
/** One SMALL message. */
const SMALL_COUNT_MAX = 512;
const SMALL_SUM_MAX = 256 << 10;
/** Small files that the kernel reads ahead. */
const ANNOUNCED_MAX = 64;
/** Unit of `Stat.blocks`. */
const BLOCK_BYTES = 512;

/** An object that is in its place on the target, but not a directory. */
export interface ContentJob {
  readonly handle: Handle;
  readonly object: bigint;
  /** And empty there, or a part of it. */
  readonly isNew: boolean;
}

export class ContentSender {
  /** Objects that have been dealt with. */
  objectsDone = 0;
  /** Objects that were not the same: new, moved, or with other content. */
  objectsSent = 0;
  bytesDone = 0;
  /** The target has a part of what the journal names already: of an earlier resync, which was interrupted. */
  comparesDirty = false;
  /** A file that is new there may have content: of such a resync. */
  comparesNew = false;
  /** So many of the next jobs are known to the kernel. */
  #announced = 0;
  readonly #small = Buffer.from(new ArrayBuffer(SMALL_SUM_MAX + SMALL_BYTES_MAX));

  constructor(
    private readonly tree: SourceTree,
    private readonly flow: RequestFlow,
    private readonly readAhead: ReadAhead,
  ) {}

  /** Works until nothing is left to do: as many small objects as possible in one message, larger files piece by piece. */
  *send(jobs: Fifo<ContentJob>): Steps {
    while (!jobs.isEmpty) {
      yield* this.flow.room();
      this.#announce(jobs);
      if (this.#sendSmall(jobs)) continue;
      this.#announced = Math.max(0, this.#announced - 1);
      const { handle, object, isNew } = jobs.shift() as ContentJob;
      if (!isRegular(handle)) this.sendAttributes(handle, object);
      else if (isNew && !this.comparesNew) yield* this.#copyNew(handle, object);
      else yield* this.compare(handle, object);
    }
  }

  /** Tells the kernel what will be read soon. */
  #announce(jobs: Fifo<ContentJob>): void {
    for (; this.#announced < ANNOUNCED_MAX; this.#announced += 1) {
      const job = jobs.next(this.#announced);
      if (job === undefined) return;
      if (isRegular(job.handle)) willNeed(this.tree.store, job.handle, 0, SMALL_BYTES_MAX);
    }
  }

  /** @returns false: the first one is not small */
  #sendSmall(jobs: Fifo<ContentJob>): boolean {
    const sent: ContentJob[] = [];
    const objects: SmallObject[] = [];
    for (
      let bytes = 0, used = 0;
      sent.length < SMALL_COUNT_MAX && bytes < SMALL_SUM_MAX && !(used > 0 && this.flow.isStepOver);
      used += 1
    ) {
      const job = jobs.next();
      const small = job === undefined ? undefined : this.#smallObject(job, bytes);
      if (job === undefined || small === undefined) break;
      bytes += attributesBytesMax(small) + ('data' in small ? small.data.length : DIGEST_BYTES);
      sent.push(job);
      objects.push(small);
      jobs.shift();
      this.#announced -= 1;
      if (this.#announced <= ANNOUNCED_MAX / 2) this.#announce(jobs);
    }
    if (objects.length === 0) return false;
    this.flow.request({ kind: 'small', objects }, (answer) => {
      this.#smallAnswered(sent, objects, answer);
    });
    return true;
  }

  /** Undefined: it has gone, or is not small. */
  #smallObject({ handle, object, isNew }: ContentJob, at: number): SmallObject | undefined {
    const request = this.tree.attributes(handle, object);
    if (request === undefined) return undefined;
    const { size } = request;
    if (size === 0) return { ...request, data: NOTHING };
    if (size > SMALL_BYTES_MAX) return undefined;
    if (!isNew) {
      const digest = digestsOf(this.tree.store, handle, 0, size);
      return typeof digest === 'number' ? undefined : { ...request, digest };
    }
    // What has fewer blocks than content has holes, which stay holes.
    if (this.tree.store.stat.blocks * BLOCK_BYTES < size) return undefined;
    const data = this.#small.subarray(at, at + size);
    return this.tree.store.read(handle, 0, data, size) === size ? { ...request, data } : undefined;
  }

  #smallAnswered(jobs: readonly ContentJob[], objects: readonly SmallObject[], answer: Answer): void {
    if (answer.kind !== 'statuses' || answer.errno !== 0 || answer.statuses.length !== jobs.length) {
      throw new ResyncError(`the peer answered small with ${answer.kind}`);
    }
    objects.forEach((small, index) => {
      this.bytesDone += small.size;
      if (answer.statuses[index] !== STATUS.different) this.objectsDone += 1;
      else this.#sendDifferentSmall((jobs[index] as ContentJob).handle, small);
    });
  }

  /** It has other content there, or lacks an extended attribute that was given by digest. */
  #sendDifferentSmall(handle: Handle, small: SmallObject): void {
    if (!this.tree.isAlive(handle)) return;
    if ('digest' in small) {
      this.objectsSent += 1;
      const { size } = this.tree.store.stat;
      for (let at = 0; at < size; ) at = this.#copyPiece(handle, small.object, at, size, true);
    }
    this.sendAttributes(handle, small.object);
  }

  /** Everything of a file that is new and empty on the target. */
  *#copyNew(file: Handle, object: bigint): Steps {
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
    if (this.comparesDirty) {
      const spans = Array.from(ranges, ({ start, end }) => ({ from: start * GRANULE_BYTES, to: end * GRANULE_BYTES }));
      yield* this.#compareSpans(file, object, spans);
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
    yield* this.#compareSpans(file, object, [{ from: 0, to: this.tree.store.stat.size }]);
  }

  *#compareSpans(file: Handle, object: bigint, spans: readonly { readonly from: number; readonly to: number }[]): Steps {
    if (!this.tree.isAlive(file)) return;
    const { size } = this.tree.store.stat;
    const pieces = spans.flatMap(({ from, to }) => piecesOf(from, Math.min(to, size)));
    if (pieces.length === 0) this.sendAttributes(file, object);
    let isSame = true;
    for (const [index, { offset, length }] of pieces.entries()) {
      yield* this.flow.room();
      // Read here too when the answer comes.
      willNeed(this.tree.store, file, offset, length);
      this.flow.request({ kind: 'digest', object, offset, length }, (answer) => {
        if (answer.kind !== 'digests' || answer.errno !== 0)
          throw new ResyncError(`the peer answered digest with ${errnoName(answer.errno)}`);
        if (this.#sendDifferent(file, object, offset, length, answer.digests) && isSame) {
          isSame = false;
          this.objectsSent += 1;
        }
        this.bytesDone += length;
        if (index === pieces.length - 1) this.sendAttributes(file, object);
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

  /**
   * As `sendAttributes`, after every long value: the target lacks at least one. It is told first what there is now: what it still has of
   * the past could leave no room for them.
   */
  #sendWithXattrs(handle: Handle, object: bigint): void {
    const request = this.tree.attributes(handle, object);
    if (request === undefined) return;
    this.#requestAttributes(request, () => undefined);
    for (const xattr of request.xattrs) {
      const value = 'digest' in xattr ? this.tree.store.xattrs.value(handle, xattr.name) : -ENODATA;
      if (typeof value !== 'number') this.flow.request({ kind: 'xattr', object, name: xattr.name, value });
    }
    this.#requestAttributes(request, () => {
      throw new ResyncError('the peer does not keep the extended attributes that it is given');
    });
  }

  #requestAttributes(request: Attributes, onLacking: () => void): void {
    this.flow.request({ kind: 'attributes', ...request }, (answer) => {
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
      const segment = segmentAt(this.tree.store, file, at, to);
      if (typeof segment !== 'number' && segment.kind === 'data') yield* this.readAhead.ready(file, at, at + segment.length);
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

/** What one DIGEST message each compares. */
function piecesOf(from: number, to: number): { readonly offset: number; readonly length: number }[] {
  const count = Math.max(0, Math.ceil((to - from) / DIGEST_SPAN_BYTES_MAX));
  return Array.from({ length: count }, (_none, index) => {
    const offset = from + index * DIGEST_SPAN_BYTES_MAX;
    return { offset, length: Math.min(DIGEST_SPAN_BYTES_MAX, to - offset) };
  });
}
