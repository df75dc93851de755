/** The thread that touches the disk, one question at a time. It may hang there; nobody else does. */
import { closeSync, fsyncSync, openSync, readFileSync, realpathSync, statfsSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parentPort, threadId } from 'node:worker_threads';
import type { DiskState } from './judgement.js';
import { isReadOnly } from './mount-table.js';

export interface ProbeRequest {
  readonly path: string;
  /** Measure fsync with a small file. */
  readonly writes: boolean;
}

export type ProbeAnswer = DiskState | { readonly code: string; readonly message: string };

const FILE_BYTES = 4096;

function look({ path, writes }: ProbeRequest): DiskState {
  const { bsize, blocks, bavail, files, ffree } = statfsSync(path);
  const folder = statSync(path).isDirectory() ? path : dirname(path);
  const readOnly = isReadOnly(readFileSync('/proc/self/mountinfo', 'utf8'), realpathSync(path));
  return {
    bytesTotal: blocks * bsize,
    bytesFree: bavail * bsize,
    inodesTotal: files,
    inodesFree: ffree,
    readOnly,
    fsyncMs: writes && !readOnly ? timeFsync(folder) : undefined,
  };
}

function timeFsync(folder: string): number {
  const file = join(folder, `.holdfast-disk-${process.pid}-${threadId}`);
  const fd = openSync(file, 'w', 0o600);
  try {
    writeSync(fd, Buffer.alloc(FILE_BYTES, 0x68));
    const beganMs = performance.now();
    fsyncSync(fd);
    return performance.now() - beganMs;
  } finally {
    closeSync(fd);
    unlinkSync(file);
  }
}

if (parentPort !== null) {
  const port = parentPort;
  port.on('message', (request: ProbeRequest) => {
    try {
      port.postMessage(look(request));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      port.postMessage({ code: code ?? 'EUNKNOWN', message });
    }
  });
}
