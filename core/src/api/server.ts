/**
 * The agent's HTTP API, on two listeners with the same routes:
 *
 * - loopback, plain HTTP, for the operator of this machine, who proves with the token that they may read the configuration folder;
 * - the peer listener, TLS 1.3 with the cluster's key, for the other nodes (peer-tls.ts).
 *
 * Only the loopback listener forwards to other nodes. Everything is refused unless a scope lets it in. Closing never waits for a client.
 */
import type { IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import swagger from '@fastify/swagger';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { fastify, type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { type Authenticate, bearerAuthentication, peerAuthentication, requireCaller } from './authentication.js';
import { registerConfigurationRoutes } from './configuration-routes.js';
import type { AgentService } from './contract.js';
import { EventStreams } from './event-stream.js';
import { bodyOf, failureOf } from './failure.js';
import { PeerAuthenticator, type PeerOptions } from './peer-tls.js';
import { NodeProxy, NODES_PREFIX, splitNodeUrl } from './proxy.js';
import { registerConflictRoutes } from './conflict-routes.js';
import { registerEventRoute, registerModuleRoutes, registerPublicRoutes } from './routes.js';

const BODY_BYTES_MAX = 64 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;
/** Idle time after which a connection is cut; event streams ping more often. */
const CONNECTION_TIMEOUT_MS = 120_000;
const CONNECTIONS_MAX = 512;
/** What a running request gets to finish when the API closes. */
const CLOSE_GRACE_MS = 1_000;

export interface ApiOptions {
  readonly service: AgentService;
  /** Bearer token of the loopback listener. */
  readonly token: string;
  readonly log: FastifyBaseLogger;
  /** Port 0: any free port. */
  readonly loopback: { readonly host: string; readonly port: number };
  /** Absent: a node without cluster; no peer listener, no other nodes to forward to. */
  readonly peer?: PeerOptions;
}

export interface Api {
  /** Ends event streams, lets running requests finish for a moment, then cuts what is left. */
  close(): Promise<void>;
  readonly port: number;
  readonly peerPort?: number;
}

/** @throws HF_API_LISTEN when an address cannot be listened on; nothing is left open then. */
export async function createApi(options: ApiOptions): Promise<Api> {
  const loopback = new Listener(options, bearerAuthentication(options.token), new NodeProxy(options.peer));
  const opened: Listener[] = [];
  try {
    const port = await loopback.open(options.loopback.host, options.loopback.port);
    opened.push(loopback);
    if (options.peer === undefined) return { port, close: () => loopback.close() };
    const authenticator = new PeerAuthenticator(options.peer);
    const peer = new Listener(options, peerAuthentication(authenticator), undefined, authenticator);
    const peerPort = await peer.open(options.peer.address, options.peer.port);
    return {
      port,
      peerPort,
      close: async () => {
        await Promise.all([loopback.close(), peer.close()]);
      },
    };
  } catch (error) {
    await Promise.all(opened.map((listener) => listener.close()));
    throw error;
  }
}

class Listener {
  private readonly app: FastifyInstance;
  private readonly streams: EventStreams;
  /** Every connection, also those still in their TLS handshake, which the HTTP server does not count. */
  private readonly sockets = new Set<Socket>();

  constructor(
    private readonly options: ApiOptions,
    private readonly authenticate: Authenticate,
    private readonly proxy?: NodeProxy,
    authenticator?: PeerAuthenticator,
  ) {
    this.streams = new EventStreams(options.service);
    const settings = {
      loggerInstance: options.log,
      logController: new LogController({ disableRequestLogging: true }),
      bodyLimit: BODY_BYTES_MAX,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      exposeHeadRoutes: false,
      clientErrorHandler: refuseGarbage,
      ajv: { customOptions: { coerceTypes: false as const, removeAdditional: false, useDefaults: true, strict: true, allErrors: false } },
      rewriteUrl: (request: IncomingMessage) => this.rewrite(request.url ?? '/'),
    };
    const secure = authenticator === undefined ? undefined : { https: authenticator.serverOptions() };
    // The cast forgets the kind of server, which no route depends on.
    this.app = (secure === undefined ? fastify(settings) : fastify({ ...settings, ...secure })) as FastifyInstance;
    this.app.server.maxConnections = CONNECTIONS_MAX;
    this.app.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    this.build();
  }

  async open(host: string, port: number): Promise<number> {
    try {
      await this.app.listen({ host, port });
    } catch (error) {
      await this.close();
      throw new HoldfastError(
        'HF_API_LISTEN',
        `the API cannot listen on ${host} port ${port}: ${messageOf(error)}; does another agent run, and is the address on this machine?`,
        { host, port },
        { cause: error },
      );
    }
    return (this.app.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const cut = setTimeout(() => {
      for (const socket of this.sockets) socket.destroy();
    }, CLOSE_GRACE_MS);
    // Clients open connections in advance; the server would wait for a first request on them.
    for (const socket of this.sockets) if (socket.bytesRead === 0) socket.destroy();
    await this.app.close();
    clearTimeout(cut);
  }

  private build(): void {
    const { app, options, streams, proxy } = this;
    // The schemas document; they must not silently drop or change what the service says.
    app.setSerializerCompiler(() => (value) => JSON.stringify(value));
    app.removeContentTypeParser('text/plain');
    app.addHook('onRequest', async (_request, reply) => {
      void reply.headers(SECURITY_HEADERS);
    });
    app.addHook('preClose', async () => {
      streams.close();
      proxy?.close();
    });
    this.audit();
    app.setErrorHandler(async (error, request, reply) => {
      const failure = failureOf(error, request.id);
      if (failure.internal) request.log.error({ err: error, url: request.url }, 'a request failed');
      return reply.code(failure.status).type('application/json; charset=utf-8').send(failure.body);
    });
    const notFound = (request: { method: string; url: string }): never => {
      throw new HoldfastError(
        'HF_API_ROUTE_UNKNOWN',
        `${request.method} ${request.url.slice(0, 200)} is no route; /api/v1/openapi.json lists them`,
      );
    };
    app.setNotFoundHandler(notFound);
    void app.register(swagger, { openapi: OPENAPI, hideUntagged: false });
    void app.register(async (scope) => {
      registerPublicRoutes(scope, options.service);
    });
    void app.register(
      async (scope) => {
        requireCaller(scope, this.authenticate);
        scope.setNotFoundHandler(notFound);
        registerModuleRoutes(scope, options.service);
        registerConfigurationRoutes(scope, options.service);
        registerConflictRoutes(scope, options.service);
        registerEventRoute(scope, streams);
        scope.get('/openapi.json', {
          schema: { tags: ['about'], summary: 'This document', response: { 200: { type: 'object', additionalProperties: true } } },
          handler: () => app.swagger(),
        });
        if (proxy !== undefined) void scope.register(async (nodes) => proxy.register(nodes));
      },
      { prefix: '/api/v1' },
    );
  }

  /** Who changed what: one line per request that is not a mere look. */
  private audit(): void {
    this.app.addHook('onResponse', async (request, reply) => {
      const fields = {
        method: request.method,
        url: request.url,
        status: reply.statusCode,
        caller: this.authenticate(request)?.name ?? 'nobody',
        durationMs: Math.round(reply.elapsedTime),
      };
      if (request.method === 'GET' || request.method === 'HEAD') request.log.debug(fields, 'api request');
      else request.log.info(fields, 'api request');
    });
  }

  /** The own node's name in the URL is served here; a nested one is left to the proxy, which refuses it. */
  private rewrite(url: string): string {
    if (this.proxy === undefined || !url.startsWith(NODES_PREFIX)) return url;
    const target = splitNodeUrl(url);
    const isOwn = target !== undefined && target.node === this.options.service.node && !/^nodes(\/|$)/.test(target.rest);
    return isOwn ? `/api/v1/${target.rest}` : url;
  }
}

const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

const OPENAPI = {
  openapi: '3.1.0' as const,
  info: {
    title: 'Holdfast',
    version: '1',
    description:
      'State and commands of the modules of a node, and of the other nodes through /nodes/{node}/…. Numbers are numbers: nothing is ' +
      'converted, and unknown properties are refused. Every failure has the body {code, message, details}.',
  },
  components: {
    securitySchemes: {
      token: { type: 'http' as const, scheme: 'bearer', description: 'Content of api.token in the configuration folder of the node' },
    },
  },
  security: [{ token: [] }],
};

/** Bytes that are not HTTP: one answer, the connection is closed. */
function refuseGarbage(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const isHeaderOverflow = error.code === 'HPE_HEADER_OVERFLOW';
  const isTimeout = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const status = isHeaderOverflow ? '431 Request Header Fields Too Large' : isTimeout ? '408 Request Timeout' : '400 Bad Request';
  const sentence = isTimeout ? 'the request did not arrive in time' : 'this is not an HTTP/1.1 request that the agent can read';
  const body = JSON.stringify(bodyOf(new HoldfastError('HF_API_REQUEST_INVALID', sentence)));
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
