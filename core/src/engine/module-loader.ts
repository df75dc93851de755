/**
 * Builds a module's runtime from its applied configuration: opens the heartbeat links, the virtual addresses, the replica and the checks
 * that
 * it names, with the plug-ins that serve them. What fails here is said with the plug-in's own coded error, and what was opened is closed.
 */
import { createHash } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { mkdir, stat } from 'node:fs/promises';
import type {
  Check,
  Checker,
  CheckerOptions,
  HeartbeatLink,
  HeartbeatTransport,
  Log,
  Replica,
  ReplicationBackend,
  VirtualIp,
  VirtualIpDriver,
  WitnessProvider,
} from '@holdfast/sdk';
import { HoldfastError } from '@holdfast/sdk';
import { createFarm } from '../decide/farm/membership.js';
import { createLight, LIGHT_DURABLE_AT_FIRST } from '../decide/light/step.js';
import type { LightDurable } from '../decide/light/types.js';
import { createMirror, durableAtFirst } from '../decide/mirror/step.js';
import type { Durable, MirrorSettings } from '../decide/mirror/types.js';
import { addressLifetimeMs } from '../model/address-lifetime.js';
import type { PlannedConfiguration } from '../model/configuration-change.js';
import { replicationPort, type ContributedConfiguration, type ModuleConfiguration } from '../model/configuration.js';
import { checkIdentities } from './check-identity.js';
import { ApplicationGroup } from './application-group.js';
import { CheckSet } from './check-set.js';
import type { Clock } from './clock.js';
import { DECISION_FILE } from './damaged-state.js';
import { DurableFile } from './durable-file.js';
import type { EventLog } from './event-log.js';
import { openFarmLinks } from './farm-links.js';
import { FarmMembership } from './farm-membership.js';
import { HeartbeatKeeper } from './heartbeat-keeper.js';
import { LightRuntime } from './light-runtime.js';
import { configuredSettings, witnessesOf } from './mirror-settings.js';
import type { ModuleClaims } from './module-claims.js';
import { type ModuleParts, ModuleRuntime } from './module-runtime.js';
import type { NodeFiles, NodeIdentity } from './node-files.js';
import { ReplicaKeeper } from './replica-keeper.js';
import { Maintenance } from './maintenance.js';
import type { Rebooter } from './rebooter.js';
import { ResourceBook } from './resource-book.js';
import { ResourceFacts } from './resource-facts.js';
import { ResourceFigures } from './resource-figures.js';
import { ResourceHistory } from './resource-history.js';
import { scriptEnvironment, type ScriptSurroundings, type ScriptTools, standingEnvironment } from './script-environment.js';
import type { HookScripts } from './script-hooks.js';
import { VirtualHost } from './script-vhost.js';
import { StopFence } from './stop-fence.js';
import { WitnessSet } from './witness-set.js';

/** What the plug-in host offers; a type that no plug-in registered throws. */
export interface Extensions {
  heartbeatTransport(type: string): HeartbeatTransport;
  virtualIpDriver(type: string): VirtualIpDriver;
  replicationBackend(type: string): ReplicationBackend;
  checker(type: string): Checker;
  witness(type: string): WitnessProvider;
}

export interface LoaderParts {
  readonly files: NodeFiles;
  readonly identity: NodeIdentity;
  readonly extensions: Extensions;
  readonly clock: Clock;
  readonly log: EventLog;
  readonly rebooter: Rebooter;
  readonly diagnosticsFor: (module: string, component: string) => Log;
  readonly tools: ScriptTools;
}

/** After a swap the old primary waits this long for its peer to become primary. */
const SWAP_LIMIT_MS = 30_000;
/** The primary asks the witness first: its application runs already. */
const CLAIM_DELAY_MS = 300;

const REPLICATION_FOLDER = 'replication';

type CommonParts = Pick<ModuleParts, 'resources' | 'checks' | 'maintenance' | 'closeHistory' | 'fence' | 'scripts' | 'virtualHost'>;

/** What the checks of a module share with the rest of it. */
export interface CheckSurroundings {
  readonly figures: ResourceFigures;
  readonly virtualHost: VirtualHost | undefined;
}

interface Network {
  readonly links: readonly { readonly ident: string; readonly link: HeartbeatLink; readonly flow: boolean }[];
  readonly peer: string;
}

