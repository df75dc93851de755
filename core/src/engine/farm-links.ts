/** Heartbeat sessions of a farm: one per peer, over every network of <farm>, each pair of nodes on its own port. */
import type { HeartbeatLink, HeartbeatTransport } from '@holdfast/sdk';
import { HoldfastError } from '@holdfast/sdk';
import type { FarmConfiguration, ModuleConfiguration } from '../model/configuration.js';
import { HeartbeatKeeper } from './heartbeat-keeper.js';
import type { NodeIdentity } from './node-files.js';

export interface FarmLink {
  readonly peer: string;
  readonly session: HeartbeatKeeper;
  readonly lans: readonly string[];
}

/**
 * Which of the farm's ports two nodes use: an edge colouring of the complete graph, so that no node has a port twice. With an odd number of
 * nodes the sum of their places does it; an even number gets one node more than those, which takes the colour that each of them lacks.
 */
export function portOfPair(ports: readonly number[], nodes: number, one: number, other: number): number {
  const odd = nodes % 2 === 0 ? nodes - 1 : nodes;
  const [low, high] = one < other ? [one, other] : [other, one];
  const colour = high === odd ? (2 * low) % odd : (low + high) % odd;
  const port = ports[colour];
  if (port === undefined) throw new Error(`no port ${colour} of ${ports.length} for ${nodes} nodes`);
  return port;
}

/** @throws HoldfastError of the transport when an address or port cannot be bound; what was opened is closed then */
export async function openFarmLinks(
  { name, farm }: ModuleConfiguration & { readonly farm: FarmConfiguration },
  identity: NodeIdentity,
  transport: HeartbeatTransport,
): Promise<readonly FarmLink[]> {
  const nodes = identity.cluster.lans[0]?.nodes.map((node) => node.name) ?? [];
  const opened: FarmLink[] = [];
  try {
    for (const [index, peer] of nodes.entries()) {
      if (peer === identity.node) continue;
      const port = portOfPair(farm.ports, nodes.length, nodes.indexOf(identity.node), index);
      const links = farm.lans.map((lan) => linkOf(identity, name, lan, peer, port));
      const options = { module: name, localNode: identity.node, peerNode: peer, links, key: identity.clusterKey, pulseMs: farm.pulseMs };
      opened.push({ peer, session: await HeartbeatKeeper.open(transport, options), lans: farm.lans });
    }
    return opened;
  } catch (error) {
    for (const { session } of opened) await session.close({ goodbye: false });
    throw error;
  }
}

function linkOf({ cluster, node }: NodeIdentity, module: string, lanName: string, peerName: string, port: number): HeartbeatLink {
  const lan = cluster.lans.find((candidate) => candidate.name === lanName);
  const local = lan?.nodes.find((candidate) => candidate.name === node);
  const peer = lan?.nodes.find((candidate) => candidate.name === peerName);
  if (local === undefined || peer === undefined) {
    throw new HoldfastError('HF_MODULE_HEARTBEAT', `lan "${lanName}" of module ${module} does not have ${node} and ${peerName}`, {
      lanName,
    });
  }
  return { name: lanName, localAddress: local.localAddress ?? local.address, peerAddress: peer.address, port };
}
