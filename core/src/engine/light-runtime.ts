/**
 * The interpreter of a module that this node runs by itself: light, or the application of a farm. As for a mirror, facts become events in a
 * queue, the automaton decides, its actions run here, and their outcome comes back as events. In a farm the traffic is opened and closed
 * by the automaton as well; what the nodes agree on about it is the business of farm-membership.ts.
 */
import type { Log } from '@holdfast/sdk';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { LogEntry, OutsideVerdict, VerificationOptions } from '../api/contract.js';
import { refusalOf } from '../decide/light/commands.js';
import { lightEvidence } from '../decide/light/evidence.js';
import { stepLight } from '../decide/light/step.js';
import type { IssuedLightAction, LightDurable, LightEvent, LightState } from '../decide/light/types.js';
import type { Command } from '../decide/mirror/types.js';
import type { ModuleConfiguration } from '../model/configuration.js';
import { renderReason } from '../model/reason.js';
import type { CheckAction, ResourceValue } from '../model/resource.js';
import type { CheckListener, CheckSet } from './check-set.js';
import type { Clock } from './clock.js';
import type { DurableFile } from './durable-file.js';
import type { EventLog } from './event-log.js';
import { EventQueue } from './event-queue.js';
import type { FarmMembership } from './farm-membership.js';
import { noteLoop, noteSwitches, type Maintenance, type MaintenanceName } from './maintenance.js';
import { ModuleScripts, type ScriptPlace, wordsOfRestart } from './module-scripts.js';
import type { ResourceBook, Saying } from './resource-book.js';
import type { VirtualHost } from './script-vhost.js';
import type { StopFence } from './stop-fence.js';
import { verificationRefusal } from './verification.js';

const TICK_MS = 50;

type Fact = LightEvent extends infer E ? (E extends LightEvent ? Omit<E, 'nowMs' | 'wallMs'> : never) : never;

export interface LightParts {
  readonly configuration: ModuleConfiguration;
  readonly clock: Clock;
  readonly durable: DurableFile<LightDurable>;
  readonly log: EventLog;
  readonly resources: ResourceBook;
  readonly checks: CheckSet;
  readonly maintenance: Maintenance;
  readonly closeHistory: () => Promise<void>;
  readonly fence: StopFence;
  readonly scripts: ScriptPlace;
  readonly virtualHost?: VirtualHost;
  /** Of a farm module. */
  readonly farm?: FarmMembership;
  readonly diagnostics: Log;
}

export class LightRuntime implements CheckListener {
  private readonly events = new EventQueue<Fact>((fact) => this.decide(fact));
  private readonly scripts: ModuleScripts;
  private timer: NodeJS.Timeout | undefined;
  /** How the verdict that is being handed to a check was said. */
  private saying: Saying = {};
  private since = new Date().toISOString();

  constructor(
    private state: LightState,
    readonly parts: LightParts,
  ) {
    const { configuration, scripts, virtualHost } = parts;
    this.scripts = new ModuleScripts(
      () => configuration,
      scripts,
      virtualHost,
      (...line) => this.write(...line),
    );
  }

  get snapshot(): LightState {
    return this.state;
  }

  /** Monotonic: of the last tick. */
  get decidedMs(): number {
    return this.state.nowMs;
  }

  /** ISO time of the last change of phase. */
  get phaseSince(): string {
    return this.since;
  }

  /** @param boot the node just booted and the module is to start */
  start(boot: boolean): void {
    this.timer = setInterval(() => {
      this.parts.farm?.tick();
      this.push({ kind: 'tick' });
    }, TICK_MS);
    this.noteMaintenance();
    if (boot) this.command({ verb: 'start', boot: true });
    this.parts.farm?.start();
  }

  /** Queues an operator's command. @throws HoldfastError HF_COMMAND_REFUSED with the reason when it is impossible now. */
  command(command: Command): void {
    const refusal = refusalOf(this.state, command);
    const { name } = this.parts.configuration;
    if (refusal !== undefined)
      throw new HoldfastError('HF_COMMAND_REFUSED', `${command.verb} of ${name}: ${refusal}`, { verb: command.verb });
    this.write('U', 'operator', `command ${command.verb}`);
    this.push({ kind: 'operator', command });
  }

  /** @throws HoldfastError HF_COMMAND_REFUSED: there is one copy */
  async verify(_options: VerificationOptions): Promise<{ readonly id: string }> {
    const why = verificationRefusal(undefined, '') ?? 'there is one copy';
    throw new HoldfastError('HF_COMMAND_REFUSED', `verify of ${this.parts.configuration.name}: ${why}`, { verb: 'verify' });
  }

  /** Enables or disables a class of checks. @throws HoldfastError HF_CHECK_CLASS_UNKNOWN, HF_COMMAND_REFUSED */
  async switchChecks(name: string, enabled: boolean): Promise<void> {
    if (enabled && this.state.phase === 'STOP') {
      const { name: module } = this.parts.configuration;
      throw new HoldfastError('HF_COMMAND_REFUSED', `${module} is stopped: a class is enabled while the module runs`);
    }
    await this.parts.checks.switchClass(name, enabled, this);
    this.write('U', 'checker', `class ${name} is ${enabled ? 'enabled' : 'disabled'}`);
  }

  /** A verdict from outside. @throws HoldfastError HF_RESOURCE_NOT_SETTABLE */
  setResource({ resource, value, detail = 'set from outside', identity, unrecorded = false, force = false }: OutsideVerdict): void {
    const { checks } = this.parts;
    const action = force ? checks.actionOf(resource) : undefined;
    this.saying = { unrecorded, ...(identity === undefined ? {} : { by: identity }) };
    try {
      if (action === undefined) checks.set(resource, { verdict: value, detail });
      else this.report(resource, value, detail, action);
    } finally {
      this.saying = {};
    }
    if (force || identity !== undefined) this.write('U', 'checker', `${resource} set ${value} by ${identity ?? 'operator'}: ${detail}`);
  }

