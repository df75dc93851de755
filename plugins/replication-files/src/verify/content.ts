/**
 * Compares the content of regular files, a few at a time, each piece by piece. For a piece: what must come from the disk here is loaded
 * first, then the peer is asked, and at the very moment of its answer our own digests are computed: our tree is then exactly what the
 * peer's was when it answered.
 */
import { GranuleRanges } from '../journal/ranges.js';
import { Fifo } from '../resync/fifo.js';
import { isRegular, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { EINVAL, ENOENT, errnoName } from '../system/errno.js';
import { DIGEST_BYTES, GRANULE_BYTES } from '../wire/limits.js';
import type { Answer, Subject } from '../wire/messages.js';
import { contentDetail, type Aspect, type Differences, type Where } from './differences.js';
import { PIECE_BYTES, ZERO_DIGEST, type Granules, type Span } from './granules.js';
import type { Pace } from './pace.js';
import type { Ask } from './verification.js';

const FILES_IN_FLIGHT_MAX = 8;
const BYTES_IN_FLIGHT_MAX = 4 * PIECE_BYTES;
const QUEUED_MAX = 256;

/** One file: under a name of an entered directory, or by id. */
export interface ContentTask {
  readonly subject: Subject;
  /** The directory of the name here. */
  readonly directory: Handle | undefined;
  /** By id: the file here. Under a name: what it was when it was listed. */
  readonly file: Handle;
  readonly where: Where;
  /** Expected; only for how much is asked for at once. */
  readonly size: number;
  /** Called once when nothing more is asked for. */
  readonly finished: () => void;
}

export class ContentComparison {
  bytesDone = 0;
  readonly #store: Store;
  readonly #granules: Granules;
  readonly #ask: Ask;
  readonly #pace: Pace;
  readonly #differences: Differences;
  readonly #queue = new Fifo<ContentTask>();
  #queued = 0;
  #filesInFlight = 0;
  #bytesInFlight = 0;
  /** Files with more to compare, that wait until the pace allows it. */
  readonly #paused: (() => void)[] = [];

  constructor(store: Store, granules: Granules, ask: Ask, pace: Pace, differences: Differences) {
    this.#store = store;
    this.#granules = granules;
    this.#ask = ask;
    this.#pace = pace;
    this.#differences = differences;
  }

  get isFull(): boolean {
    return this.#queued >= QUEUED_MAX;
  }

  get isIdle(): boolean {
    return this.#queued === 0 && this.#filesInFlight === 0;
  }

  add(task: ContentTask): void {
    this.#queue.push(task);
    this.#queued += 1;
  }

  /** Starts what may start now. */
  pump(): void {
    while (this.#paused.length > 0 && this.#pace.waitMs === 0) this.#paused.shift()?.();
    while (this.#filesInFlight < FILES_IN_FLIGHT_MAX && this.#bytesInFlight < BYTES_IN_FLIGHT_MAX && this.#pace.waitMs === 0) {
      const task = this.#queue.shift();
      if (task === undefined) return;
      this.#queued -= 1;
      this.#filesInFlight += 1;
      this.#piece(task, 0, new GranuleRanges());
    }
  }

  /** @returns the file that the task is about now, or -errno */
  #find({ directory, file, subject }: ContentTask): Handle | number {
    const found = directory === undefined ? file : this.#store.lookup(directory, subject.name);
    if (typeof found === 'number') return found;
    if (!isRegular(found)) return -EINVAL;
    const outcome = this.#store.attributes(found);
    return outcome < 0 || this.#store.stat.nlink === 0 ? -ENOENT : found;
  }

  #piece(task: ContentTask, offset: number, differs: GranuleRanges): void {
    const bytes = Math.min(PIECE_BYTES, Math.max(1, task.size - offset));
    this.#bytesInFlight += bytes;
    const file = this.#find(task);
    const size = typeof file === 'number' ? 0 : this.#store.stat.size;
    const at = typeof file === 'number' ? 0 : this.#granules.nextData(file, offset, size);
    const ask = (loaded: Span | undefined): void => {
      this.#ask({ kind: 'verify-content', ...task.subject, offset }, (answer) => {
        this.#bytesInFlight -= bytes;
        const next = this.#compare(task, offset, answer, differs);
        if (loaded !== undefined && typeof file !== 'number') this.#granules.drop(file, loaded);
        if (next === undefined) this.#finish(task, differs);
        else if (this.#pace.waitMs === 0) this.#piece(task, next, differs);
        else this.#paused.push(() => this.#piece(task, next, differs));
      });
    };
    if (typeof file === 'number') ask(undefined);
    else this.#granules.load(file, { offset: at, length: Math.min(PIECE_BYTES, size - at) }, ask);
  }

  /** @returns where to go on; undefined: the file is done */
  #compare(task: ContentTask, offset: number, answer: Answer, differs: GranuleRanges): number | undefined {
    if (answer.kind !== 'contents') throw new Error(`the peer answered a question for content with ${answer.kind}`);
    const file = this.#find(task);
    if (typeof file === 'number') {
      // Removed, or replaced by something else. What is under the name now is not this task's business.
      return undefined;
    }
    const { size } = this.#store.stat;
    if (answer.errno !== 0) {
      const isMissing = answer.errno === ENOENT || answer.errno === EINVAL;
      const aspect: Aspect = isMissing ? 'missing there' : 'unreadable there';
      if (!isMissing) markPiece(differs, offset, size);
      this.#differ(task, file, [aspect], isMissing ? 'no such file there' : `reading fails there: ${errnoName(answer.errno)}`, differs);
      return undefined;
    }
    if (answer.size !== size) {
      this.#differ(task, file, ['size'], `${size} bytes here, ${answer.size} there`, undefined);
      return undefined;
    }
    const next = this.#compareGranules(task, file, offset, size, answer, differs);
    if (next <= offset && next < size) throw new Error('the peer compared nothing');
    this.bytesDone += Math.min(next, size) - offset;
    return next < size ? next : undefined;
  }

  #compareGranules(
    task: ContentTask,
    file: Handle,
    offset: number,
    size: number,
    { start, digests }: Extract<Answer, { kind: 'contents' }>,
    differs: GranuleRanges,
  ): number {
    const theirEnd = start + (digests.length / DIGEST_BYTES) * GRANULE_BYTES;
    const end = Math.min(size, Math.max(theirEnd, Math.min(start, size)));
    let read = 0;
    let at = offset;
    for (; at < end && read < PIECE_BYTES; at += GRANULE_BYTES) {
      const isTheirHole = at < start;
      if (isTheirHole) {
        // Zeros there: only our own data need a look.
        const data = this.#granules.nextData(file, at, size);
        if (data >= start) {
          at = start - GRANULE_BYTES;
          continue;
        }
        at = data;
      }
      const index = ((at - start) / GRANULE_BYTES) * DIGEST_BYTES;
      const their = isTheirHole ? ZERO_DIGEST : digests.subarray(index, index + DIGEST_BYTES);
      const our = this.#granules.digest(file, at);
      read += GRANULE_BYTES;
      if (typeof our === 'number') {
        this.#differ(task, file, ['unreadable here'], `reading fails here: ${errnoName(our)}`, undefined);
        return size;
      }
      if (!our.equals(their)) differs.add(at / GRANULE_BYTES, at / GRANULE_BYTES + 1);
    }
    this.#pace.compared(read);
    return at;
  }

  #finish(task: ContentTask, differs: GranuleRanges): void {
    this.#filesInFlight -= 1;
    if (differs.count > 0) {
      const file = this.#find(task);
      const size = typeof file === 'number' ? Number.MAX_SAFE_INTEGER : this.#store.stat.size;
      this.#differ(task, typeof file === 'number' ? task.file : file, ['content'], contentDetail(differs, size), differs);
    }
    task.finished();
    this.pump();
  }

  #differ(task: ContentTask, handle: Handle, aspects: readonly Aspect[], detail: string, ranges: GranuleRanges | undefined): void {
    this.#differences.add({ ...task.where, handle }, aspects, detail, ranges);
  }
}

function markPiece(ranges: GranuleRanges, offset: number, size: number): void {
  const start = offset / GRANULE_BYTES;
  ranges.add(start, Math.max(start + 1, Math.ceil(Math.min(size, offset + PIECE_BYTES) / GRANULE_BYTES)));
}