/** @throws what the disk answers, unless that nothing is there */
async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if ((error as { code?: unknown }).code === 'ENOENT') return false;
      throw error;
    },
  );
}

export class ModuleLoader {
  private readonly identities = new WeakMap<Check, string>();

  constructor(private readonly parts: LoaderParts) {}

  /** @throws HoldfastError of whatever plug-in cannot serve the configuration on this node. */
  async load(planned: PlannedConfiguration): Promise<ModuleRuntime | LightRuntime> {
    const opened: (() => Promise<void>)[] = [];
    try {
      const { mode } = planned.configuration.service;
      return mode === 'mirror' ? await this.build(planned, opened) : await this.buildLight(planned, mode, opened);
    } catch (error) {
      for (const close of opened.reverse()) await close().catch(() => undefined);
      throw error;
    }
  }

  private async build(planned: PlannedConfiguration, opened: (() => Promise<void>)[]): Promise<ModuleRuntime> {
    const { configuration } = planned;
    const { files, identity, extensions, clock, log } = this.parts;
    const { name } = configuration;
    const network = networkOf(configuration, identity);
    const state = files.moduleState(name);
    const diagnostics = this.parts.diagnosticsFor(name, 'engine');
    // Before anything that others can see, and before the folder of the replication is made: where that is, there was a state.
    const durable = await DurableFile.open<Durable>(join(state, DECISION_FILE), {
      module: name,
      holds: 'whether its copy of the data is the newest, an older one, or a partial one',
      isExpected: await isThere(join(state, REPLICATION_FOLDER)),
    });

    const pulseMs = configuration.heart?.pulseMs ?? 100;
    const timeoutMs = configuration.heart?.timeoutMs ?? 2000;
    const heartbeat = await HeartbeatKeeper.open(extensions.heartbeatTransport('udp'), {
      module: name,
      localNode: identity.node,
      peerNode: network.peer,
      links: network.links.map(({ link }) => link),
      key: identity.clusterKey,
      pulseMs,
    });
    opened.push(() => heartbeat.close({ goodbye: false }));
    const addresses = await this.openAddresses(configuration, addressLifetimeMs(timeoutMs), opened);
    const replica = await this.openReplica(configuration, network, timeoutMs, opened);
    const common = await this.openCommon(planned, diagnostics, opened);

    const witnesses = this.openWitnesses(configuration);
    opened.push(() => witnesses.close());

    const settings: MirrorSettings = {
      module: name,
      node: identity.node,
      peer: network.peer,
      replicated: replica !== undefined,
      hasAddresses: addresses.length > 0,
      swapLimitMs: SWAP_LIMIT_MS,
      witness: witnesses.grade,
      witnesses: witnessesOf(configuration),
      claimDelayMs: CLAIM_DELAY_MS,
      ...configuredSettings(configuration),
      automaticReboot: configuration.service.automaticReboot,
    };
    const clockNow = { nowMs: clock.monotonicMs(), wallMs: clock.wallMs() };
    const mirror = createMirror(settings, { ...durableAtFirst(settings.replicated), ...durable.value }, clockNow);
    return new ModuleRuntime(mirror, {
      configuration,
      clock,
      durable,
      log,
      heartbeat,
      heartbeatLinks: network.links.map(({ ident, link }) => ({ link: link.name, resource: `heartbeat.${ident}` })),
      replica,
      addresses,
      witnesses,
      ...common,
      diagnostics,
    });
  }

  /** What every module has, whatever its architecture. */
  private async openCommon(planned: PlannedConfiguration, diagnostics: Log, opened: (() => Promise<void>)[]): Promise<CommonParts> {
    const { configuration } = planned;
    const { name } = configuration;
    const state = this.parts.files.moduleState(name);
    const scripts = this.scriptsOf(configuration);
    await mkdir(scripts.environment['SAFEUSERVAR'] ?? '', { recursive: true });
    const virtualHost = await this.openVirtualHost(configuration, scripts);
    if (virtualHost !== undefined) opened.push(() => virtualHost.close());
    const figures = new ResourceFigures(() => this.parts.clock.monotonicMs());
    const created = this.createChecks(planned, { figures, virtualHost });
    const history = await ResourceHistory.open(join(state, 'resources.log'), diagnostics);
    opened.push(() => history.close());
    const resources = new ResourceBook(new ResourceFacts(configuration.failover, created), history, figures);
    const maintenance = await Maintenance.open(join(state, 'maintenance'), name);
    const suspended = (['checker', 'errd'] as const).filter((kind) => maintenance.isOff(kind));
    const checks = new CheckSet(created, resources, diagnostics, { suspended });
    opened.push(() => checks.stopAll());
    const marker = this.markerOf(name);
    const group = await ApplicationGroup.open(marker);
    return {
      resources,
      checks,
      maintenance,
      closeHistory: () => history.close(),
      fence: new StopFence({
        marker,
        ...(group === undefined ? {} : { group }),
        rebooter: this.parts.rebooter,
        automaticReboot: configuration.service.automaticReboot,
        log: (text, fields) => {
          this.parts.log.write('C', name, 'fencing', text, fields);
        },
      }),
      scripts: {
        directory: scripts.directory,
        standing: standingEnvironment(configuration, this.surroundingsOf(name)),
        marker,
        ...(group === undefined ? {} : { joins: group.joinFile }),
        logDirectory: scripts.logDirectory,
      },
      ...(virtualHost === undefined ? {} : { virtualHost }),
    };
  }

