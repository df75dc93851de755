/**
 * One question and its answer over HTTPS, within a limit. Whatever goes wrong becomes one of the contract's codes: no way there, not known
 * there, or something else that listens there.
 */
import { type Agent, type RequestOptions, request } from 'node:https';
import type { ConnectionOptions, PeerCertificate } from 'node:tls';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { ANSWER_BYTES_MAX, TLS_OPTIONS } from '../protocol.js';

export interface Question {
  readonly method: 'GET' | 'PUT' | 'POST';
  readonly path: string;
  readonly body?: unknown;
}

export interface Destination {
  readonly host: string;
  readonly port: number;
  readonly cluster: string;
  readonly key: Buffer;
  readonly agent: Agent;
}

export interface Reply {
  readonly status: number;
  readonly body: unknown;
}

/** What a TLS server says to a name that it does not know, or that does not prove its key. */
const REFUSED_HANDSHAKE = /alert (handshake failure|illegal parameter|decrypt error|unknown psk identity)/i;

/** The connection was one of an earlier question and had ended; asking again over a new one is worth it. */
export class StaleConnection extends HoldfastError {
  constructor(where: string, cause: Error) {
    super('HF_WITNESS_UNREACHABLE', `the witness ${where} has ended the connection: ${cause.message}`, { where }, { cause });
  }
}

/** @throws HoldfastError, StaleConnection */
export function exchange(question: Question, destination: Destination, signal: AbortSignal): Promise<Reply> {
  const { host, port, cluster, key, agent } = destination;
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return new Promise((resolve, reject) => {
    const text = question.body === undefined ? '' : JSON.stringify(question.body);
    const options: RequestOptions & Pick<ConnectionOptions, 'pskCallback'> = {
      ...TLS_OPTIONS,
      host,
      port,
      method: question.method,
      path: question.path,
      agent,
      signal,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      // A server without the key could present a certificate that some authority signed: none is trusted.
      ca: [],
      pskCallback: () => ({ psk: key, identity: cluster }),
      checkServerIdentity: refuseCertificate,
    };
    const sent = request(options, (response) => {
      const pieces: Buffer[] = [];
      let length = 0;
      response.on('data', (piece: Buffer) => {
        pieces.push(piece);
        length += piece.length;
        if (length > ANSWER_BYTES_MAX) sent.destroy(protocolError(where, `its answer has more than ${ANSWER_BYTES_MAX} bytes`));
      });
      response.once('error', (error) => reject(unreachable(where, error, signal)));
      response.once('end', () => {
        try {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(pieces).toString('utf8')) as unknown });
        } catch {
          reject(protocolError(where, 'its answer is no JSON'));
        }
      });
    });
    sent.once('error', (error: NodeJS.ErrnoException) => {
      const stale = sent.reusedSocket && !signal.aborted && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      reject(stale ? new StaleConnection(where, error) : explain(where, error, destination, signal));
    });
    sent.end(text);
  });
}

/** With a pre-shared key there is no certificate. */
function refuseCertificate(_host: string, certificate: PeerCertificate | undefined): Error | undefined {
  if (certificate === undefined || Object.keys(certificate).length === 0) return undefined;
  return new HoldfastError('HF_WITNESS_AUTHENTICATION', 'it shows a certificate instead of proving that it knows the key');
}

function explain(where: string, error: NodeJS.ErrnoException, { cluster }: Destination, signal: AbortSignal): HoldfastError {
  if (error instanceof HoldfastError) {
    if (error.code !== 'HF_WITNESS_AUTHENTICATION') return error;
    return new HoldfastError(error.code, `the witness ${where} is not believed: ${error.message.slice(error.code.length + 2)}`, { where });
  }
  const code = error.code ?? '';
  if (/CERT|UNABLE_TO/.test(code)) {
    const message = `the witness ${where} is not believed: it shows a certificate instead of proving that it knows the key`;
    return new HoldfastError('HF_WITNESS_AUTHENTICATION', message, { where });
  }
  if (REFUSED_HANDSHAKE.test(error.message)) {
    const message =
      `the witness ${where} does not know cluster "${cluster}", or with another key; ` +
      '"holdfast witness list" there shows the clusters, and the key file must hold what "holdfast witness add" printed';
    return new HoldfastError('HF_WITNESS_AUTHENTICATION', message, { where, cluster, cause: code });
  }
  if (/^ERR_SSL_|^HPE_|^EPROTO$/.test(code)) return protocolError(where, messageOf(error));
  return unreachable(where, error, signal);
}

function unreachable(where: string, error: Error, signal: AbortSignal): HoldfastError {
  const reason: unknown = signal.aborted ? signal.reason : error;
  if (reason instanceof HoldfastError) return reason;
  return new HoldfastError(
    'HF_WITNESS_UNREACHABLE',
    `no answer from the witness ${where}: ${messageOf(reason)}`,
    { where },
    { cause: error },
  );
}

export function protocolError(where: string, problem: string): HoldfastError {
  return new HoldfastError('HF_WITNESS_PROTOCOL', `what listens on ${where} does not answer as a witness: ${problem}`, { where });
}
