/** One request to one member of etcd, JSON in and out. What goes wrong is sorted by what helps: another member, a password, nothing. */
import { Agent as HttpAgent, type RequestOptions, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { HoldfastError, messageOf } from '@holdfast/sdk';

const ANSWER_BYTES_MAX = 64 * 1024;
const SOCKETS_MAX = 8;
const IDLE_MS = 30_000;

/** Connections to all members. */
export class Connections {
  readonly #plain: HttpAgent;
  readonly #secure: HttpsAgent;

  constructor(keepAlive: boolean) {
    const options = { keepAlive, maxSockets: SOCKETS_MAX, maxFreeSockets: 1, timeout: IDLE_MS };
    this.#plain = new HttpAgent(options);
    this.#secure = new HttpsAgent(options);
  }

  for(endpoint: URL): HttpAgent {
    return endpoint.protocol === 'https:' ? this.#secure : this.#plain;
  }

  destroy(): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }
}

export interface Call {
  readonly endpoint: URL;
  /** Below /v3, for example `kv/txn`. */
  readonly method: string;
  readonly body: unknown;
  readonly token?: string;
  readonly credentials: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly connections: Connections;
}

export interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** @throws HoldfastError HF_WITNESS_UNREACHABLE, HF_WITNESS_AUTHENTICATION, HF_WITNESS_PROTOCOL */
export function call({ endpoint, method, body, token, credentials, connections }: Call, signal: AbortSignal): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const options: RequestOptions & Call['credentials'] = {
      method: 'POST',
      path: `/v3/${method}`,
      host: endpoint.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: endpoint.port === '' ? (endpoint.protocol === 'https:' ? 443 : 80) : endpoint.port,
      agent: connections.for(endpoint),
      signal,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
        ...(token === undefined ? {} : { authorization: token }),
      },
      ...(endpoint.protocol === 'https:' ? credentials : {}),
    };
    const send = endpoint.protocol === 'https:' ? httpsRequest : httpRequest;
    const sent = send(options, (response) => {
      const pieces: Buffer[] = [];
      let length = 0;
      response.on('data', (piece: Buffer) => {
        pieces.push(piece);
        length += piece.length;
        if (length > ANSWER_BYTES_MAX) sent.destroy(notEtcd(endpoint, `its answer has more than ${ANSWER_BYTES_MAX} bytes`));
      });
      response.once('error', (error) => reject(explain(endpoint, error, signal)));
      response.once('end', () => {
        const parsed = documentOf(Buffer.concat(pieces).toString('utf8'));
        if (parsed === undefined) reject(notEtcd(endpoint, `it answers ${response.statusCode ?? 0} without JSON`));
        else resolve({ status: response.statusCode ?? 0, body: parsed });
      });
    });
    sent.once('error', (error) => reject(explain(endpoint, error, signal)));
    sent.end(text);
  });
}

function documentOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

function explain(endpoint: URL, error: NodeJS.ErrnoException, signal: AbortSignal): HoldfastError {
  const reason: unknown = signal.aborted ? signal.reason : error;
  if (reason instanceof HoldfastError) return reason;
  const where = endpoint.origin;
  const { code = '' } = error;
  if (
    !signal.aborted &&
    (/CERT|UNABLE_TO|ALTNAME|SELF_SIGNED/.test(code) ||
      /alert (bad certificate|certificate|handshake failure|unknown ca)/i.test(error.message))
  ) {
    const message = `etcd ${where} and this node do not accept each other's certificates: ${messageOf(error)}; see ca, cert, key`;
    return new HoldfastError('HF_WITNESS_AUTHENTICATION', message, { where }, { cause: error });
  }
  if (!signal.aborted && /^(ERR_SSL_|HPE_|EPROTO$)/.test(code)) return notEtcd(endpoint, messageOf(error));
  return new HoldfastError('HF_WITNESS_UNREACHABLE', `no answer from etcd ${where}: ${messageOf(reason)}`, { where }, { cause: error });
}

export function notEtcd(endpoint: URL, problem: string): HoldfastError {
  const where = endpoint.origin;
  return new HoldfastError('HF_WITNESS_PROTOCOL', `what listens on ${where} does not answer as etcd: ${problem}`, { where });
}
