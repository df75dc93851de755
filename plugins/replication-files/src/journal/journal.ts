/**
 * The journal of a primary that is alone: everything that its peer does not have, since a base generation. Held in memory as a DirtySet and
 * written to a file before the modification is acknowledged to the application (`flush`); synchronised before an fsync is acknowledged
 * (`fd` for the pool). What the set already names is not written again. While a resync runs, `follower` gets every touch too.
 *
 * A journal counts when it was closed cleanly, or when this is still the boot in which it was written: then only processes died, and the
 * kernel has every byte that was written.
 */
import { closeSync, existsSync, fdatasyncSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Handle } from '../store/handle.js';
import { DirtySet, latin1, type TouchRecorder } from './dirty-set.js';
import { decodeJournal, encodeHeader, encodeSet, HEADER_BYTES, RecordWriter } from './format.js';
import { granulesOf } from './ranges.js';

const FILE = 'journal';
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';
/** The file is rewritten from the set when it has grown by this much. */
const COMPACT_BYTES = 64 << 20;

/** What a start found. */
export type JournalFound =
  | { readonly state: 'none' }
  | { readonly state: 'usable'; readonly base: string; readonly set: DirtySet }
  | { readonly state: 'unusable'; readonly reason: string };

/** Reads what the last process left. Never throws for what is in the file. */
export function readJournal(stateDirectory: string, bootId: string = readBootId()): JournalFound {
  const path = join(stateDirectory, FILE);
  if (!existsSync(path)) return { state: 'none' };
  const content = decodeJournal(readFileSync(path));
  if (!content.usable) return { state: 'unusable', reason: content.reason };
  if (!content.isClean && content.header.bootId !== bootId) {
    return { state: 'unusable', reason: 'the node was restarted without a clean stop: the end of the journal may be missing' };
  }
  return { state: 'usable', base: content.header.base, set: content.set };
}

/** Removes the journal, durably: both nodes are identical. */
export function deleteJournal(stateDirectory: string): void {
  rmSync(join(stateDirectory, FILE), { force: true });
  syncDirectory(stateDirectory);
}

export class Journal implements TouchRecorder {
  /** Gets every touch as well, also those that are no news here: the resync that runs. */
  follower: DirtySet | undefined;
  readonly #directory: string;
  readonly #bootId: string;
  readonly #set: DirtySet;
  #writer: RecordWriter;
  #fd: number;
  #compactAt: number;

  /**
   * Starts a journal file, durably, with everything that `set` names. Replaces what was there.
   * @param set becomes the journal's own
   * @throws the error of the file system (no space, …): the caller must not go on without its peer
   */
  constructor(
    stateDirectory: string,
    readonly base: string,
    set: DirtySet = new DirtySet(),
    bootId: string = readBootId(),
  ) {
    this.#directory = stateDirectory;
    this.#bootId = bootId;
    this.#set = set;
    const { fd, writer } = this.#rewrite();
    this.#fd = fd;
    this.#writer = writer;
    this.#compactAt = writer.position + COMPACT_BYTES;
  }

  /** For fdatasync on a pool thread; changes when the file is rewritten (`flush`), which leaves it durable. */
  get fd(): number {
    return this.#fd;
  }

  /** Everything that differs. Read only. */
  get set(): DirtySet {
    return this.#set;
  }

  touchName(directory: Handle, directoryId: bigint, name: Uint8Array): boolean {
    this.follower?.touchName(directory, directoryId, name);
    const isNew = this.#set.touchName(directory, directoryId, name);
    if (isNew) this.#writer.name(directory, directoryId, latin1(name));
    return isNew;
  }

  touchData(object: Handle, offset: number, length: number, parent?: Handle, name?: Uint8Array): boolean {
    this.follower?.touchData(object, offset, length, parent, name);
    return this.#touch(object, parent, name, granulesOf(offset, length), () => this.#set.touchData(object, offset, length, parent, name));
  }

  touchWhole(object: Handle, parent?: Handle, name?: Uint8Array): boolean {
    this.follower?.touchWhole(object, parent, name);
    return this.#touch(object, parent, name, undefined, () => this.#set.touchWhole(object, parent, name));
  }

  touchAttributes(object: Handle, parent?: Handle, name?: Uint8Array): boolean {
    this.follower?.touchAttributes(object, parent, name);
    return this.#touch(object, parent, name, undefined, () => this.#set.touchAttributes(object, parent, name));
  }

  /** True when `flush` has something to write. */
  get isPending(): boolean {
    return !this.#writer.isEmpty;
  }

  /**
   * Writes what was touched: before the modification is acknowledged. Cheap when there is no news.
   * @throws the error of the file system: what was touched stays in memory, the file is no longer complete (`abandon`)
   */
  flush(): void {
    if (this.#writer.isEmpty) return;
    writeAll(this.#fd, this.#writer.take());
    if (this.#writer.position < this.#compactAt) return;
    const old = this.#fd;
    const { fd, writer } = this.#rewrite();
    this.#fd = fd;
    this.#writer = writer;
    this.#compactAt = writer.position + COMPACT_BYTES;
    closeSync(old);
  }

  /** `flush`, and on the disk. */
  sync(): void {
    this.flush();
    fdatasyncSync(this.#fd);
  }

  /** Clean stop: everything is on the disk and the file says so. The journal can be read again, not continued. */
  close(): void {
    this.#writer.clean();
    writeAll(this.#fd, this.#writer.take());
    fdatasyncSync(this.#fd);
    closeSync(this.#fd);
  }

  /** The file can no longer be trusted, or is no longer wanted: closed and removed, durably. */
  abandon(): void {
    closeSync(this.#fd);
    deleteJournal(this.#directory);
  }

  #touch(
    object: Handle,
    parent: Handle | undefined,
    name: Uint8Array | undefined,
    range: { start: number; end: number } | undefined,
    apply: () => boolean,
  ): boolean {
    const before = this.#set.objects.get(object);
    const wasWhole = before?.whole === true;
    if (!apply()) return false;
    if (before === undefined) this.#writer.object(object, parent, name === undefined ? undefined : latin1(name));
    const isWhole = this.#set.objects.get(object)?.whole === true;
    if (isWhole && !wasWhole) this.#writer.whole(object);
    else if (!isWhole && range !== undefined && range.end > range.start) this.#writer.range(object, range.start, range.end);
    return true;
  }

  /** A new file from the whole set, complete and durable before it takes the old one's place. */
  #rewrite(): { fd: number; writer: RecordWriter } {
    const path = join(this.#directory, FILE);
    const fresh = `${path}.new`;
    const fd = openSync(fresh, 'w', 0o600);
    try {
      writeAll(fd, encodeHeader({ base: this.base, bootId: this.#bootId }));
      const writer = new RecordWriter(HEADER_BYTES);
      for (const bytes of encodeSet(writer, this.#set)) writeAll(fd, bytes);
      fdatasyncSync(fd);
      renameSync(fresh, path);
      syncDirectory(this.#directory);
      return { fd, writer };
    } catch (error) {
      closeSync(fd);
      rmSync(fresh, { force: true });
      throw error;
    }
  }
}

/** This boot, as 32 hexadecimal digits. */
function readBootId(): string {
  return readFileSync(BOOT_ID_FILE, 'utf8').trim().replaceAll('-', '');
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
