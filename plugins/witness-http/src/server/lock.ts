/** One server per folder: two would grant twice. The kernel gives the lock back when the process ends, however it ends. */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import koffi from 'koffi';

const LOCK_EX = 2;
const LOCK_NB = 4;
const flock = koffi.load(null).func('int flock(int, int)') as (fd: number, operation: number) => number;

/** Holds until the handle is closed. @throws HoldfastError HF_WITNESS_BUSY */
export async function lockFolder(dataDirectory: string): Promise<FileHandle> {
  const handle = await open(join(dataDirectory, 'lock'), 'a', 0o600);
  if (flock(handle.fd, LOCK_EX | LOCK_NB) === 0) return handle;
  await handle.close();
  throw new HoldfastError('HF_WITNESS_BUSY', `another witness server uses ${dataDirectory}; one folder serves one server`, {
    dataDirectory,
  });
}
