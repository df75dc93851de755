/**
 * What a primary may have put on its disk and what may not be on both: written down, and durable, before the first byte of it can get
 * there. Coarse on purpose: directories, extents of objects, and eras for objects that are new; most modifications find themselves covered
 * and cost a look into a map. After a power cut, of this node alone or of both, the nodes differ in nothing else (the journal and the
 * recent set are more precise, but their last records may be missing then).
 *
 * A checkpoint cuts the log too: what was not touched since is on both disks when the checkpoint is over, and is dropped when the log moves
 * to its other slot. A modification that is on its way meanwhile (`pin`) keeps everything.
 *
 * The application never waits for a log that cannot be written: it is removed, durably, and a power cut is followed by a comparison.
 */
import { randomInt } from 'node:crypto';
import { closeSync, existsSync, fdatasyncSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { Handle } from '../store/handle.js';
import { GRANULE_BYTES } from '../wire/limits.js';
import { decodeActivity, RECORD_BYTES_MAX, SLOT_BYTES, SLOT_HEADER_BYTES, SLOTS, SlotWriter, type Activity } from './activity-format.js';
import { latin1, type TouchRecorder } from './dirty-set.js';
import { syncDirectory } from './journal.js';
import { GranuleRanges } from './ranges.js';

const FILE = 'activity';
export const EXTENT_GRANULES = 512;
const EXTENT_BYTES = EXTENT_GRANULES * GRANULE_BYTES;
/** The end of a slot is kept for the record that says "everything". */
const SLOT_ROOM_BYTES = SLOT_BYTES - 2 * RECORD_BYTES_MAX;
/** Moving to the other slot pays when so many entries can be dropped. */
const DROP_MIN = 64;
/** New objects that are remembered; further ones get records of their own when they are modified. */
const CREATED_MAX = 50_000;

interface HotDirectory {
  readonly id: bigint;
  /** End of its record: it is durable when the log is durable up to there. */
  position: number;
  /** Of the last touch. */
  period: number;
}

interface HotObject {
  readonly parent: Handle | undefined;
  readonly name: string | undefined;
  readonly extents: GranuleRanges;
  position: number;
  period: number;
  /** End of the last data touched: who goes on there writes sequentially. */
  end: number;
}

export interface ActivityLogOptions {
  readonly stateDirectory: string;
  /** Generation that both nodes had. */
  readonly base: string;
  /** fdatasync of the descriptor on another thread; `done` gets 0 or -errno. */
  readonly sync: (fd: number, done: (outcome: number) => void) => void;
  /** More is durable than before. */
  readonly onDurable: () => void;
  /** New objects must carry this number from now on. */
  readonly onEra: (era: number) => void;
  /** The log could not be written and is gone; for people. */
  readonly onLost: (reason: string) => void;
}

/** What the last process left. Never throws for what is in the file. */
export function readActivity(stateDirectory: string): { activity: Activity | undefined; reason: string | undefined } {
  const path = join(stateDirectory, FILE);
  if (!existsSync(path)) return { activity: undefined, reason: undefined };
  const { activity, reason } = decodeActivity(readFileSync(path));
  return { activity, reason };
}

/** Removes it, durably. */
export function deleteActivity(stateDirectory: string): void {
  const path = join(stateDirectory, FILE);
  if (!existsSync(path)) return;
  rmSync(path);
  syncDirectory(stateDirectory);
}

export class ActivityLog implements TouchRecorder {
  readonly #options: ActivityLogOptions;
  /** -1: there is no file, and nothing is written. */
  #fd = -1;
  #base: string;
  #sequence = 0;
  #writer: SlotWriter;
  readonly #directories = new Map<Handle, HotDirectory>();
  readonly #objects = new Map<Handle, HotObject>();
  #created = new Set<Handle>();
  #createdBefore = new Set<Handle>();
  #period = 1;
  readonly #pins = new Map<number, number>();
  #era = newEra();
  /** To be used when it is durable up to the position. */
  #nextEra: { readonly era: number; readonly position: number } | undefined;
  /** The slot says "everything", up to this position. */
  #everythingAt: number | undefined;
  /** Bytes of all slots before the present one: positions grow for ever. */
  #written = 0;
  #durable = 0;
  #isSyncing = false;
  /** Position of what the running `cover` has met. */
  #need = 0;

  /**
   * Starts a log, durable when this returns. Replaces what was there.
   * @throws HoldfastError HF_REPLICATION_JOURNAL: an old log could neither be replaced nor removed
   */
  constructor(options: ActivityLogOptions) {
    this.#options = options;
    this.#base = options.base;
    this.#writer = new SlotWriter(0, options.base);
    this.#guard(() => {
      this.#open();
    });
    this.restart(options.base);
  }

  get base(): string {
    return this.#base;
  }

  /** Both nodes are identical and on their disks: nothing that was written down counts any more. Durable on return. */
  restart(base: string): void {
    this.#base = base;
    this.#directories.clear();
    this.#objects.clear();
    this.#created.clear();
    this.#createdBefore.clear();
    this.#nextEra = undefined;
    this.#era = newEra();
    this.#begin([this.#era]);
    this.#syncNow();
    this.#options.onEra(this.#era);
  }

  /** Everything that was written down counts from another generation. Durable on return. */
  rebase(base: string): void {
    if (base === this.#base) return;
    this.#base = base;
    this.#begin([this.#era, ...(this.#nextEra === undefined ? [] : [this.#nextEra.era])]);
    this.#syncNow();
  }

  /** Before a modification may reach a disk. @param touch names what it will modify @returns what to ask `isDurable` for */
  cover(touch: (recorder: TouchRecorder) => void): number {
    if (this.#fd < 0) return 0;
    this.#need = 0;
    touch(this);
    if (this.#need > this.#durable) this.#sync();
    return this.#need;
  }

  isDurable(need: number): boolean {
    return this.#fd < 0 || need <= this.#durable;
  }

  /** A covered modification is not performed yet. @returns for `unpin` */
  pin(): number {
    this.#pins.set(this.#period, (this.#pins.get(this.#period) ?? 0) + 1);
    return this.#period;
  }

  /** It has been performed, or never will be. @returns true: it counts as touched since the cut, and must be covered again */
  unpin(period: number): boolean {
    const left = (this.#pins.get(period) ?? 1) - 1;
    if (left === 0) this.#pins.delete(period);
    else this.#pins.set(period, left);
    return period !== this.#period;
  }

  /** A new object, made with the present era. */
  created(object: Handle): void {
    if (this.#created.size < CREATED_MAX) this.#created.add(object);
  }

  touchName(directory: Handle, directoryId: bigint): boolean {
    if (this.#isNew(directory)) return false;
    let entry = this.#directories.get(directory);
    const isNews = entry === undefined;
    if (entry === undefined) {
      entry = { id: directoryId, position: 0, period: 0 };
      this.#directories.set(directory, entry);
      entry.position = this.#append((writer) => {
        writer.directory(directory, directoryId);
      });
    }
    this.#meet(entry);
    return isNews;
  }

  touchData(object: Handle, offset: number, length: number, parent?: Handle, name?: Uint8Array): boolean {
    if (this.#isNew(object)) return false;
    const entry = this.#object(object, parent, name);
    const first = Math.floor(offset / EXTENT_BYTES);
    const end = Math.max(first + 1, Math.ceil((offset + length) / EXTENT_BYTES));
    const isNews = this.#extents(object, entry, first, end);
    this.#meet(entry);
    // Who writes on and on finds the next extent covered already.
    const isSequential = offset === entry.end;
    entry.end = offset + length;
    if (isSequential && entry.end % EXTENT_BYTES > EXTENT_BYTES / 2) this.#extents(object, entry, end, end + 1);
    return isNews;
  }

  touchWhole(object: Handle, parent?: Handle, name?: Uint8Array): boolean {
    return this.touchData(object, 0, Number.MAX_SAFE_INTEGER - EXTENT_BYTES, parent, name);
  }

  touchAttributes(object: Handle, parent?: Handle, name?: Uint8Array): boolean {
    if (this.#isNew(object)) return false;
    this.#meet(this.#object(object, parent, name));
    return true;
  }

  /** A checkpoint begins: what was performed before is on both disks when it is over. */
  cut(): void {
    this.#period += 1;
    for (const object of this.#created) this.#createdBefore.add(object);
    this.#created = new Set();
  }

  /** The checkpoint is over. */
  forgetPrevious(): void {
    for (const period of this.#pins.keys()) if (period < this.#period) return;
    this.#createdBefore = new Set();
    if (this.#fd < 0) return;
    let idle = 0;
    for (const { period } of this.#directories.values()) if (period < this.#period) idle += 1;
    for (const { period } of this.#objects.values()) if (period < this.#period) idle += 1;
    if (idle >= DROP_MIN || this.#everythingAt !== undefined || this.#writer.position > SLOT_ROOM_BYTES / 2) this.#move();
  }

  /** There is nothing to write down any more: removed, durably. */
  remove(): void {
    deleteActivity(this.#options.stateDirectory);
    this.close();
  }

  /** The file stays as it is. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #isNew(object: Handle): boolean {
    return this.#created.has(object) || this.#createdBefore.has(object);
  }

  #meet(entry: HotDirectory | HotObject): void {
    entry.period = this.#period;
    this.#need = Math.max(this.#need, entry.position);
  }

  #object(object: Handle, parent: Handle | undefined, name: Uint8Array | undefined): HotObject {
    let entry = this.#objects.get(object);
    if (entry === undefined) {
      const shown = name === undefined ? undefined : latin1(name);
      entry = { parent, name: shown, extents: new GranuleRanges(), position: 0, period: 0, end: -1 };
      this.#objects.set(object, entry);
      entry.position = this.#append((writer) => {
        writer.object(object, parent, shown);
      });
    }
    return entry;
  }

  #extents(object: Handle, entry: HotObject, start: number, end: number): boolean {
    if (!entry.extents.add(start, end)) return false;
    entry.position = this.#append((writer) => {
      writer.extents(object, start, end);
    });
    return true;
  }

  /** @returns where the log must be durable for it */
  #append(record: (writer: SlotWriter) => void): number {
    if (this.#everythingAt === undefined) {
      if (this.#writer.position <= SLOT_ROOM_BYTES) record(this.#writer);
      else this.#sayEverything();
    }
    return this.#everythingAt ?? this.#end;
  }

  /** More than a slot holds. */
  #sayEverything(): void {
    this.#writer.everything();
    this.#everythingAt = this.#end;
  }

  get #end(): number {
    return this.#written + this.#writer.position;
  }

  /** To the other slot, without what is on both disks. Nothing waits for it: the old slot counts until the new one is complete. */
  #move(): void {
    for (const [directory, { period }] of this.#directories) if (period < this.#period) this.#directories.delete(directory);
    for (const [object, { period }] of this.#objects) if (period < this.#period) this.#objects.delete(object);
    // Objects made since the cut carry the present era, also those that are made until the next is durable.
    const era = newEra();
    this.#begin([this.#era, era]);
    this.#nextEra = { era, position: this.#end };
    this.#sync();
  }

  /** First content of the next slot. */
  #begin(eras: readonly number[]): void {
    this.#written += SLOT_BYTES;
    this.#sequence += 1;
    this.#everythingAt = undefined;
    const writer = new SlotWriter(this.#sequence, this.#base);
    this.#writer = writer;
    for (const era of eras) writer.era(era);
    for (const [directory, entry] of this.#directories) {
      entry.position = this.#append(() => {
        writer.directory(directory, entry.id);
      });
    }
    for (const [object, entry] of this.#objects) {
      this.#append(() => {
        writer.object(object, entry.parent, entry.name);
      });
      for (const { start, end } of entry.extents) {
        this.#append(() => {
          writer.extents(object, start, end);
        });
      }
      entry.position = this.#everythingAt ?? this.#end;
    }
    writer.complete();
    // Nothing of the slot counts before its end mark.
    for (const entry of this.#directories.values()) entry.position = this.#end;
    for (const entry of this.#objects.values()) entry.position = this.#end;
    if (this.#everythingAt !== undefined) this.#everythingAt = this.#end;
  }

  #syncNow(): void {
    this.#guard(() => {
      if (this.#fd < 0) return;
      this.#write();
      fdatasyncSync(this.#fd);
      this.#durable = this.#end;
    });
  }

  #sync(): void {
    if (this.#isSyncing || this.#fd < 0) return;
    this.#guard(() => {
      this.#write();
    });
    const fd = this.#fd;
    if (fd < 0) return;
    const position = this.#end;
    this.#isSyncing = true;
    this.#options.sync(fd, (outcome) => {
      this.#isSyncing = false;
      if (this.#fd === fd) this.#synced(position, outcome);
      this.#options.onDurable();
    });
  }

  #synced(position: number, outcome: number): void {
    if (outcome < 0) {
      this.#lose(`fdatasync failed with errno ${-outcome}`);
      return;
    }
    this.#durable = Math.max(this.#durable, position);
    if (this.#nextEra !== undefined && this.#nextEra.position <= this.#durable) {
      this.#era = this.#nextEra.era;
      this.#nextEra = undefined;
      this.#options.onEra(this.#era);
    }
    if (!this.#writer.isEmpty) this.#sync();
  }

  #write(): void {
    if (this.#writer.isEmpty) return;
    const { bytes, at } = this.#writer.take();
    const offset = (this.#sequence % SLOTS) * SLOT_BYTES + at;
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
  }

  /** Opens the file, made at its full size before it is needed, and goes on after the sequences that were used. */
  #open(): void {
    const path = join(this.#options.stateDirectory, FILE);
    if (existsSync(path)) {
      this.#sequence = decodeActivity(readFileSync(path)).sequence;
      this.#fd = openSync(path, 'r+');
      return;
    }
    this.#fd = openSync(path, 'w+', 0o600);
    const zeros = Buffer.alloc(SLOT_BYTES);
    for (let slot = 0; slot < SLOTS; slot += 1) {
      for (let done = 0; done < zeros.length; ) done += writeSync(this.#fd, zeros, done, zeros.length - done, slot * SLOT_BYTES + done);
    }
    fsyncSync(this.#fd);
    syncDirectory(this.#options.stateDirectory);
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#lose(messageOf(error));
    }
  }

  /** @throws HoldfastError HF_REPLICATION_JOURNAL when the file can neither be removed nor made unreadable */
  #lose(reason: string): void {
    const fd = this.#fd;
    this.#fd = -1;
    try {
      deleteActivity(this.#options.stateDirectory);
    } catch (error) {
      if (fd < 0 || !blankHeaders(fd)) {
        const message = `an activity log that is not complete cannot be removed: ${messageOf(error)}; is the disk broken?`;
        throw new HoldfastError('HF_REPLICATION_JOURNAL', message, {}, { cause: error });
      }
    } finally {
      if (fd >= 0) closeSync(fd);
    }
    this.#options.onLost(reason);
  }
}

/** No header, no log. Needs no room on the disk. */
function blankHeaders(fd: number): boolean {
  try {
    const blank = Buffer.alloc(SLOT_HEADER_BYTES);
    for (let slot = 0; slot < SLOTS; slot += 1) writeSync(fd, blank, 0, blank.length, slot * SLOT_BYTES);
    fdatasyncSync(fd);
    return true;
  } catch {
    return false;
  }
}

function newEra(): number {
  return randomInt(1, 2 ** 32 - 1);
}
