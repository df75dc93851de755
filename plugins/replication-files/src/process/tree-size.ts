/**
 * Size of the replicated data, for the summary of a resync that read its journal and never saw the whole tree. One file after the other, on
 * the backing trees (never through the mount), so that nothing else waits for it.
 */
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';

/** Sum of the sizes of regular files. What disappears meanwhile is passed over. @param signal ends the walk early: undefined */
export async function treeBytes(roots: readonly string[], signal: AbortSignal): Promise<number | undefined> {
  let bytes = 0;
  const left = [...roots];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    try {
      for await (const entry of await opendir(path)) {
        if (signal.aborted) return undefined;
        const full = join(path, entry.name);
        if (entry.isDirectory()) {
          if (entry.name !== '.holdfast' || !roots.includes(path)) left.push(full);
        } else if (entry.isFile()) bytes += (await lstat(full)).size;
      }
    } catch {
      // Removed or renamed while it was read: an estimate is all that is promised.
    }
  }
  return bytes;
}
