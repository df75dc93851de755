/**
 * Size of the replicated data, for the summary of a resync that read its journal and never saw the whole tree. One file after the other, on
 * the backing trees (never through the mount), so that nothing else waits for it.
 */
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { Rules, type Exclusion, type Place } from '../boundary/rules.js';

/**
 * Sum of the sizes of regular files. What disappears meanwhile is passed over, and so is what is excluded.
 * @param exclusions for each root
 * @param signal ends the walk early: undefined
 */
export async function treeBytes(
  roots: readonly string[],
  exclusions: readonly (readonly Exclusion[])[],
  signal: AbortSignal,
): Promise<number | undefined> {
  let bytes = 0;
  for (const [index, root] of roots.entries()) {
    const rules = new Rules(exclusions[index] ?? []);
    const left: { readonly path: string; readonly place: Place }[] = [{ path: root, place: rules.root }];
    for (let at = left.pop(); at !== undefined; at = left.pop()) {
      const { path, place } = at;
      try {
        for await (const entry of await opendir(path)) {
          if (signal.aborted) return undefined;
          const full = join(path, entry.name);
          const name = Buffer.from(entry.name);
          if (rules.isExcluded(place, name, entry.isDirectory())) continue;
          if (entry.isDirectory()) {
            if (entry.name !== '.holdfast' || path !== root) left.push({ path: full, place: rules.enter(place, name) });
          } else if (entry.isFile()) bytes += (await lstat(full)).size;
        }
      } catch {
        // Removed or renamed while it was read: an estimate is all that is promised.
      }
    }
  }
  return bytes;
}
