/** One test: connect, say what happened, close. Nothing is sent, so any TCP service can be watched. */
import { connect, isIP, type Socket } from 'node:net';
import type { CheckResult, Verdict } from '@holdfast/sdk';

export interface Target {
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** Failures of this node, not of the service: they say nothing about it, and restarting it would not help. */
const UNKNOWN_CAUSES: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the name service does not answer',
  EMFILE: 'this process has no file descriptor left',
  ENFILE: 'this node has no file descriptor left',
  ENOBUFS: 'this node has no network buffer left',
  ENOMEM: 'this node has no memory left',
  EADDRNOTAVAIL: 'this node has no local address or port left to connect from',
};

const DOWN_CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'timed out',
};

/** Resolves to undefined when aborted; never rejects, and leaves no socket behind. */
export function tryConnection(target: Target, signal: AbortSignal): Promise<CheckResult | undefined> {
  const { address, port, timeoutMs } = target;
  const where = `${address.includes(':') ? `[${address}]` : address}:${port}`;
  const beganMs = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const settle = (result: CheckResult | undefined): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.destroy(); // an ordinary close: a reset would show as an error in the log of many services
      resolve(result);
    };
    const judge = (verdict: Verdict, detail: string): void => settle({ verdict, detail });
    const abort = (): void => settle(undefined);
    let resolved = isIP(address) !== 0;
    socket.once('lookup', (error: Error | null) => {
      resolved = error === null;
    });
    const timer = setTimeout(() => {
      if (resolved) judge('down', `no connection to ${where} within ${timeoutMs} ms: timed out`);
      else judge('unknown', `cannot test ${where}: the name service did not answer within ${timeoutMs} ms`);
    }, timeoutMs);
    signal.addEventListener('abort', abort);
    socket.once('connect', () => {
      if (isSelfConnected(socket)) judge('down', `nobody listens: ${where} (the connection met itself)`);
      else judge('up', `connected to ${where} in ${Math.round(performance.now() - beganMs)} ms`);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const code = codeOf(error);
      const unknown = UNKNOWN_CAUSES[code];
      if (unknown !== undefined) judge('unknown', `cannot test ${where}: ${unknown} (${code})`);
      else judge('down', `${DOWN_CAUSES[code] ?? 'no connection'}: ${where} (${code})`);
    });
    if (signal.aborted) abort();
  });
}

/**
 * With nobody listening on a local port of the ephemeral range, the kernel may choose that very port as source, and TCP then connects the
 * socket to itself: rare, but it would report a dead service as up.
 */
function isSelfConnected(socket: Socket): boolean {
  return socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
}

/** A name with several addresses fails with one error per address; the last one tells. */
function codeOf(error: NodeJS.ErrnoException): string {
  const last: unknown = error instanceof AggregateError ? error.errors.at(-1) : error;
  return (last as NodeJS.ErrnoException).code ?? error.code ?? error.message;
}
