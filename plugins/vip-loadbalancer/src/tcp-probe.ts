/**
 * A probe for balancers that only look whether a port accepts: it listens while the application is ready, and not otherwise. A process
 * that hangs goes on accepting, by its kernel, for as long as there is room in the backlog: it is as small as the kernel allows.
 */
import { AddressListener, portTaken } from './address-listener.js';
import { ConnectionGuard } from './connection-guard.js';
import { listenerOf } from './port-owner.js';

const BACKLOG = 1;

export class TcpProbe {
  private readonly guard = new ConnectionGuard();
  private readonly listener: AddressListener;
  private isOpen = false;

  constructor(
    private readonly port: number,
    addresses: readonly string[],
    onProbe: () => void,
  ) {
    this.listener = new AddressListener({
      port,
      backlog: BACKLOG,
      more: () => addresses,
      onConnection: (socket) => {
        onProbe();
        this.guard.admit(socket);
        socket.resume();
        socket.end();
      },
    });
  }

  /** @throws HoldfastError HF_LOADBALANCER_PORT_TAKEN when it could not be opened later */
  async examine(): Promise<void> {
    const owner = await listenerOf(this.port);
    if (owner !== undefined) throw portTaken(this.port, owner);
  }

  /** @throws HoldfastError HF_LOADBALANCER_PORT_TAKEN */
  async set(isOpen: boolean): Promise<void> {
    if (this.isOpen === isOpen) return;
    if (isOpen) await this.listener.open();
    else await this.shut();
    this.isOpen = isOpen;
  }

  /** @throws HoldfastError HF_LOADBALANCER_PORT_TAKEN */
  async refresh(): Promise<void> {
    if (this.isOpen) await this.listener.refresh();
  }

  private async shut(): Promise<void> {
    await this.listener.close();
    this.guard.endAll();
  }
}
