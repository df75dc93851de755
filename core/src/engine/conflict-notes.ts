/** What the event log says of changes that were given up after a split brain and are kept: when that begins, when it has ended. */
import type { ConflictEvent } from '@holdfast/sdk';

interface Note {
  readonly level: 'C' | 'E';
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class ConflictNotes {
  private known = new Map<string, ConflictEvent>();

  /** Called with every status of the backend. @returns what is new in it */
  take(module: string, events: readonly ConflictEvent[] = []): readonly Note[] {
    const notes: Note[] = [];
    for (const event of events) {
      const { id, node, generation, endedAt } = event;
      const before = this.known.get(id);
      if (before !== undefined && before.endedAt === endedAt) continue;
      const text =
        endedAt === undefined
          ? `split brain: changes of ${node} are given up; what is overwritten is kept as conflict ${id}`
          : `changes of ${node} that were given up are kept: "holdfast conflicts -m ${module} show ${id}" lists them`;
      notes.push({ level: 'C', text, fields: { conflict: id, generation } });
    }
    const ids = events.map(({ id }) => id);
    for (const id of this.known.keys()) {
      if (!ids.includes(id)) notes.push({ level: 'E', text: `conflict ${id} is gone`, fields: { conflict: id } });
    }
    this.known = new Map(events.map((event) => [event.id, event]));
    return notes;
  }
}
