/**
 * A few bytes whose loss would mean a wrong decision: kept as JSON that a human can read, in two slots that both hold the same, each with
 * a sequence number and a SHA-256 checksum. A write goes to one slot, synced, then to the other: one that is torn costs at most the slot
 * being written, and a slot that is damaged later never means an older state, because an older state could say that a copy is good which
 * was given up since. Slots are written in place and have their full size from the start: deciding must work on a disk that is full.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';

interface Slot<T> {
  readonly sequence: number;
  readonly value: T;
}

function digestOf(sequence: number, value: unknown): string {
  return createHash('sha256')
    .update(`${sequence}\n${JSON.stringify(value)}`)
    .digest('hex');
}

/** Larger than any state so far (a lineage of 64 generations is 3 KiB). */
const SLOT_BYTES = 16 * 1024;

/** `blank`: made and never written. `short`: not even made whole, unless it was cut off. */
type Found<T> = Slot<T> | 'absent' | 'blank' | 'short' | 'damaged';

async function readSlot<T>(path: string): Promise<Found<T>> {
  try {
    const text = await readFile(path, 'utf8');
    if (text.trim() === '') return Buffer.byteLength(text) < SLOT_BYTES ? 'short' : 'blank';
    const parsed = JSON.parse(text) as { sequence?: unknown; sha256?: unknown; value?: unknown };
    if (typeof parsed.sequence !== 'number' || parsed.sha256 !== digestOf(parsed.sequence, parsed.value)) return 'damaged';
    return { sequence: parsed.sequence, value: parsed.value as T };
  } catch (error) {
    return (error as { code?: unknown }).code === 'ENOENT' ? 'absent' : 'damaged';
  }
}

/** Nothing was ever written. A file that must be there was made whole, and synced, before anything relied on it. */
function isNew(found: readonly Found<unknown>[], isExpected: boolean): boolean {
  return found.every((slot) => slot === 'blank' || (!isExpected && (slot === 'absent' || slot === 'short')));
}

/** Makes both slots at their full size, so that later writes need no room. */
async function prepare(path: string): Promise<void> {
  for (const slot of [`${path}.a`, `${path}.b`]) {
    const found = await stat(slot).catch(() => undefined);
    if (found === undefined) await overwrite(slot, '');
  }
  await syncDirectory(dirname(path));
}

export const SLOTS = ['a', 'b'] as const;

type SlotName = (typeof SLOTS)[number];

export interface DurableFileOptions {
  /** Whose state it is, for what an operator is told. */
  readonly module?: string;
  /** What is not known without it, for the same. */
  readonly holds?: string;
  /** It was made before: when it is missing it was lost. */
  readonly isExpected?: boolean;
}

export class DurableFile<T> {
  private constructor(
    private readonly path: string,
    private sequence: number,
    private current: T | undefined,
    /** The slot that may be torn: written first, so that the other one stays whole until this one is. */
    private doubtful: SlotName,
  ) {}

  /**
   * Opens `<path>.a` and `<path>.b`, creating the folder. A slot that is damaged or behind is made like the other one.
   * @throws HoldfastError HF_STATE_DAMAGED when there was a state and no slot is intact: starting from nothing could mean a wrong decision.
   */
  static async open<T>(path: string, options: DurableFileOptions = {}): Promise<DurableFile<T>> {
    await mkdir(dirname(path), { recursive: true });
    const [a, b] = await Promise.all([readSlot<T>(`${path}.a`), readSlot<T>(`${path}.b`)]);
    const slots = [a, b].filter((slot) => typeof slot === 'object').sort((one, other) => other.sequence - one.sequence);
    const [newest] = slots;
    if (newest === undefined && !isNew([a, b], options.isExpected === true)) throw damaged(path, [a, b], options);
    await prepare(path);
    const file = new DurableFile(path, newest?.sequence ?? 0, newest?.value, newest === b ? 'a' : 'b');
    const isAlike = slots.length === SLOTS.length && slots.at(-1)?.sequence === newest?.sequence;
    if (newest !== undefined && !isAlike) await file.write(newest.value);
    return file;
  }

  get value(): T | undefined {
    return this.current;
  }

  /** Resolves when the value survives a power cut. Calls must not overlap. @throws the disk's error; one slot stays intact. */
  async write(value: T): Promise<void> {
    this.sequence += 1;
    const { sequence } = this;
    const text = `${JSON.stringify({ sequence, sha256: digestOf(sequence, value), value }, null, 1)}\n`;
    for (const slot of this.doubtful === 'a' ? SLOTS : SLOTS.slice().reverse()) {
      this.doubtful = slot;
      await overwrite(`${this.path}.${slot}`, text);
    }
    this.current = value;
  }
}

function damaged(path: string, found: readonly Found<unknown>[], { module, holds = 'the state' }: DurableFileOptions): HoldfastError {
  const how = SLOTS.map((slot, position) => `${path}.${slot} is ${found[position] === 'absent' ? 'missing' : 'damaged'}`).join(', ');
  const forget = module === undefined ? '' : `, or give up what this node knew by "holdfast module forget-state -m ${module}"`;
  const message =
    `${how}: without them this node does not know ${holds}, so it takes no part and decides nothing. ` +
    `Put an intact copy of either file back (the agent tries again by itself every few seconds)${forget}`;
  return new HoldfastError('HF_STATE_DAMAGED', message, { path, files: SLOTS.map((slot) => `${path}.${slot}`) });
}

/** Blanks behind a JSON document are part of it: a slot is always filled up. */
async function overwrite(slot: string, text: string): Promise<void> {
  const content = Buffer.alloc(Math.max(SLOT_BYTES, Buffer.byteLength(text)), ' ');
  content.write(text);
  const handle = await open(slot, constants.O_WRONLY | constants.O_CREAT, 0o600);
  try {
    await handle.write(content, 0, content.length, 0);
    await handle.truncate(content.length);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
