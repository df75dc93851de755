/** Every route of both listeners against every kind of caller; the list of routes is the OpenAPI document's own. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { request as httpsRequest } from 'node:https';
import { connect as tcpConnect } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect, type TLSSocket } from 'node:tls';
import { type PeerOptions, peerPreSharedKey, peerRequestOptions } from '../src/api/peer-tls.js';
import { createApi } from '../src/api/server.js';
import { type MemoryAgent, startMemoryPair } from './api-memory-agent.js';

interface Route {
  readonly method: string;
  readonly path: string;
  readonly isPublic: boolean;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly security?: readonly unknown[]; readonly summary?: string }>>>>;
}

describe('API authentication', () => {
  let first: MemoryAgent;
  let second: MemoryAgent;
  let peer: PeerOptions;
  let routes: readonly Route[];

  before(async () => {
    ({ first, second, peer } = await startMemoryPair());
    const document = (await (await ask('/api/v1/openapi.json', { authorization: `Bearer ${first.token}` })).json()) as Document;
    routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path: path.replace('{module}', 'absent').replace('{node}', 'node2').replace('{*}', 'modules/absent'),
        isPublic: operation.security?.length === 0,
      })),
    );
  });
  after(async () => {
    await Promise.all([first.close(), second.close()]);
  });

  const ask = (path: string, headers: Record<string, string>, method = 'GET'): Promise<Response> =>
    fetch(first.baseUrl + path, {
      method,
      headers: { ...headers, ...(method === 'POST' ? { 'content-type': 'application/json' } : {}) },
      ...(method === 'POST' ? { body: '{}' } : {}),
      signal: AbortSignal.timeout(5_000),
    });

  const statusOf = async (route: Route, headers: Record<string, string>): Promise<number> => {
    const response = await ask(route.path, headers, route.method);
    await response.body?.cancel();
    return response.status;
  };

  it('documents every route, and only the two probes are public', () => {
    assert.ok(routes.length >= 13, `${routes.length} routes`);
    assert.deepEqual(
      routes.filter((route) => route.isPublic && route.method !== 'HEAD').map((route) => route.path),
      ['/api/v1/health', '/var/modules/absent/ready.txt'],
    );
  });

  it('refuses every protected route, known or not, to callers without the exact token', async () => {
    const wrong: Record<string, Record<string, string>> = {
      'no token': {},
      'empty token': { authorization: 'Bearer ' },
      'wrong token': { authorization: `Bearer ${randomBytes(32).toString('hex')}` },
      'truncated token': { authorization: `Bearer ${first.token.slice(0, -1)}` },
      'token with one character more': { authorization: `Bearer ${first.token}0` },
      'token in another case': { authorization: `Bearer ${first.token.toUpperCase()}` },
      'another scheme': { authorization: `Basic ${Buffer.from(`root:${first.token}`).toString('base64')}` },
      'bare token': { authorization: first.token },
      "the other node's token": { authorization: `Bearer ${second.token}` },
    };
    const unknown: Route = { method: 'GET', path: '/api/v1/secret', isPublic: false };
    const around: Route[] = [
      '/api/v1/nodes/node1/modules',
      '/api/v1//modules',
      '/api/v1/./modules',
      '/api/v1/health/../modules',
      '/api/v1/MODULES',
    ].map((path) => ({ method: 'GET', path, isPublic: false }));
    for (const route of [...routes.filter(({ isPublic }) => !isPublic), unknown, ...around]) {
      for (const [label, headers] of Object.entries(wrong)) {
        assert.equal(await statusOf(route, headers), 401, `${route.method} ${route.path} with ${label}`);
      }
    }
  });

  it('lets the token in everywhere', async () => {
    for (const route of routes) {
      const status = await statusOf(route, { authorization: `Bearer ${first.token}` });
      assert.ok([200, 400, 404].includes(status), `${route.method} ${route.path}: ${status}`);
    }
  });

  it('serves another node of the cluster on the peer listener without a token', async () => {
    for (const route of routes.filter(({ path }) => !path.includes('/nodes/'))) {
      const { status } = await askPeer(route, {});
      assert.ok([200, 400, 404].includes(status), `${route.method} ${route.path}: ${status}`);
    }
  });

  it('has no way to a third node on the peer listener', async () => {
    const { status } = await askPeer({ method: 'GET', path: '/api/v1/nodes/node1/modules', isPublic: false }, {});
    assert.equal(status, 404);
  });

  it('breaks the handshake of a node with another cluster key, an unknown name, its own name, or no key at all', async () => {
    const key = peerPreSharedKey(peer.clusterKey);
    const attempts: Record<string, ConnectionOptions> = {
      'wrong key': { pskCallback: () => ({ psk: randomBytes(32), identity: 'node1' }) },
      'cluster key instead of the derived one': { pskCallback: () => ({ psk: peer.clusterKey, identity: 'node1' }) },
      'unknown name': { pskCallback: () => ({ psk: key, identity: 'intruder' }) },
      'inherited name': { pskCallback: () => ({ psk: key, identity: 'constructor' }) },
      'the name of the node that is asked': { pskCallback: () => ({ psk: key, identity: 'node2' }) },
      'no key': { pskCallback: () => null },
      'TLS without key': { rejectUnauthorized: false },
      'TLS 1.2': {
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.2',
        ciphers: 'PSK-AES128-GCM-SHA256',
        pskCallback: () => ({ psk: key, identity: 'node1' }),
      },
    };
    for (const [label, options] of Object.entries(attempts)) {
      await assert.rejects(
        askPeer({ method: 'GET', path: '/api/v1/health', isPublic: true }, options),
        /alert|ssl|tls|ECONNRESET|disconnected/i,
        label,
      );
    }
  });

  it('does not accept a resumed session in place of the key', async () => {
    const session = await sessionOfPeer();
    const options: ConnectionOptions = { session, pskCallback: () => null, rejectUnauthorized: false };
    const outcome = await askPeer({ method: 'GET', path: '/api/v1/modules', isPublic: false }, options).then(
      ({ status }) => status,
      () => 'refused',
    );
    assert.ok(outcome === 'refused' || outcome === 401, `outcome ${outcome}`);
  });

  it('does not speak plain HTTP on the peer listener', async () => {
    const answer = await exchange(`GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n`);
    assert.doesNotMatch(answer, /HTTP\/1\.1 200/);
  });

  it('refuses a token or a cluster key that is too short to protect anything', async () => {
    const { service } = first;
    const log = (await import('pino')).pino({ level: 'silent' });
    const loopback = { host: '127.0.0.1', port: 0 };
    await assert.rejects(createApi({ service, token: '', log, loopback }), { code: 'HF_API_TOKEN_WEAK' });
    const short = { ...peer, clusterKey: new Uint8Array(16) };
    await assert.rejects(createApi({ service, token: first.token, log, loopback, peer: short }), { code: 'HF_CLUSTER_KEY_INVALID' });
  });

  /** As node1 to node2's peer listener, with the TLS options overridden. */
  function askPeer(route: Route, overrides: ConnectionOptions): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const base = peerRequestOptions(peer, peerPreSharedKey(peer.clusterKey));
      const request = httpsRequest({
        ...base,
        ...('rejectUnauthorized' in overrides && !('session' in overrides) ? { pskCallback: undefined, ciphers: undefined } : {}),
        ...(overrides as object),
        host: '127.0.0.2',
        port: peer.port,
        method: route.method,
        path: route.path,
        timeout: 4_000,
        ...(route.method === 'POST' ? { headers: { 'content-type': 'application/json' } } : {}),
      });
      request.once('error', reject);
      request.once('timeout', () => request.destroy(new Error('no answer')));
      request.once('response', (response) => {
        if (route.path.endsWith('/events')) {
          resolve({ status: response.statusCode ?? 0, text: '' });
          request.destroy();
          return;
        }
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      request.end(route.method === 'POST' ? '{}' : undefined);
    });
  }

  /** A session ticket of a real peer, undefined when the server gives none. */
  function sessionOfPeer(): Promise<Buffer | undefined> {
    return new Promise((resolve, reject) => {
      let session: Buffer | undefined;
      const { agent: _agent, ...options } = peerRequestOptions(peer, peerPreSharedKey(peer.clusterKey));
      const socket: TLSSocket = tlsConnect({ ...(options as ConnectionOptions), host: '127.0.0.2', port: peer.port });
      socket.on('session', (ticket: Buffer) => (session = ticket));
      socket.once('error', reject);
      socket.on('data', () => socket.end());
      socket.once('close', () => resolve(session));
      socket.write('GET /api/v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    });
  }

  function exchange(bytes: string): Promise<string> {
    return new Promise((resolve) => {
      const socket = tcpConnect(peer.port, '127.0.0.2');
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.once('close', () => resolve(text));
      socket.write(bytes);
    });
  }
});