  /** What each node runs by itself; a farm module beside its membership. */
  private async buildLight(planned: PlannedConfiguration, mode: 'light' | 'farm', opened: (() => Promise<void>)[]): Promise<LightRuntime> {
    const { configuration } = planned;
    const { files, identity, clock, log } = this.parts;
    const { name, service } = configuration;
    const diagnostics = this.parts.diagnosticsFor(name, 'engine');
    const common = await this.openCommon(planned, diagnostics, opened);
    const farm = mode === 'farm' ? await this.openFarm(configuration, common.resources, opened) : undefined;
    // Not the file of a mirror: a module that becomes a mirror again must still know its generations.
    const durable = await DurableFile.open<LightDurable>(join(files.moduleState(name), 'light'), {
      module: name,
      holds: 'whether the module was started, and how often it was restarted by itself',
    });
    const { maxLoop, loopIntervalMs } = service;
    const settings = { module: name, node: identity.node, mode, maxLoop, loopIntervalMs };
    const clockNow = { nowMs: clock.monotonicMs(), wallMs: clock.wallMs() };
    const light = createLight(settings, { ...LIGHT_DURABLE_AT_FIRST, ...durable.value }, clockNow);
    const parts = { configuration, clock, durable, log, diagnostics, ...common };
    return new LightRuntime(light, { ...parts, ...(farm === undefined ? {} : { farm }) });
  }

  private async openFarm(
    configuration: ModuleConfiguration,
    resources: ResourceBook,
    opened: (() => Promise<void>)[],
  ): Promise<FarmMembership> {
    const { identity, clock, extensions, log } = this.parts;
    const { name, farm, digest } = configuration;
    if (farm === undefined) throw new HoldfastError('HF_MODULE_HEARTBEAT', `module ${name} has no <farm>`, {});
    const links = await openFarmLinks({ ...configuration, farm }, identity, extensions.heartbeatTransport('udp'));
    for (const { session } of links) opened.push(() => session.close({ goodbye: false }));
    const { groups, pulseMs, leaderTimeoutMs, memberTimeoutMs } = farm;
    const nodes = identity.cluster.lans[0]?.nodes.map((node) => node.name) ?? [];
    const settings = { module: name, node: identity.node, nodes, groups, pulseMs, leaderTimeoutMs, memberTimeoutMs, configuration: digest };
    return new FarmMembership(createFarm(settings, clock.monotonicMs(), clock.freshGeneration()), {
      links,
      clock,
      resources,
      write: (level, component, text, fields) => log.write(level, name, component, text, fields),
    });
  }

  /** Where the scripts of a module are, and what they are told. */
  scriptsOf(configuration: ModuleConfiguration): HookScripts {
    const surroundings = this.surroundingsOf(configuration.name);
    return {
      directory: join(surroundings.applied, 'bin'),
      environment: scriptEnvironment(configuration, surroundings),
      logDirectory: join(this.parts.files.moduleState(configuration.name), 'logs'),
    };
  }

  private surroundingsOf(name: string): ScriptSurroundings {
    const { files, identity, tools } = this.parts;
    const { configDirectory, stateDirectory } = files;
    const state = files.moduleState(name);
    const [work, virtualHost] = [join(state, 'var'), join(state, 'uts')];
    return { node: identity.node, configDirectory, stateDirectory, applied: files.applied(name), work, virtualHost, tools };
  }

