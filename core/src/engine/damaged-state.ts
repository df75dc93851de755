/**
 * State that cannot be read any more, given up deliberately. The files are kept under another name, never deleted: somebody may still read
 * from them what the module knew. A mirror then is a node of unknown history. It holds nothing that it could go on with by itself, follows
 * whoever has data, and remembers that its copy may have been the newest: what a resync overwrites of it is kept aside, as after a split
 * brain.
 */
import { randomBytes } from 'node:crypto';
import { rename, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import type { Durable } from '../decide/mirror/types.js';
import { DurableFile, SLOTS, syncDirectory } from './durable-file.js';

/** Of a mirror, in the state folder of its module. */
export const DECISION_FILE = 'decision';

const GENERATION_BYTES = 16;

/** The durable file that cannot be read; undefined when something else is the matter. */
export function damagedPath(error: unknown): string | undefined {
  if (!(error instanceof HoldfastError) || error.code !== 'HF_STATE_DAMAGED') return undefined;
  const { path } = error.details;
  return typeof path === 'string' ? path : undefined;
}

/**
 * Both slots of the durable file at `path` get names with the time in them. Interrupted at any point, the state is refused as before.
 * @returns the new paths; none of a slot that is missing
 * @throws the disk's error
 */
export async function forgetState(path: string, now: Date): Promise<readonly string[]> {
  const suffix = `damaged-${now.toISOString().replace(/[-:]/g, '')}`;
  const aside: string[] = [];
  for (const slot of SLOTS) {
    const from = `${path}.${slot}`;
    if ((await stat(from).catch(() => undefined)) === undefined) continue;
    const to = `${from}.${suffix}`;
    await rename(from, to);
    aside.push(to);
  }
  await syncDirectory(dirname(path));
  if (basename(path) !== DECISION_FILE) return aside;
  // Its generation is not known; what is kept aside needs one to be listed under.
  const state: Partial<Durable> = { givenUp: randomBytes(GENERATION_BYTES).toString('hex') };
  await (await DurableFile.open<Partial<Durable>>(path)).write(state);
  return aside;
}
