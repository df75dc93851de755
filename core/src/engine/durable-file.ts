/**
 * A few bytes whose loss would mean a wrong decision: kept as JSON that a human can read, in two slots that are written in turn, each
 * with a
 * sequence number and a SHA-256 checksum, and synced. A torn or damaged write costs at most the slot being written; the other one is the
 * state before. Slots are written in place and have their full size from the start: deciding must work on a disk that is full.
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

/** @returns undefined for a slot that is missing, torn or damaged. */
async function readSlot<T>(path: string): Promise<Slot<T> | undefined> {
  try {
    const parsed = JSON.parse(await readFile(path, 'utf8')) as { sequence?: unknown; sha256?: unknown; value?: unknown };
    if (typeof parsed.sequence !== 'number' || parsed.sha256 !== digestOf(parsed.sequence, parsed.value)) return undefined;
    return { sequence: parsed.sequence, value: parsed.value as T };
  } catch {
    return undefined;
  }
}

/** Larger than any state so far (a lineage of 64 generations is 3 KiB). */
const SLOT_BYTES = 16 * 1024;

/** A slot that was never written holds only blanks. */
async function isWritten(path: string): Promise<boolean> {
  return readFile(path, 'utf8').then(
    (text) => text.trim() !== '',
    () => false,
  );
}

/** Makes both slots at their full size, so that later writes need no room. */
async function prepare(path: string): Promise<void> {
  for (const slot of [`${path}.a`, `${path}.b`]) {
    const found = await stat(slot).catch(() => undefined);
    if (found === undefined) await overwrite(slot, '');
  }
  await syncDirectory(dirname(path));
}

export class DurableFile<T> {
  private constructor(
    private readonly path: string,
    private sequence: number,
    private current: T | undefined,
  ) {}

  /**
   * Opens `<path>.a` and `<path>.b`, creating the folder.
   * @throws HoldfastError HF_STATE_DAMAGED when slots exist but none is intact: starting from nothing could mean a wrong decision.
   */
  static async open<T>(path: string): Promise<DurableFile<T>> {
    await mkdir(dirname(path), { recursive: true });
    const slots = (await Promise.all([readSlot<T>(`${path}.a`), readSlot<T>(`${path}.b`)])).filter((slot) => slot !== undefined);
    const newest = slots.sort((a, b) => b.sequence - a.sequence)[0];
    if (newest === undefined && ((await isWritten(`${path}.a`)) || (await isWritten(`${path}.b`)))) {
      const message = `both slots of ${path} are damaged (disk error, edited by hand): restore one or remove both to start anew`;
      throw new HoldfastError('HF_STATE_DAMAGED', message, { path });
    }
    await prepare(path);
    return new DurableFile(path, newest?.sequence ?? 0, newest?.value);
  }

  get value(): T | undefined {
    return this.current;
  }

  /** Resolves when the value survives a power cut. Calls must not overlap. @throws the disk's error; the value before stays intact. */
  async write(value: T): Promise<void> {
    const sequence = this.sequence + 1;
    const text = `${JSON.stringify({ sequence, sha256: digestOf(sequence, value), value }, null, 1)}\n`;
    await overwrite(`${this.path}.${sequence % 2 === 0 ? 'a' : 'b'}`, text);
    this.sequence = sequence;
    this.current = value;
  }
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
