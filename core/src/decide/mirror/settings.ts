/**
 * Other settings for a module that runs. Only between two sequences: one that is under way was made with the settings that it began with.
 * What the module is (its nodes, whether it replicates, its grade of witness) was agreed upon or opened, and never changes here.
 */
import type { RuleFacts } from '../../model/rules.js';
import { RULE_PROGRESS_EMPTY } from '../rules/progress.js';
import type { MirrorSettings, MirrorState } from './types.js';

const FIXED = ['module', 'node', 'peer', 'replicated', 'hasAddresses', 'witness'] as const;

/**
 * The state with the settings, or unchanged while a sequence is under way. Other failover rules are looked at from now on: what held by the
 * rules before says nothing about them, so that each must hold its handle time anew.
 * @param facts what the rules of these settings need to know: never those facts with other rules
 */
export function takeSettings(state: MirrorState, settings: MirrorSettings, facts: RuleFacts | undefined): MirrorState {
  if (state.sequence !== undefined) return state;
  const differing = FIXED.find((name) => state.settings[name] !== settings[name]);
  if (differing !== undefined) throw new Error(`${differing} of a running module cannot change`);
  const isRuledOtherwise = JSON.stringify(state.settings.rules) !== JSON.stringify(settings.rules);
  return {
    ...state,
    settings,
    detector: { ...state.detector, timeoutMs: settings.heartbeatTimeoutMs },
    ...(facts === undefined ? {} : { ruleFacts: facts }),
    ...(isRuledOtherwise ? { ruleProgress: RULE_PROGRESS_EMPTY } : {}),
  };
}
