/**
 * What a node knows of its difference from its peer while it is stopped or secondary: the set of what changed since a generation, from a
 * journal, from the mark of a clean stop, or from what was received since the last checkpoint. Without any of these the trees must be
 * compared.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '@holdfast/sdk';
import { DirtySet, type TouchRecorder } from '../journal/dirty-set.js';
import type { Activity } from '../journal/activity-format.js';
import { deleteActivity, readActivity } from '../journal/activity-log.js';
import { deleteJournal, Journal, readJournal, syncDirectory } from '../journal/journal.js';

export interface History {
  /** Generation that both nodes had. */
  readonly base: string;
  readonly set: DirtySet;
  /** After a power cut: what must be looked for on the disk too, see `expandActivity`. */
  readonly activity?: Activity;
  /** The disk has it already, as the journal of a primary that stopped. */
  readonly isSaved?: boolean;
}

const CLEAN_FILE = 'clean';
const EXCLUSIONS_FILE = 'exclusions';

/** @returns undefined when nothing usable was left, with the reason for the log */
export function readHistory(stateDirectory: string): { history: History | undefined; reason: string | undefined } {
  const found = readJournal(stateDirectory);
  switch (found.state) {
    case 'usable':
      return { history: { base: found.base, set: found.set }, reason: undefined };
    case 'unusable':
      return { history: undefined, reason: found.reason };
    case 'unfinished': {
      const { activity, reason } = usableActivity(stateDirectory);
      if (activity?.base === found.base) return { history: { base: found.base, set: found.set, activity }, reason: undefined };
      const why = reason ?? 'there is no activity log of the same generation';
      return { history: undefined, reason: `the node was restarted without a clean stop, and ${why}` };
    }
    case 'none': {
      const base = readClean(stateDirectory);
      if (base !== undefined) return { history: { base, set: new DirtySet() }, reason: undefined };
      const { activity, reason } = usableActivity(stateDirectory);
      return { history: activity === undefined ? undefined : { base: activity.base, set: new DirtySet(), activity }, reason };
    }
  }
}

function usableActivity(stateDirectory: string): { activity: Activity | undefined; reason: string | undefined } {
  const { activity, reason } = readActivity(stateDirectory);
  if (activity?.everything === true) return { activity: undefined, reason: 'more was being modified than the activity log can name' };
  return { activity, reason: reason === undefined ? undefined : `the activity log is damaged (${reason})` };
}

/**
 * At a clean stop: everything that is known, durably. A full disk must not keep a module from stopping: then nothing is left, and the next
 * process has to compare.
 * @returns why it could not be saved
 * @throws HoldfastError HF_REPLICATION_JOURNAL: an old journal could neither be replaced nor removed
 */
export function saveHistory(stateDirectory: string, history: History): string | undefined {
  // What was read and not used is still on the disk.
  if (history.activity !== undefined) return undefined;
  const failure = history.isSaved === true ? undefined : saveSet(stateDirectory, history);
  if (failure === undefined) deleteActivity(stateDirectory);
  return failure;
}

function saveSet(stateDirectory: string, history: History): string | undefined {
  let failure: string | undefined;
  if (!history.set.isEmpty) {
    const journal = new Journal(stateDirectory, history.base, history.set, undefined, (reason) => (failure = reason));
    return journal.close() ? undefined : failure;
  }
  deleteJournal(stateDirectory);
  const path = join(stateDirectory, CLEAN_FILE);
  try {
    writeDurably(`${path}.new`, `${history.base}\n`);
    renameSync(`${path}.new`, path);
    syncDirectory(stateDirectory);
  } catch (error) {
    failure = messageOf(error);
    rmSync(`${path}.new`, { force: true });
  }
  return failure;
}

/** Before the first modification: a crash from now on leaves nothing that could be believed. Durable. */
export function eraseHistory(stateDirectory: string): void {
  eraseCleanMark(stateDirectory);
  deleteJournal(stateDirectory);
  deleteActivity(stateDirectory);
}

/**
 * A history counts for one configuration: what was excluded was not written down, and what is excluded now is no difference.
 * @returns false when the history was erased, because the exclusions are not those of the last run
 */
export function adoptExclusions(stateDirectory: string, digest: string): boolean {
  const path = join(stateDirectory, EXCLUSIONS_FILE);
  if ((readText(path)?.trim() ?? 'none') === digest) return true;
  const isFirst = readClean(stateDirectory) === undefined && readJournal(stateDirectory).state === 'none';
  eraseHistory(stateDirectory);
  try {
    writeDurably(path, `${digest}\n`);
  } catch {
    // A full disk: the next history is erased too.
  }
  return isFirst;
}

/** As `eraseHistory`, but the journal stays: it goes on. */
export function eraseCleanMark(stateDirectory: string): void {
  rmSync(join(stateDirectory, CLEAN_FILE), { force: true });
  syncDirectory(stateDirectory);
}

function readClean(stateDirectory: string): string | undefined {
  const text = readText(join(stateDirectory, CLEAN_FILE))?.trim();
  return text !== undefined && /^[0-9a-f]{32}$/.test(text) ? text : undefined;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function writeDurably(path: string, text: string): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** In place of a journal when there is no base to count from: remembers nothing, but a running resync hears of everything. */
export class Untracked implements TouchRecorder {
  follower: DirtySet | undefined;

  touchName(...touched: Parameters<TouchRecorder['touchName']>): boolean {
    return this.follower?.touchName(...touched) ?? false;
  }
  touchData(...touched: Parameters<TouchRecorder['touchData']>): boolean {
    return this.follower?.touchData(...touched) ?? false;
  }
  touchWhole(...touched: Parameters<TouchRecorder['touchWhole']>): boolean {
    return this.follower?.touchWhole(...touched) ?? false;
  }
  touchAttributes(...touched: Parameters<TouchRecorder['touchAttributes']>): boolean {
    return this.follower?.touchAttributes(...touched) ?? false;
  }
}
