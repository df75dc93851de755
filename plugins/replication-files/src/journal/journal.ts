/**
 * The journal of a primary that is alone: everything that its peer does not have, since a base generation. Held in memory as a DirtySet and
 * written to a file before the modification is acknowledged to the application (`flush`); synchronised before an fsync is acknowledged
 * (`fd` for the pool). What the set already names is not written again. While a resync runs, `follower` gets every touch too.
 *
 * A journal counts when it was closed cleanly, or when this is still the boot in which it was written: then only processes died, and the
 * kernel has every byte that was written.
 *
 * The application never waits for the journal's disk to have room: a file that cannot be written is removed, durably, and the set goes on
 * in memory. It is as good as before while this process lives; after that nothing is known, and the trees are compared.
 */
import { closeSync, existsSync, fdatasyncSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
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
  /** Its last records may be missing: the node was restarted. Together with an activity log of the same base it says enough. */
  | { readonly state: 'unfinished'; readonly base: string; readonly set: DirtySet }
  | { readonly state: 'unusable'; readonly reason: string };

/** Reads what the last process left. Never throws for what is in the file. */
export function readJournal(stateDirectory: string, bootId: string = readBootId()): JournalFound {
  const path = join(stateDirectory, FILE);
  if (!existsSync(path)) return { state: 'none' };
  const content = decodeJournal(readFileSync(path));
  if (!content.usable) return { state: 'unusable', reason: content.reason };
  if (!content.isClean && content.header.bootId !== bootId) {
    return { state: 'unfinished', base: content.header.base, set: content.set };
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
  readonly #onFileLost: (reason: string) => void;
  #writer: RecordWriter;
  /** -1: there is no file. */
  #fd = -1;
  #compactAt = 0;

  /**
   * Starts a journal file, durably, with everything that `set` names. Replaces what was there.
   * @param set becomes the journal's own
   * @param onFileLost the file could not be written and is gone, for the log
   * @throws HoldfastError HF_REPLICATION_JOURNAL: an old file could neither be replaced nor removed
   */
  constructor(
    stateDirectory: string,
    readonly base: string,
    set: DirtySet = new DirtySet(),
    bootId: string = readBootId(),
    onFileLost: (reason: string) => void = () => undefined,
  ) {
    this.#directory = stateDirectory;
    this.#bootId = bootId;
    this.#set = set;
    this.#onFileLost = onFileLost;
    this.#writer = new RecordWriter(HEADER_BYTES);
    this.#guard(() => {
      this.#rewrite();
    });
  }

  /** False: what is known lives in memory only. */
  get hasFile(): boolean {
    return this.#fd >= 0;
  }

  /** For fdatasync on a pool thread; changes when the file is rewritten (`flush`), which leaves it durable. -1: there is no file. */
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
   * @throws HoldfastError HF_REPLICATION_JOURNAL: the file is no longer complete and could not be removed
   */
  flush(): void {
    if (this.#writer.isEmpty) return;
    const bytes = this.#writer.take();
    if (this.#fd < 0) return;
    this.#guard(() => {
      writeAll(this.#fd, bytes);
      if (this.#writer.position >= this.#compactAt) this.#rewrite();
    });
  }

  /** `flush`, and on the disk. */
  sync(): void {
    this.flush();
    this.#guard(() => {
      if (this.#fd >= 0) fdatasyncSync(this.#fd);
    });
  }

  /**
   * The file cannot be trusted: removed, durably; the set stays. A file that cannot be removed is made unreadable in place.
   * @throws HoldfastError HF_REPLICATION_JOURNAL when that fails too: the next start might believe it
   */
  loseFile(reason: string): void {
    const fd = this.#fd;
    this.#fd = -1;
    try {
      deleteJournal(this.#directory);
    } catch (error) {
      if (fd < 0 || !overwriteHeader(fd)) {
        const message = `a journal that is not complete cannot be removed: ${messageOf(error)}; is the disk of ${this.#directory} broken?`;
        throw new HoldfastError('HF_REPLICATION_JOURNAL', message, { directory: this.#directory }, { cause: error });
      }
    } finally {
      if (fd >= 0) closeSync(fd);
    }
    this.#onFileLost(reason);
  }

  /** There may be room again. @returns true: there is a file, complete and durable */
  restoreFile(): boolean {
    try {
      if (this.#fd < 0) this.#rewrite();
    } catch {
      // What the attempt may have left is as complete as the set is at this moment, and no longer.
      deleteJournal(this.#directory);
    }
    return this.#fd >= 0;
  }

  /** Clean stop: everything is on the disk and the file says so. The journal can be read again, not continued. @returns false: no file */
  close(): boolean {
    this.flush();
    this.#guard(() => {
      if (this.#fd < 0) this.#rewrite();
      this.#writer.clean();
      writeAll(this.#fd, this.#writer.take());
      fdatasyncSync(this.#fd);
    });
    if (this.#fd < 0) return false;
    closeSync(this.#fd);
    this.#fd = -1;
    return true;
  }

  /** Is no longer wanted: removed, durably, and closed. */
  abandon(): void {
    deleteJournal(this.#directory);
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.loseFile(messageOf(error));
    }
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
  #rewrite(): void {
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
      if (this.#fd >= 0) closeSync(this.#fd);
      this.#fd = fd;
      this.#writer = writer;
      this.#compactAt = writer.position + COMPACT_BYTES;
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

/** No header, no journal. Needs no room on the disk. */
function overwriteHeader(fd: number): boolean {
  try {
    writeSync(fd, Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    fdatasyncSync(fd);
    return true;
  } catch {
    return false;
  }
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
