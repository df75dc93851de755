/**
 * Builds a module's runtime from its applied configuration: opens the heartbeat links, the virtual addresses, the replica and the checks
 * that
 * it names, with the plug-ins that serve them. What fails here is said with the plug-in's own coded error, and what was opened is closed.
 */
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import type {
  Checker,
  HeartbeatLink,
  HeartbeatTransport,
  Log,
  Replica,
  ReplicationBackend,
  VirtualIp,
  VirtualIpDriver,
} from '@holdfast/sdk';
import { HoldfastError } from '@holdfast/sdk';
import { createMirror, durableAtFirst } from '../decide/mirror/step.js';
import type { Durable, MirrorSettings } from '../decide/mirror/types.js';
import { replicationPort, type ContributedConfiguration, type ModuleConfiguration } from '../model/configuration.js';
import { CheckSet } from './check-set.js';
import type { Clock } from './clock.js';
import { DurableFile } from './durable-file.js';
import type { EventLog } from './event-log.js';
import { HeartbeatKeeper } from './heartbeat-keeper.js';
import { ModuleRuntime } from './module-runtime.js';
import type { NodeFiles, NodeIdentity } from './node-files.js';
import { ReplicaKeeper } from './replica-keeper.js';
import { ResourceBook } from './resource-book.js';

/** What the plug-in host offers; a type that no plug-in registered throws. */
export interface Extensions {
  heartbeatTransport(type: string): HeartbeatTransport;
  virtualIpDriver(type: string): VirtualIpDriver;
  replicationBackend(type: string): ReplicationBackend;
  checker(type: string): Checker;
}

export interface LoaderParts {
  readonly files: NodeFiles;
  readonly identity: NodeIdentity;
  readonly extensions: Extensions;
  readonly clock: Clock;
  readonly log: EventLog;
  readonly diagnosticsFor: (module: string, component: string) => Log;
}

/** After a swap the old primary waits this long for its peer to become primary. */
const SWAP_LIMIT_MS = 30_000;

interface Network {
  readonly links: readonly { readonly ident: string; readonly link: HeartbeatLink; readonly flow: boolean }[];
  readonly peer: string;
}

export class ModuleLoader {
  constructor(private readonly parts: LoaderParts) {}

  /** @throws HoldfastError of whatever plug-in cannot serve the configuration on this node. */
  async load(configuration: ModuleConfiguration): Promise<ModuleRuntime> {
    const opened: (() => Promise<void>)[] = [];
    try {
      return await this.build(configuration, opened);
    } catch (error) {
      for (const close of opened.reverse()) await close().catch(() => undefined);
      throw error;
    }
  }

  private async build(configuration: ModuleConfiguration, opened: (() => Promise<void>)[]): Promise<ModuleRuntime> {
    const { files, identity, extensions, clock, log } = this.parts;
    const { name } = configuration;
    refuseUnsupported(configuration);
    const network = networkOf(configuration, identity);
    const state = files.moduleState(name);
    const resources = new ResourceBook();
    const diagnostics = this.parts.diagnosticsFor(name, 'engine');

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
    const replica = await this.openReplica(configuration, network, opened);
    const checks = new CheckSet(this.createChecks(configuration), resources, diagnostics);
    opened.push(() => checks.stopAll());

    const durable = await DurableFile.open<Durable>(join(state, 'decision'));
    const settings: MirrorSettings = {
      module: name,
      node: identity.node,
      peer: network.peer,
      replicated: replica !== undefined,
      hasAddresses: addresses.length > 0,
      failover: configuration.service.failover,
      defaultPrimary: configuration.service.defaultPrimary,
      maxLoop: configuration.service.maxLoop,
      loopIntervalMs: configuration.service.loopIntervalMs,
      heartbeatTimeoutMs: timeoutMs,
      swapLimitMs: SWAP_LIMIT_MS,
      configuration: configuration.digest,
    };
    const clockNow = { nowMs: clock.monotonicMs(), wallMs: clock.wallMs() };
    const mirror = createMirror(settings, durable.value ?? durableAtFirst(settings.replicated), clockNow);
    const work = join(state, 'var');
    await mkdir(work, { recursive: true });
    const bin = join(files.applied(name), 'bin');
    return new ModuleRuntime(mirror, {
      configuration,
      clock,
      durable,
      log,
      resources,
      heartbeat,
      heartbeatLinks: network.links.map(({ ident, link }) => ({ link: link.name, resource: `heartbeat.${ident}` })),
      replica,
      addresses,
      checks,
      scripts: { directory: bin, environment: scriptEnvironment(name, bin, work, identity.node), logDirectory: join(state, 'logs') },
      diagnostics,
    });
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
    opened: (() => Promise<void>)[],
  ): Promise<Replica | undefined> {
    const [contributed] = contributions(configuration, 'replicationBackend');
    if (contributed === undefined) return undefined;
    const flow = network.links.find(({ flow: isFlow }) => isFlow) ?? network.links[0];
    if (flow === undefined)
      throw new HoldfastError('HF_MODULE_HEARTBEAT', `module ${configuration.name} replicates but has no heartbeat network`);
    const stateDirectory = join(this.parts.files.moduleState(configuration.name), 'replication');
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
      log: this.parts.diagnosticsFor(configuration.name, contributed.type),
    });
    opened.push(() => replica.close());
    return replica;
  }

  private createChecks(configuration: ModuleConfiguration): ReturnType<Checker['create']> {
    return contributions(configuration, 'checker').flatMap((contributed) =>
      this.parts.extensions.checker(contributed.type).create({
        module: configuration.name,
        localNode: this.parts.identity.node,
        configuration: contributed.value,
        log: this.parts.diagnosticsFor(configuration.name, contributed.type),
      }),
    );
  }

  /** Directories that a configuration replicates, for the overlap check between modules. */
  directories(configuration: ModuleConfiguration): readonly string[] {
    return contributions(configuration, 'replicationBackend').flatMap((contributed) =>
      this.parts.extensions.replicationBackend(contributed.type).directories(contributed.value),
    );
  }
}

/**
 * An address must be gone from a dead node before its peer takes it: shorter than the peer's detection, by more than the kernel's own delay
 * (up to 300 ms), in the whole seconds that the kernel counts.
 */
function addressLifetimeMs(timeoutMs: number): number {
  return Math.max(1000, Math.floor((timeoutMs - 500) / 1000) * 1000);
}

function contributions(configuration: ModuleConfiguration, point: ContributedConfiguration['point']): ContributedConfiguration[] {
  return configuration.contributed.filter((contributed) => contributed.point === point);
}

/** Accepted by the schema because the reference has it; refused because acting on it wrongly would be worse than not at all. */
function refuseUnsupported(configuration: ModuleConfiguration): void {
  if (configuration.service.defaultPrimary === 'lastprim') {
    const message = 'defaultprim="lastprim" is not supported yet: use "alone" or the name of a node';
    throw new HoldfastError('HF_CONFIG_NOT_SUPPORTED', message, { attribute: 'defaultprim' });
  }
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

/** The environment of the reference product's scripts, and nothing of the agent's own. */
function scriptEnvironment(module: string, bin: string, work: string, node: string): Record<string, string> {
  const path = process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin';
  return {
    PATH: `${dirname(process.execPath)}:${path}`,
    HOME: '/root',
    LANG: 'C.UTF-8',
    SAFE: '/opt/holdfast',
    SAFEMODULE: module,
    SAFEUSERBIN: bin,
    SAFEUSERVAR: work,
    HOLDFAST_MODULE: module,
    HOLDFAST_NODE: node,
  };
}
