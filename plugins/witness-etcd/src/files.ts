/** Certificates, keys and passwords: read for every question, so that what is exchanged counts without a restart. */
import { open } from 'node:fs/promises';
import { HoldfastError, messageOf } from '@holdfast/sdk';

const FILE_BYTES_MAX = 256 * 1024;
const OTHERS = 0o077;

/** @throws HoldfastError HF_WITNESS_AUTHENTICATION, with what to do */
export async function readCredential(file: string, secrecy: 'public' | 'secret'): Promise<string> {
  const refuse = (problem: string, cause?: unknown): HoldfastError =>
    new HoldfastError('HF_WITNESS_AUTHENTICATION', `${file}, which etcd is asked with, ${problem}`, { file }, { cause });
  const handle = await open(file, 'r').catch((error: unknown) => {
    throw refuse(`cannot be read: ${messageOf(error)}`, error);
  });
  try {
    // Of the opened file, not of whatever has its name a moment later.
    const { mode, size } = await handle.stat();
    if (secrecy === 'secret' && (mode & OTHERS) !== 0) {
      throw refuse(`may be read by others (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${file}`);
    }
    if (size > FILE_BYTES_MAX) throw refuse(`has ${size} bytes, which no certificate has`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}
