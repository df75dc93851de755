/** The keeper of a secondary whose changes are given up, now or in a resync that was interrupted. */
import { HoldfastError } from '@holdfast/sdk';
import type { DataSettings } from '../data/messages.js';
import type { Store } from '../store/store.js';
import { read, write } from '../system/calls.js';
import { EventWriter } from './event-writer.js';
import { ConflictKeeper } from './keeper.js';

/** @throws HoldfastError, or the disk's error: nothing may be overwritten then */
export function openKeeper(
  { stateDirectory, node, directories, wakeFd }: DataSettings,
  store: Store,
  givenUp: string | undefined,
  log: (message: string) => void,
): ConflictKeeper | undefined {
  const event = EventWriter.open(stateDirectory, node, givenUp);
  if (event === undefined) return undefined;
  log(`changes of this node are given up: what a resync overwrites or removes is kept in ${event.folder}`);
  return new ConflictKeeper(store, event, directories, () => {
    if (isWoken(wakeFd)) {
      throw new HoldfastError('HF_REPLICATION_INTERRUPTED', 'keeping aside what is overwritten here was interrupted by a command');
    }
  });
}

const eight = Buffer.alloc(8);

/** A command waits for this thread: each that a secondary gets ends its resync anyway. */
function isWoken(wakeFd: number): boolean {
  if (read(wakeFd, eight, 8) < 0) return false;
  write(wakeFd, eight, 8);
  return true;
}
