/**
 * Another configuration for a module that goes on running. What can be refused is refused before anything is stored (`prepare`); what
 * remains is done in a moment between two sequences of the automaton, so that no transition sees half of it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Check } from '@holdfast/sdk';
import { HoldfastError } from '@holdfast/sdk';
import type { PlannedConfiguration } from '../model/configuration-change.js';
import type { ContributedConfiguration, ModuleConfiguration } from '../model/configuration.js';
import { configuredSettings } from './mirror-settings.js';
import type { ModuleLoader } from './module-loader.js';
import type { LightRuntime } from './light-runtime.js';
import type { ModuleRuntime } from './module-runtime.js';

const POLL_MS = 20;
/** A start script may take minutes; longer than that the module is not left with half a configuration, but with the old one. */
const SEQUENCE_LIMIT_MS = 600_000;

/** How long an operator waits for a start or a takeover to finish before he is asked to come again. */
const SETTLE_MS = 5_000;

/** Waits until the module rests. @throws HoldfastError HF_MODULE_CHANGING */
export async function settled(runtime: Pick<ModuleRuntime, 'snapshot'> | LightRuntime | undefined): Promise<void> {
  const endMs = performance.now() + SETTLE_MS;
  for (;;) {
    const sequence = runtime?.snapshot.sequence;
    if (runtime === undefined || sequence === undefined) return;
    if (performance.now() > endMs) {
      const { module, node } = runtime.snapshot.settings;
      const message = `${module} is changing its state on ${node} (${sequence.name}): try again when it has finished`;
      throw new HoldfastError('HF_MODULE_CHANGING', message, { module, node, sequence: sequence.name });
    }
    await delay(POLL_MS);
  }
}

/** A change that is ready. */
export type LiveChange = () => Promise<void>;

/** @throws HoldfastError of a checker that refuses; nothing is started and nothing changes. */
export function prepareLive(loader: ModuleLoader, runtime: ModuleRuntime, planned: PlannedConfiguration): LiveChange {
  const { resources, virtualHost } = runtime.parts;
  const checks = loader.createChecks(planned, { figures: resources.figures, virtualHost });
  return () => apply(loader, runtime, planned.configuration, checks);
}

async function apply(
  loader: ModuleLoader,
  runtime: ModuleRuntime,
  configuration: ModuleConfiguration,
  checks: readonly Check[],
): Promise<void> {
  const before = runtime.parts.configuration;
  const { heartbeat, replica, checks: running } = runtime.parts;
  const settings = (): Parameters<ModuleRuntime['reconfigure']>[1] => {
    // The rules of before must not stay where there are none now.
    const { rules: _before, ...others } = runtime.snapshot.settings;
    return { ...others, ...configuredSettings(configuration) };
  };
  let exchanged: Promise<void> | undefined;
  const exchange = (): void => {
    exchanged = running.exchange(checks, (one, other) => loader.isSameCheck(one, other), runtime);
  };
  const endMs = performance.now() + SEQUENCE_LIMIT_MS;
  while (!runtime.reconfigure(configuration, settings(), exchange)) {
    if (performance.now() > endMs) {
      const message = `${configuration.name} has been changing its state for ${SEQUENCE_LIMIT_MS / 1000} s: stop and start it`;
      throw new HoldfastError('HF_MODULE_CHANGING', message, { module: configuration.name });
    }
    await delay(POLL_MS);
  }
  const pulseMs = configuration.heart?.pulseMs;
  if (pulseMs !== undefined && pulseMs !== before.heart?.pulseMs) await heartbeat.repulse(pulseMs);
  const [old, now] = [replicationOf(before), replicationOf(configuration)];
  if (now !== undefined && JSON.stringify(now.value) !== JSON.stringify(old?.value)) await replica?.reconfigure?.(now.value);
  await exchanged;
  const { phase } = runtime.snapshot;
  await runtime.runHook('update', [phase, phase, 'update']);
}

function replicationOf({ contributed }: ModuleConfiguration): ContributedConfiguration | undefined {
  return contributed.find(({ point }) => point === 'replicationBackend');
}
