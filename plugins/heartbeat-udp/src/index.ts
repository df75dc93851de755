/**
 * Heartbeats over UDP. A process of its own sends and receives them, sealed with AES-256-GCM under keys derived from the cluster key;
 * see process/main.ts for the process, wire/frame.ts for the datagram, wire/acquaintance.ts for how a peer proves that it is alive.
 */
import type { Plugin } from '@holdfast/sdk';
import { UdpTransport } from './transport.js';

/** An instance with a sending process of its own. */
export function createPlugin(): Plugin {
  const transport = new UdpTransport();
  return {
    register: (context) => context.heartbeatTransport('udp', transport),
    start: (context) => transport.start(context.log, context.stateDirectory),
    // The address and key of a link belong to the session, and the state directory does not move.
    reconfigure: () => Promise.resolve('applied'),
    stop: () => transport.stop(),
  };
}

export const plugin: Plugin = createPlugin();
