/**
 * Bounds what strangers can hold open on a probe port. When there are too many connections the oldest is ended, and not the newest
 * refused: probes take milliseconds, so what is old is none, and a port that somebody fills must go on answering the load balancer.
 */
import type { Socket } from 'node:net';

export const CONNECTIONS_MAX = 256;
export const CONNECTIONS_OF_ONE_HOST_MAX = 32;
/** From the connection to the end of the answer. */
export const CONNECTION_MS_MAX = 5000;

export class ConnectionGuard {
  /** With the host that each comes from, oldest first. */
  private readonly open = new Map<Socket, string>();

  get size(): number {
    return this.open.size;
  }

  admit(socket: Socket): void {
    // A connection that is reset by its client has no address any more.
    const host = socket.remoteAddress ?? '';
    const ofHost = [...this.open].filter(([, from]) => from === host).map(([one]) => one);
    if (ofHost.length >= CONNECTIONS_OF_ONE_HOST_MAX) this.end(ofHost[0]);
    else if (this.open.size >= CONNECTIONS_MAX) this.end([...this.open.keys()][0]);
    this.open.set(socket, host);
    const limit = setTimeout(() => this.end(socket), CONNECTION_MS_MAX).unref();
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(limit);
      this.open.delete(socket);
    });
  }

  endAll(): void {
    for (const socket of [...this.open.keys()]) this.end(socket);
  }

  private end(socket: Socket | undefined): void {
    if (socket === undefined) return;
    this.open.delete(socket);
    socket.destroy();
  }
}
