/**
 * The witness server: one process for hundreds of clusters on any third machine. TLS 1.3 with a pre-shared key per cluster and nothing
 * else: there is no certificate that expires, and without a key nobody gets past the handshake.
 */
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { HoldfastError, type Log, type RunningWitnessServer, type WitnessServerOptions, messageOf } from '@holdfast/sdk';
import { BODY_BYTES_MAX, TLS_OPTIONS } from '../protocol.js';
import { Clusters } from './clusters.js';
import { Connections, HANDSHAKE_TIMEOUT_MS } from './connections.js';
import { prepareFolder, writeLastUse } from './folder.js';
import { type Health, createHealthServer } from './health.js';
import { lockFolder } from './lock.js';
import { type Answer, answer, failure } from './requests.js';

/** Shown by the health page; the package's. */
const VERSION = '0.1.0';
/** Headers and body of one request. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Longer than the nodes' rhythm, so that their connections stay. */
const KEEP_ALIVE_MS = 60_000;
const HEADER_BYTES_MAX = 4 * 1024;
const LAST_USE_INTERVAL_MS = 10_000;
/** The kernel's own limit is the smaller one. */
const BACKLOG = 4_096;

export async function serve(options: WitnessServerOptions): Promise<RunningWitnessServer> {
  const { dataDirectory, log } = options;
  await prepareFolder(dataDirectory);
  const lock = await lockFolder(dataDirectory);
  const undo: (() => Promise<void>)[] = [() => lock.close()];
  try {
    const clusters = new Clusters(dataDirectory, log);
    await clusters.openAll();
    const server = new WitnessServer(clusters, dataDirectory, log);
    undo.push(() => server.close());
    const port = await server.listen(options.listen);
    let healthPort: number | undefined;
    if (options.health !== undefined) {
      const health = createHealthServer(() => server.health());
      undo.push(() => closed(health));
      healthPort = await listening(health, options.health);
    }
    const clustersText = `${clusters.size} ${clusters.size === 1 ? 'cluster' : 'clusters'}`;
    log.info(`the witness serves ${clustersText} on ${options.listen.host} port ${port}`, { dataDirectory });
    let closing: Promise<void> | undefined;
    const close = (): Promise<void> => (closing ??= closeAll(undo));
    return { port, ...(healthPort === undefined ? {} : { healthPort }), close };
  } catch (error) {
    await closeAll(undo);
    throw error;
  }
}

async function closeAll(undo: (() => Promise<void>)[]): Promise<void> {
  for (const close of undo.reverse()) await close();
}

class WitnessServer {
  readonly #connections = new Connections();
  readonly #server: Server;
  readonly #startedMs = performance.now();
  readonly #counts = { handshakesRefused: 0, requests: 0, refused: 0, failed: 0, granted: 0, claimsRefused: 0 };
  readonly #lastUse: NodeJS.Timeout;

