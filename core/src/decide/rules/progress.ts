/**
 * Failover rules over time: evaluated once per period, due when they have held for the whole handle time. Whatever interrupts the
 * evaluation (a sequence under way, a node that slept) starts the count anew: a rule acts on what was seen to hold, never on a gap.
 */
import { type FailoverConfiguration, type FailoverRule, RULE_SEVERITY, type RuleProgress } from '../../model/rules.js';
import type { MonotonicMs } from '../../model/state.js';
import { holds, type RuleView } from './expression.js';

export const RULE_PROGRESS_EMPTY: RuleProgress = { evaluatedMs: Number.MIN_SAFE_INTEGER, sinceMs: {}, refused: [] };

/** Ticks may come late by this much without being a gap. */
const LATENESS_MS = 1_000;

/** Undefined: the rule does not hold. Labels come from a file: `constructor` is one like any other. */
export function heldSince({ sinceMs }: RuleProgress, label: string): MonotonicMs | undefined {
  return Object.hasOwn(sinceMs, label) ? sinceMs[label] : undefined;
}

/** The same object while the period has not passed. */
export function advance(failover: FailoverConfiguration, progress: RuleProgress, view: RuleView, nowMs: MonotonicMs): RuleProgress {
  const passedMs = nowMs - progress.evaluatedMs;
  if (passedMs >= 0 && passedMs < failover.periodMs) return progress;
  const isGap = passedMs > failover.periodMs + LATENESS_MS;
  const holding = failover.rules.filter(({ when }) => holds(when, view)).map(({ label }) => label);
  const sinceMs = Object.fromEntries(holding.map((label) => [label, isGap ? nowMs : (heldSince(progress, label) ?? nowMs)]));
  return { evaluatedMs: nowMs, sinceMs, refused: progress.refused.filter((label) => holding.includes(label)) };
}

/** After an action everything must hold anew. */
export function afterAction(progress: RuleProgress, nowMs: MonotonicMs): RuleProgress {
  return { ...progress, sinceMs: Object.fromEntries(Object.keys(progress.sinceMs).map((label) => [label, nowMs])) };
}

/** The rules that hold, gravest first; in the order written where they are alike. */
export function holding(failover: FailoverConfiguration, progress: RuleProgress): readonly FailoverRule[] {
  return failover.rules
    .filter(({ label }) => heldSince(progress, label) !== undefined)
    .sort((a, b) => RULE_SEVERITY[b.action] - RULE_SEVERITY[a.action]);
}

/** Those that have held long enough to act. */
export function due(failover: FailoverConfiguration, progress: RuleProgress, nowMs: MonotonicMs): readonly FailoverRule[] {
  return holding(failover, progress).filter(
    ({ label, action }) => action !== 'noaction' && nowMs - (heldSince(progress, label) ?? nowMs) >= failover.handleTimeMs,
  );
}
