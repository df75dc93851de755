/** One test: one request on a connection of its own, what came back, and what that means. Redirects are answers, not orders. */
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request as requestPlain } from 'node:http';
import { request as requestSecure, type RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type CheckResult, messageOf } from '@holdfast/sdk';
import type { Target } from './configuration.js';
import { judgeBody, judgeExpiry } from './judgement.js';

const BODY_BYTES_MAX = 1024 * 1024;

/** Failures of this node, not of the service: they say nothing about it. */
const UNKNOWN_CAUSES: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the name service does not answer',
  EMFILE: 'this process has no file descriptor left',
  ENFILE: 'this node has no file descriptor left',
  ENOBUFS: 'this node has no network buffer left',
  ENOMEM: 'this node has no memory left',
  EADDRNOTAVAIL: 'this node has no local address or port left to connect from',
};

interface Answer {
  readonly status: number;
  readonly body: string;
  /** Of the certificate; undefined without TLS. */
  readonly validTo: Date | undefined;
}

/** Resolves to undefined when aborted; never rejects, and leaves no connection behind. */
export async function request(target: Target, signal: AbortSignal): Promise<CheckResult | undefined> {
  const beganMs = performance.now();
  const where = target.url.href;
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), target.timeoutMs);
  const stop = (): void => limit.abort();
  signal.addEventListener('abort', stop);
  try {
    const answer = await exchange(target, limit.signal);
    return await judge(target, answer, performance.now() - beganMs);
  } catch (error) {
    if (signal.aborted) return undefined;
    if (limit.signal.aborted) return { verdict: 'down', detail: `${where}: no answer within ${target.timeoutMs} ms` };
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const unknown = UNKNOWN_CAUSES[code];
    if (unknown !== undefined) return { verdict: 'unknown', detail: `cannot test ${where}: ${unknown} (${code})` };
    if (error instanceof CaFileError) return { verdict: 'unknown', detail: `cannot test ${where}: ${error.message}` };
    return { verdict: 'down', detail: `${where}: ${oneLine(messageOf(error) || code)}` };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

async function judge(target: Target, answer: Answer, tookMs: number): Promise<CheckResult> {
  const { url, body } = target;
  const down = (why: string): CheckResult => ({ verdict: 'down', detail: `${url.href}: ${why}` });
  if (!target.isAccepted(answer.status)) return down(`status ${answer.status}`);
  const wrong = body === undefined ? undefined : await judgeBody(body, answer.body);
  if (wrong !== undefined) return down(wrong);
  const expiry = target.expiresMs === undefined ? undefined : judgeExpiry(answer.validTo, target.expiresMs, Date.now());
  if (expiry !== undefined) return down(expiry);
  return { verdict: 'up', detail: `${url.href}: status ${answer.status} in ${Math.round(tookMs)} ms` };
}

class CaFileError extends Error {}

function exchange(target: Target, signal: AbortSignal): Promise<Answer> {
  const { url, method, host } = target;
  const name = host ?? url.hostname.replace(/^\[|\]$/g, '');
  const options: RequestOptions = {
    method,
    signal,
    // Nothing is kept from test to test: a connection that still works would hide a service that accepts none.
    agent: false,
    headers: { host: host ?? url.host, 'user-agent': 'holdfast-checker', accept: '*/*', connection: 'close' },
  };
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const sent = secure
      ? requestSecure(url, {
          ...options,
          rejectUnauthorized: target.verify,
          // An address cannot be asked for by name; the certificate is then compared with the address.
          ...(isIP(name) === 0 ? { servername: name } : {}),
          ...(target.caFile === undefined ? {} : { ca: readCa(target.caFile) }),
        })
      : requestPlain(url, options);
    sent.once('error', reject);
    sent.once('response', (response) => {
      const validTo = response.socket instanceof TLSSocket ? new Date(response.socket.getPeerCertificate().valid_to) : undefined;
      const finish = (body: string): void => {
        resolve({ status: response.statusCode ?? 0, body, validTo });
        sent.destroy();
      };
      if (target.body === undefined) finish('');
      else collect(response).then(finish, reject);
    });
    sent.end();
  });
}

async function collect(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) break;
  }
  return Buffer.concat(chunks).toString('utf8', 0, BODY_BYTES_MAX);
}

/** Read for every test: certificates are renewed while the agent runs. */
function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CaFileError(`ca="${file}" cannot be read: ${messageOf(error)}`);
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 300);
}
