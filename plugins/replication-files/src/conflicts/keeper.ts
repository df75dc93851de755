/**
 * Keeps what a resync overwrites on a node whose changes are given up. The resync's target says what it is about to do; what is about to be
 * lost is durable in the store before it happens, or it does not happen: without room the resync ends with a sentence, and nothing more
 * is overwritten.
 *
 * An object is kept once: its content before the first byte of it changes, its attributes before they change alone (times alone are not
 * worth it: every copy has its own). What the resync itself made is not kept. What is removed goes to the resync's stash first; it is
 * kept from there, while the primary still works, before the last round.
 */
import { statfsSync } from 'node:fs';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { isDirectory, isRegular, typeOf, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFSOCK } from '../system/constants.js';
import { SYMLINK_BYTES_MAX } from '../wire/limits.js';
import { copyContent, type Copying } from './copy-content.js';
import type { EventWriter } from './event-writer.js';
import { pathFields, type ConflictCause, type ConflictKind, type KeptObject } from './format.js';
import { ObjectPaths } from './object-paths.js';

/** The journal and the decisions of this node live on the same disk. */
const RESERVE_BYTES = 64 << 20;
const COMMIT_OBJECTS = 500;
const KINDS: Readonly<Record<number, ConflictKind>> = {
  [S_IFDIR]: 'directory',
  [S_IFLNK]: 'symlink',
  [S_IFIFO]: 'fifo',
  [S_IFSOCK]: 'socket',
  [S_IFCHR]: 'character',
  [S_IFBLK]: 'block',
};

interface Kept {
  readonly number: number;
  readonly hasContent: boolean;
  readonly names: Set<string>;
}

export class ConflictKeeper {
  readonly #store: Store;
  readonly #event: EventWriter;
  readonly #paths: ObjectPaths;
  readonly #copying: Copying;
  readonly #kept = new Map<Handle, Kept>();
  readonly #made = new Set<Handle>();
  /** Called often while something is copied. */
  onBreath: () => void = () => undefined;
  #hasEnded = false;

