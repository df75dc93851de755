/**
 * Proves that both trees are identical while the application works. The primary walks its tree and the peer's in parallel and asks the peer
 * over the data connection. No lock is needed: the peer answers questions and acknowledges modifications in one stream, and a modification
 * is applied here when its acknowledgement comes. So when an answer is handled, everything that the peer's tree had when it answered has
 * been applied here, and nothing else: the comparison is made at that very moment, and whatever differs then is a real difference. Times
 * are the exception: each node's kernel sets its own until a checkpoint tells the primary's, so objects in the recent set are not asked
 * for theirs.
 *
 * A directory is compared from both ends: the peer's listing against ours, and, when it was too long for one answer, our names against the
 * peer's. What the application moves could slip from what is not compared yet to what is: moved objects are compared by themselves, by id.
 * Memory is bounded by the depth of the tree, not by its size.
 */
import type { Boundary } from '../boundary/boundary.js';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { Node } from '../primary/node.js';
import type { NodeFollower } from '../primary/node-table.js';
import type { StepOutcome, Steps } from '../resync/flow.js';
import { isDirectory, isRegular, rootOf, type Handle } from '../store/handle.js';
import { rootId } from '../store/object-id.js';
import type { Store } from '../store/store.js';
import { ENOENT, errnoName, ESTALE } from '../system/errno.js';
import { STATUS, type Answer, type Listed, type Observed, type Subject, type VerifyRequest } from '../wire/messages.js';
import { ContentComparison } from './content.js';
import { compareObjects, Differences, typeName, type Where } from './differences.js';
import { Granules, type Loader } from './granules.js';
import { Moves } from './moves.js';
import { Observer } from './observer.js';
import type { Pace } from './pace.js';
import { SLOTS_MAX } from './responder.js';

type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never;
export type VerifyBody = WithoutSeq<VerifyRequest>;
export type Ask = (body: VerifyBody, answered: (answer: Answer) => void) => void;

/** Objects with several names that are remembered with their inodes on both nodes; of the others only the ids are compared. */
const LINKS_MAX = 250_000;
const NO_NAME = Buffer.alloc(0);

export interface VerificationOptions {
  readonly store: Store;
  readonly boundary: Boundary;
  readonly ask: Ask;
  readonly pool: Loader;
  readonly nowMs: () => number;
  readonly pace: Pace;
  /** The times of this object may differ until the next checkpoint. */
  readonly isTouched: (object: Handle, directory: Handle, name: string) => boolean;
  readonly done: () => void;
  readonly failed: (error: HoldfastError) => void;
}

/** A directory that is being compared. */
interface Frame {
  readonly handle: Handle;
  readonly id: bigint;
  readonly slot: number;
  readonly path: Buffer;
  /** Where the peer's listing goes on; undefined: it is done. */
  theirs: bigint | undefined;
  /** Where our names go on; undefined: nothing to ask. */
  ours: bigint | undefined;
  /** Directories in it that are not entered yet. */
  readonly below: { readonly name: Buffer; readonly handle: Handle }[];
  /** Files in it whose content is being compared; the frame itself counts too. */
  users: number;
}

export class Verification implements NodeFollower {
  readonly differences = new Differences();
  objects = 0;
  readonly #options: VerificationOptions;
  readonly #observer: Observer;
  readonly #content: ContentComparison;
  readonly #steps: Steps;
  readonly #frames: Frame[] = [];
  readonly #freeSlots: number[] = [];
  readonly #moves = new Moves();
  /** Inodes of objects with several names, by id. */
  readonly #links = new Map<bigint, { readonly here: bigint; readonly there: bigint }>();
  #slots = 0;
  #hasEnded = false;

  constructor(options: VerificationOptions) {
    this.#options = options;
    const { store, boundary, pool, pace } = options;
    this.#observer = new Observer(store, boundary);
    const ask: Ask = (body, answered) => {
      this.#ask(body, answered);
    };
    this.#content = new ContentComparison(store, new Granules(store, pool), ask, pace, this.differences);
    this.#steps = this.#run();
  }

  get bytes(): number {
    return this.#content.bytesDone;
  }

  /** How long nothing can be done without an event. */
  get waitMs(): number {
    const { waitMs } = this.#options.pace;
    return this.#hasEnded || waitMs === 0 ? Infinity : waitMs;
  }

