/**
 * Which scripts run between two states. Every state has a set of script groups that run in it; a transition stops the groups that the
 * target
 * does not have, in the order sec, prim or second, both, each first gracefully and then with `force`; calls `transition`; and starts the
 * groups that are new, in the order both, prim or second, sec.
 */
import type { Phase } from '../../model/state.js';
import type { CheckGroup, ScriptGroup, ScriptStep } from './types.js';

export const GROUPS_OF: Readonly<Record<Phase, readonly ScriptGroup[]>> = {
  STOP: [],
  WAIT: [],
  ALONE: ['both', 'prim', 'sec'],
  PRIM: ['both', 'prim'],
  SECOND: ['both', 'second', 'sec'],
  UP: ['both'],
};

const STOP_ORDER: readonly ScriptGroup[] = ['sec', 'prim', 'second', 'both'];
const START_ORDER: readonly ScriptGroup[] = ['both', 'prim', 'second', 'sec'];

export function scriptStep(
  script: string,
  from: Phase,
  to: Phase,
  action: string,
  force = false,
  onFailure: 'abort' | 'continue' = 'continue',
): ScriptStep {
  return { kind: 'act', action: { kind: 'script', script, arguments: [from, to, action], force }, onFailure };
}

export function checksStep(kind: 'startChecks' | 'stopChecks', group: CheckGroup): ScriptStep {
  return { kind: 'act', action: { kind, group }, onFailure: 'continue' };
}

/** Stops the groups that `target` does not have; checks of a group stop before its script. */
export function stopGroups(
  running: readonly ScriptGroup[],
  target: readonly ScriptGroup[],
  from: Phase,
  to: Phase,
  action: string,
): ScriptStep[] {
  const leaving = STOP_ORDER.filter((group) => running.includes(group) && !target.includes(group));
  const steps: ScriptStep[] = leaving.map((group) => checksStep('stopChecks', group));
  for (const group of leaving) {
    steps.push(scriptStep(`stop_${group}`, from, to, action), scriptStep(`stop_${group}`, from, to, action, true));
  }
  if (leaving.length > 0) steps.push({ kind: 'groups', groups: running.filter((group) => !leaving.includes(group)) });
  return steps;
}

/** Starts the groups that are not running yet; a failing start script aborts the sequence. */
export function startGroups(
  running: readonly ScriptGroup[],
  target: readonly ScriptGroup[],
  from: Phase,
  to: Phase,
  action: string,
): ScriptStep[] {
  const entering = START_ORDER.filter((group) => target.includes(group) && !running.includes(group));
  const steps: ScriptStep[] = [];
  // A group counts as running from before its script: after a failure half-way its stop script must run.
  let now = running;
  for (const group of entering) {
    now = [...now, group];
    steps.push({ kind: 'groups', groups: now }, scriptStep(`start_${group}`, from, to, action, false, 'abort'));
  }
  return [...steps, ...entering.map((group) => checksStep('startChecks', group))];
}
