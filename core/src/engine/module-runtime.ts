/**
 * The interpreter of one mirror module: facts become events in a queue, the automaton decides, its actions run here, and their outcome
 * comes back as events. Nothing else changes the module's state. Heartbeats are published from the state after every transition, which by
 * construction tells only what is durable.
 */
import type { Log, Replica, VirtualIp } from '@holdfast/sdk';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { LogEntry, OutsideVerdict, VerificationOptions } from '../api/contract.js';
import { isAlive, linkIsAlive } from '../decide/detector.js';
import { refusalOf } from '../decide/mirror/commands.js';
import { evidenceOf } from '../decide/mirror/evidence.js';
import { reportOf } from '../decide/mirror/report.js';
import { step } from '../decide/mirror/step.js';
import type { Command, Durable, IssuedAction, MirrorEvent, MirrorSettings, MirrorState } from '../decide/mirror/types.js';
import type { ModuleConfiguration } from '../model/configuration.js';
import { renderReason } from '../model/reason.js';
import type { CheckAction, ResourceValue } from '../model/resource.js';
import { AddressKeeper, releaseAddresses } from './address-keeper.js';
import { AddressProbe } from './address-probe.js';
import { Attention } from './attention.js';
import type { CheckListener, CheckSet } from './check-set.js';
import type { Clock } from './clock.js';
import { ConflictNotes } from './conflict-notes.js';
import type { DurableFile } from './durable-file.js';
import type { EventLog } from './event-log.js';
import type { HeartbeatKeeper } from './heartbeat-keeper.js';
import { EventQueue } from './event-queue.js';
import { decodeReport, encodeReport } from './heartbeat-payload.js';
import { noteLoop, noteSwitches, type Maintenance, type MaintenanceName } from './maintenance.js';
import { ModuleScripts, type ScriptPlace, wordsOfRestart } from './module-scripts.js';
import { PeerDifference } from './peer-difference.js';
import type { ResourceBook, Saying } from './resource-book.js';
import { ResyncNotes } from './resync-notes.js';
import type { VirtualHost } from './script-vhost.js';
import { noteOfState, StateKeeper } from './state-keeper.js';
import type { StopFence } from './stop-fence.js';
import type { Claim, WitnessSet, WitnessState } from './witness-set.js';
import { verificationRefusal, VerificationEvents } from './verification.js';

const TICK_MS = 50;

/** An event without what the loop itself adds. */
type Fact = MirrorEvent extends infer E ? (E extends MirrorEvent ? Omit<E, 'nowMs' | 'wallMs' | 'freshGeneration'> : never) : never;

export interface ModuleParts {
  readonly configuration: ModuleConfiguration;
  readonly clock: Clock;
  readonly durable: DurableFile<Durable>;
  readonly log: EventLog;
  readonly resources: ResourceBook;
  readonly heartbeat: HeartbeatKeeper;
  readonly heartbeatLinks: readonly { readonly link: string; readonly resource: string }[];
  readonly replica: Replica | undefined;
  readonly addresses: readonly VirtualIp[];
  readonly checks: CheckSet;
  readonly maintenance: Maintenance;
  readonly closeHistory: () => Promise<void>;
  readonly witnesses: WitnessSet;
  readonly fence: StopFence;
  readonly scripts: ScriptPlace;
  readonly virtualHost?: VirtualHost;
  /** Plug-ins' and engine's diagnostics. */
  readonly diagnostics: Log;
}

export class ModuleRuntime implements CheckListener {
  private readonly events = new EventQueue<Fact>((fact) => this.take(fact));
  private readonly scripts: ModuleScripts;
  private timer: NodeJS.Timeout | undefined;
  private since = new Date().toISOString();
  private published = '';
  private started: string | undefined;
  /** How the verdict that is being handed to a check was said. */
  private saying: Saying = {};
  private readonly attention = new Attention();
  private readonly conflictNotes = new ConflictNotes();
  private readonly resyncNotes = new ResyncNotes();
  private readonly peerDifference: PeerDifference;
  private readonly verifications: VerificationEvents;
  private readonly keeper: StateKeeper;
  private readonly addresses: AddressKeeper;
  private readonly probe: AddressProbe;

