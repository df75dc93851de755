/**
 * Connections of strangers cost little and few: what has not proved a key within seconds goes, and when too many try at once the oldest
 * goes first, because an honest handshake takes milliseconds.
 */
import type { Server, Socket } from 'node:net';
import type { Membership } from './clusters.js';

/** Longer than any client waits: also when a thousand come at once. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** More than the nodes of 600 modules that lose their peers in the same second. */
const STRANGERS_MAX = 2_048;
const CONNECTIONS_MAX = 16_384;
/** Two per module and node, of the most modules that a cluster may have. */
const CONNECTIONS_PER_CLUSTER_MAX = 1_024;

export class Connections {
  readonly #strangers = new Set<Socket>();
  readonly #all = new Set<Socket>();
  readonly #perCluster = new Map<string, number>();
  /** By TLS socket. A resumed session asks for no key and so has no membership: refused. */
  readonly #proved = new WeakMap<object, Membership>();

  watch(server: Server): void {
    server.maxConnections = CONNECTIONS_MAX;
    server.on('connection', (socket: Socket) => {
      this.#all.add(socket);
      this.#strangers.add(socket);
      // Not the handshake's own limit: that one begins when the first byte came.
      const timer = setTimeout(() => {
        if (this.#strangers.has(socket)) socket.destroy();
      }, HANDSHAKE_TIMEOUT_MS);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        clearTimeout(timer);
        this.#all.delete(socket);
        this.#strangers.delete(socket);
      });
      const [oldest] = this.#strangers;
      if (this.#strangers.size > STRANGERS_MAX) oldest?.destroy();
    });
  }

  get open(): number {
    return this.#all.size;
  }

  get strangers(): number {
    return this.#strangers.size;
  }

  /** The handshake chose this key; whether it was proved is not known yet. */
  offered(tls: object, membership: Membership): void {
    this.#proved.set(tls, membership);
  }

  /** The handshake is complete. False: nobody, or too many of one cluster. */
  accept(tls: Socket): boolean {
    const membership = this.#proved.get(tls);
    if (membership === undefined) return false;
    const { cluster } = membership;
    const count = (this.#perCluster.get(cluster) ?? 0) + 1;
    if (count > CONNECTIONS_PER_CLUSTER_MAX) return false;
    this.#perCluster.set(cluster, count);
    for (const socket of this.#strangers)
      if (socket.remotePort === tls.remotePort && socket.remoteAddress === tls.remoteAddress) this.#strangers.delete(socket);
    tls.once('close', () => {
      const left = (this.#perCluster.get(cluster) ?? 1) - 1;
      if (left === 0) this.#perCluster.delete(cluster);
      else this.#perCluster.set(cluster, left);
    });
    return true;
  }

  membershipOf(tls: object): Membership | undefined {
    return this.#proved.get(tls);
  }

  closeAll(): void {
    for (const socket of this.#all) socket.destroy();
  }
}
