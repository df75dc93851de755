/**
 * Runs the plug-ins of a node: import, register, start in dependency order, stop in reverse. Every step has a limit in time and names
 * the plug-in that breaks it; a plug-in that fails never takes another one with it, except those that need it. Plug-ins run in this
 * process: the limits protect from one that waits for ever, not from one that blocks the event loop.
 */
import { type HoldfastError, type Log, type Plugin, type PluginContext, HoldfastError as CodedError, messageOf } from '@holdfast/sdk';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ContributedSchema } from '../config/module-elements.js';
import { withinDeadline } from './deadline.js';
import { dependenciesOf } from './dependencies.js';
import type { DiscoveredPlugin, VerifiedPlugin } from './discovery.js';
import { pluginError } from './errors.js';
import { exportedPlugin, registerPlugin } from './registration.js';
import { ExtensionRegistry } from './registry.js';

export const START_BUDGET_MS_DEFAULT = 5_000;
export const STOP_BUDGET_MS_DEFAULT = 5_000;

export type PluginState = 'verified' | 'loaded' | 'started' | 'stopping' | 'stopped' | 'failed' | 'refused';

export interface PluginDescription {
  readonly id: string;
  readonly version: string;
  readonly state: PluginState;
  /** Code and sentence. */
  readonly error?: string;
  /** How long import, register and start took; absent before that. */
  readonly startMs?: number;
}

export interface PluginHostOptions {
  /** Parent of `plugins/<id>`, absolute. */
  readonly stateDirectory: string;
  /** The log that a plug-in gets, and that the host writes to about it. */
  readonly logOf: (plugin: string) => Log;
}

interface Entry {
  readonly id: string;
  readonly version: string;
  readonly discovered: DiscoveredPlugin;
  state: PluginState;
  error?: HoldfastError;
  startMs: number;
  plugin?: Plugin;
  context?: PluginContext;
}

interface Verified extends Entry {
  readonly discovered: VerifiedPlugin;
}

