/**
 * `/api/v1/nodes/<node>/…`: the same routes on another node, through this node, so that a client needs one connection and one token. One
 * hop only: the peer listener has no such route. Each request opens its own connection: a pooled one to a node that lost its power would
 * hang until the answer's timeout, a new one fails at the connection's.
 */
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { EVENT_PING_MS } from './event-stream.js';
import { type PeerNode, type PeerOptions, peerPreSharedKey, peerRequestOptions } from './peer-tls.js';
import { errorBody } from './schemas.js';

const CONNECT_TIMEOUT_MS = 5_000;
const ANSWER_TIMEOUT_MS = 30_000;
/** Silence within an answer after which the node counts as gone; event streams ping more often. */
const SILENCE_TIMEOUT_MS = 3 * EVENT_PING_MS;
/** The token is not among them: it is this node's secret and means nothing elsewhere. */
const REQUEST_HEADERS = ['content-type', 'accept', 'last-event-id'] as const;
const RESPONSE_HEADERS = ['content-type'] as const;

export const NODES_PREFIX = '/api/v1/nodes/';

/** `/api/v1/nodes/node2/modules?x` → node2, `modules?x`. Anything else: undefined. */
export function splitNodeUrl(url: string): { readonly node: string; readonly rest: string } | undefined {
  const match = /^\/api\/v1\/nodes\/([A-Za-z0-9_.-]{1,64})\/(.*)$/.exec(url);
  return match === null ? undefined : { node: match[1] ?? '', rest: match[2] ?? '' };
}

export class NodeProxy {
  private readonly closing = new AbortController();
  private readonly peers: ReadonlyMap<string, PeerNode>;
  private readonly key: Buffer | undefined;

  constructor(private readonly options: PeerOptions | undefined) {
    this.peers = new Map(options?.peers.map((peer) => [peer.name, peer]));
    this.key = options === undefined ? undefined : peerPreSharedKey(options.clusterKey);
  }

  /** Adds the routes to a protected scope with the prefix /api/v1. */
  register(scope: FastifyInstance): void {
    // The body travels as it came; the node that answers validates it.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
      done(null, body);
    });
    scope.route<{ Params: { node: string } }>({
      method: ['GET', 'POST', 'DELETE'],
      url: '/nodes/:node/*',
      schema: {
        tags: ['nodes'],
        summary: 'Any route on another node',
        description:
          'Forwards to the named node of the cluster. The own name is served here. Paths are those of this document without /api/v1.',
        params: {
          type: 'object',
          required: ['node'],
          properties: {
            node: { type: 'string', description: 'Name of the node' },
            '*': { type: 'string', description: 'Path, e.g. modules' },
          },
        },
        response: { default: errorBody },
      },
      handler: async (request, reply) => this.forward(request, reply),
    });
  }

  close(): void {
    this.closing.abort();
  }

  private async forward(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const target = splitNodeUrl(request.url);
    if (target === undefined || target.rest === 'nodes' || target.rest.startsWith('nodes/')) {
      throw new HoldfastError(
        'HF_API_PROXY_NESTED',
        `${request.url} does not name a route of a node; one node may be named, and a path behind it`,
      );
    }
    const peer = this.peers.get(target.node);
    if (peer === undefined || this.options === undefined || this.key === undefined) {
      throw new HoldfastError(
        'HF_NODE_UNKNOWN',
        `the cluster of this node has no other node "${target.node}"; "holdfast cluster state" lists them`,
        {
          node: target.node,
          nodes: [...this.peers.keys()],
        },
      );
    }
    const answer = await this.ask(peer, `/api/v1/${target.rest}`, request, this.options, this.key);
    void reply.code(answer.statusCode ?? 502);
    for (const header of RESPONSE_HEADERS) {
      const value = answer.headers[header];
      if (value !== undefined) void reply.header(header, value);
    }
    return reply.send(answer);
  }

  private ask(peer: PeerNode, path: string, request: FastifyRequest, options: PeerOptions, key: Buffer): Promise<IncomingMessage> {
    const body = Buffer.isBuffer(request.body) ? request.body : undefined;
    const headers: Record<string, string | number> = body === undefined ? {} : { 'content-length': body.byteLength };
    for (const header of REQUEST_HEADERS) {
      const value = request.headers[header];
      if (typeof value === 'string') headers[header] = value;
    }
    return new Promise((resolve, reject) => {
      const asked = httpsRequest({
        ...peerRequestOptions(options, key),
        host: peer.address,
        port: options.port,
        method: request.method,
        path,
        headers,
        signal: this.closing.signal,
      });
      let phase: 'connect' | 'answer' = 'connect';
      let timer = setTimeout(() => asked.destroy(timeoutOf(peer, 'could not be reached', CONNECT_TIMEOUT_MS)), CONNECT_TIMEOUT_MS);
      asked.once('socket', (socket) => {
        socket.once('secureConnect', () => {
          phase = 'answer';
          clearTimeout(timer);
          timer = setTimeout(() => asked.destroy(timeoutOf(peer, 'did not answer', ANSWER_TIMEOUT_MS)), ANSWER_TIMEOUT_MS);
        });
      });
      asked.once('response', (answer) => {
        clearTimeout(timer);
        answer.setTimeout(SILENCE_TIMEOUT_MS, () => answer.destroy(timeoutOf(peer, 'fell silent', SILENCE_TIMEOUT_MS)));
        resolve(answer);
      });
      // Not once: an abort after the answer began is reported here too.
      asked.on('error', (error) => {
        clearTimeout(timer);
        reject(error instanceof HoldfastError ? error : unreachable(peer, options.port, phase, error));
      });
      asked.end(body);
    });
  }
}

function timeoutOf(peer: PeerNode, what: string, timeoutMs: number): HoldfastError {
  return new HoldfastError(
    'HF_NODE_TIMEOUT',
    `node "${peer.name}" at ${peer.address} ${what} within ${timeoutMs} ms; is it running and connected?`,
    {
      node: peer.name,
      address: peer.address,
      timeoutMs,
    },
  );
}

function unreachable(peer: PeerNode, port: number, phase: 'connect' | 'answer', error: Error): HoldfastError {
  const cause = messageOf(error);
  const isTls = /ssl|tls|alert|psk/i.test(cause);
  const likely = isTls
    ? 'do both nodes have the same cluster.key and cluster.xml?'
    : phase === 'connect'
      ? 'is its agent running, and does a firewall let the port through?'
      : 'did its agent stop meanwhile?';
  return new HoldfastError('HF_NODE_UNREACHABLE', `node "${peer.name}" at ${peer.address} port ${port}: ${cause}; ${likely}`, {
    node: peer.name,
    address: peer.address,
    port,
    cause,
  });
}