  constructor(
    private state: MirrorState,
    private current: ModuleParts,
  ) {
    this.keeper = new StateKeeper(
      current.durable,
      () => current.clock.monotonicMs(),
      (isFailing) => this.write(isFailing ? 'C' : 'E', 'state', noteOfState(isFailing)),
    );
    const { scripts, virtualHost } = current;
    this.scripts = new ModuleScripts(
      () => this.current.configuration,
      scripts,
      virtualHost,
      (...line) => this.write(...line),
    );
    this.peerDifference = new PeerDifference(state.settings.module);
    const { addresses, resources, diagnostics } = current;
    this.probe = new AddressProbe({
      addresses,
      monotonicMs: () => current.clock.monotonicMs(),
      isNeedless: () => this.state.queue.some(({ verb }) => verb === 'stop'),
    });
    this.addresses = new AddressKeeper({
      addresses,
      resources,
      diagnostics,
      write: (...line) => this.write(...line),
      state: () => this.state,
      observed: (observed) => this.events.push({ kind: 'addresses', observed }),
    });
    this.verifications = new VerificationEvents(current.replica?.status().verification, state.settings.node);
  }

  get parts(): ModuleParts {
    return this.current;
  }

  get snapshot(): MirrorState {
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

  /** ISO time of the last run of start_prim. */
  get applicationSince(): string | undefined {
    return this.started;
  }

  /**
   * @param boot the node just booted and the module is to start: said before the first heartbeat, so that the peer does not see a stopped
   * one.
   */
  start(boot: boolean): void {
    const { heartbeat, replica } = this.parts;
    heartbeat.onHeartbeat((received) => {
      // A goodbye says how its sender ended.
      const decoded = decodeReport(received.payload);
      const { module, peer } = this.state.settings;
      const report = decoded?.module === module && decoded.node === peer ? decoded : undefined;
      const { link, receivedMs, agentTickAgeMs, goodbye } = received;
      if (report !== undefined) this.parts.resources.figures.hear(report, this.state.settings.configuration, receivedMs - agentTickAgeMs);
      this.events.push({ kind: 'heartbeat', link, receivedMs, agentTickAgeMs, goodbye, ...(report === undefined ? {} : { report }) });
    });
    heartbeat.onFailure((error) => {
      this.write('C', 'heartbeat', messageOf(error));
    });
    replica?.onStatus(() => {
      this.takeReplicationFacts(replica);
    });
    if (replica !== undefined) this.takeReplicationFacts(replica);
    this.parts.witnesses.start((facts, states) => {
      this.noteWitnesses(states);
      this.events.push({ kind: 'witness', facts });
    });
    this.timer = setInterval(() => {
      this.tick();
    }, TICK_MS);
    this.noteMaintenance();
    if (boot) this.command({ verb: 'start', boot: true });
    this.publish();
  }

  /** Queues an operator's command. @throws HoldfastError HF_COMMAND_REFUSED with the reason when it is impossible now. */
  command(command: Command): void {
    const refusal = refusalOf(this.state, command);
    const { name } = this.parts.configuration;
    if (refusal !== undefined)
      throw new HoldfastError('HF_COMMAND_REFUSED', `${command.verb} of ${name}: ${refusal}`, { verb: command.verb });
    this.write('U', 'operator', `command ${command.verb}`);
    this.events.push({ kind: 'operator', command });
  }

  /** Begins to compare both copies. @throws HoldfastError HF_COMMAND_REFUSED with the reason when it is impossible now. */
  async verify({ repair = false, bytesPerSecondMax }: VerificationOptions): Promise<{ readonly id: string }> {
    const refusal = verificationRefusal(this.parts.replica?.status(), this.state.settings.peer);
    const { name } = this.parts.configuration;
    if (refusal !== undefined) throw new HoldfastError('HF_COMMAND_REFUSED', `verify of ${name}: ${refusal}`, { verb: 'verify' });
    this.write('U', 'operator', repair ? 'command verify, with repair' : 'command verify');
    const id = await this.parts.replica?.verify?.({ repair, ...(bytesPerSecondMax === undefined ? {} : { bytesPerSecondMax }) });
    if (id === undefined) throw new HoldfastError('HF_COMMAND_UNSUPPORTED', `the replication of ${name} cannot compare its copies`);
    return { id };
  }

  /** Enables or disables a class of checks. @throws HoldfastError HF_CHECK_CLASS_UNKNOWN, HF_COMMAND_REFUSED */
  async switchChecks(name: string, enabled: boolean): Promise<void> {
    if (enabled && this.state.phase === 'STOP') {
      throw new HoldfastError(
        'HF_COMMAND_REFUSED',
        `${this.parts.configuration.name} is stopped: a class is enabled while the module runs`,
      );
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

  /** Suspends or resumes what the module does by itself. Durable before it holds. */
  async maintain(name: MaintenanceName, on: boolean, by: string): Promise<void> {
    const changed = await this.parts.maintenance.set(name, on, by);
    if (name !== 'failover') await this.parts.checks.suspend(name, !on, this);
    if (changed) this.write('U', 'maintenance', `${name} ${on ? 'on' : 'off'}, by ${by}`);
    this.noteMaintenance();
  }

  /** Said at every start and every change: what is off must not be forgotten. */
  private noteMaintenance(): void {
    const { maintenance, resources, configuration } = this.parts;
    for (const { text, since, by } of maintenance.off) this.write('C', 'maintenance', `${text} (since ${since}, by ${by})`);
    noteSwitches(resources, maintenance, configuration.service.boot);
    noteLoop(resources, this.state);
    this.events.push({ kind: 'failoverSwitch', suspended: maintenance.isOff('failover') });
  }

  /**
   * Another configuration for what this runtime has open.
   * @param exchange what changes in the same moment: nothing is decided between the two
   * @returns whether it was taken: not while a sequence is under way
   */
  reconfigure(configuration: ModuleConfiguration, settings: MirrorSettings, exchange: () => void): boolean {
    if (this.state.sequence !== undefined) return false;
    this.current = { ...this.current, configuration };
    const { resources } = this.parts;
    exchange();
    resources.govern(configuration.failover);
    noteSwitches(resources, this.parts.maintenance, configuration.service.boot);
    const facts = resources.takeFacts();
    this.events.push({ kind: 'settings', settings, ...(facts === undefined ? {} : { facts }) });
    noteLoop(resources, this.state);
    return true;
  }

  /** Runs a script of the module that no transition calls, if it has it. @throws HoldfastError of the run */
  async runHook(script: string, words: readonly [string, string, string]): Promise<void> {
    await this.runScript(script, words, false);
  }

  /** Stops deciding. The caller closes the parts. */
  close(): void {
    this.events.close();
    clearInterval(this.timer);
  }

  private tick(): void {
    // What is sent goes on being sent, but as the words of an agent that does not decide any more.
    if (!this.keeper.isFailing) this.parts.heartbeat.tick();
    this.keeper.tick(this.state.durable);
    this.addresses.renew();
    this.events.push({ kind: 'tick' });
    this.addresses.decided();
    if (this.attention.decided(this.state) && !this.keeper.isFailing) this.parts.replica?.tick?.();
    this.noteHeartbeats();
    this.notePeerConfiguration();
  }

  private noteHeartbeats(): void {
    for (const { link, resource } of this.parts.heartbeatLinks) {
      const alive = linkIsAlive(this.state.detector, link, this.state.nowMs);
      if (this.parts.resources.set(resource, alive ? 'up' : 'down', alive ? 'heard' : 'silent')) {
        this.write('E', 'heartbeat', `${resource} is ${alive ? 'up' : 'down'}`);
      }
    }
    const { peer, detector, nowMs } = this.state;
    const heard = peer !== undefined && isAlive(detector, nowMs);
    const remote = !heard ? 'unknown' : peer.quality === 'Ready' ? 'up' : 'down';
    if (!heard) this.parts.resources.figures.forgetPeer();
    this.parts.resources.set('state.remote', remote, heard ? `${peer.phase} ${peer.quality}` : 'silent');
  }

  private notePeerConfiguration(): void {
    const { detector, nowMs, peer, settings } = this.state;
    const heard = isAlive(detector, nowMs) ? peer?.configuration : undefined;
    const text = this.peerDifference.take(settings.configuration, heard, settings.peer, nowMs);
    if (text !== undefined) this.write('E', 'configuration', text);
  }

  private noteWitnesses(states: readonly WitnessState[]): void {
    for (const { ident, name, reachable, detail } of states) {
      if (!this.parts.resources.set(`witness.${ident}`, reachable ? 'up' : 'down', detail)) continue;
      this.write('E', 'witness', `${name} is ${reachable ? 'up' : 'down'}: ${detail}`);
    }
  }

  /** A checker's verdict. */
  report(name: string, value: ResourceValue, detail: string, action: CheckAction): void {
    const changed = this.parts.resources.set(name, value, detail, this.saying);
    if (changed) this.write('E', 'checker', `${name} is ${value}: ${detail}`);
    // Every verdict counts as long as a resource is down; of ten thousand that are well, none needs a decision.
    if (value !== 'down' && this.state.resources[name] === undefined && this.events.isEmpty) return;
    const early = this.parts.resources.isWatchedInWait(name);
    this.events.push({ kind: 'resource', name, value, detail, action, ...(early ? { early } : {}) });
  }

  runHandler(...run: Parameters<CheckListener['runHandler']>): Promise<void> {
    return this.scripts.runHandler(...run);
  }

  private takeReplicationFacts(replica: Replica): void {
    const { role, link, inconsistent, image, journalSince, failure, progress, lastResync, verification, conflicts } = replica.status();
    for (const { level, text, fields } of this.conflictNotes.take(this.parts.configuration.name, conflicts)) {
      this.write(level, 'conflicts', text, fields);
    }
    for (const { level, text, fields } of this.verifications.take(verification)) this.write(level, 'verify', text, fields);
    const facts = {
      role,
      link,
      inconsistent,
      ...(image === undefined ? {} : { image: image.at }),
      ...(journalSince === undefined ? {} : { journalSince }),
      ...(failure === undefined ? {} : { failure: failure.message }),
    };
    if (this.parts.resources.set('rfs.link', link === 'connected' ? 'up' : link === 'none' ? 'unknown' : 'down', link)) {
      this.write('I', 'replication', `link ${link}${failure === undefined ? '' : ` (${failure.code}: ${failure.message})`}`);
    }
    for (const { text, fields } of this.resyncNotes.take(this.state.settings.peer, progress, lastResync)) {
      this.write('E', 'replication', text, fields);
    }
    this.events.push({ kind: 'replication', facts });
  }

  /** Facts of rules come once per tick, or when a step of a transition has ended: a flood of verdicts is one fact. */
  private take(fact: Fact): void {
    const facts = fact.kind === 'resource' || fact.kind === 'heartbeat' ? undefined : this.parts.resources.takeFacts();
    if (facts !== undefined) this.decide({ kind: 'ruleFacts', facts });
    this.decide(fact);
  }

  private decide(fact: Fact): void {
    const { clock } = this.parts;
    const event = { ...fact, nowMs: clock.monotonicMs(), wallMs: clock.wallMs(), freshGeneration: clock.freshGeneration() } as MirrorEvent;
    const before = this.state;
    const { state, actions, reasons } = step(before, event);
    this.state = state;
    for (const why of reasons) this.write('E', 'decision', renderReason(why), { code: why.code, ...why.fields });
    if (before.phase !== state.phase || before.quality !== state.quality) this.noteTransition(before, state);
    if (before.durable.loop !== state.durable.loop) noteLoop(this.parts.resources, state);
    if (before.peer?.phase !== state.peer?.phase || before.peer?.quality !== state.peer?.quality) {
      this.write('I', 'peer', `${state.settings.peer} is ${state.peer?.phase ?? '?'} (${state.peer?.quality ?? '?'})`);
    }
    this.publish();
    for (const issued of actions) void this.run(issued);
  }

  private noteTransition(before: MirrorState, state: MirrorState): void {
    if (before.phase !== state.phase) this.since = new Date().toISOString();
    const { resources } = this.parts;
    resources.set('state.local', state.quality === 'Ready' ? 'up' : 'down', `${state.phase} ${state.quality}`);
    if (state.settings.replicated)
      resources.set('rfs.uptodate', state.durable.condition === 'uptodate' ? 'up' : 'down', state.durable.condition);
    const text = `${before.phase} (${before.quality}) -> ${state.phase} (${state.quality}): ${renderReason(state.reason)}`;
    const evidence = evidenceOf(state);
    this.write('E', 'state', text, { phase: state.phase, quality: state.quality, reason: state.reason.code, evidence });
  }

  /** Publishes at once when the report changed; the transport repeats it at every pulse. */
  private publish(): void {
    const { told } = this.parts.resources.figures;
    const payload = encodeReport({ ...reportOf(this.state), ...(told === undefined ? {} : { figures: told }) });
    const text = payload.toString('latin1');
    if (text === this.published) return;
    this.published = text;
    this.parts.heartbeat.publish(payload);
  }

  private write(level: LogEntry['level'], component: string, text: string, fields?: Readonly<Record<string, unknown>>): void {
    this.parts.log.write(level, this.parts.configuration.name, component, text, fields);
  }

  private async run({ id, action }: IssuedAction): Promise<void> {
    let claim: Claim | undefined;
    const outcome = action.kind === 'claimWitness' ? this.parts.witnesses.claim(action.from, action.record) : this.perform(action);
    const failure = await outcome.then(
      (answer) => void (claim = answer ?? undefined),
      (error: unknown) => error ?? new Error('unknown'),
    );
    if (failure !== undefined) {
      const details = failure instanceof HoldfastError ? { code: failure.code, ...failure.details } : undefined;
      this.write('C', action.kind, messageOf(failure), details);
    }
    const { replica } = this.parts;
    // What the action changed must be known before its completion is: a role that is still "stopped" would look like a failure.
    if (replica !== undefined) this.takeReplicationFacts(replica);
    const error = failure === undefined ? {} : { error: messageOf(failure) };
    this.events.push({ kind: 'actionDone', id, ...error, ...(claim === undefined ? {} : { claim }) });
  }

  private async perform(action: Exclude<IssuedAction['action'], { kind: 'claimWitness' }>): Promise<void> {
    const { replica, addresses, checks, configuration } = this.parts;
    switch (action.kind) {
      case 'persist':
        return this.keeper.write(action.durable);
      case 'script':
        return this.runScript(action.script, action.arguments, action.force).catch((error: unknown) => {
          if (action.force) this.parts.fence.stopFailed(messageOf(error));
          throw error;
        });
      case 'becomePrimary':
        return replica?.becomePrimary(action.term, {
          base: action.base,
          fresh: action.fresh,
          force: action.force === true,
          image: action.image === true,
        });
      case 'becomeSecondary':
        return replica?.becomeSecondary(action.term, action.givenUp === undefined ? {} : { givenUp: action.givenUp });
      case 'connectPeer':
        return replica?.connectPeer(action.term, action.mode, action.mode === 'compare' ? renderReason(action.reason) : undefined);
      case 'disconnectPeer':
        return replica?.disconnectPeer();
      case 'continueAlone':
        return replica?.continueAlone(action.term, { base: action.base });
      case 'armWitness':
        return this.parts.witnesses.arm(action.record);
      case 'refuse':
        return replica?.refuse();
      case 'stopReplica':
        await this.endLeftovers(action.force && replica?.status().role !== 'stopped');
        return replica?.stop({ force: action.force });
      case 'reboot':
        return this.parts.fence.reboot(renderReason(action.reason));
      case 'probeAddresses':
        return this.probe.assertFree();
      case 'acquireAddresses':
        await Promise.all(addresses.map((address) => address.acquire(AbortSignal.timeout(5000))));
        return;
      case 'releaseAddresses':
        await releaseAddresses(addresses, configuration.vip?.tcpReset === true);
        return;
      case 'startChecks':
        return checks.start(action.group, this);
      case 'stopChecks':
        return checks.stop(action.group, this);
    }
  }

  /** Once all groups of scripts are stopped: what a failed stop, or a user of the file system, has left. */
  private async endLeftovers(isInUse: boolean): Promise<void> {
    const { fence } = this.parts;
    if (this.state.groups.length > 0) return;
    await fence.afterStops();
    if (isInUse) await fence.end('the file system is still in use after the stop');
  }

  private async runScript(script: string, words: readonly [string, string, string], force: boolean): Promise<void> {
    if (script === 'start_prim') this.started = new Date().toISOString();
    const { configuration, checks } = this.parts;
    if (configuration.scripts === undefined) return;
    if (script === 'transition' || script === 'poststop') await this.endLeftovers(false);
    // In a restart nothing else comes between: the first group of an application begins where nothing of the old one runs.
    if (script.startsWith('start_') && this.state.groups.length === 1) await this.parts.fence.afterStops();
    const more = words[2] === 'restart' ? wordsOfRestart(checks, this.state.sequence?.name, this.state.reason) : [];
    await this.scripts.run(script, words, force, more);
  }
}