  /** The same over restarts of the agent, and another for each agent of a machine: what an earlier one left is the application's too. */
  private markerOf(name: string): string {
    return createHash('sha256').update(this.parts.files.moduleState(name)).digest('hex').slice(0, 32);
  }

  private async openVirtualHost({ virtualHost }: ModuleConfiguration, scripts: HookScripts): Promise<VirtualHost | undefined> {
    const file = scripts.environment['HOLDFAST_VIRTUAL_HOST'];
    return virtualHost === undefined || file === undefined ? undefined : VirtualHost.open(virtualHost, file, scripts.directory);
  }

  private async openAddresses(
    configuration: ModuleConfiguration,
    lifetimeMs: number,
    opened: (() => Promise<void>)[],
  ): Promise<VirtualIp[]> {
    const localAddresses = Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address));
    const made: VirtualIp[] = [];
    for (const contributed of contributions(configuration, 'virtualIpDriver')) {
      const virtualIp = await this.parts.extensions.virtualIpDriver(contributed.type).create({
        module: configuration.name,
        localNode: this.parts.identity.node,
        configuration: contributed.value,
        localAddresses,
        peerAddresses: peerAddressesOf(this.parts.identity),
        lifetimeMs,
        log: this.parts.diagnosticsFor(configuration.name, contributed.type),
      });
      opened.push(() => virtualIp.close());
      made.push(virtualIp);
    }
    return made;
  }

  private async openReplica(
    configuration: ModuleConfiguration,
    network: Network,
    coreSilenceMaxMs: number,
    opened: (() => Promise<void>)[],
  ): Promise<Replica | undefined> {
    const [contributed] = contributions(configuration, 'replicationBackend');
    if (contributed === undefined) return undefined;
    const flow = network.links.find(({ flow: isFlow }) => isFlow) ?? network.links[0];
    if (flow === undefined)
      throw new HoldfastError('HF_MODULE_HEARTBEAT', `module ${configuration.name} replicates but has no heartbeat network`);
    const stateDirectory = join(this.parts.files.moduleState(configuration.name), REPLICATION_FOLDER);
    await mkdir(stateDirectory, { recursive: true });
    const port = replicationPort(configuration.id);
    const replica = await ReplicaKeeper.open(this.parts.extensions.replicationBackend(contributed.type), {
      module: configuration.name,
      localNode: this.parts.identity.node,
      peerNode: network.peer,
      local: { address: flow.link.localAddress, port },
      peer: { address: flow.link.peerAddress, port },
      key: this.parts.identity.clusterKey,
      stateDirectory,
      configuration: contributed.value,
      coreSilenceMaxMs,
      log: this.parts.diagnosticsFor(configuration.name, contributed.type),
    });
    opened.push(() => replica.close());
    return replica;
  }

  private openWitnesses(configuration: ModuleConfiguration): WitnessSet {
    const { identity, files, extensions, diagnosticsFor } = this.parts;
    // Every node knows the cluster's key, and nobody else does.
    const cluster = createHash('sha256').update('witness').update(identity.clusterKey).digest('hex').slice(0, 32);
    const sources = contributions(configuration, 'witness').map((contributed) => {
      const log = diagnosticsFor(configuration.name, contributed.type);
      const { name: module } = configuration;
      const options = { cluster, module, localNode: identity.node, configurationDirectory: files.configDirectory, log };
      const witness = extensions.witness(contributed.type).create({ ...options, configuration: contributed.value });
      const { ident } = contributed.value;
      return { name: witness.name, ident: typeof ident === 'string' ? ident : contributed.type, witness };
    });
    return new WitnessSet(sources, diagnosticsFor(configuration.name, 'witness'));
  }

  /** The checks of a configuration; nothing is started. @throws HoldfastError HF_CHECK_DUPLICATE, or what a checker has against it */
  createChecks({ configuration, scripts: digests }: PlannedConfiguration, { figures, virtualHost }: CheckSurroundings): readonly Check[] {
    const { directory, environment } = this.scriptsOf(configuration);
    const checks = contributions(configuration, 'checker').flatMap((contributed) => {
      const made = this.checksOf(configuration.name, contributed, {
        scripts: { directory, environment, through: (phase) => virtualHost?.throughGroup(phase) ?? [] },
        peerFigure: (resource, name) => figures.ofPeer(resource, name),
      });
      const identities = checkIdentities(contributed, made, digests);
      made.forEach((check, position) => this.identities.set(check, identities[position] ?? ''));
      return made;
    });
    const taken = new Set<string>();
    for (const { resource } of checks) {
      if (taken.has(resource)) {
        const message = `two checks of module ${configuration.name} have the resource ${resource}: give them different names`;
        throw new HoldfastError('HF_CHECK_DUPLICATE', message, { resource });
      }
      taken.add(resource);
    }
    return checks;
  }

  /** Whether both watch the same in the same way, so that the one that runs may go on. */
  isSameCheck(one: Check, other: Check): boolean {
    return this.identities.get(one) === this.identities.get(other);
  }

  /** What the replication of a configuration takes while it runs. */
  replicationLive(type: string): readonly string[] {
    return this.parts.extensions.replicationBackend(type).reconfigurable ?? [];
  }

  private checksOf(
    module: string,
    { type, value }: Pick<ContributedConfiguration, 'type' | 'value'>,
    options: Pick<CheckerOptions, 'scripts' | 'peerFigure'> = {},
  ): ReturnType<Checker['create']> {
    return this.parts.extensions.checker(type).create({
      module,
      localNode: this.parts.identity.node,
      configuration: value,
      log: this.parts.diagnosticsFor(module, type),
      ...options,
    });
  }

  /** What a checker or an address driver has against an element that its schema accepts: reading it does nothing, so it is tried. */
  refusalOf(module: string, contributed: Pick<ContributedConfiguration, 'point' | 'type' | 'value'>): HoldfastError | undefined {
    const { point, type, value } = contributed;
    try {
      if (point === 'checker') this.checksOf(module, contributed);
      if (point === 'virtualIpDriver') {
        this.parts.extensions.virtualIpDriver(type).examine?.(value);
        this.addressesOf(contributed);
      }
      return undefined;
    } catch (error) {
      if (error instanceof HoldfastError) return error;
      throw error;
    }
  }

  /** Names of the resources of an element, for the failover rules that name them. */
  resourcesOf(module: string, contributed: Pick<ContributedConfiguration, 'point' | 'type' | 'value'>): readonly string[] {
    try {
      return this.checksOf(module, contributed).map(({ resource }) => resource);
    } catch {
      // Said by refusalOf, at its place.
      return [];
    }
  }

  private addressesOf({ type, value }: Pick<ContributedConfiguration, 'type' | 'value'>): readonly string[] {
    return this.parts.extensions.virtualIpDriver(type).addresses?.(value) ?? [];
  }

  /** What no two modules of a node may have both. */
  claimsOf(configuration: ModuleConfiguration): ModuleClaims {
    const directories = contributions(configuration, 'replicationBackend').flatMap(({ type, value }) =>
      this.parts.extensions.replicationBackend(type).directories(value),
    );
    const addresses = contributions(configuration, 'virtualIpDriver').flatMap((contributed) => this.addressesOf(contributed));
    return { name: configuration.name, directories, addresses };
  }
}

