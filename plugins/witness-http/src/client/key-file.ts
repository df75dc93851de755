/** The cluster's key on a node: read at every connection, so that a key that was exchanged counts without a restart. */
import { open } from 'node:fs/promises';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { preSharedKey } from '../protocol.js';

const KEY_FILE_BYTES_MAX = 1024;
const OTHERS = 0o077;

/** @throws HoldfastError HF_WITNESS_AUTHENTICATION, with what to do */
export async function readKeyFile(file: string): Promise<Buffer> {
  const refuse = (problem: string, cause?: unknown): HoldfastError =>
    new HoldfastError('HF_WITNESS_AUTHENTICATION', `the key of the witness ${file} ${problem}`, { file }, { cause });
  const handle = await open(file, 'r').catch((error: unknown) => {
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const problem = absent ? 'does not exist: save what "holdfast witness add" printed there' : `cannot be read: ${messageOf(error)}`;
    throw refuse(problem, error);
  });
  try {
    // Of the opened file, not of whatever has its name a moment later.
    const { mode, size } = await handle.stat();
    if ((mode & OTHERS) !== 0) throw refuse(`may be read by others (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${file}`);
    if (size > KEY_FILE_BYTES_MAX) throw refuse(`has ${size} bytes; a key has 64 digits`);
    return preSharedKey(await handle.readFile('utf8'), file);
  } finally {
    await handle.close();
  }
}
