/**
 * The control group (cgroup v2) of a module's application, where the machine has one: every script joins it before its first instruction,
 * and nothing that it starts ever leaves it by itself, whatever becomes of process group, session, parent and environment. The kernel kills
 * all of it at once, so that nothing can start anew meanwhile. It lies below the group of the agent and needs no controller.
 */
import { access, constants, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const PREFIX = 'holdfast-';

export class ApplicationGroup {
  private constructor(private readonly folder: string) {}

  /** @returns undefined where there is no cgroup v2, this process may not write there, or its kernel cannot kill a group (before 5.14) */
  static async open(marker: string): Promise<ApplicationGroup | undefined> {
    const place = await ownPlace().catch(() => undefined);
    if (place === undefined) return undefined;
    const folder = join(place, `${PREFIX}${marker}`);
    try {
      // Not recursive: below a mount that is covered by another one that would never come back.
      await mkdir(folder).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      });
      await access(join(folder, 'cgroup.kill'), constants.W_OK);
      return new ApplicationGroup(folder);
    } catch {
      await rmdir(folder).catch(() => undefined);
      return undefined;
    }
  }

  /** The file that a process joins by writing 0 or its number. */
  get joinFile(): string {
    return join(this.folder, 'cgroup.procs');
  }

  /** Those that this process can see. Empty as well when the group is gone. */
  async pids(): Promise<readonly number[]> {
    const text = await readFile(this.joinFile, 'utf8').catch(() => '');
    return text
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0);
  }

  async kill(): Promise<void> {
    await writeFile(join(this.folder, 'cgroup.kill'), '1').catch(() => undefined);
  }

  /** Without processes it is removed; otherwise it stays, and is found again by the marker. */
  async close(): Promise<void> {
    await rmdir(this.folder).catch(() => undefined);
  }
}

/** The folder of this process's own group. */
async function ownPlace(): Promise<string | undefined> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  const mount = mounts.find(([, , type]) => type === 'cgroup2')?.[1];
  const own = /^0::(\/.*)$/m.exec(await readFile('/proc/self/cgroup', 'utf8'))?.[1];
  // Outside of what a namespace shows.
  if (mount === undefined || own === undefined || own.startsWith('/..')) return undefined;
  return join(mount, own);
}
