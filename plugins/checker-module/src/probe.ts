/**
 * Asks an agent whether a module serves there, as load balancers do: /var/modules/NAME/ready.txt is 200 when the module is primary (PRIM,
 * ALONE) or active (UP) and ready, else 404. It needs no password, and tells no more than that and since when the application runs.
 */
import { request as requestPlain } from 'node:http';
import { request as requestSecure } from 'node:https';
import { type CheckResult, messageOf } from '@holdfast/sdk';

export interface ProbeTarget {
  readonly module: string;
  readonly address: string;
  readonly port: number;
  readonly secure: boolean;
  readonly timeoutMs: number;
}

const READY = 200;
const NOT_READY = 404;
const SINCE_HEADER = 'x-holdfast-since';
const SINCE_CHARS_MAX = 64;

/**
 * Resolves to undefined when aborted; leaves no connection behind.
 * @param note told since when the application runs, if it serves and the agent says so
 */
export async function isServing(
  target: ProbeTarget,
  signal: AbortSignal,
  note: (since: string | undefined) => void,
): Promise<CheckResult | undefined> {
  const where = `${target.module} on ${target.address.includes(':') ? `[${target.address}]` : target.address}:${target.port}`;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(target.timeoutMs)]);
  try {
    const { status, since } = await ask(target, limit);
    if (status === READY) note(since);
    if (status === READY) return { verdict: 'up', detail: `${where} serves` };
    if (status === NOT_READY) return { verdict: 'down', detail: `${where} does not serve` };
    return { verdict: 'unknown', detail: `${where}: status ${status}; is that a Holdfast agent?` };
  } catch (error) {
    if (signal.aborted) return undefined;
    if (limit.aborted) return { verdict: 'down', detail: `${where}: no answer within ${target.timeoutMs} ms` };
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return { verdict: 'unknown', detail: `${where}: the name is not known (${code})` };
    return { verdict: 'down', detail: `${where}: ${messageOf(error) || (code ?? 'no connection')}` };
  }
}

interface Answer {
  readonly status: number;
  readonly since: string | undefined;
}

function ask({ module, address, port, secure }: ProbeTarget, signal: AbortSignal): Promise<Answer> {
  const options = { host: address, port, path: `/var/modules/${module}/ready.txt`, agent: false, signal, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    const sent = secure ? requestSecure(options) : requestPlain(options);
    sent.once('error', reject);
    sent.once('response', (response) => {
      const since = response.headers[SINCE_HEADER];
      resolve({ status: response.statusCode ?? 0, since: typeof since === 'string' ? since.slice(0, SINCE_CHARS_MAX) : undefined });
      sent.destroy();
    });
    sent.end();
  });
}