export class PluginHost {
  readonly registry = new ExtensionRegistry();
  readonly #options: PluginHostOptions;
  readonly #entries: Entry[] = [];
  readonly #cancel = new AbortController();
  #work: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(options: PluginHostOptions) {
    this.#options = options;
  }

  /** Imports and registers, in the order given (that of `discoverPlugins`). Never rejects: what fails is `failed` in `describe`. */
  load(plugins: readonly DiscoveredPlugin[]): Promise<void> {
    return this.#inTurn(async () => {
      for (const discovered of plugins) {
        const { id, version, state } = discovered;
        const entry: Entry = { id, version, discovered, state, startMs: 0 };
        this.#entries.push(entry);
        if (discovered.state === 'refused') this.#fail(entry, discovered.error, 'refused');
        else if (!this.#cancel.signal.aborted) await this.#attempt(entry, () => this.#load(entry as Verified));
      }
    });
  }

  /** Starts what is loaded, in order. Never rejects. */
  start(): Promise<void> {
    return this.#inTurn(async () => {
      for (const entry of this.#entries) {
        if (entry.state !== 'loaded' || this.#cancel.signal.aborted) continue;
        if (await this.#attempt(entry, () => this.#start(entry as Verified))) continue;
        const error = await this.#callStop(entry);
        if (error !== undefined) this.#fail(entry, error, 'failed');
      }
    });
  }

  /** Stops everything that was loaded, in reverse order, also in the middle of a start. Idempotent, never rejects, and is final. */
  stop(): Promise<void> {
    this.#cancel.abort();
    this.#stopping ??= this.#work.then(async () => {
      for (const entry of [...this.#entries].reverse()) {
        if (entry.state !== 'loaded' && entry.state !== 'started') continue;
        entry.state = 'stopping';
        const error = await this.#callStop(entry);
        this.registry.remove(entry.id);
        if (error === undefined) entry.state = 'stopped';
        else this.#fail(entry, error, 'failed');
      }
    });
    return this.#stopping;
  }

  /**
   * Hands new values to a started plug-in. Answers 'restart' when it cannot take them while running, or has no `reconfigure`.
   * @throws HoldfastError HF_PLUGIN_RECONFIGURE when it refuses (the old values stay), HF_PLUGIN_STATE when it is not started
   */
  async reconfigure(id: string, change: Partial<PluginContext>): Promise<'applied' | 'restart'> {
    const entry = this.#entries.find((candidate) => candidate.id === id && candidate.discovered.state === 'verified') as
      | Verified
      | undefined;
    if (entry?.state !== 'started' || entry.context === undefined) {
      throw pluginError('HF_PLUGIN_STATE', id, entry === undefined ? 'is not known' : `is ${entry.state}, not started`);
    }
    const { plugin, context: current } = entry;
    if (plugin?.reconfigure === undefined) return 'restart';
    const next: PluginContext = { ...current, ...change };
    const limitMs = startBudgetMs(entry);
    try {
      const outcome = await withinDeadline(limitMs, (signal) => plugin.reconfigure?.(next, signal), this.#cancel.signal);
      if (outcome.kind !== 'done') throw new Error(outcome.kind === 'timeout' ? `no answer within ${limitMs} ms` : 'the host is stopping');
      if (outcome.value !== 'applied' && outcome.value !== 'restart') throw new Error(`it answered ${JSON.stringify(outcome.value)}`);
      if (outcome.value === 'applied') entry.context = next;
      return outcome.value;
    } catch (error) {
      throw pluginError('HF_PLUGIN_RECONFIGURE', id, `keeps its old context: ${messageOf(error)}`, error);
    }
  }

  /** Elements of userconfig.xml that plug-ins serve now. */
  elements(): readonly ContributedSchema[] {
    return this.#entries.flatMap(({ state, discovered }) =>
      discovered.state === 'verified' && (state === 'loaded' || state === 'started') ? discovered.elements : [],
    );
  }

  describe(): readonly PluginDescription[] {
    return this.#entries.map(({ id, version, state, error, startMs }) => ({
      id,
      version,
      state,
      ...(error === undefined ? {} : { error: error.message }),
      ...(startMs === 0 ? {} : { startMs: Math.round(startMs) }),
    }));
  }

  /** One verb at a time: a start that comes during a load waits for it. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(() => (this.#cancel.signal.aborted ? undefined : work()));
    return this.#work;
  }

  async #attempt(entry: Entry, step: () => Promise<void>): Promise<boolean> {
    const beganMs = performance.now();
    try {
      await step();
      return true;
    } catch (error) {
      const coded = error instanceof CodedError ? error : pluginError('HF_PLUGIN_LOAD', entry.id, `failed: ${messageOf(error)}`, error);
      this.registry.remove(entry.id);
      this.#fail(entry, coded, 'failed');
      return false;
    } finally {
      entry.startMs += performance.now() - beganMs;
    }
  }

  #fail(entry: Entry, error: HoldfastError, state: 'failed' | 'refused'): void {
    entry.state = state;
    entry.error ??= error;
    this.#options.logOf(entry.id).error(error.message, { code: error.code, plugin: entry.id, state });
  }

  async #load(entry: Verified): Promise<void> {
    this.#requireDependencies(entry, 'loaded');
    const { id, main, manifest } = entry.discovered;
    const limitMs = startBudgetMs(entry);
    let module: unknown;
    try {
      const outcome = await withinDeadline(limitMs, () => import(pathToFileURL(main).href) as Promise<unknown>, this.#cancel.signal);
      if (outcome.kind !== 'done') {
        throw new Error(outcome.kind === 'timeout' ? `its top level did not finish within ${limitMs} ms` : 'the host is stopping');
      }
      module = outcome.value;
    } catch (error) {
      throw pluginError('HF_PLUGIN_LOAD', id, `cannot be imported from ${main}: ${messageOf(error)}`, error);
    }
    const plugin = exportedPlugin(module, id);
    for (const extension of registerPlugin(plugin, manifest)) this.registry.add(extension);
    entry.plugin = plugin;
    entry.state = 'loaded';
  }

  async #start(entry: Verified): Promise<void> {
    this.#requireDependencies(entry, 'started');
    const { id, plugin } = entry;
    const limitMs = startBudgetMs(entry);
    const log = this.#options.logOf(id);
    try {
      const stateDirectory = join(this.#options.stateDirectory, 'plugins', id);
      await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
      const context: PluginContext = { log, stateDirectory };
      entry.context = context;
      const outcome = await withinDeadline(limitMs, (signal) => plugin?.start?.(context, signal), this.#cancel.signal);
      if (outcome.kind === 'timeout') {
        const hint = 'it waits for something that does not come; budgets.startMs of its plugin.json sets the limit';
        throw pluginError('HF_PLUGIN_START_TIMEOUT', id, `did not start within ${limitMs} ms: ${hint}`);
      }
      if (outcome.kind === 'cancelled') throw new Error('the host is stopping');
    } catch (error) {
      if (error instanceof CodedError && error.code === 'HF_PLUGIN_START_TIMEOUT') throw error;
      throw pluginError('HF_PLUGIN_START', id, `failed to start: ${messageOf(error)}`, error);
    }
    entry.state = 'started';
    log.info(`plug-in "${id}" ${entry.version} started`, { plugin: id });
  }

  #requireDependencies(entry: Verified, state: 'loaded' | 'started'): void {
    for (const id of dependenciesOf(entry.discovered)) {
      const dependency = this.#entries.find((candidate) => candidate.id === id && candidate.discovered.state === 'verified');
      if (dependency?.state === state) continue;
      const why = dependency === undefined ? 'is not there' : `is ${dependency.state}`;
      throw pluginError('HF_PLUGIN_DEPENDENCY', entry.id, `needs plug-in ${id}, which ${why}`);
    }
  }

  /** Bounded; the error is logged by the caller or here, and never stops the others. */
  async #callStop(entry: Entry): Promise<HoldfastError | undefined> {
    const { id, plugin, discovered } = entry;
    if (plugin?.stop === undefined || discovered.state !== 'verified') return undefined;
    const limitMs = discovered.manifest.budgets?.stopMs ?? STOP_BUDGET_MS_DEFAULT;
    try {
      const outcome = await withinDeadline(limitMs, () => plugin.stop?.());
      if (outcome.kind === 'done') return undefined;
      const hint = 'it holds something open; budgets.stopMs of its plugin.json sets the limit';
      return pluginError('HF_PLUGIN_STOP_TIMEOUT', id, `did not stop within ${limitMs} ms: ${hint}`);
    } catch (error) {
      return pluginError('HF_PLUGIN_STOP', id, `failed to stop: ${messageOf(error)}`, error);
    }
  }
}

function startBudgetMs(entry: Verified): number {
  return entry.discovered.manifest.budgets?.startMs ?? START_BUDGET_MS_DEFAULT;
}
