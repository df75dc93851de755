/** The scripts of one module: which limits hold for them, what they are told, and what the module's log says of them. */
import { HoldfastError } from '@holdfast/sdk';
import type { LogEntry } from '../api/contract.js';
import type { ModuleConfiguration } from '../model/configuration.js';
import type { Reason } from '../model/reason.js';
import { MARKER } from './application-processes.js';
import type { CheckSet } from './check-set.js';
import { runScript } from './script-runner.js';
import type { VirtualHost } from './script-vhost.js';

/** Of a check's own executable in a module without <user>. */
const HANDLER_TIMEOUT_MS = 300_000;

export interface ScriptPlace {
  /** The module's bin/. */
  readonly directory: string;
  /** Without the variables of the configuration, of which a running module may get others, or fewer. */
  readonly standing: Readonly<Record<string, string>>;
  /** By which what the scripts start is known as the application; what the checks start is not. */
  readonly marker: string;
  /** File of the application's control group, which each of them joins. */
  readonly joins?: string;
  readonly logDirectory: string;
}

export type WriteLog = (level: LogEntry['level'], component: string, text: string, fields?: Readonly<Record<string, unknown>>) => void;

export class ModuleScripts {
  constructor(
    /** A running module may take another one. */
    private readonly configured: () => ModuleConfiguration,
    private readonly place: ScriptPlace,
    private readonly virtualHost: VirtualHost | undefined,
    private readonly write: WriteLog,
  ) {}

  /**
   * Runs a script of the application; one that the module does not have is not missed.
   * @param words present state, next state, action; `more` follows them
   * @throws HoldfastError of script-runner
   */
  async run(script: string, words: readonly [string, string, string], force: boolean, more: readonly string[] = []): Promise<void> {
    const settings = this.configured().scripts;
    if (settings === undefined) return;
    const stopping = script.startsWith('stop_') || script === 'poststop';
    const stopTimeoutMs = force ? settings.forceStopTimeoutMs : settings.niceStopTimeoutMs;
    const result = await runScript({
      directory: this.place.directory,
      script,
      arguments: [...(force ? ['force'] : []), ...words, ...more],
      through: this.virtualHost?.through(script) ?? [],
      environment: this.environment(),
      ...(this.place.joins === undefined ? {} : { joins: this.place.joins }),
      timeoutMs: stopping ? stopTimeoutMs : settings.startTimeoutMs,
      ...(settings.logging ? { logDirectory: this.place.logDirectory } : {}),
      logBytesMax: settings.logBytesMax,
    });
    if (result.outcome === 'missing') return;
    this.write('S', 'script', `${script}${force ? ' force' : ''} ${words.join(' ')}: done in ${Math.round(result.durationMs)} ms`, {
      ...(result.log === undefined ? {} : { log: result.log }),
    });
  }

  private environment(): Record<string, string> {
    const { standing, marker } = this.place;
    // The marker last: no variable may hide an application.
    return { ...standing, ...this.configured().scripts?.variables, [MARKER]: marker };
  }

  /**
   * The executable of a check's own, under the host name that the scripts of its group see; its result is an exit status, not an action,
   * so the loop counter stays as it is.
   */
  async runHandler(script: string, resource: string, detail: string, group: string): Promise<void> {
    const { scripts, name } = this.configured();
    this.write('E', 'checker', `${resource} is down: ${script} is run`);
    const result = await runScript({
      directory: this.place.directory,
      script,
      arguments: [name, resource, detail],
      through: this.virtualHost?.throughGroup(group) ?? [],
      environment: this.environment(),
      ...(this.place.joins === undefined ? {} : { joins: this.place.joins }),
      timeoutMs: scripts?.startTimeoutMs ?? HANDLER_TIMEOUT_MS,
      logBytesMax: scripts?.logBytesMax ?? 0,
      ...(scripts?.logging === true ? { logDirectory: this.place.logDirectory } : {}),
    });
    if (result.outcome === 'missing') throw new HoldfastError('HF_SCRIPT_MISSING', `${script} is not in the module's bin/`, { script });
    this.write('S', 'script', `${script} ${resource}: done in ${Math.round(result.durationMs)} ms`, {
      ...(result.log === undefined ? {} : { log: result.log }),
    });
  }
}

/**
 * What a script is told beyond its words: a restart because of one resource may be limited to some services, `-Services "a, b"`, as the
 * reference product passes it.
 */
export function wordsOfRestart(checks: CheckSet, sequence: string | undefined, why: Reason): readonly string[] {
  if (sequence !== 'restart' || why.code !== 'resourceDown') return [];
  const services = checks.restartServices(String(why.fields['resource']));
  return services === undefined ? [] : ['-Services', services.join(', ')];
}
