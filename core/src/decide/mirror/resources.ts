/**
 * What follows from resources. A check's own action is level-triggered on its verdicts: a resource that is still down after a restart
 * counts again. Rules of <failover> act when they have held long enough. Of all that would be done, the gravest is.
 */
import { reason, type Reason } from '../../model/reason.js';
import type { CheckAction } from '../../model/resource.js';
import { type FailoverRule, RULE_SEVERITY, type RuleAction } from '../../model/rules.js';
import { isAlive } from '../detector.js';
import { isBuiltInOn, labelOf } from '../rules/built-in.js';
import { type RuleView, talliesOf, writeExpression } from '../rules/expression.js';
import { advance, afterAction, due, holding } from '../rules/progress.js';
import { changed } from './copy.js';
import type { Draft } from './draft.js';
import { beginAutomatic } from './loop-counter.js';
import type { DownResource, MirrorState } from './types.js';

/** After a wait the module tries again, also when nothing was heard of the resource meanwhile. */
export const WAIT_AGAIN_MS = 10_000;

/** More that are down at once change no decision: what acts is the gravest, and whatever goes on to be down is reported again. */
const DOWN_KEPT_MAX = 100;

/** Only what is down matters here, so that ten thousand healthy resources weigh nothing. */
export function absorbResource(draft: Draft, { name, value, detail, action, early }: DownResource & { readonly name: string }): void {
  const { [name]: known, ...others } = draft.state.resources;
  if (value !== 'down') {
    if (known !== undefined) draft.state = changed(draft.state, { resources: others });
    return;
  }
  const kept = makeRoom(others, action);
  if (kept !== undefined)
    draft.state = changed(draft.state, { resources: { ...kept, [name]: { value, detail, action, ...(early === true ? { early } : {}) } } });
}

/** Undefined: it is full of what is as grave. */
function makeRoom(resources: MirrorState['resources'], action: CheckAction): MirrorState['resources'] | undefined {
  const kept = Object.entries(resources);
  if (kept.length < DOWN_KEPT_MAX) return resources;
  const [least] = kept.sort(([, a], [, b]) => RULE_SEVERITY[a.action] - RULE_SEVERITY[b.action]);
  if (least === undefined || RULE_SEVERITY[least[1].action] >= RULE_SEVERITY[action]) return undefined;
  const { [least[0]]: _out, ...others } = resources;
  return others;
}

type Resources = MirrorState['resources'];

/** The resource that is down and whose action weighs most, and the others: its verdict is used up, and only a new one counts again. */
export function gravestDown(
  resources: Resources,
  isOn: (name: string) => boolean = () => true,
): (Pick<DownResource, 'detail' | 'action' | 'early'> & { readonly name: string; readonly rest: Resources }) | undefined {
  const all = Object.entries(resources);
  if (all.length === 0) return undefined;
  const down = all
    .filter(([name, { value, action }]) => value === 'down' && action !== 'noaction' && isOn(name))
    .sort(([, a], [, b]) => RULE_SEVERITY[b.action] - RULE_SEVERITY[a.action])[0];
  if (down === undefined) return undefined;
  const [name, { detail, action, early }] = down;
  const { [name]: _used, ...rest } = resources;
  return { name, detail, action, rest, ...(early === true ? { early } : {}) };
}

/** Acts on the gravest resource that is down, or the gravest rule that is due. Returns true when a sequence began. */
export function decideResources(draft: Draft, canSwap = false): boolean {
  const { settings, resources } = draft.state;
  const down = gravestDown(resources, (name) => isBuiltInOn(settings.rules, name));
  for (const rule of observe(draft)) {
    if (down !== undefined && RULE_SEVERITY[down.action] >= RULE_SEVERITY[rule.action]) break;
    if (actOn(draft, rule, canSwap)) return true;
  }
  if (down === undefined || down.action === 'noaction') return false;
  const { name, detail, action, early, rest } = down;
  draft.state = changed(draft.state, { resources: rest });
  const why = reason('resourceDown', { resource: name, detail, action, rule: labelOf(name) });
  // A check that goes on in WAIT says itself when it is over.
  beginAutomatic(draft, action, why, action === 'wait' && early !== true ? WAIT_AGAIN_MS : 0);
  return true;
}

/** Evaluates the rules when their period has passed. Returns those that are due, gravest first. */
export function observe(draft: Draft): readonly FailoverRule[] {
  const { state } = draft;
  const { rules } = state.settings;
  if (rules === undefined || rules.rules.length === 0) return [];
  const ruleProgress = advance(rules, state.ruleProgress, viewOf(state), state.nowMs);
  if (ruleProgress !== state.ruleProgress) draft.state = changed(state, { ruleProgress });
  return due(rules, ruleProgress, state.nowMs);
}

function viewOf({ settings, ruleFacts, peer, detector, nowMs }: MirrorState): RuleView {
  const heard = peer !== undefined && isAlive(detector, nowMs);
  const isAlike = heard && peer.configuration === settings.configuration;
  const remote = isAlike ? talliesOf(settings.rules?.remote ?? [], peer.tallies) : undefined;
  return { local: ruleFacts.tallies, remote, clustered: heard };
}

export function actOn(draft: Draft, rule: FailoverRule, canSwap: boolean): boolean {
  const { action } = rule;
  if (action === 'noaction') return false;
  if (action === 'swap' && !canSwap) return refuseSwap(draft, rule);
  draft.state = changed(draft.state, { ruleProgress: afterAction(draft.state.ruleProgress, draft.state.nowMs) });
  beginAutomatic(draft, action, because(rule), action === 'wait' ? WAIT_AGAIN_MS : 0);
  return true;
}

function because({ label, when, action }: FailoverRule): Reason {
  return reason('ruleActs', { rule: label, when: writeExpression(when), action });
}

/** Said once as long as the rule holds. A secondary has no role to give away, and nothing to say. */
function refuseSwap(draft: Draft, { label }: FailoverRule): false {
  const { state } = draft;
  const { ruleProgress } = state;
  if (state.phase === 'SECOND' || ruleProgress.refused.includes(label)) return false;
  draft.state = changed(state, { ruleProgress: { ...ruleProgress, refused: [...ruleProgress.refused, label] } });
  // The state keeps its reason: nothing changed.
  draft.reasons.push(reason('ruleCannotSwap', { rule: label, peer: state.settings.peer }));
  return false;
}

/** The gravest rule that holds now, whatever it does: for the state that people see. */
export function activeRule(state: MirrorState): { readonly label: string; readonly action: RuleAction } | undefined {
  const { settings, blockedBy, ruleProgress, phase } = state;
  if (phase === 'STOP') return undefined;
  const rules = settings.rules === undefined ? [] : holding(settings.rules, ruleProgress);
  if (phase === 'WAIT' && blockedBy !== undefined) return { label: blockedBy, action: 'wait' };
  const [first] = rules;
  return first === undefined ? undefined : { label: first.label, action: first.action };
}
