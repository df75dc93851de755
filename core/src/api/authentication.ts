/**
 * Who calls. The only place that lets a request in: each listener has one function from a request to a caller, and one hook, put on the
 * whole scope of protected routes, refuses every request without one.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { HoldfastError } from '@holdfast/sdk';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { PeerAuthenticator } from './peer-tls.js';

export interface Caller {
  /** `operator`: someone on this machine who can read the token; `node`: another node of the cluster. */
  readonly kind: 'operator' | 'node';
  readonly name: string;
}

export type Authenticate = (request: FastifyRequest) => Caller | undefined;

const TOKEN_LENGTH_MIN = 32;

/** Bearer token, compared in constant time; hashing first makes lengths equal. */
export function bearerAuthentication(token: string): Authenticate {
  if (token.length < TOKEN_LENGTH_MIN) {
    throw new HoldfastError('HF_API_TOKEN_WEAK', `the API token has ${token.length} characters; it needs at least ${TOKEN_LENGTH_MIN}`);
  }
  const expected = digest(token);
  return (request) => {
    const presented = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1];
    if (presented === undefined || !timingSafeEqual(digest(presented), expected)) return undefined;
    return { kind: 'operator', name: 'local' };
  };
}

export function peerAuthentication(authenticator: PeerAuthenticator): Authenticate {
  return (request) => {
    const name = authenticator.identityOf(request.raw.socket);
    return name === undefined ? undefined : { kind: 'node', name };
  };
}

/** Protects every route, and every unknown URL, of the scope. */
export function requireCaller(scope: FastifyInstance, authenticate: Authenticate): void {
  scope.addHook('onRequest', async (request, reply) => {
    if (authenticate(request) !== undefined) return;
    void reply.header('www-authenticate', 'Bearer realm="holdfast"');
    throw new HoldfastError(
      'HF_API_UNAUTHORIZED',
      'the request carries no valid token; send "Authorization: Bearer" with the content of api.token in the configuration folder',
    );
  });
}

function digest(value: string): Buffer {
  return createHash('sha256').update(value, 'utf8').digest();
}
