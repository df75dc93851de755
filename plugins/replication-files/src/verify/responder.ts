/**
 * The secondary's end of a verification: answers what its tree is, changes nothing. An answer tells the tree as it is at the moment at
 * which it is sent: everything that was acknowledged before is in it, nothing else. That is all the primary needs for an exact comparison.
 */
import type { Boundary } from '../boundary/boundary.js';
import type { Bindings } from '../secondary/bindings.js';
import { isDirectory, isRegular, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { EINVAL, ENOENT, ENOTDIR, ESTALE } from '../system/errno.js';
import { WireError } from '../wire/bytes.js';
import { GRANULE_BYTES } from '../wire/limits.js';
import { STATUS, type Answer, type Subject, type VerifyRequest } from '../wire/messages.js';
import { Granules, PIECE_BYTES, type Loader, type Span } from './granules.js';
import { Observer } from './observer.js';

/** Directories that may be entered at once: the depth of a tree and what is still being compared. */
export const SLOTS_MAX = 65_536;
/** Content that may be asked for at once. */
const CONTENTS_MAX = 256;

type Of<Kind extends VerifyRequest['kind']> = Extract<VerifyRequest, { kind: Kind }>;

export interface ResponderOptions {
  readonly store: Store;
  readonly boundary: Boundary;
  readonly bindings: Bindings;
  readonly pool: Loader;
  /** `isLater`: not while `handle` runs. */
  readonly answer: (answer: Answer, isLater: boolean) => void;
  readonly result: (text: string) => void;
}

export class VerifyResponder {
  readonly #options: ResponderOptions;
  readonly #observer: Observer;
  readonly #granules: Granules;
  readonly #slots = new Map<number, Handle>();
  #contents = 0;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#observer = new Observer(options.store, options.boundary);
    this.#granules = new Granules(options.store, options.pool);
  }

  /** @throws WireError */
  handle(request: VerifyRequest): void {
    const { answer } = this.#options;
    const { seq } = request;
    switch (request.kind) {
      case 'verify-enter':
        answer({ kind: 'ack', seq, errno: this.#enter(request) }, false);
        return;
      case 'verify-list':
        answer(this.#list(request), false);
        return;
      case 'verify-names':
        answer(this.#names(request), false);
        return;
      case 'verify-object':
        answer(this.#object(request), false);
        return;
      case 'verify-content':
        this.#content(request);
        return;
      case 'verify-result':
        this.#options.result(request.text);
        answer({ kind: 'ack', seq, errno: 0 }, false);
        return;
    }
  }

  /** Forgets which directories were entered. */
  reset(): void {
    this.#slots.clear();
  }

  /** @returns the object, or -errno */
  #find({ object, slot, name }: Subject): Handle | number {
    if (object !== 0n) return this.#options.bindings.handle(object) ?? -ENOENT;
    const directory = this.#slots.get(slot);
    if (directory === undefined || this.#options.store.isReserved(directory, name)) return -ENOENT;
    return this.#options.store.lookup(directory, name);
  }

  /** @returns an errno */
  #enter(request: Of<'verify-enter'>): number {
    const { as } = request;
    if (as >= SLOTS_MAX) throw new WireError(`directory number ${as} is more than ${SLOTS_MAX}`);
    this.#slots.delete(as);
    const handle = this.#find(request);
    if (typeof handle === 'number') return -handle;
    if (!isDirectory(handle)) return ENOTDIR;
    this.#slots.set(as, handle);
    return 0;
  }

  #list({ seq, slot, cursor }: Of<'verify-list'>): Answer {
    const directory = this.#slots.get(slot);
    const found = directory === undefined || this.#isGone(directory) ? -ENOENT : this.#observer.list(directory, cursor);
    if (typeof found === 'number') return { kind: 'listing', seq, errno: missingOr(found), next: undefined, objects: [] };
    return { kind: 'listing', seq, errno: 0, next: found.next, objects: found.objects };
  }

  #isGone(directory: Handle): boolean {
    const { store } = this.#options;
    return store.attributes(directory) < 0 || store.stat.nlink === 0;
  }

  #names({ seq, slot, names }: Of<'verify-names'>): Answer {
    const directory = this.#slots.get(slot);
    if (directory === undefined || this.#isGone(directory)) return { kind: 'statuses', seq, errno: ENOENT, statuses: Buffer.alloc(0) };
    const statuses = names.map((name) => {
      const found = this.#options.store.lookup(directory, name);
      return typeof found === 'number' ? STATUS.missing : STATUS.same;
    });
    return { kind: 'statuses', seq, errno: 0, statuses: Buffer.from(statuses) };
  }

  #object({ seq, object }: Of<'verify-object'>): Answer {
    const handle = this.#options.bindings.handle(object);
    const found = handle === undefined ? -ENOENT : this.#observer.observe(handle);
    if (typeof found === 'number' || found.nlink === 0) {
      const errno = typeof found === 'number' ? missingOr(found) : ENOENT;
      return { kind: 'listing', seq, errno, next: undefined, objects: [] };
    }
    return { kind: 'listing', seq, errno: 0, next: undefined, objects: [{ ...found, name: Buffer.alloc(0) }] };
  }

  /** What must come from the disk is waited for first; what is answered is what is there after that. */
  #content(request: Of<'verify-content'>): void {
    const file = this.#find(request);
    const { store } = this.#options;
    if (typeof file === 'number' || !isRegular(file) || store.attributes(file) < 0) {
      this.#options.answer(this.#contentsOf(request), false);
      return;
    }
    if (this.#contents >= CONTENTS_MAX) throw new WireError(`more than ${CONTENTS_MAX} requests for content at once`);
    this.#contents += 1;
    const { size } = store.stat;
    const offset = this.#granules.nextData(file, request.offset, size);
    let isLater = false;
    this.#granules.load(file, { offset, length: Math.min(PIECE_BYTES, size - offset) }, (loaded: Span | undefined) => {
      this.#contents -= 1;
      this.#options.answer(this.#contentsOf(request), isLater);
      if (loaded !== undefined) this.#granules.drop(file, loaded);
    });
    isLater = true;
  }

  #contentsOf(request: Of<'verify-content'>): Answer {
    const { seq } = request;
    const failed = (errno: number): Answer => ({ kind: 'contents', seq, errno, size: 0, start: 0, digests: Buffer.alloc(0) });
    const file = this.#find(request);
    if (typeof file === 'number') return failed(missingOr(file));
    if (!isRegular(file)) return failed(EINVAL);
    const outcome = this.#options.store.attributes(file);
    if (outcome < 0) return failed(missingOr(outcome));
    const { size } = this.#options.store.stat;
    const data = this.#granules.nextData(file, request.offset, size);
    const start = Math.ceil(data / GRANULE_BYTES) * GRANULE_BYTES;
    const digests: Buffer[] = [];
    for (let at = start; at < Math.min(size, start + PIECE_BYTES); at += GRANULE_BYTES) {
      const digest = this.#granules.digest(file, at);
      if (typeof digest === 'number') return failed(-digest);
      digests.push(digest);
    }
    return { kind: 'contents', seq, errno: 0, size, start, digests: Buffer.concat(digests) };
  }
}

function missingOr(outcome: number): number {
  return outcome === -ESTALE ? ENOENT : -outcome;
}