  /** @param directories the replicated directories, as applications see them @param mayGoOn throws when copying is to be given up */
  constructor(store: Store, event: EventWriter, directories: readonly string[], mayGoOn: () => void) {
    this.#store = store;
    this.#event = event;
    this.#paths = new ObjectPaths(store, directories);
    this.#copying = {
      breathe: () => {
        mayGoOn();
        this.onBreath();
      },
      claim: (bytes) => {
        this.#claim(bytes);
      },
    };
    for (const object of event.kept) this.#remember(object);
    for (const { handle, path } of event.left()) this.#paths.leftFrom(handle, path);
  }

  #remember({ number, handle, linkTo, path, digest }: KeptObject): void {
    const key = Buffer.from(handle, 'base64').toString('latin1');
    const known = this.#kept.get(key);
    if (linkTo !== undefined) known?.names.add(path);
    else this.#kept.set(key, { number, hasContent: digest !== undefined, names: new Set([...(known?.names ?? []), path]) });
  }

  /** An object was met under this name. */
  met(handle: Handle, parent: Handle, name: Buffer): void {
    this.#paths.met(handle, parent, name);
    const kept = this.#kept.get(handle);
    if (kept === undefined || isDirectory(handle)) return;
    // A further name of what was kept already.
    this.#addLink(handle, kept, this.#paths.join(parent, name));
    this.#commit();
  }

  /** The resync made it. */
  made(handle: Handle): void {
    this.#made.add(handle);
  }

  /** Before its content changes. @throws HoldfastError: it must not be changed */
  beforeContent(handle: Handle): void {
    if (this.#made.has(handle) || this.#kept.get(handle)?.hasContent === true) return;
    this.#keep(handle, this.#paths.of(handle), 'content', true);
    this.#commit();
  }

  /** Before attributes other than times change. @throws HoldfastError: they must not be changed */
  beforeAttributes(handle: Handle): void {
    if (this.#made.has(handle) || this.#kept.has(handle)) return;
    this.#keep(handle, this.#paths.of(handle), 'attributes', false);
    this.#commit();
  }

  /** Before it loses this name. It may get another. @throws HoldfastError when there will be no room to keep it */
  beforeMoved(handle: Handle, parent: Handle, name: Buffer): void {
    this.#claim(0);
    this.#paths.met(handle, parent, name);
    this.#event.noteLeft(handle, this.#paths.left(handle, parent, name));
  }

  /** What has no place in the new tree. @throws HoldfastError: it must not be removed */
  beforeRemoved(objects: readonly Handle[]): void {
    for (const handle of objects) this.#keepRemoved(handle, this.#paths.of(handle));
    this.#commit();
  }

  /** From then on nothing is kept: the resync has finished. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The resync has finished. */
  end(): void {
    this.#hasEnded = true;
    this.#event.end();
  }

  /** The next resync goes on with what was not finished. */
  close(): void {
    if (!this.#hasEnded) this.#event.close();
    this.#hasEnded = true;
  }

  /** A directory with everything below. Depth is bounded by what paths can have. */
  #keepRemoved(handle: Handle, path: Buffer): void {
    if (!this.#made.has(handle)) {
      const kept = this.#kept.get(handle);
      if (kept === undefined || (isRegular(handle) && !kept.hasContent)) this.#keep(handle, path, 'removed', isRegular(handle));
      else if (!isDirectory(handle)) this.#addLink(handle, kept, path);
    }
    if (this.#event.waiting >= COMMIT_OBJECTS) this.#commit();
    this.#copying.breathe();
    if (!isDirectory(handle)) return;
    const names: Buffer[] = [];
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch: ReturnType<Store['readDirectory']> = this.#store.readDirectory(handle, next);
      if (typeof batch === 'number') throw this.#failed(path, `listing it failed with errno ${-batch}`);
      names.push(...batch.entries.map(({ name }) => name));
      next = batch.next;
    }
    for (const name of names) {
      const child = this.#store.lookup(handle, name);
      if (typeof child !== 'number') this.#keepRemoved(child, Buffer.concat([path, Buffer.from('/'), name]));
    }
  }

  #keep(handle: Handle, path: Buffer, cause: ConflictCause, hasContent: boolean): void {
    const { stat } = this.#store;
    // Removed by somebody who is not ours: there is nothing to keep.
    if (this.#store.attributes(handle) < 0 || stat.nlink === 0) return;
    this.#claim(0);
    const kind = KINDS[typeOf(handle)] ?? 'file';
    const { size, mode, uid, gid, rdev } = stat;
    const atimeNs = nanoseconds(stat.atimeSeconds, stat.atimeNanoseconds);
    const mtimeNs = nanoseconds(stat.mtimeSeconds, stat.mtimeNanoseconds);
    const fields = pathFields(path);
    const number = this.#event.nextNumber();
    try {
      const xattrs = this.#xattrsOf(handle);
      this.#event.add({
        number,
        ...fields,
        kind,
        cause,
        mode: mode & 0o7777,
        uid,
        gid,
        atimeNs,
        mtimeNs,
        size: kind === 'file' ? size : 0,
        ...(hasContent && kind === 'file' && { digest: copyContent(this.#store, handle, this.#event.contentPath(number), this.#copying) }),
        ...(kind === 'symlink' && { target: this.#targetOf(handle) }),
        ...((kind === 'character' || kind === 'block') && { rdev }),
        ...(xattrs !== undefined && { xattrs }),
        handle: Buffer.from(handle, 'latin1').toString('base64'),
      });
    } catch (error) {
      throw error instanceof HoldfastError ? error : this.#failed(path, messageOf(error));
    }
    const kept: Kept = { number, hasContent: hasContent || kind !== 'file', names: new Set([fields.path]) };
    this.#kept.set(handle, kept);
    if (kind !== 'directory') for (const other of this.#paths.others(handle)) this.#addLink(handle, kept, other);
  }

  #addLink(handle: Handle, kept: Kept, path: Buffer): void {
    const fields = pathFields(path);
    if (kept.names.has(fields.path)) return;
    kept.names.add(fields.path);
    const nothing = { mode: 0, uid: 0, gid: 0, atimeNs: '0', mtimeNs: '0', size: 0 };
    this.#event.add({
      number: this.#event.nextNumber(),
      ...fields,
      kind: KINDS[typeOf(handle)] ?? 'file',
      cause: 'removed',
      ...nothing,
      linkTo: kept.number,
      handle: Buffer.from(handle, 'latin1').toString('base64'),
    });
  }

  #commit(): void {
    try {
      this.#event.commit();
    } catch (error) {
      throw this.#failed(undefined, messageOf(error));
    }
  }

  #xattrsOf(handle: Handle): Record<string, string> | undefined {
    const names = this.#store.xattrs.names(handle);
    if (typeof names === 'number' || names.length === 0) return undefined;
    const values = names.map((name) => [name, this.#store.xattrs.value(handle, name)] as const);
    return Object.fromEntries(values.flatMap(([name, value]) => (typeof value === 'number' ? [] : [[name, value.toString('base64')]])));
  }

  #targetOf(handle: Handle): string {
    const into = Buffer.alloc(SYMLINK_BYTES_MAX + 1);
    const length = this.#store.readlink(handle, into);
    return into.subarray(0, Math.max(0, length)).toString('base64');
  }

  /** @throws HoldfastError when the disk of the store would become full */
  #claim(bytes: number): void {
    const { bavail, bsize } = statfsSync(this.#event.folder);
    const free = bavail * bsize;
    if (free - bytes >= RESERVE_BYTES) return;
    throw new HoldfastError(
      'HF_REPLICATION_CONFLICT_ROOM',
      `what is overwritten here must be kept aside first, and ${megabytes(bytes + RESERVE_BYTES - free)} MB are missing for it in ` +
        `${this.#event.folder}: free space there, or delete older ones with "holdfast conflicts delete"; nothing more is overwritten`,
      { folder: this.#event.folder, bytes, free },
    );
  }

  #failed(path: Buffer | undefined, cause: string): HoldfastError {
    const what = path === undefined ? 'what is overwritten here' : `"${pathFields(path).path}"`;
    const message = `${what} could not be kept aside: ${cause}; nothing more is overwritten`;
    return new HoldfastError('HF_REPLICATION_CONFLICT', message, { folder: this.#event.folder });
  }
}

function nanoseconds(seconds: bigint, rest: number): string {
  return String(seconds * 1_000_000_000n + BigInt(rest));
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1_000_000);
}