function contributions(configuration: ModuleConfiguration, point: ContributedConfiguration['point']): ContributedConfiguration[] {
  return configuration.contributed.filter((contributed) => contributed.point === point);
}

function peerAddressesOf({ cluster, node }: NodeIdentity): string[] {
  return cluster.lans.flatMap(({ nodes }) => nodes.filter(({ name }) => name !== node).map(({ address }) => address));
}

function networkOf(configuration: ModuleConfiguration, identity: NodeIdentity): Network {
  const { heart, name } = configuration;
  if (heart === undefined) throw new HoldfastError('HF_MODULE_HEARTBEAT', `module ${name} has no <heart>`, {});
  const links = heart.heartbeats.map(({ lan: lanName, ident, flow }) => {
    const lan = identity.cluster.lans.find((candidate) => candidate.name === lanName);
    const local = lan?.nodes.find((node) => node.name === identity.node);
    const peer = lan?.nodes.find((node) => node.name !== identity.node);
    if (local === undefined || peer === undefined) {
      throw new HoldfastError('HF_MODULE_HEARTBEAT', `heartbeat network "${lanName}" of module ${name} has no two nodes in cluster.xml`, {
        lanName,
      });
    }
    const link = { name: lanName, localAddress: local.localAddress ?? local.address, peerAddress: peer.address, port: heart.port };
    return { ident, flow, link, peer: peer.name };
  });
  const peer = links[0]?.peer ?? '';
  return { links, peer };
}
