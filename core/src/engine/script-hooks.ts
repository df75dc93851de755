/**
 * Scripts of a module that accompany an operation on its configuration instead of a change of its state: `confcheck` may refuse it,
 * `config` runs before it is applied and may refuse it too, `postconfig` after (safeconf.xml is there then), `deconfig` before the module
 * is uninstalled.
 *
 * Each is called with the name of the operation and the module, in the environment of the module's other scripts.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { ModuleConfiguration } from '../model/configuration.js';
import type { EventLog } from './event-log.js';
import { runScript } from './script-runner.js';

export type Hook = 'confcheck' | 'config' | 'postconfig' | 'deconfig';

export interface HookScripts {
  /** The bin/ that has the hook: of the source before the configuration is applied, of the applied copy after. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly logDirectory: string;
}

/** Whoever configures waits 40 s for an answer, and three hooks may run in that time. */
const HOOK_TIMEOUT_MS = 12_000;

/** Of the reference product; they would run at every question of every console. */
export const NEVER_RUN: readonly string[] = ['state', 'level'];

/**
 * Runs a hook, if the module ships it and has a `<user>`.
 * @throws HoldfastError HF_HOOK_REFUSED when it fails, except for `postconfig` and `deconfig`: what they accompany is not to be stopped any
 * more, so that is only logged
 */
export async function runHook(hook: Hook, configuration: ModuleConfiguration, scripts: HookScripts, log: EventLog): Promise<void> {
  const settings = configuration.scripts;
  if (settings === undefined) return;
  const { name } = configuration;
  // Before the module is configured for the first time it has no folder yet.
  await mkdir(scripts.environment['SAFEUSERVAR'] ?? scripts.logDirectory, { recursive: true });
  try {
    const result = await runScript({
      directory: scripts.directory,
      script: hook,
      arguments: [hook, name],
      environment: { ...scripts.environment, SAFEUSERBIN: scripts.directory, SAFEUSERCONF: join(scripts.directory, '..', 'conf') },
      timeoutMs: HOOK_TIMEOUT_MS,
      ...(settings.logging ? { logDirectory: scripts.logDirectory } : {}),
      logBytesMax: settings.logBytesMax,
    });
    if (result.outcome === 'done') log.write('S', name, 'script', `${hook}: done in ${Math.round(result.durationMs)} ms`);
  } catch (error) {
    log.write('C', name, 'script', messageOf(error));
    if (hook === 'postconfig' || hook === 'deconfig') return;
    throw new HoldfastError('HF_HOOK_REFUSED', `the module's script ${hook} refuses it: ${messageOf(error)}`, { hook }, { cause: error });
  }
}

/** Of the reference product; they would run at every question of every console. */
export function isNeverRun(script: string): boolean {
  return NEVER_RUN.includes(script);
}
