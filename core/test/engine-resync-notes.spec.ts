import assert from 'node:assert/strict';
import type { ResyncProgress, ResyncSummary } from '@holdfast/sdk';
import { ResyncNotes } from '../src/engine/resync-notes.js';

const PROGRESS: ResyncProgress = {
  mode: 'journal',
  bytesDone: 0,
  bytesTotal: 10,
  objectsDone: 0,
  objectsTotal: 1,
  bytesSent: 0,
  bytesPerSecond: 0,
};
const SUMMARY: ResyncSummary = { mode: 'journal', bytesSent: 100, objectsSent: 3, bytesInTree: 5000, durationMs: 1234 };

describe('the notes of a resync in the event log', () => {
  it('are one line at its beginning and one at its end, however often its progress is told', () => {
    const notes = new ResyncNotes();
    const texts = [
      notes.take('n2', undefined, undefined),
      notes.take('n2', PROGRESS, undefined),
      notes.take('n2', { ...PROGRESS, bytesDone: 5 }, undefined),
      notes.take('n2', undefined, SUMMARY),
      notes.take('n2', undefined, { ...SUMMARY, bytesInTree: 5001 }),
      notes.take('n2', PROGRESS, SUMMARY),
    ].map((taken) => taken.map(({ text }) => text));
    const beginning = 'resync of n2 begins: what changed is copied';
    const end = 'resync of n2 has ended: what changed was copied, 100 bytes in 3 objects sent, 1.2 s';
    assert.deepEqual(texts, [[], [beginning], [], [end], [], [beginning]]);
  });

  it('say why everything is compared, also when a journal was not enough', () => {
    const notes = new ResyncNotes();
    notes.take('n2', PROGRESS, undefined);
    const [note] = notes.take('n2', { ...PROGRESS, mode: 'compare', reason: 'something has moved' }, undefined);
    assert.equal(note?.text, 'resync of n2 begins: everything is compared: something has moved');
    assert.deepEqual(note.fields, { mode: 'compare', reason: 'something has moved' });
  });
});
