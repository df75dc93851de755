/**
 * The interpreter of one mirror module: facts become events in a queue, the automaton decides, its actions run here, and their outcome
 * comes back as events. Nothing else changes the module's state. Heartbeats are published from the state after every transition, which by
 * construction tells only what is durable.
 */
import type { HeartbeatSession, Log, Replica, VirtualIp } from '@holdfast/sdk';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { VerificationOptions } from '../api/contract.js';
import { linkIsAlive } from '../decide/detector.js';
import { refusalOf } from '../decide/mirror/commands.js';
import { reportOf } from '../decide/mirror/report.js';
import { step } from '../decide/mirror/step.js';
import type { Command, Durable, IssuedAction, MirrorEvent, MirrorState } from '../decide/mirror/types.js';
import type { ModuleConfiguration } from '../model/configuration.js';
import { renderReason } from '../model/reason.js';
import type { CheckAction, ResourceValue } from '../model/resource.js';
import type { CheckSet } from './check-set.js';
import type { Clock } from './clock.js';
import type { DurableFile } from './durable-file.js';
import type { EventLog } from './event-log.js';
import { decodeReport, encodeReport } from './heartbeat-payload.js';
import type { ResourceBook } from './resource-book.js';
import { ResyncNotes } from './resync-notes.js';
import { runScript } from './script-runner.js';
import { verificationRefusal, VerificationEvents } from './verification.js';

const TICK_MS = 50;
/** Every how many ticks the addresses are compared with what the state wants. */
const VERIFY_TICKS = 20;
const EVENTS_MAX = 10_000;

/** An event without what the loop itself adds. */
type Fact = MirrorEvent extends infer E ? (E extends MirrorEvent ? Omit<E, 'nowMs' | 'wallMs' | 'freshGeneration'> : never) : never;

export interface ModuleParts {
  readonly configuration: ModuleConfiguration;
  readonly clock: Clock;
  readonly durable: DurableFile<Durable>;
  readonly log: EventLog;
  readonly resources: ResourceBook;
  readonly heartbeat: HeartbeatSession;
  readonly heartbeatLinks: readonly { readonly link: string; readonly resource: string }[];
  readonly replica: Replica | undefined;
  readonly addresses: readonly VirtualIp[];
  readonly checks: CheckSet;
  readonly scripts: { readonly directory: string; readonly environment: Readonly<Record<string, string>>; readonly logDirectory: string };
  /** Plug-ins' and engine's diagnostics. */
  readonly diagnostics: Log;
}

export class ModuleRuntime {
  private readonly events: Fact[] = [];
  private draining = false;
  private ticks = 0;
  private timer: NodeJS.Timeout | undefined;
  private since = new Date().toISOString();
  private published = '';
  private verifying = false;
  private closed = false;
  private readonly resyncNotes = new ResyncNotes();
  private readonly verifications: VerificationEvents;

  constructor(
    private state: MirrorState,
    readonly parts: ModuleParts,
  ) {
    this.verifications = new VerificationEvents(parts.replica?.status().verification, state.settings.node);
  }

  get snapshot(): MirrorState {
    return this.state;
  }

  /** ISO time of the last change of phase. */
  get phaseSince(): string {
    return this.since;
  }

