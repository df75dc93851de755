/**
 * Stands in front of a node's two ports and lets through what the peer sends. The records of the data connection show their length, so it
 * can count them: at the wanted record, in the wanted direction, it lets nothing through any more and says so. Whatever was held back is
 * dropped when a side closes, as a network does with what was on its way to a node that died.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

const COOKIE_BYTES = 32;
const LENGTH_BYTES = 4;
const TAG_BYTES = 16;

export interface StopPoint {
  readonly direction: 'to-secondary' | 'to-primary';
  /** Records of this direction that still pass. */
  readonly records: number;
  readonly reached: () => void;
}

/** Cuts a stream into records. */
class RecordCounter {
  #left = COOKIE_BYTES;
  #header = Buffer.alloc(0);

  /** @param startsWithCookie the primary's stream does */
  constructor(startsWithCookie: boolean) {
    if (!startsWithCookie) this.#left = 0;
  }

  /** @returns how many bytes of `chunk` may pass when `mayBegin` is asked before every record */
  pass(chunk: Buffer, mayBegin: () => boolean): number {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
        at += taken;
        continue;
      }
      if (this.#header.length === 0 && !mayBegin()) return at;
      const taken = chunk.subarray(at, at + LENGTH_BYTES - this.#header.length);
      this.#header = Buffer.concat([this.#header, taken]);
      at += taken.length;
      if (this.#header.length < LENGTH_BYTES) continue;
      this.#left = this.#header.readUInt32LE(0) + TAG_BYTES;
      this.#header = Buffer.alloc(0);
    }
    return at;
  }
}

export class RecordProxy {
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #controls = new Set<Socket>();
  #stop: StopPoint | undefined;
  #passed = 0;
  #isStopped = false;

  /** Listens on `address`, two ports from `port` on, in front of `target` and the port after it. */
  static async listen(address: string, port: number, target: number): Promise<RecordProxy> {
    const proxy = new RecordProxy();
    for (const [index, isData] of [false, true].entries()) {
      const server = createServer((primary) => proxy.#join(primary, address, target + index, isData));
      proxy.#servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port + index, address, resolve);
      });
    }
    return proxy;
  }

  /** Counts from now on. */
  arm(stop: StopPoint): void {
    this.#passed = 0;
    this.#stop = stop;
  }

  /** Ends the control connection alone; what is held back of the data connection stays so. */
  endControl(): void {
    for (const socket of this.#controls) socket.destroy();
  }

  /** Ends every connection, drops what was held back, and lets new ones pass. */
  reset(): void {
    this.#stop = undefined;
    this.#isStopped = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.reset();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #join(primary: Socket, address: string, port: number, isData: boolean): void {
    const secondary = connect({ host: address, port });
    const pair = [primary, secondary];
    for (const socket of pair) {
      this.#sockets.add(socket);
      if (!isData) this.#controls.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        this.#controls.delete(socket);
        if (!this.#isStopped) for (const each of pair) each.destroy();
      });
    }
    this.#pipe(primary, secondary, 'to-secondary', isData);
    this.#pipe(secondary, primary, 'to-primary', isData);
  }

  #pipe(from: Socket, to: Socket, direction: StopPoint['direction'], isData: boolean): void {
    const counter = new RecordCounter(direction === 'to-secondary');
    from.on('data', (chunk: Buffer) => {
      if (this.#isStopped) return;
      const end = isData ? counter.pass(chunk, () => this.#mayBegin(direction)) : chunk.length;
      if (end > 0) to.write(chunk.subarray(0, end));
    });
  }

  #mayBegin(direction: StopPoint['direction']): boolean {
    const stop = this.#stop;
    if (this.#isStopped || stop?.direction !== direction) return !this.#isStopped;
    this.#passed += 1;
    if (this.#passed <= stop.records) return true;
    this.#isStopped = true;
    this.#stop = undefined;
    // What passed before is on its way: it arrives before anybody is killed.
    setImmediate(stop.reached);
    return false;
  }
}