  constructor(
    private readonly clusters: Clusters,
    private readonly dataDirectory: string,
    private readonly log: Log,
  ) {
    const server = createServer(
      {
        ...TLS_OPTIONS,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: 2_000,
        maxHeaderSize: HEADER_BYTES_MAX,
        pskCallback: (socket, identity) => this.#keyOf(socket, identity),
      },
      (request, response) => void this.#serve(request, response),
    );
    server.on('secureConnection', (socket) => {
      if (!this.#connections.accept(socket)) socket.destroy();
    });
    server.on('tlsClientError', (_error, socket) => {
      this.#counts.handshakesRefused += 1;
      socket.destroy();
    });
    server.on('clientError', (_error, socket) => socket.destroy());
    this.#connections.watch(server);
    this.#server = server;
    this.#lastUse = setInterval(() => void this.#writeLastUse(), LAST_USE_INTERVAL_MS);
  }

  listen(place: { readonly host: string; readonly port: number }): Promise<number> {
    return listening(this.#server, place);
  }

  health(): Health {
    const { handshakesRefused, requests, refused, failed, granted, claimsRefused } = this.#counts;
    return {
      status: this.clusters.all().some(({ failing }) => failing) ? 'degraded' : 'ok',
      version: VERSION,
      uptimeSeconds: Math.round((performance.now() - this.#startedMs) / 1_000),
      clusters: this.clusters.size,
      connections: this.#connections.open,
      handshakes: { underWay: this.#connections.strangers, refused: handshakesRefused },
      requests: { total: requests, refused, failed },
      claims: { granted, refused: claimsRefused },
    };
  }

  /** Answers nothing any more, and resolves when what was being written is written. */
  async close(): Promise<void> {
    clearInterval(this.#lastUse);
    const done = closed(this.#server);
    this.#connections.closeAll();
    await done;
    await this.clusters.idle();
    await this.#writeLastUse();
  }

  #keyOf(socket: object, identity: string): Buffer | null {
    try {
      const found = this.clusters.find(identity);
      if (found === undefined) return null;
      this.#connections.offered(socket, found.membership);
      return found.key;
    } catch (error) {
      this.log.error(messageOf(error), { cluster: identity.slice(0, 64) });
      return null;
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let result: Answer | undefined;
    try {
      result = await this.#answer(request);
    } catch (error) {
      this.log.error(`a question could not be answered: ${messageOf(error)}`);
      result = failure(500, 'HF_WITNESS_STATE', 'the witness cannot answer; its log says why');
    }
    if (result === undefined) {
      request.socket.destroy();
      return;
    }
    this.#count(request, result);
    const body = `${JSON.stringify(result.body)}\n`;
    const last = request.complete ? {} : { connection: 'close' };
    response.writeHead(result.status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...last });
    response.end(body);
  }

  /** undefined: no answer, the connection ends. */
  async #answer(request: IncomingMessage): Promise<Answer | undefined> {
    const membership = this.#connections.membershipOf(request.socket);
    if (membership === undefined || !this.clusters.isCurrent(membership)) return undefined;
    if (!membership.use()) return failure(429, 'HF_WITNESS_STATE', 'too many questions of this cluster; ask again in a second');
    if (request.method === 'GET' && request.url === '/v1/health') return { status: 200, body: this.health() };
    const body = await bodyOf(request);
    if (body === undefined) return failure(413, 'HF_WITNESS_INVALID', `a question has at most ${BODY_BYTES_MAX} bytes`);
    return answer(request.method ?? '', request.url ?? '', body, membership);
  }

  #count(request: IncomingMessage, { status, body }: Answer): void {
    const counts = this.#counts;
    counts.requests += 1;
    if (status >= 500) counts.failed += 1;
    else if (status >= 400) counts.refused += 1;
    const membership = this.#connections.membershipOf(request.socket);
    if (membership !== undefined && request.method !== 'GET') membership.failing = status >= 500;
    if (request.method !== 'POST' || status !== 200) return;
    if ((body as { readonly outcome?: unknown }).outcome === 'granted') counts.granted += 1;
    else counts.claimsRefused += 1;
  }

  async #writeLastUse(): Promise<void> {
    const used = this.clusters.all().flatMap(({ cluster, lastUse }) => (lastUse === undefined ? [] : [[cluster, lastUse] as const]));
    await writeLastUse(this.dataDirectory, new Map(used)).catch((error: unknown) =>
      this.log.warn(`the times of the clusters' last questions cannot be written: ${messageOf(error)}`),
    );
  }
}

/** undefined: too large. Rejects when the client goes away in the middle. */
function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    request.on('data', (piece: Buffer) => {
      length += piece.length;
      if (length > BODY_BYTES_MAX) resolve(undefined);
      else pieces.push(piece);
    });
    request.once('end', () => resolve(Buffer.concat(pieces).toString('utf8')));
    request.once('error', reject);
  });
}

async function listening(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<number> {
  server.listen({ host, port, backlog: BACKLOG });
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A machine without IPv6: "everywhere" has another name there.
    if (host === '::' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL')) return listening(server, { host: '0.0.0.0', port });
    throw new HoldfastError('HF_WITNESS_LISTEN', `${host} port ${port} cannot be listened on: ${messageOf(error)}`, { host, port });
  }
  return (server.address() as AddressInfo).port;
}

async function closed(server: Server): Promise<void> {
  if (!server.listening) return;
  const end = once(server, 'close');
  server.close();
  (server as Partial<{ closeAllConnections: () => void }>).closeAllConnections?.();
  await end;
}
