/**
 * The rules that every module has, under the names that operators know. Those of checks are the checks' own actions: they act at once, and
 * can be switched off. Those of the automaton are what keeps two copies of data from becoming two truths: they have a name, to be read
 * in the state, and no switch.
 */
import type { FailoverConfiguration } from '../../model/rules.js';
import type { ReasonCode } from '../../model/reason.js';

/** Fires when no wait rule holds any more. */
export const IMPLICIT_WAKEUP = 'Implicit_wakeup';

/** Of checks: by class of the resource, with the name of the resource where each has its own rule. */
const NAMED_AFTER_CLASS: ReadonlyMap<string, string> = new Map([
  ['intf', 'interface_failure'],
  ['ip', 'ip_failure'],
  ['module', 'module_failure'],
]);
const PREFIX: ReadonlyMap<string, string> = new Map([
  ['tcp', 't'],
  ['ping', 'p'],
  ['custom', 'c'],
]);
/** Older names that stand for all rules of a class. */
const FORMER: ReadonlyMap<string, string> = new Map([
  ['tcp_failure', 'tcp'],
  ['ping_failure', 'ping'],
]);

export const CLASS_RULES: readonly string[] = [...NAMED_AFTER_CLASS.values(), ...FORMER.keys()];

/** Of the automaton: which reasons each stands for. */
export const AUTOMATON_RULES: Readonly<Record<string, readonly ReasonCode[]>> = {
  notuptodate_server: [
    'notUptodateFirstStart',
    'notUptodatePeerSilent',
    'notUptodateInconsistent',
    'peerIsNewer',
    'peerStoppedNewer',
    'takeoverRefused',
  ],
  degraded_server: ['replicationFailed'],
  splitbrain_failure: ['undecided', 'notGranted', 'notSuccessor'],
};

/** Known elsewhere, without counterpart here, and why. */
export const ABSENT_RULES: Readonly<Record<string, string>> = {
  rfs_forceuptodate: 'a copy that may lack writes is never declared good by the time that passed',
  rfs_syncat_wait: 'both nodes synchronise all the time, at no fixed hour',
  rfs_notuptodate_server: 'its name here is notuptodate_server',
};

/** The built-in rule of a check's resource: `t_web` of tcp.web. */
export function labelOf(resource: string): string {
  const dot = resource.indexOf('.');
  const [of, id] = [resource.slice(0, dot), resource.slice(dot + 1)];
  return NAMED_AFTER_CLASS.get(of) ?? `${PREFIX.get(of) ?? of}_${id}`;
}

/** Whether the check of a resource acts by itself. */
export function isBuiltInOn(failover: FailoverConfiguration | undefined, resource: string): boolean {
  if (failover === undefined) return true;
  if (!failover.extends) return false;
  if (failover.disabled.length === 0) return true;
  const label = labelOf(resource);
  const of = resource.slice(0, resource.indexOf('.'));
  return !failover.disabled.some((name) => name === label || FORMER.get(name) === of);
}

/** The automaton's rule that a reason stands for. */
export function automatonRule(code: ReasonCode): string | undefined {
  return Object.keys(AUTOMATON_RULES).find((label) => AUTOMATON_RULES[label]?.includes(code) === true);
}
