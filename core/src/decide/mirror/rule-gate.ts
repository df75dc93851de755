/**
 * What keeps a module in WAIT: a wait rule that holds, and before that, resources that wait rules ask for and that are not known yet. A
 * rule needs no handle time here: starting an application in order to stop it would help nobody. When no wait rule holds any more, the
 * module wakes up.
 */
import { reason, type Reason } from '../../model/reason.js';
import { IMPLICIT_WAKEUP, labelOf } from '../rules/built-in.js';
import { selectorsOf, writeExpression } from '../rules/expression.js';
import { holding } from '../rules/progress.js';
import { changed } from './copy.js';
import { explain, type Draft } from './draft.js';
import { actOn, observe } from './resources.js';
import type { MirrorState } from './types.js';

const NAMES_SHOWN = 3;

/** `stopping`: a stop rule ended the wait. Undefined: nothing keeps the module waiting. */
export type RuleGate = 'stopping' | { readonly quality: 'NotReady' | 'Transient'; readonly why: Reason } | undefined;

export function ruleGate(draft: Draft): RuleGate {
  const stop = observe(draft).find(({ action }) => action === 'stop');
  if (stop !== undefined && actOn(draft, stop, false)) return 'stopping';
  const { state } = draft;
  const blocking = blockingRule(state);
  if (blocking !== undefined) {
    // Another rule than before is news, although the reason has the same code.
    const isNew = state.blockedBy !== blocking.label;
    draft.state = changed(state, { blockedBy: blocking.label, quality: isNew ? 'Transient' : state.quality });
    return { quality: 'NotReady', why: reason('ruleWaits', { rule: blocking.label, when: blocking.when }) };
  }
  if (state.blockedBy !== undefined) {
    draft.state = changed(state, { blockedBy: undefined, quality: 'Transient' });
    explain(draft, reason('wakeup', { rule: IMPLICIT_WAKEUP }));
  }
  const pending = pendingFor(draft.state);
  return pending.length === 0 ? undefined : { quality: 'Transient', why: reason('ruleWaitsForInit', { resources: named(pending) }) };
}

function blockingRule(state: MirrorState): { readonly label: string; readonly when: string } | undefined {
  const { settings, ruleProgress, ruleFacts } = state;
  const own = settings.rules === undefined ? undefined : holding(settings.rules, ruleProgress).find(({ action }) => action === 'wait');
  if (own !== undefined) return { label: own.label, when: writeExpression(own.when) };
  const { down } = ruleFacts.waiting;
  const [first] = down;
  return first === undefined ? undefined : { label: labelOf(first), when: `${named(down)} is down` };
}

/** Resources that are not known yet, and that would keep the module waiting if they were down. */
function pendingFor({ settings, ruleFacts }: MirrorState): readonly string[] {
  const waits = (settings.rules?.rules ?? []).filter(({ action }) => action === 'wait');
  const asked = waits.flatMap(({ when }) => selectorsOf(when)).filter(({ scope }) => scope === 'local');
  const own = asked.filter(({ selector }) => (ruleFacts.tallies[selector]?.pending ?? 0) > 0).map(({ selector }) => selector);
  return [...new Set([...own, ...ruleFacts.waiting.pending])];
}

function named(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  return `${names.slice(0, NAMES_SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
