/**
 * Asking the witness. The question and its answer live in the state beside the sequence that waits for them, because an answer may come
 * when nobody waits any more. The same generation is asked for until there is an answer: a witness may have granted it without being
 * heard.
 */
import { reason } from '../../model/reason.js';
import { changed } from './copy.js';
import { issue, type Draft } from './draft.js';
import type { MirrorEvent, MirrorState } from './types.js';

const ASK_AGAIN_MS = 1000;

/** The answer so far; asks when there is none. */
export function askWitness(draft: Draft, from: string, generation: string): 'granted' | 'refused' | 'open' {
  const { claim } = draft.state;
  if (claim?.generation === generation) {
    if (claim.answer === 'granted' || claim.answer === 'refused') return claim.answer;
    if (claim.actionId !== undefined || draft.state.nowMs - claim.askedMs < ASK_AGAIN_MS) return 'open';
  }
  const { settings, durable, nowMs } = draft.state;
  const record = { generation, owner: settings.node, epoch: (durable.before ?? durable).agreement.epoch + 1 };
  const actionId = issue(draft, { kind: 'claimWitness', from, record });
  draft.state = changed(draft.state, { claim: { generation, askedMs: nowMs, actionId } });
  return 'open';
}

/** An answer arrived. Returns false when it is none to the present question. */
export function takeAnswer(draft: Draft, event: Extract<MirrorEvent, { kind: 'actionDone' }>): boolean {
  const { claim } = draft.state;
  if (claim?.actionId !== event.id) return false;
  const answer = event.claim?.answer ?? 'unanswered';
  const { actionId: _answered, ...asked } = claim;
  const owner = event.claim?.owner;
  draft.state = changed(draft.state, { claim: { ...asked, answer, ...(owner === undefined ? {} : { owner }) } });
  if (answer !== 'unanswered')
    draft.reasons.push(reason(answer === 'granted' ? 'witnessGranted' : 'witnessRefused', { owner: owner ?? '?' }));
  else if (event.error !== undefined) draft.reasons.push(reason('witnessUnanswered', { error: event.error }));
  return true;
}

/** An answer of before says nothing of now: the record may have moved. */
export function forgetAnswer(state: MirrorState): MirrorState {
  return changed(state, { claim: undefined });
}
