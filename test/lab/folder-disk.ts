/**
 * A node's disk that is a folder of the host, for measurements: several nodes, and what is measured beside them, share one real disk, and
 * no loop device stands between. The folder belongs to whoever gave it. It loses nothing at a power cut: the host's disk goes on.
 */
import { mkdir } from 'node:fs/promises';
import { HoldfastError } from '@holdfast/sdk';
import type { MachineDisk } from './disk.js';
import type { Supervisor } from './supervisor.js';

/** $1 mount point, $2 folder. The lab sees the host's file systems read-only; this one folder becomes writable again. */
const MOUNT = 'mkdir -p "$1"; mount --bind "$2" "$1"; mount -o remount,bind,rw "$1"';

export class FolderDisk implements MachineDisk {
  readonly isShared = true;

  private constructor(private readonly folder: string) {}

  static async create(lab: Supervisor, mountPoint: string, folder: string): Promise<FolderDisk> {
    await mkdir(folder, { recursive: true });
    await lab.run(`mounting ${folder} at ${mountPoint}`, MOUNT, [mountPoint, folder]);
    return new FolderDisk(folder);
  }

  losePower(): Promise<void> {
    return Promise.reject(new HoldfastError('HF_LAB_OPTION', `${this.folder} is a folder of the host and loses no writes`));
  }

  fail(): Promise<void> {
    return Promise.reject(new HoldfastError('HF_LAB_OPTION', `${this.folder} is a folder of the host; its disk cannot fail`));
  }

  async recover(): Promise<void> {
    // The mount lives in the lab and is still there.
  }

  close(): void {
    // The folder belongs to the caller.
  }

  async released(): Promise<void> {
    // No loop device to wait for.
  }
}
