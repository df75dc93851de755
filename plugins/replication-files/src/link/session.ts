/**
 * The control connection of a link: TLS 1.3 with a pre-shared key between the main threads of the two replicators. The primary says HELLO,
 * the secondary accepts or refuses; both then have the keys of the data connection. It stays open: when it ends, the link has ended.
 */
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { WireError } from '../wire/bytes.js';
import { decodeHello, decodeReply, encodeGreeting, GREETING_BYTES_MAX, type Hello, type Reply } from './greeting.js';
import { exportKeys, moduleKey, type LinkKeys } from './keys.js';

const GREETING_TIMEOUT_MS = 5000;
const CONNECTIONS_MAX = 16;
const TLS = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const;

export interface LinkIdentity {
  readonly module: string;
  readonly localNode: string;
  readonly peerNode: string;
  /** The cluster's 32 bytes. */
  readonly key: Uint8Array;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** One agreed link, seen from either end. */
export class LinkSession {
  #ended = false;
  #onEnd: (() => void) | undefined;

  constructor(
    private readonly socket: TLSSocket,
    readonly hello: Hello,
    readonly keys: LinkKeys,
  ) {
    // Nothing more is said on this connection: whatever comes is dropped, so that its end is noticed.
    socket.resume();
    socket.setKeepAlive(true, 2000);
    socket.on('error', () => this.#end());
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#end());
  }

  /** Called once, when the connection has ended for whatever reason but `close`. */
  onEnd(listener: () => void): void {
    this.#onEnd = listener;
    if (this.#ended) queueMicrotask(listener);
  }

  close(): void {
    this.#onEnd = undefined;
    this.#ended = true;
    this.socket.destroy();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.socket.destroy();
    this.#onEnd?.();
  }
}

/**
 * Decides about a HELLO. When it answers with welcome, it must be ready for the data connection that comes with `keys.cookie`.
 */
export type Decide = (hello: Hello, keys: LinkKeys) => Promise<Reply>;

/** The secondary's end. */
export class LinkServer {
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();

  private constructor(
    identity: LinkIdentity,
    private readonly decide: Decide,
    private readonly onSession: (session: LinkSession) => void,
    private readonly onRefused: (reason: string) => void,
  ) {
    const psk = moduleKey(identity.key, identity.module);
    this.#server = createServer({
      ...TLS,
      handshakeTimeout: GREETING_TIMEOUT_MS,
      pskCallback: (_socket, name) => (name === identity.peerNode ? psk : null),
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on('secureConnection', (socket) => void this.#greet(socket));
    this.#server.on('tlsClientError', (error) => this.onRefused(messageOf(error)));
    this.#server.on('connection', (socket: TLSSocket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /**
   * @param onRefused what did not become a link: garbage, a wrong key, a refused HELLO. For the log.
   * @throws HoldfastError HF_REPLICATION_LISTEN
   */
  static async listen(
    endpoint: Endpoint,
    identity: LinkIdentity,
    decide: Decide,
    onSession: (session: LinkSession) => void,
    onRefused: (reason: string) => void,
  ): Promise<LinkServer> {
    const server = new LinkServer(identity, decide, onSession, onRefused);
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', (error: Error) => {
        const { address, port } = endpoint;
        const message = `cannot listen on ${address} port ${port}: ${error.message}; is another module or process using the port?`;
        reject(new HoldfastError('HF_REPLICATION_LISTEN', message, { address, port }));
      });
      server.#server.listen(endpoint.port, endpoint.address, resolve);
    });
    server.#server.on('error', (error: Error) => onRefused(error.message));
    return server;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Ends listening and every connection, sessions included. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #greet(socket: TLSSocket): Promise<void> {
    socket.on('error', () => socket.destroy());
    try {
      const hello = decodeHello(await readLine(socket));
      const keys = exportKeys(socket);
      const reply = await this.decide(hello, keys);
      if (socket.destroyed) return;
      if (reply.welcome) {
        socket.write(encodeGreeting(reply));
        this.onSession(new LinkSession(socket, hello, keys));
      } else {
        socket.end(encodeGreeting(reply));
        // The refused node closes when it has read the reason; one that does not is not waited for.
        socket.setTimeout(GREETING_TIMEOUT_MS, () => socket.destroy());
        this.onRefused(`${reply.code}: ${reply.message}`);
      }
    } catch (error) {
      socket.destroy();
      this.onRefused(messageOf(error));
    }
  }
}

/**
 * The primary's end: one attempt.
 * @throws HoldfastError HF_REPLICATION_CONNECT (nobody there, wrong key), HF_REPLICATION_REFUSED with `details.code` (see RefusalCode),
 * HF_REPLICATION_FRAME
 */
export async function connectLink(endpoint: Endpoint, identity: LinkIdentity, hello: Hello, localAddress?: string): Promise<LinkSession> {
  const psk = moduleKey(identity.key, identity.module);
  const socket = connect({
    ...TLS,
    host: endpoint.address,
    port: endpoint.port,
    ...(localAddress === undefined ? {} : { localAddress }),
    pskCallback: () => ({ psk, identity: identity.localNode }),
    // The pre-shared key names the peer; there are no certificates, and no authority whose certificate would do instead.
    checkServerIdentity: () => undefined,
    ca: [],
  });
  try {
    await secured(socket, endpoint);
    socket.write(encodeGreeting(hello));
    const reply = decodeReply(await readLine(socket));
    if (!reply.welcome) {
      const message = `${identity.peerNode} refuses the link: ${reply.message}`;
      throw new HoldfastError('HF_REPLICATION_REFUSED', message, { code: reply.code });
    }
    return new LinkSession(socket, hello, exportKeys(socket));
  } catch (error) {
    socket.on('error', () => undefined);
    socket.destroy();
    throw error;
  }
}

async function secured(socket: TLSSocket, endpoint: Endpoint): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string): void => {
      const message = `no link to ${endpoint.address} port ${endpoint.port}: ${why}`;
      reject(new HoldfastError('HF_REPLICATION_CONNECT', message, { ...endpoint }));
    };
    socket.setTimeout(GREETING_TIMEOUT_MS, () => fail(`no answer within ${GREETING_TIMEOUT_MS / 1000} s`));
    socket.once('error', (error: Error) => fail(`${error.message}; is the peer's module a secondary, with the same cluster key?`));
    socket.once('close', () => fail('the peer closed the connection'));
    socket.once('secureConnect', () => {
      socket.setTimeout(0);
      resolve();
    });
  });
}

/** The first line, within GREETING_TIMEOUT_MS and GREETING_BYTES_MAX. */
async function readLine(socket: TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const timer = setTimeout(() => finish(() => reject(new WireError('no greeting in time'))), GREETING_TIMEOUT_MS);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('close', onClose);
      socket.off('error', onClose);
      socket.pause();
      settle();
    };
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf(0x0a);
      if (end >= 0) finish(() => resolve(received.toString('utf8', 0, end)));
      else if (received.length > GREETING_BYTES_MAX) finish(() => reject(new WireError('a greeting that does not end')));
    };
    const onClose = (): void => finish(() => reject(new WireError('the connection ended before the greeting')));
    socket.on('data', onData);
    socket.on('close', onClose);
    socket.on('error', onClose);
  });
}
