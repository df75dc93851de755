/**
 * Notices edits of module folders, so that "edited, not applied" is said without asking and without looking again and again. The kernel
 * tells; editors and copies make many events of one change, so the folder is looked at when it has been quiet for a moment.
 */
import { messageOf } from '@holdfast/sdk';
import { type FSWatcher, watch } from 'chokidar';
import { FOLDER_FILES_MAX } from './configuration-folder.js';

const QUIET_MS = 500;
const DEPTH_MAX = 16;

interface Watched {
  readonly watcher: FSWatcher;
  timer: NodeJS.Timeout | undefined;
  state: 'beginning' | 'watching' | 'failed';
}

export class ConfigurationWatch {
  private readonly watched = new Map<string, Watched>();

  constructor(
    /** At every event: what was read of the folder is old. */
    private readonly touched: (name: string) => void,
    /** Once it is quiet. */
    private readonly changed: (name: string) => Promise<void>,
    private readonly complain: (text: string) => void,
  ) {}

  /** Watches a module's folder; one that is watched already begins anew. */
  add(name: string, folder: string): void {
    void this.remove(name);
    const seen = new Set<string>();
    const watcher = watch(folder, {
      ignoreInitial: true,
      followSymlinks: false,
      depth: DEPTH_MAX,
      // A folder that is too large for a module cannot be applied; watching all of it would use up what the kernel has for everybody.
      ignored: (path) => {
        if (seen.size >= FOLDER_FILES_MAX && !seen.has(path)) return true;
        seen.add(path);
        return false;
      },
    });
    const entry: Watched = { watcher, timer: undefined, state: 'beginning' };
    this.watched.set(name, entry);
    watcher.on('all', () => {
      this.touched(name);
      clearTimeout(entry.timer);
      entry.timer = setTimeout(() => {
        void this.changed(name).catch(() => undefined);
      }, QUIET_MS).unref();
    });
    watcher.on('ready', () => {
      // What was read before may have changed since.
      this.touched(name);
      if (entry.state === 'beginning') entry.state = 'watching';
    });
    watcher.on('error', (error) => {
      if (entry.state === 'failed') return;
      entry.state = 'failed';
      const isLimit = error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EMFILE');
      const hint = isLimit ? '; raise fs.inotify.max_user_watches' : '';
      this.complain(`edits of ${folder} are not noticed by themselves: ${messageOf(error)}${hint}`);
    });
  }

  /** Whether edits are noticed. */
  isWatching(name: string): boolean {
    return this.watched.get(name)?.state === 'watching';
  }

  async remove(name: string): Promise<void> {
    const entry = this.watched.get(name);
    this.watched.delete(name);
    clearTimeout(entry?.timer);
    await entry?.watcher.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.watched.keys()].map((name) => this.remove(name)));
  }
}
