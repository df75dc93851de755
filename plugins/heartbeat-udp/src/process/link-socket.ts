/**
 * The UDP socket of one link. The first bind must succeed; after that the link looks after itself. A socket bound to an ordinary address
 * survives that the address or its interface goes away and comes back: sends fail meanwhile, which is nobody's business, since sending is
 * best-effort. A socket bound to an IPv6 link-local address does not: it belongs to one interface index, a new interface has a new one, and
 * the old socket would go on sending but never receive. So that index is watched, and the socket made anew when it changes.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { HeartbeatLink } from '@holdfast/sdk';
import { monotonicMs } from '../channel.js';
import { bindFailure, type CodedFailure } from '../errors.js';

const REBIND_INTERVAL_MS = 250;
const SCOPE_CHECK_INTERVAL_MS = 250;
/** After so many refused binds, other than for an absent address, the link is reported as failed; it is still retried. */
const REBIND_REFUSALS_MAX = 8;
/** Frames that the kernel has not taken yet; more are dropped, they would be late anyway. */
const SENDS_OUTSTANDING_MAX = 16;

export interface LinkEvents {
  onDatagram(datagram: Buffer, receivedMs: number): void;
  /** The socket is lost (failure), or bound again (undefined). */
  onState(failure: CodedFailure | undefined): void;
  /** Binding is refused again and again although the address is there. */
  onFailed(failure: CodedFailure): void;
}

export class LinkSocket {
  readonly link: HeartbeatLink;
  readonly #events: LinkEvents;
  #socket: Socket | undefined;
  #scopeCheck: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #refusals = 0;
  #outstanding = 0;
  #closed = false;

  constructor(link: HeartbeatLink, events: LinkEvents) {
    this.link = link;
    this.#events = events;
  }

  /** Resolves to the reason when the address or port cannot be bound. */
  async bind(): Promise<CodedFailure | undefined> {
    const { localAddress, port } = this.link;
    const scope = scopeOf(localAddress);
    const scopeIndex = scope && indexOf(scope);
    // Without its interface the scope would count as "any", and the bind fail with an error that says nothing.
    if (scope !== undefined && scopeIndex === undefined) return bindFailure(this.link, 'EADDRNOTAVAIL');
    const socket = isIPv6(localAddress) ? createSocket({ type: 'udp6', ipv6Only: true }) : createSocket('udp4');
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      socket.once('error', resolve);
      socket.bind({ address: localAddress, port, exclusive: true }, () => resolve(undefined));
    });
    socket.removeAllListeners('error');
    socket.on('error', (failure: NodeJS.ErrnoException) => this.#lose(socket, failure.code ?? 'UNKNOWN'));
    if (error !== undefined || this.#closed) {
      socket.close();
      return bindFailure(this.link, error?.code ?? 'closed');
    }
    socket.on('message', (datagram) => this.#events.onDatagram(datagram, monotonicMs()));
    this.#socket = socket;
    this.#outstanding = 0;
    if (scope !== undefined) {
      this.#scopeCheck = setInterval(() => {
        if (indexOf(scope) !== scopeIndex) this.#lose(socket, 'EADDRNOTAVAIL');
      }, SCOPE_CHECK_INTERVAL_MS);
    }
    return undefined;
  }

  send(frame: Uint8Array): void {
    const socket = this.#socket;
    if (socket === undefined || this.#outstanding >= SENDS_OUTSTANDING_MAX) return;
    this.#outstanding += 1;
    socket.send(frame, this.link.port, this.link.peerAddress, () => {
      if (socket === this.#socket) this.#outstanding -= 1;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#scopeCheck);
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) await new Promise<void>((resolve) => socket.close(() => resolve()));
  }

  #lose(socket: Socket, errno: string): void {
    if (socket !== this.#socket) return;
    clearInterval(this.#scopeCheck);
    this.#socket = undefined;
    socket.close();
    this.#refusals = 0;
    this.#events.onState(bindFailure(this.link, errno));
    this.#retryLater();
  }

  #retryLater(): void {
    if (!this.#closed) this.#retry = setTimeout(() => void this.#rebind(), REBIND_INTERVAL_MS);
  }

  async #rebind(): Promise<void> {
    const failure = await this.bind();
    if (this.#closed) return;
    if (failure === undefined) {
      this.#events.onState(undefined);
      return;
    }
    if (failure.code !== 'HF_HEARTBEAT_ADDRESS_ABSENT') this.#refusals += 1;
    if (this.#refusals === REBIND_REFUSALS_MAX) this.#events.onFailed(failure);
    this.#retryLater();
  }
}

/** `eth0` of `fe80::1%eth0`. */
function scopeOf(address: string): string | undefined {
  return address.split('%')[1];
}

/** Index of an interface that has an IPv6 link-local address, undefined when it is gone or has none. */
function indexOf(scope: string): number | undefined {
  const found = networkInterfaces()[scope]?.find((each) => each.family === 'IPv6' && each.scopeid !== 0);
  return found?.family === 'IPv6' ? found.scopeid : undefined;
}
