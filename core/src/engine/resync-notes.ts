/** What the event log says of a resync: one line when it begins, with the reason, and one when it has ended, with the amount. */
import type { ReplicationStatus, ResyncProgress, ResyncSummary } from '@holdfast/sdk';

interface Note {
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class ResyncNotes {
  private begun: ResyncProgress['mode'] | undefined;
  private ended: ResyncSummary | undefined;

  /** Called with every status of the backend, in order. @returns what is new in it */
  take(peer: string, progress: ReplicationStatus['progress'], last: ReplicationStatus['lastResync']): readonly Note[] {
    const notes: Note[] = [];
    if (last !== undefined && !isSame(last, this.ended)) notes.push(endOf(peer, last));
    this.ended = last;
    // A journal that was not enough turns into a comparison on the way.
    if (progress !== undefined && progress.mode !== this.begun) notes.push(beginningOf(peer, progress));
    this.begun = progress?.mode;
    return notes;
  }
}

/** The size of the tree may be found out later. */
function isSame(one: ResyncSummary, other: ResyncSummary | undefined): boolean {
  return one.bytesSent === other?.bytesSent && one.objectsSent === other.objectsSent && one.durationMs === other.durationMs;
}

function beginningOf(peer: string, { mode, reason }: ResyncProgress): Note {
  const what = mode === 'journal' ? 'what changed is copied' : `everything is compared: ${reason ?? 'no reason is given'}`;
  return { text: `resync of ${peer} begins: ${what}`, fields: { mode, ...(reason === undefined ? {} : { reason }) } };
}

function endOf(peer: string, last: ResyncSummary): Note {
  const { mode, bytesSent, objectsSent, durationMs } = last;
  const seconds = (durationMs / 1000).toFixed(1);
  const how = mode === 'journal' ? 'what changed was copied' : 'everything was compared';
  return {
    text: `resync of ${peer} has ended: ${how}, ${bytesSent} bytes in ${objectsSent} objects sent, ${seconds} s`,
    fields: { ...last },
  };
}
