/**
 * The other node's part in a change of configuration, over its peer API. Each call has its own connection and deadline. Errors of the other
 * node come as it threw them; HF_NODE_UNREACHABLE and HF_NODE_TIMEOUT say that nobody can tell what it did.
 */
import { request } from 'node:https';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type {
  ConfigurationFiles,
  ConfigurationParticipant,
  PrepareAnswer,
  PrepareBody,
  TransactionOutcome,
} from './configuration-contract.js';
import { peerPreSharedKey, peerRequestOptions, type PeerOptions } from './peer-tls.js';
import type { ErrorBody } from './schemas.js';

const CONNECT_MS = 2_000;
/** Its own check of the module may take 10 s. */
const PREPARE_MS = 20_000;
const COMMIT_MS = 25_000;
const ASK_MS = 3_000;
const ANSWER_BYTES_MAX = 24 * 1024 * 1024;

export class PeerParticipant implements ConfigurationParticipant {
  private readonly key: Buffer;

  /** @param peer address and port are those of the node asked. */
  constructor(
    private readonly node: string,
    private readonly peer: PeerOptions,
  ) {
    this.key = peerPreSharedKey(peer.clusterKey);
  }

  prepare(module: string, body: PrepareBody): Promise<PrepareAnswer> {
    return this.ask('POST', module, 'prepare', PREPARE_MS, body) as Promise<PrepareAnswer>;
  }

  async commit(module: string, transaction: string): Promise<void> {
    await this.ask('POST', module, 'commit', COMMIT_MS, { transaction });
  }

  async abort(module: string, transaction: string): Promise<void> {
    await this.ask('POST', module, 'abort', ASK_MS, { transaction });
  }

  outcome(module: string, transaction: string): Promise<{ readonly outcome: TransactionOutcome }> {
    return this.ask('POST', module, 'outcome', ASK_MS, { transaction }) as Promise<{ readonly outcome: TransactionOutcome }>;
  }

  files(module: string): Promise<ConfigurationFiles> {
    return this.ask('GET', module, 'files', PREPARE_MS) as Promise<ConfigurationFiles>;
  }

  private ask(method: 'GET' | 'POST', module: string, what: string, timeoutMs: number, body?: unknown): Promise<unknown> {
    const { node, peer } = this;
    const text = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const asked = request({
        ...peerRequestOptions(peer, this.key),
        host: peer.address,
        port: peer.port,
        method,
        path: `/api/v1/modules/${encodeURIComponent(module)}/configuration/${what}`,
        ...(text === undefined ? {} : { headers: { 'content-type': 'application/json', 'content-length': text.length } }),
      });
      const late = (ms: number): NodeJS.Timeout =>
        setTimeout(
          () => asked.destroy(new HoldfastError('HF_NODE_TIMEOUT', `node "${node}" did not answer within ${ms} ms`, { node })),
          ms,
        );
      let timer = late(CONNECT_MS);
      asked.once('socket', (socket) => {
        socket.once('secureConnect', () => {
          clearTimeout(timer);
          timer = late(timeoutMs);
        });
      });
      asked.once('response', (answer) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES_MAX) asked.destroy(new HoldfastError('HF_NODE_ANSWER', `node "${node}" answers without end`, { node }));
          else chunks.push(chunk);
        });
        answer.once('end', () => {
          clearTimeout(timer);
          settle(node, answer.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'), resolve, reject);
        });
      });
      asked.on('error', (error) => {
        clearTimeout(timer);
        const unreachable = (): HoldfastError =>
          new HoldfastError('HF_NODE_UNREACHABLE', `node "${node}" at ${peer.address} port ${peer.port}: ${messageOf(error)}`, { node });
        reject(error instanceof HoldfastError ? error : unreachable());
      });
      asked.end(text);
    });
  }
}

function settle(node: string, status: number, text: string, resolve: (value: unknown) => void, reject: (error: Error) => void): void {
  try {
    const value: unknown = text === '' ? undefined : JSON.parse(text);
    if (status >= 200 && status < 300) return resolve(value);
    const { code, message, details } = value as Partial<ErrorBody>;
    if (typeof code === 'string' && typeof message === 'string') return reject(new HoldfastError(code, message, details ?? {}));
  } catch {
    // Said below: what came is not the agent's JSON.
  }
  reject(new HoldfastError('HF_NODE_ANSWER', `node "${node}" answers with status ${status} and not as an agent of this release`, { node }));
}
