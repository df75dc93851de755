/** The content of one object to a file of the store: by reflink where the file system can, otherwise read and written, holes kept. */
import { createHash } from 'node:crypto';
import { closeSync, constants, copyFileSync, fsyncSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { HoldfastError } from '@holdfast/sdk';
import type { Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { ENXIO, errnoName } from '../system/errno.js';
import { SEEK_DATA, SEEK_HOLE } from '../system/constants.js';

const CHUNK_BYTES = 1 << 20;
const chunk = Buffer.alloc(CHUNK_BYTES);
const ZEROS = Buffer.alloc(CHUNK_BYTES);

export interface Copying {
  /** Called often. @throws when the copying is to be given up */
  readonly breathe: () => void;
  /** Before bytes are taken from the disk. @throws when there is no room for them */
  readonly claim: (bytes: number) => void;
}

/** Durable when it returns, but for its name. @returns SHA-256 of the content, hexadecimal @throws nothing of the copy is left then */
export function copyContent(store: Store, handle: Handle, path: string, around: Copying): string {
  try {
    return copy(store, handle, path, around);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

function copy(store: Store, handle: Handle, path: string, { breathe, claim }: Copying): string {
  claimed(store.attributes(handle));
  const { size, blocks } = store.stat;
  // What an interruption left has no line in the index.
  rmSync(path, { force: true });
  const isShared = sharesBlocks(store, handle, path);
  claim(isShared ? 0 : Math.min(size, blocks * 512));
  const fd = openSync(path, isShared ? 'r+' : 'wx', 0o600);
  const hash = createHash('sha256');
  try {
    for (let at = 0; at < size; ) {
      const data = nextOf(store.seek(handle, at, SEEK_DATA), size);
      for (; at < data; at += Math.min(CHUNK_BYTES, data - at)) {
        hash.update(ZEROS.subarray(0, Math.min(CHUNK_BYTES, data - at)));
        breathe();
      }
      const end = at < size ? nextOf(store.seek(handle, at, SEEK_HOLE), size) : size;
      while (at < end) {
        const got = claimed(store.read(handle, at, chunk, Math.min(CHUNK_BYTES, end - at)));
        if (got === 0) throw new HoldfastError('HF_REPLICATION_CONFLICT', 'a file became shorter while it was kept aside');
        hash.update(chunk.subarray(0, got));
        for (let done = 0; !isShared && done < got; ) done += writeSync(fd, chunk, done, got - done, at + done);
        at += got;
        breathe();
      }
    }
    if (!isShared) ftruncateSync(fd, size);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

function sharesBlocks(store: Store, handle: Handle, path: string): boolean {
  const fd = store.pin(handle);
  if (fd < 0) return false;
  try {
    copyFileSync(`/proc/self/fd/${fd}`, path, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch {
    // Another file system, or one that cannot.
    rmSync(path, { force: true });
    return false;
  } finally {
    store.unpin(handle);
  }
}

function nextOf(outcome: number, size: number): number {
  return outcome === -ENXIO ? size : Math.min(size, claimed(outcome));
}

function claimed(outcome: number): number {
  if (outcome >= 0) return outcome;
  throw new HoldfastError('HF_REPLICATION_CONFLICT', `reading what is to be kept aside: ${errnoName(outcome)}; is the disk broken?`);
}
