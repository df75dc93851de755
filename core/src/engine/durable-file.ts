/**
 * A few bytes whose loss would mean a wrong decision: kept as JSON that a human can read, in two slots that are written in turn, each with a
 * sequence number and a SHA-256 checksum, through a temporary file, fsync, rename and fsync of the directory. A torn or damaged write costs
 * at most the slot being written; the other one is the state before.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';

interface Slot<T> {
  readonly sequence: number;
  readonly value: T;
}

function digestOf(sequence: number, value: unknown): string {
  return createHash('sha256').update(`${sequence}\n${JSON.stringify(value)}`).digest('hex');
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

async function exists(path: string): Promise<boolean> {
  return open(path, 'r').then(
    async (handle) => {
      await handle.close();
      return true;
    },
    () => false,
  );
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
    if (newest === undefined && ((await exists(`${path}.a`)) || (await exists(`${path}.b`)))) {
      const message = `both slots of ${path} are damaged (disk error or edited by hand); restore one from a backup or remove both to start anew`;
      throw new HoldfastError('HF_STATE_DAMAGED', message, { path });
    }
    return new DurableFile(path, newest?.sequence ?? 0, newest?.value);
  }

  get value(): T | undefined {
    return this.current;
  }

  /** Resolves when the value survives a power cut. Calls must not overlap. @throws the disk's error; the value before stays intact. */
  async write(value: T): Promise<void> {
    const sequence = this.sequence + 1;
    const slot = `${this.path}.${sequence % 2 === 0 ? 'a' : 'b'}`;
    const text = `${JSON.stringify({ sequence, sha256: digestOf(sequence, value), value }, null, 1)}\n`;
    const handle = await open(`${slot}.new`, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${slot}.new`, slot);
    await syncDirectory(dirname(this.path));
    this.sequence = sequence;
    this.current = value;
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
