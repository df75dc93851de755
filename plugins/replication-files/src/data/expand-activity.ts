/**
 * After a power cut: what the activity log says in coarse words, as a set that a resync can work on. Reads the directories that the log
 * names, and nothing else: the cost grows with what was being modified.
 */
import { HoldfastError } from '@holdfast/sdk';
import type { Activity } from '../journal/activity-format.js';
import { EXTENT_GRANULES } from '../journal/activity-log.js';
import type { DirtySet } from '../journal/dirty-set.js';
import { isDirectory, type Handle } from '../store/handle.js';
import type { Store } from '../store/store.js';
import { errnoName, isGone } from '../system/errno.js';

/** @throws HoldfastError HF_REPLICATION_DISK when a directory cannot be read: then nobody knows what is in it */
export function expandActivity(activity: Activity, store: Store, into: DirtySet): void {
  for (const [object, { parent, name, extents }] of activity.objects) {
    into.addRange(object, 0, 0, parent, name);
    for (const { start, end } of extents) into.addRange(object, start * EXTENT_GRANULES, Math.min(end * EXTENT_GRANULES, GRANULES_MAX));
  }
  const directories = [...activity.directories];
  const listed = new Set<Handle>();
  for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
    const [directory, id] = next;
    if (listed.has(directory)) continue;
    listed.add(directory);
    into.addDirectory(directory, id);
    for (const { handle, name } of newObjects(activity.eras, store, directory)) {
      into.addWhole(handle, directory, name);
      // A new directory needed no record of its own: what was put into it is found here.
      if (isDirectory(handle)) directories.push([handle, store.readId(handle)]);
    }
  }
}

const GRANULES_MAX = Math.floor(Number.MAX_SAFE_INTEGER / (64 << 10));

function* newObjects(eras: ReadonlySet<number>, store: Store, directory: Handle): Generator<{ handle: Handle; name: string }> {
  for (let position: bigint | undefined = 0n; position !== undefined; ) {
    const batch: ReturnType<Store['readDirectory']> = store.readDirectory(directory, position);
    if (typeof batch === 'number') {
      if (isGone(batch)) return;
      throw new HoldfastError('HF_REPLICATION_DISK', `a directory cannot be listed: ${errnoName(batch)}; is the disk broken?`);
    }
    position = batch.next;
    for (const { name } of batch.entries) {
      const handle = store.lookup(directory, name);
      if (typeof handle !== 'number' && eras.has(store.readEra(handle))) yield { handle, name: name.toString('latin1') };
    }
  }
}
