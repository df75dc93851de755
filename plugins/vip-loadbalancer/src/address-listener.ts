/**
 * One TCP port on every address of the node but the loopback, which is the API's: that one has the same port by default. Each address has
 * a socket of its own. Addresses come and go (an interface that comes up late, a cloud that adds one): `refresh` follows them.
 */
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { HoldfastError } from '@holdfast/sdk';
import { listenerOf } from './port-owner.js';

const ADDRESSES_MAX = 64;

export interface AddressListenerParts {
  readonly port: number;
  /** Connections that the kernel accepts before this process does: of a process that hangs, one more than this look successful. */
  readonly backlog: number;
  /** Addresses that need not be listed as the node's, for example those that a router of the cloud has delivered here. */
  readonly more: () => readonly string[];
  readonly onConnection: (socket: Socket) => void;
}

export class AddressListener {
  private readonly servers = new Map<string, Server>();
  private closed = true;

  constructor(private readonly parts: AddressListenerParts) {}

  get addresses(): readonly string[] {
    return [...this.servers.keys()];
  }

  /** Idempotent. @throws HoldfastError HF_LOADBALANCER_PORT_TAKEN, HF_LOADBALANCER_NO_ADDRESS; nothing listens then */
  async open(): Promise<void> {
    this.closed = false;
    try {
      await this.refresh();
      if (this.servers.size === 0) {
        const message = `no address of this node can be listened on (port ${this.parts.port}): is the network up?`;
        throw new HoldfastError('HF_LOADBALANCER_NO_ADDRESS', message, { port: this.parts.port });
      }
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Listens on addresses that have come, and no more on those that have gone. @throws HoldfastError as `open` */
  async refresh(): Promise<void> {
    if (this.closed) return;
    const own = ownAddresses();
    const wanted = new Set([...own, ...this.parts.more()].slice(0, ADDRESSES_MAX));
    for (const [address, server] of this.servers) {
      if (wanted.has(address)) continue;
      this.servers.delete(address);
      server.close();
    }
    for (const address of wanted) {
      if (this.servers.has(address)) continue;
      const server = await this.listenOn(address);
      if (server === undefined) continue;
      if (this.closed) server.close();
      else this.servers.set(address, server);
    }
  }

  /** Idempotent. Connections are the caller's. */
  async close(): Promise<void> {
    this.closed = true;
    const servers = [...this.servers.values()];
    this.servers.clear();
    // Resolves when no connection is left, which the caller may want to end later: from here on nobody is accepted.
    for (const server of servers) server.close();
  }

  /** @returns undefined when the address is not (or not yet, or no more) the node's */
  private async listenOn(address: string): Promise<Server | undefined> {
    const { port, backlog, onConnection } = this.parts;
    const server = createServer({ noDelay: true }, onConnection);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host: address, port, backlog, ipv6Only: isIPv6(address) }, resolve);
      });
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EADDRNOTAVAIL') return undefined;
      throw await this.explained(error, code, address);
    }
    // A failed accept (no descriptor left) concerns that connection alone.
    server.on('error', () => undefined);
    return server;
  }

  private async explained(error: unknown, code: string | undefined, address: string): Promise<HoldfastError> {
    const { port } = this.parts;
    if (code === 'EADDRINUSE') return portTaken(port, await listenerOf(port), address);
    const why = code === 'EACCES' ? 'a port below 1024 needs CAP_NET_BIND_SERVICE: run the agent as root' : String(error);
    return new HoldfastError('HF_LOADBALANCER_LISTEN', `port ${port} of ${address} cannot be listened on: ${why}`, { port, address });
  }
}

export function portTaken(port: number, owner: string | undefined, address?: string): HoldfastError {
  const where = address === undefined ? '' : ` of ${address}`;
  return new HoldfastError(
    'HF_LOADBALANCER_PORT_TAKEN',
    `probe port ${port}${where} is taken by ${owner ?? 'another program'}: the load balancer would ask that one; ` +
      'end it there, or give the probe another port (<probe port="…"/>)',
    { port, owner, address },
  );
}

/** Without the loopback and what is valid on one link only. */
function ownAddresses(): readonly string[] {
  const found = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return found.map(({ address }) => address).filter((address) => !/^(127\.|::1$|fe80:)/i.test(address));
}
