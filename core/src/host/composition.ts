/**
 * The one place that knows which class serves which contract. Everything is constructed from here, by typed token, in a child container of
 * its own per agent, so that several agents can live in one process; nothing else ever sees the container, plug-ins least of all.
 */
import 'reflect-metadata';
import { container, instanceCachingFactory, type DependencyContainer, type InjectionToken } from 'tsyringe';
import { HoldfastError } from '@holdfast/sdk';
import { Agent, type AgentParts } from '../engine/agent.js';
import { systemClock, type Clock } from '../engine/clock.js';
import { EventLog } from '../engine/event-log.js';
import type { FencingSettings } from '../engine/fencing-settings.js';
import { ModuleLoader, type Extensions } from '../engine/module-loader.js';
import type { NodeFiles, NodeIdentity } from '../engine/node-files.js';
import { Rebooter } from '../engine/rebooter.js';
import type { ScriptTools } from '../engine/script-environment.js';
import { Watchdog } from '../engine/watchdog.js';
import { nodeAnswers } from '../api/peer-health.js';
import { PeerParticipant } from '../api/peer-participant.js';
import { PEER_PORT_DEFAULT } from '../model/configuration.js';
import type { Diagnostics } from '../engine/diagnostics.js';
import type { PluginHost } from './plugin-host.js';
import type { ExtensionRegistry, Implementations } from './registry.js';

export interface CompositionInputs {
  readonly files: NodeFiles;
  readonly identity: NodeIdentity;
  readonly pluginHost: PluginHost;
  readonly diagnostics: Diagnostics;
  readonly tools: ScriptTools;
  readonly fencing: FencingSettings;
}

function token<T>(name: string): InjectionToken<T> {
  return Symbol(name);
}

const CLOCK = token<Clock>('Clock');
const INPUTS = token<CompositionInputs>('CompositionInputs');
const EVENT_LOG = token<EventLog>('EventLog');
const EXTENSIONS = token<Extensions>('Extensions');
const LOADER = token<ModuleLoader>('ModuleLoader');
const AGENT = token<Agent>('Agent');

/** Every part is made once, here and now: nothing is resolved later, so nothing can be resolved from the wrong container. */
export function composeAgent(inputs: CompositionInputs): { agent: Agent; log: EventLog } {
  const root = container.createChildContainer();
  root.register(INPUTS, { useValue: inputs });
  root.register(CLOCK, { useValue: systemClock });
  once(root, EVENT_LOG, () => new EventLog(`${inputs.files.stateDirectory}/log/events.jsonl`, inputs.identity.node));
  once(root, EXTENSIONS, () => extensionsOf(inputs.pluginHost.registry));
  once(
    root,
    LOADER,
    (from) =>
      new ModuleLoader({
        files: inputs.files,
        identity: inputs.identity,
        extensions: from.resolve(EXTENSIONS),
        clock: from.resolve(CLOCK),
        log: from.resolve(EVENT_LOG),
        rebooter: new Rebooter(inputs.fencing.reboot, (text) => {
          from.resolve(EVENT_LOG).write('C', '', 'fencing', text);
        }),
        diagnosticsFor: (module, component) => inputs.diagnostics.of({ module, component }),
        tools: inputs.tools,
      }),
  );
  once(
    root,
    AGENT,
    (from) =>
      new Agent({
        files: inputs.files,
        identity: inputs.identity,
        loader: from.resolve(LOADER),
        elements: inputs.pluginHost.elements(),
        log: from.resolve(EVENT_LOG),
        watchdog: (oldestDecisionMs) =>
          new Watchdog({
            settings: inputs.fencing.watchdog,
            oldestDecisionMs,
            nowMs: () => from.resolve(CLOCK).monotonicMs(),
            log: (level, text) => {
              from.resolve(EVENT_LOG).write(level, '', 'watchdog', text);
            },
          }),
        plugins: () => inputs.pluginHost.describe(),
        reachable: (node) => reachable(inputs.identity, node),
        ...otherNode(inputs.identity),
      }),
  );
  return { agent: root.resolve(AGENT), log: root.resolve(EVENT_LOG) };
}

function once<T>(root: DependencyContainer, name: InjectionToken<T>, make: (from: DependencyContainer) => T): void {
  root.register(name, { useFactory: instanceCachingFactory(make) });
}

function extensionsOf(registry: ExtensionRegistry): Extensions {
  const get = <Point extends keyof Implementations>(point: Point, type: string): Implementations[Point] => {
    const found = registry.get(point, type);
    if (found === undefined)
      throw new HoldfastError('HF_EXTENSION_MISSING', `no installed plug-in serves ${point} "${type}"`, { point, type });
    return found;
  };
  return {
    heartbeatTransport: (type) => get('heartbeatTransport', type),
    virtualIpDriver: (type) => get('virtualIpDriver', type),
    replicationBackend: (type) => get('replicationBackend', type),
    checker: (type) => get('checker', type),
    witness: (type) => get('witness', type),
  };
}

/** In a cluster of two: the one that takes part in changes of configuration. */
function otherNode(identity: NodeIdentity): Pick<AgentParts, 'peer'> {
  const lan = identity.cluster.lans.find(({ command }) => command) ?? identity.cluster.lans[0];
  const [other, ...more] = (lan?.nodes ?? []).filter(({ name }) => name !== identity.node);
  if (other === undefined || more.length > 0) return {};
  const { name: node, address } = other;
  const options = { address, port: PEER_PORT_DEFAULT, localNode: identity.node, clusterKey: identity.clusterKey, peers: [] };
  return { peer: { node, participant: new PeerParticipant(node, options) } };
}

async function reachable(identity: NodeIdentity, node: string): Promise<boolean> {
  const lan = identity.cluster.lans.find(({ command }) => command) ?? identity.cluster.lans[0];
  const address = lan?.nodes.find(({ name }) => name === node)?.address;
  if (address === undefined) return false;
  return nodeAnswers({ address, port: PEER_PORT_DEFAULT, localNode: identity.node, clusterKey: identity.clusterKey, peers: [] });
}