  created(node: Node): void {
    this.#moves.created(node);
  }

  moved(node: Node): void {
    if (!this.#hasEnded && !this.#moves.moved(node)) {
      this.#fail(new HoldfastError('HF_REPLICATION_VERIFY', 'objects are moved faster than they can be compared; raise the bandwidth'));
    }
  }

  /** A bounded amount of work; to be called in every turn of the loop. Never throws. */
  step(): StepOutcome {
    if (this.#hasEnded) return 'waiting';
    return this.#guarded(() => {
      this.#content.pump();
      const outcome = this.#steps.next();
      if (outcome.done !== true) return outcome.value;
      this.#hasEnded = true;
      this.#options.done();
      return 'waiting';
    });
  }

  /** Answers that still come are ignored. */
  stop(): void {
    this.#hasEnded = true;
  }

  #guarded(act: () => StepOutcome): StepOutcome {
    const { nowMs, pace } = this.#options;
    const beganMs = nowMs();
    try {
      return act();
    } catch (error) {
      this.#fail(error);
      return 'waiting';
    } finally {
      pace.spent(nowMs() - beganMs);
    }
  }

  #fail(error: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#options.failed(error instanceof HoldfastError ? error : new HoldfastError('HF_REPLICATION_VERIFY', messageOf(error)));
  }

  #ask(body: VerifyBody, answered: (answer: Answer) => void): void {
    this.#options.ask(body, (answer) => {
      if (this.#hasEnded) return;
      this.#guarded(() => {
        answered(answer);
        return 'waiting';
      });
    });
  }

  /** Asks, and waits until `compare` has handled the answer. */
  *#exchange(body: VerifyBody, compare: (answer: Answer) => void): Steps {
    let isAnswered = false;
    this.#ask(body, (answer) => {
      isAnswered = true;
      compare(answer);
    });
    while (!isAnswered) yield 'waiting';
  }

  *#run(): Steps {
    const { store } = this.#options;
    for (const [root, handle] of store.roots.entries()) {
      yield* this.#compareById({ handle, id: rootId(root), path: NO_NAME, directory: undefined, name: undefined });
      yield* this.#walk();
    }
    while (!this.#content.isIdle || !this.#moves.isEmpty) {
      yield* this.#walk();
      yield 'waiting';
    }
  }

  *#walk(): Steps {
    for (;;) {
      while (this.#content.isFull || this.#options.pace.waitMs > 0) yield 'waiting';
      const moved = this.#moves.next();
      const frame = this.#frames.at(-1);
      const below = moved === undefined ? frame?.below.pop() : undefined;
      if (moved !== undefined) yield* this.#compareById(moved);
      else if (frame === undefined) return;
      else if (below !== undefined) yield* this.#enterBelow(frame, below.name, below.handle);
      else if (frame.theirs !== undefined) yield* this.#listTheirs(frame, frame.theirs);
      else if (frame.ours !== undefined) yield* this.#offerOurs(frame, frame.ours);
      else {
        this.#frames.pop();
        this.#release(frame);
      }
    }
  }

  /** An object that is known by id: a root, or what was moved. A directory is entered. */
  *#compareById(object: MovedObject): Steps {
    const { handle, id, path, directory, name } = object;
    const where: Where = { root: rootOf(handle), path, handle, directory, directoryId: this.#idOf(directory), name };
    const subject: Subject = { object: id, slot: 0, name: NO_NAME };
    let isSame = false;
    yield* this.#exchange({ kind: 'verify-object', object: id }, (answer) => {
      const { errno, objects } = listingOf(answer);
      const here = this.#observer.observe(handle);
      // Removed: on both nodes, or the removal is on its way and the peer answered before it.
      if (typeof here === 'number' || here.nlink === 0) return;
      const [there] = objects;
      if (errno === ENOENT || there === undefined)
        this.differences.add(where, ['missing there'], `${typeName(here.mode)} here, nothing there`);
      else isSame = this.#compareBoth(where, here, there);
      if (isSame && isRegular(handle) && here.size > 0) {
        this.#content.add({ subject, directory: undefined, file: handle, where, size: here.size, finished: () => undefined });
      }
    });
    if (isSame && isDirectory(handle)) yield* this.#enter(handle, id, path, subject, () => true);
  }

  *#enterBelow(frame: Frame, name: Buffer, handle: Handle): Steps {
    const id = this.#idOf(handle);
    const path = frame.path.length === 0 ? name : Buffer.concat([frame.path, SLASH, name]);
    const subject = { object: 0n, slot: frame.slot, name };
    // Moved meanwhile: it is compared as such.
    const isStillThere = (): boolean => this.#options.store.lookup(frame.handle, name) === handle;
    yield* this.#enter(handle, id, path, subject, isStillThere);
  }

  *#enter(handle: Handle, id: bigint, path: Buffer, subject: Subject, isStillThere: () => boolean): Steps {
    const slot = this.#freeSlots.pop() ?? (this.#slots += 1) - 1;
    if (slot >= SLOTS_MAX) throw new HoldfastError('HF_REPLICATION_VERIFY', `directories are nested more than ${SLOTS_MAX} deep`);
    const frame: Frame = { handle, id, slot, path, theirs: 0n, ours: undefined, below: [], users: 1 };
    this.#ask({ kind: 'verify-enter', as: slot, ...subject }, () => {
      if (!isStillThere()) frame.theirs = undefined;
    });
    this.#frames.push(frame);
    // Asked in the same breath: what could not be entered cannot be listed.
    yield* this.#listTheirs(frame, 0n);
  }

  #release(frame: Frame): void {
    frame.users -= 1;
    if (frame.users === 0) this.#freeSlots.push(frame.slot);
  }

  *#listTheirs(frame: Frame, cursor: bigint): Steps {
    yield* this.#exchange({ kind: 'verify-list', slot: frame.slot, cursor }, (answer) => {
      const { errno, objects, next } = listingOf(answer);
      if (frame.theirs === undefined || !this.#isAlive(frame) || this.#isLost(frame, errno)) return;
      for (const there of objects) this.#compareTheirs(frame, there);
      frame.theirs = next;
      if (next !== undefined) return;
      if (cursor === 0n && this.#hasNoOthers(frame, objects)) return;
      frame.ours = 0n;
    });
  }

  /** Compares the names of a directory that the peer has listed in one answer. @returns false when ours are too many for one step */
  #hasNoOthers(frame: Frame, objects: readonly Listed[]): boolean {
    const ours = this.#observer.names(frame.handle, 0n);
    if (typeof ours === 'number' || ours.next !== undefined) return false;
    const theirs = new Set(objects.map(({ name }) => name.toString('latin1')));
    for (const name of ours.names) if (!theirs.has(name.toString('latin1'))) this.#missingThere(frame, name);
    return true;
  }

  *#offerOurs(frame: Frame, cursor: bigint): Steps {
    const found = this.#isAlive(frame) ? this.#observer.names(frame.handle, cursor) : undefined;
    if (found === undefined) return;
    if (typeof found === 'number') {
      this.#end(frame);
      if (found !== -ESTALE) this.differences.add(this.#whereOf(frame), ['unreadable here'], `listing fails here: ${errnoName(found)}`);
      return;
    }
    frame.ours = found.next;
    if (found.names.length === 0) return;
    yield* this.#exchange({ kind: 'verify-names', slot: frame.slot, names: found.names }, (answer) => {
      if (answer.kind !== 'statuses') throw new Error(`the peer answered a question for names with ${answer.kind}`);
      if (!this.#isAlive(frame) || this.#isLost(frame, answer.errno)) return;
      found.names.forEach((name, index) => {
        if (answer.statuses[index] === STATUS.missing) this.#missingThere(frame, name);
      });
    });
  }

  #isAlive(frame: Frame): boolean {
    const { store } = this.#options;
    if (store.attributes(frame.handle) >= 0 && store.stat.nlink > 0) return true;
    this.#end(frame);
    return false;
  }

  /** Nothing more is asked about the directory. */
  #end(frame: Frame): void {
    frame.theirs = undefined;
    frame.ours = undefined;
    frame.below.length = 0;
  }

  /** The peer cannot list a directory that is alive here. */
  #isLost(frame: Frame, errno: number): boolean {
    if (errno === 0) return false;
    this.#end(frame);
    if (errno === ENOENT) this.differences.add(this.#whereOf(frame), ['missing there'], 'a directory here, nothing there');
    else this.differences.add(this.#whereOf(frame), ['unreadable there'], `listing fails there: ${errnoName(errno)}; is the disk broken?`);
    return true;
  }

  #missingThere(frame: Frame, name: Buffer): void {
    const met = this.#observer.observeName(frame.handle, name);
    if (typeof met === 'number') return;
    this.objects += 1;
    this.#differ(frame, name, met.handle, ['missing there'], `${typeName(met.object.mode)} here, nothing there`);
  }

  #compareTheirs(frame: Frame, there: Listed): void {
    const { name } = there;
    this.objects += 1;
    const met = this.#observer.observeName(frame.handle, name);
    if (met === -ENOENT || met === -ESTALE) {
      this.#differ(frame, name, undefined, ['only there'], `nothing here, ${typeName(there.mode)} there`);
      return;
    }
    if (typeof met === 'number') {
      this.#differ(frame, name, undefined, ['unreadable here'], `it cannot be read here: ${errnoName(met)}; is the disk broken?`);
      return;
    }
    const { handle, object: here } = met;
    const where = this.#whereOf(frame, name, handle);
    const isSame = this.#compareBoth(where, here, there);
    if (!isSame) return;
    if (isDirectory(handle)) frame.below.push({ name, handle });
    else if (isRegular(handle) && here.size > 0 && this.#isFirstLink(where, here, there)) {
      frame.users += 1;
      const finished = (): void => {
        this.#release(frame);
      };
      const subject = { object: 0n, slot: frame.slot, name };
      this.#content.add({ subject, directory: frame.handle, file: handle, where, size: here.size, finished });
    } else if (!isRegular(handle)) this.#isFirstLink(where, here, there);
  }

  /** @returns whether both are of one kind and size, so that there is something to compare below or in them */
  #compareBoth(where: Where, here: Observed, there: Observed): boolean {
    const { handle, directory, name } = where;
    const isTouched = handle !== undefined && this.#options.isTouched(handle, directory ?? '', name?.toString('latin1') ?? '');
    const { aspects, details } = compareObjects(here, there, !isTouched);
    if (aspects.length > 0) this.differences.add(where, aspects, details.join('; '));
    return !aspects.some((aspect) => aspect === 'type' || aspect === 'size' || aspect === 'unreadable there');
  }

  /** Names of one object here must be names of one object there. @returns false: its content is compared under another name */
  #isFirstLink(where: Where, here: Observed, there: Observed): boolean {
    if (here.nlink <= 1 && there.nlink <= 1) return true;
    const id = here.object === 0n ? there.object : here.object;
    if (id === 0n) return true;
    const known = this.#links.get(id);
    if (known === undefined) {
      if (this.#links.size < LINKS_MAX) this.#links.set(id, { here: here.ino, there: there.ino });
      return true;
    }
    if (known.here === here.ino && known.there === there.ino) return false;
    this.differences.add(where, ['links'], 'its hard links lead to other objects there');
    return true;
  }

  #differ(frame: Frame, name: Buffer, handle: Handle | undefined, ...[aspects, detail]: DifferenceText): void {
    this.differences.add(this.#whereOf(frame, name, handle), aspects, detail);
  }

  /** Of a name in a directory, or of the directory itself. */
  #whereOf(frame: Frame, name?: Buffer, handle: Handle | undefined = name === undefined ? frame.handle : undefined): Where {
    const root = rootOf(frame.handle);
    if (name === undefined) return { root, path: frame.path, handle, directory: undefined, directoryId: 0n, name: undefined };
    const path = frame.path.length === 0 ? name : Buffer.concat([frame.path, SLASH, name]);
    return { root, path, handle, directory: frame.handle, directoryId: frame.id, name };
  }

  #idOf(object: Handle | undefined): bigint {
    const id = object === undefined ? 0n : this.#options.store.readId(object);
    return id > 0n ? id : 0n;
  }
}

const SLASH = Buffer.from('/');
type DifferenceText = [Parameters<Differences['add']>[1], string];

/** An object that is compared by id, with where it was met last. */
export interface MovedObject {
  readonly handle: Handle;
  readonly id: bigint;
  readonly path: Buffer;
  readonly directory: Handle | undefined;
  readonly name: Buffer | undefined;
}

function listingOf(answer: Answer): Extract<Answer, { kind: 'listing' }> {
  if (answer.kind !== 'listing') throw new Error(`the peer answered a question for objects with ${answer.kind}`);
  return answer;
}