  /** Suspends or resumes its checks. Durable before it holds. @throws HoldfastError HF_COMMAND_REFUSED: it has no failover */
  async maintain(name: MaintenanceName, on: boolean, by: string): Promise<void> {
    const { maintenance, checks, configuration } = this.parts;
    if (name === 'failover') {
      const { mode } = this.state.settings;
      throw new HoldfastError('HF_COMMAND_REFUSED', `failover of ${configuration.name}: a ${mode} module has none; suspend its checks`);
    }
    const changed = await maintenance.set(name, on, by);
    await checks.suspend(name, !on, this);
    if (changed) this.write('U', 'maintenance', `${name} ${on ? 'on' : 'off'}, by ${by}`);
    this.noteMaintenance();
  }

  /** Said at every start and every change: what is off must not be forgotten. */
  private noteMaintenance(): void {
    const { maintenance, resources, configuration } = this.parts;
    for (const { text, since, by } of maintenance.off) this.write('C', 'maintenance', `${text} (since ${since}, by ${by})`);
    noteSwitches(resources, maintenance, configuration.service.boot, ['checker', 'errd']);
    noteLoop(resources, this.state);
  }

  /** Stops deciding and closes the parts. */
  async end(): Promise<void> {
    this.events.close();
    clearInterval(this.timer);
    await this.parts.checks.stopAll();
    await this.parts.closeHistory();
    await this.parts.fence.close();
    const { phase, sequence } = this.state;
    await this.parts.farm?.end({ goodbye: phase === 'STOP' && sequence === undefined });
    await this.parts.virtualHost?.close();
  }

  /** A checker's verdict. */
  report(name: string, value: ResourceValue, detail: string, action: CheckAction): void {
    const changed = this.parts.resources.set(name, value, detail, this.saying);
    if (changed) this.write('E', 'checker', `${name} is ${value}: ${detail}`);
    this.push({ kind: 'resource', name, value, detail, action });
  }

  runHandler(...run: Parameters<CheckListener['runHandler']>): Promise<void> {
    return this.scripts.runHandler(...run);
  }

  private push(fact: Fact): void {
    this.events.push(fact);
  }

  private decide(fact: Fact): void {
    const { clock } = this.parts;
    const before = this.state;
    const { state, actions, reasons } = stepLight(before, { ...fact, nowMs: clock.monotonicMs(), wallMs: clock.wallMs() });
    this.state = state;
    for (const why of reasons) this.write('E', 'decision', renderReason(why), { code: why.code, ...why.fields });
    if (before.phase !== state.phase || before.quality !== state.quality) this.noteTransition(before, state);
    if (before.durable.loop !== state.durable.loop) noteLoop(this.parts.resources, state);
    for (const issued of actions) void this.run(issued);
  }

  private noteTransition(before: LightState, state: LightState): void {
    if (before.phase !== state.phase) this.since = new Date().toISOString();
    const { resources, farm } = this.parts;
    resources.set('state.local', state.quality === 'Ready' ? 'up' : 'down', `${state.phase} ${state.quality}`);
    farm?.note(state.phase, state.quality);
    const text = `${before.phase} (${before.quality}) -> ${state.phase} (${state.quality}): ${renderReason(state.reason)}`;
    const evidence = [...lightEvidence(state), ...(farm?.evidence() ?? [])];
    this.write('E', 'state', text, { phase: state.phase, quality: state.quality, reason: state.reason.code, evidence });
  }

  private async run({ id, action }: IssuedLightAction): Promise<void> {
    const failure = await this.perform(action).then(
      () => undefined,
      (error: unknown) => error ?? new Error('unknown'),
    );
    if (failure === undefined) {
      this.push({ kind: 'actionDone', id });
      return;
    }
    const details = failure instanceof HoldfastError ? { code: failure.code, ...failure.details } : undefined;
    this.write('C', action.kind, messageOf(failure), details);
    this.push({ kind: 'actionDone', id, error: messageOf(failure) });
  }

  private async perform(action: IssuedLightAction['action']): Promise<void> {
    const { checks, durable, farm } = this.parts;
    switch (action.kind) {
      case 'persist':
        return durable.write(action.durable);
      case 'script':
        return this.runScript(action.script, action.arguments, action.force);
      case 'openTraffic':
        return farm?.open();
      case 'closeTraffic':
        return farm?.leave();
      case 'startChecks':
        return checks.start(action.group, this);
      case 'stopChecks':
        return checks.stop(action.group, this);
    }
  }

  /** After all groups of scripts are stopped, what a failed stop has left is ended. */
  private async runScript(script: string, words: readonly [string, string, string], force: boolean): Promise<void> {
    const { checks, fence } = this.parts;
    const { sequence, reason, groups } = this.state;
    const isEmpty = (script === 'transition' || script === 'poststop') && groups.length === 0;
    // In a restart nothing else comes between the stop and the start.
    if (isEmpty || (script.startsWith('start_') && groups.length === 1)) await fence.afterStops();
    await this.scripts.run(script, words, force, wordsOfRestart(checks, sequence?.name, reason)).catch((error: unknown) => {
      if (force) fence.stopFailed(messageOf(error));
      throw error;
    });
  }

  private write(level: LogEntry['level'], component: string, text: string, fields?: Readonly<Record<string, unknown>>): void {
    this.parts.log.write(level, this.parts.configuration.name, component, text, fields);
  }
}
