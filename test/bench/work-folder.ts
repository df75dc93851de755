/**
 * Where a benchmark writes: one folder on the disk that is measured. It is removed when the benchmark ends, also by Ctrl-C or an error;
 * what a benchmark that was killed left behind is removed by the next one.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAME = 'holdfast-bench-';
/** What the file system keeps for itself, and for others on it. */
const SPARE_BYTES = 2 * 1024 ** 3;
const REMOVE_AFTER = 'while [ -e "/proc/$1" ]; do sleep 0.1; done; rm -rf --one-file-system "$2"';

export interface Demand {
  readonly bytes: number;
  readonly objects: number;
}

export class WorkFolder {
  readonly path: string;
  #removed = false;

  /** @throws Error when the disk does not have what is wanted */
  constructor(parent: string, { bytes, objects }: Demand) {
    for (const name of readdirSync(parent)) {
      const owner = new RegExp(`^${NAME}(\\d+)-`).exec(name)?.[1];
      if (owner !== undefined && !existsSync(`/proc/${owner}`)) spawnSync('rm', ['-rf', '--one-file-system', join(parent, name)]);
    }
    const { bavail, bsize, ffree } = statfsSync(parent);
    const free = bavail * bsize;
    if (free < bytes + SPARE_BYTES || ffree < objects) {
      throw new Error(
        `${parent} has ${gib(free)} GiB and ${ffree} objects free; this needs ${gib(bytes + SPARE_BYTES)} GiB and ${objects}:` +
          ' name a folder on another disk with --directory, or measure less',
      );
    }
    this.path = mkdtempSync(join(parent, `${NAME}${process.pid}-`));
    process.once('exit', () => {
      // Only when this process is gone are those that write there gone too.
      if (!this.#removed) spawn('sh', ['-c', REMOVE_AFTER, 'sh', String(process.pid), this.path], { detached: true, stdio: 'ignore' });
    });
  }

  /** Everything that was mounted on it must be gone. */
  async remove(): Promise<void> {
    const child = spawn('rm', ['-rf', '--one-file-system', this.path], { stdio: 'inherit' });
    await once(child, 'close');
    this.#removed = true;
  }
}

/** Where benchmarks write when nobody says otherwise. */
export const DEFAULT_PARENT = tmpdir();

function gib(bytes: number): string {
  return (bytes / 1024 ** 3).toFixed(1);
}