  /**
   * @param boot the node just booted and the module is to start: said before the first heartbeat, so that the peer does not see a stopped
   * one.
   */
  start(boot: boolean): void {
    const { heartbeat, replica, addresses } = this.parts;
    heartbeat.onHeartbeat((received) => {
      const decoded = received.goodbye ? undefined : decodeReport(received.payload);
      const { module, peer } = this.state.settings;
      const report = decoded?.module === module && decoded.node === peer ? decoded : undefined;
      const { link, receivedMs, agentTickAgeMs, goodbye } = received;
      this.push({ kind: 'heartbeat', link, receivedMs, agentTickAgeMs, goodbye, ...(report === undefined ? {} : { report }) });
    });
    heartbeat.onFailure((error) => {
      this.write('C', 'heartbeat', messageOf(error));
    });
    replica?.onStatus(() => {
      this.takeReplicationFacts(replica);
    });
    if (replica !== undefined) this.takeReplicationFacts(replica);
    for (const address of addresses) {
      address.onConflict((status) => {
        const text = `${status.address} on ${status.interface} is claimed by another host (${status.otherOwner ?? 'unknown'}): defended`;
        this.write('C', 'vip', `virtual address conflict: ${text}`);
      });
    }
    this.timer = setInterval(() => {
      this.tick();
    }, TICK_MS);
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
    this.push({ kind: 'operator', command });
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

  /** Stops deciding. The caller closes the parts. */
  close(): void {
    this.closed = true;
    clearInterval(this.timer);
  }

  private tick(): void {
    this.ticks += 1;
    this.parts.heartbeat.tick();
    for (const address of this.parts.addresses) if (this.state.addresses === 'acquired') address.renew();
    this.push({ kind: 'tick' });
    this.noteHeartbeats();
    if (this.ticks % VERIFY_TICKS === 0) void this.verifyAddresses();
  }

  private noteHeartbeats(): void {
    for (const { link, resource } of this.parts.heartbeatLinks) {
      const alive = linkIsAlive(this.state.detector, link, this.state.nowMs);
      if (this.parts.resources.set(resource, alive ? 'up' : 'down', alive ? 'heard' : 'silent')) {
        this.write('E', 'heartbeat', `${resource} is ${alive ? 'up' : 'down'}`);
      }
    }
  }

  private async verifyAddresses(): Promise<void> {
    if (this.verifying || this.state.addresses !== 'acquired' || this.state.sequence !== undefined) return;
    this.verifying = true;
    try {
      const found = (await Promise.all(this.parts.addresses.map((address) => address.verify()))).flat();
      for (const { address, state } of found) {
        const value: ResourceValue = state === 'held' ? 'up' : state === 'unknown' ? 'unknown' : 'down';
        this.parts.resources.set(`ip.${address}`, value, state);
      }
      const observed = found.some(({ state }) => state === 'absent') ? 'absent' : 'held';
      if (this.state.addresses === 'acquired' && this.state.sequence === undefined) this.push({ kind: 'addresses', observed });
    } catch (error) {
      this.parts.diagnostics.warn('virtual addresses could not be verified', { error: messageOf(error) });
    } finally {
      this.verifying = false;
    }
  }

  /** A checker's verdict. */
  report(name: string, value: ResourceValue, detail: string, action: CheckAction): void {
    const changed = this.parts.resources.set(name, value, detail);
    if (changed) this.write('E', 'checker', `${name} is ${value}: ${detail}`);
    this.push({ kind: 'resource', name, value, detail, action });
  }

  private takeReplicationFacts(replica: Replica): void {
    const { role, link, inconsistent, journalSince, failure, progress, lastResync, verification } = replica.status();
    for (const { level, text, fields } of this.verifications.take(verification)) this.write(level, 'verify', text, fields);
    const facts = {
      role,
      link,
      inconsistent,
      ...(journalSince === undefined ? {} : { journalSince }),
      ...(failure === undefined ? {} : { failure: failure.message }),
    };
    if (this.parts.resources.set('rfs.link', link === 'connected' ? 'up' : link === 'none' ? 'unknown' : 'down', link)) {
      this.write('I', 'replication', `link ${link}${failure === undefined ? '' : ` (${failure.code}: ${failure.message})`}`);
    }
    for (const { text, fields } of this.resyncNotes.take(this.state.settings.peer, progress, lastResync)) {
      this.write('E', 'replication', text, fields);
    }
    this.push({ kind: 'replication', facts });
  }

  private push(fact: Fact): void {
    if (this.closed) return;
    if (this.events.length >= EVENTS_MAX) throw new Error(`more than ${EVENTS_MAX} events wait for a decision`);
    this.events.push(fact);
    if (this.draining) return;
    this.draining = true;
    try {
      for (let next = this.events.shift(); next !== undefined; next = this.events.shift()) this.decide(next);
    } finally {
      this.draining = false;
    }
  }

  private decide(fact: Fact): void {
    const { clock } = this.parts;
    const event = { ...fact, nowMs: clock.monotonicMs(), wallMs: clock.wallMs(), freshGeneration: clock.freshGeneration() } as MirrorEvent;
    const before = this.state;
    const { state, actions, reasons } = step(before, event);
    this.state = state;
    for (const why of reasons) this.write('E', 'decision', renderReason(why), { code: why.code, ...why.fields });
    if (before.phase !== state.phase || before.quality !== state.quality) this.noteTransition(before, state);
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
    this.write('E', 'state', text, { phase: state.phase, quality: state.quality, reason: state.reason.code });
  }

  /** Publishes at once when the report changed; the transport repeats it at every pulse. */
  private publish(): void {
    const payload = encodeReport(reportOf(this.state));
    const text = payload.toString('latin1');
    if (text === this.published) return;
    this.published = text;
    this.parts.heartbeat.publish(payload);
  }

  private write(level: 'C' | 'E' | 'U' | 'S' | 'I', component: string, text: string, fields?: Readonly<Record<string, unknown>>): void {
    this.parts.log.write(level, this.parts.configuration.name, component, text, fields);
  }

  private async run({ id, action }: IssuedAction): Promise<void> {
    const failure = await this.perform(action).then(
      () => undefined,
      (error: unknown) => error ?? new Error('unknown'),
    );
    if (failure !== undefined) {
      const details = failure instanceof HoldfastError ? { code: failure.code, ...failure.details } : undefined;
      this.write('C', action.kind, messageOf(failure), details);
    }
    const { replica } = this.parts;
    // What the action changed must be known before its completion is: a role that is still "stopped" would look like a failure.
    if (replica !== undefined) this.takeReplicationFacts(replica);
    this.push({ kind: 'actionDone', id, ...(failure === undefined ? {} : { error: messageOf(failure) }) });
  }

  private async perform(action: IssuedAction['action']): Promise<void> {
    const { replica, addresses, checks, durable } = this.parts;
    switch (action.kind) {
      case 'persist':
        return durable.write(action.durable);
      case 'script':
        return this.runScript(action.script, action.arguments, action.force);
      case 'becomePrimary':
        return replica?.becomePrimary(action.term, { base: action.base, fresh: action.fresh, force: false });
      case 'becomeSecondary':
        return replica?.becomeSecondary(action.term);
      case 'connectPeer':
        return replica?.connectPeer(action.term, action.mode, action.mode === 'compare' ? renderReason(action.reason) : undefined);
      case 'disconnectPeer':
        return replica?.disconnectPeer();
      case 'continueAlone':
        return replica?.continueAlone(action.term, { base: action.base });
      case 'refuse':
        return replica?.refuse();
      case 'stopReplica':
        return replica?.stop({ force: action.force });
      case 'probeAddresses':
        return this.probeAddresses();
      case 'acquireAddresses':
        await Promise.all(addresses.map((address) => address.acquire(AbortSignal.timeout(5000))));
        return;
      case 'releaseAddresses':
        await Promise.all(addresses.map((address) => address.release(AbortSignal.timeout(5000))));
        return;
      case 'startChecks':
        return checks.start(action.group, this.report.bind(this));
      case 'stopChecks':
        return checks.stop(action.group, this.report.bind(this));
    }
  }

  private async probeAddresses(): Promise<void> {
    const found = (await Promise.all(this.parts.addresses.map((address) => address.probe(AbortSignal.timeout(5000))))).flat();
    const taken = found.find(({ state }) => state === 'conflict');
    if (taken === undefined) return;
    const owner = taken.otherOwner ?? 'unknown hardware address';
    throw new HoldfastError('HF_VIP_TAKEN', `${taken.address} is answered by another host (${owner}); free it or change the address`, {
      ...taken,
    });
  }

  private async runScript(script: string, words: readonly [string, string, string], force: boolean): Promise<void> {
    const { configuration, scripts } = this.parts;
    const settings = configuration.scripts;
    if (settings === undefined) return;
    const stopping = script.startsWith('stop_') || script === 'poststop';
    const stopTimeoutMs = force ? settings.forceStopTimeoutMs : settings.niceStopTimeoutMs;
    const result = await runScript({
      directory: scripts.directory,
      script,
      arguments: force ? ['force', ...words] : [...words],
      environment: { ...scripts.environment, ...settings.variables },
      timeoutMs: stopping ? stopTimeoutMs : settings.startTimeoutMs,
      ...(settings.logging ? { logDirectory: scripts.logDirectory } : {}),
      logBytesMax: settings.logBytesMax,
    });
    if (result.outcome === 'missing') return;
    this.write('S', 'script', `${script}${force ? ' force' : ''} ${words.join(' ')}: done in ${Math.round(result.durationMs)} ms`, {
      ...(result.log === undefined ? {} : { log: result.log }),
    });
  }
}
