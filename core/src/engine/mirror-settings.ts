/** The part of a configuration that the automaton reads, for a module that is opened and for one that goes on with another. */
import { createHash } from 'node:crypto';
import type { MirrorSettings } from '../decide/mirror/types.js';
import type { ModuleConfiguration } from '../model/configuration.js';

/** Longer lists of witnesses are told by their digest. */
export const WITNESSES_LENGTH_MAX = 512;

/** Of all witnesses: `http address="10.0.0.9:9454"`; `none` without one. */
export function witnessesOf({ contributed }: ModuleConfiguration): string {
  const witnesses = contributed.filter(({ point }) => point === 'witness');
  const text = witnesses.map(({ type, value }) => `${type} ${JSON.stringify(value)}`).join(', ');
  if (text.length <= WITNESSES_LENGTH_MAX) return text === '' ? 'none' : text;
  return `${witnesses.length} witnesses (${createHash('sha256').update(text).digest('hex').slice(0, 12)})`;
}

export type ConfiguredSettings = Pick<
  MirrorSettings,
  | 'failover'
  | 'defaultPrimary'
  | 'maxLoop'
  | 'loopIntervalMs'
  | 'heartbeatTimeoutMs'
  | 'undecidedLimitMs'
  | 'undecided'
  | 'configuration'
  | 'splitBrain'
  | 'rules'
>;

export function configuredSettings({ service, heart, arbitration, failover, digest }: ModuleConfiguration): ConfiguredSettings {
  return {
    failover: service.failover,
    defaultPrimary: service.defaultPrimary,
    maxLoop: service.maxLoop,
    loopIntervalMs: service.loopIntervalMs,
    heartbeatTimeoutMs: heart?.timeoutMs ?? 2000,
    undecidedLimitMs: arbitration.undecidedLimitMs,
    undecided: arbitration.undecided,
    splitBrain: service.splitBrain,
    configuration: digest,
    ...(failover === undefined ? {} : { rules: failover }),
  };
}
