/**
 * The answer to a load balancer that asks by HTTP or HTTPS: 200 when the application of the module is ready here, else 503 with the reason
 * in one line. One question per connection. What comes in is a stranger's: headers, time and connections are bounded, and whatever is no
 * question ends its own connection alone.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { ConnectionGuard } from './connection-guard.js';

export interface Verdict {
  readonly isReady: boolean;
  /** One line. */
  readonly text: string;
}

/** undefined: no module of this name is probed here. */
export type VerdictOf = (module: string) => Verdict | undefined;

const HEADER_BYTES_MAX = 4096;
/** The path of SafeKit, and a shorter one. */
const PATHS = [/^\/var\/modules\/([^/]+)\/ready\.txt$/, /^\/ready\/([^/]+)$/];
const OPTIONS = { maxHeaderSize: HEADER_BYTES_MAX, requireHostHeader: false, keepAlive: false } as const;

export class HttpProbe {
  private readonly guard = new ConnectionGuard();
  private readonly server: Server;

  /** @param tls certificate chain and private key, PEM; absent: HTTP */
  constructor(
    private readonly verdictOf: VerdictOf,
    tls?: { readonly cert: Buffer; readonly key: Buffer },
  ) {
    const answer = (request: IncomingMessage, response: ServerResponse): void => this.answer(request, response);
    this.server = tls === undefined ? createHttpServer(OPTIONS, answer) : createHttpsServer({ ...OPTIONS, ...tls }, answer);
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
      if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
      else socket.destroy();
    });
    this.server.on('connect', (_request, socket) => {
      socket.end('HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n');
    });
  }

  /** A connection that was accepted. */
  take(socket: Socket): void {
    this.guard.admit(socket);
    this.server.emit('connection', socket);
  }

  close(): void {
    this.guard.endAll();
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => undefined);
    const { method } = request;
    if (method !== 'GET' && method !== 'HEAD') {
      say(response, 405, 'only GET and HEAD are answered here', { allow: 'GET, HEAD' });
      return;
    }
    const module = moduleOf(request.url ?? '');
    const verdict = module === undefined ? undefined : this.verdictOf(module);
    if (verdict === undefined) say(response, 404, 'no module of this node is probed by this path');
    else say(response, verdict.isReady ? 200 : 503, verdict.text);
  }
}

function say(response: ServerResponse, status: number, text: string, headers: Readonly<Record<string, string>> = {}): void {
  const body = `${text}\n`;
  response.writeHead(status, {
    ...headers,
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    connection: 'close',
  });
  response.end(body);
}

function moduleOf(url: string): string | undefined {
  try {
    const { pathname } = new URL(url, 'http://node');
    for (const pattern of PATHS) {
      const name = pattern.exec(pathname)?.[1];
      if (name !== undefined) return decodeURIComponent(name);
    }
  } catch {
    // No address: nothing is found there.
  }
  return undefined;
}
