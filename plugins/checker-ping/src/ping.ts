/**
 * One test of a host: an echo request every second until one is answered or the time is over, so that one lost packet is no dead host.
 * The socket does not block and Node cannot wait for it, so it is asked again and again while a request is under way: every
 * millisecond at first, then less and less often. Between tests nothing happens.
 */
import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns';
import { isIP } from 'node:net';
import { type CheckResult, pause } from '@holdfast/sdk';
import { echoRequest, isEchoReply } from './icmp.js';
import { EchoSocket, SocketError } from './socket.js';

const SEND_EVERY_MS = 1000;
const ASK_AFTER_MS_MAX = 20;

/** Failures of this node: they say nothing about the host. */
const UNKNOWN_CAUSES: Readonly<Record<string, string>> = {
  EPERM: 'not allowed to send (root or CAP_NET_RAW is needed)',
  EACCES: 'not allowed to send (root or CAP_NET_RAW is needed)',
  EMFILE: 'this process has no file descriptor left',
  ENFILE: 'this node has no file descriptor left',
  ENOBUFS: 'this node has no network buffer left',
  ENOMEM: 'this node has no memory left',
  EAFNOSUPPORT: 'this node does not have that version of IP',
};
const DOWN_CAUSES: Readonly<Record<string, string>> = {
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ENETDOWN: 'network down',
  EADDRNOTAVAIL: 'no address of this node to send from',
};

/** Resolves to undefined when aborted; leaves no socket behind. */
export async function ping(host: string, timeoutMs: number, signal: AbortSignal): Promise<CheckResult | undefined> {
  const beganMs = performance.now();
  const address = isIP(host) === 0 ? await resolved(host, timeoutMs, signal) : host;
  if (signal.aborted) return undefined;
  if (address === undefined) return { verdict: 'unknown', detail: `cannot test ${host}: the name is not known` };
  const name = address === host ? host : `${host} (${address})`;
  try {
    const answeredMs = await exchange(address, beganMs, timeoutMs, signal);
    if (signal.aborted) return undefined;
    if (answeredMs !== undefined) return { verdict: 'up', detail: `${name} answers in ${answeredMs.toFixed(1)} ms` };
    return { verdict: 'down', detail: `${name} does not answer within ${timeoutMs} ms` };
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    const unknown = UNKNOWN_CAUSES[error.code];
    if (unknown !== undefined) return { verdict: 'unknown', detail: `cannot test ${name}: ${unknown} (${error.code})` };
    return { verdict: 'down', detail: `${DOWN_CAUSES[error.code] ?? 'no way to'}: ${name} (${error.code})` };
  }
}

/** @returns the round trip, undefined when there was none */
async function exchange(address: string, beganMs: number, timeoutMs: number, signal: AbortSignal): Promise<number | undefined> {
  const socket = new EchoSocket(address);
  try {
    const identifier = randomBytes(2).readUInt16BE();
    // Others ping the same host: what comes back must be what was sent here, and now.
    const token = randomBytes(16);
    const sentMs: number[] = [];
    const endMs = beganMs + timeoutMs;
    let askAfterMs = 1;
    while (!signal.aborted && performance.now() < endMs) {
      const lastMs = sentMs.at(-1);
      if (lastMs === undefined || performance.now() - lastMs >= SEND_EVERY_MS) {
        socket.send(echoRequest(socket.version, identifier, sentMs.length, token));
        sentMs.push(performance.now());
        askAfterMs = 1;
      }
      for (let packet = socket.receive(); packet !== undefined; packet = socket.receive()) {
        const sequence = isEchoReply(socket.version, packet, identifier, token);
        const atMs = sequence === undefined ? undefined : sentMs[sequence];
        if (atMs !== undefined) return performance.now() - atMs;
      }
      await pause(Math.min(askAfterMs, endMs - performance.now()), signal);
      askAfterMs = Math.min(askAfterMs * 1.5, ASK_AFTER_MS_MAX);
    }
    return undefined;
  } finally {
    socket.close();
  }
}

/** @returns undefined when the name is not known, or nobody says so in time */
async function resolved(host: string, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
  const ended = new AbortController();
  const stop = (): void => ended.abort();
  signal.addEventListener('abort', stop);
  try {
    const found = new Promise<string | undefined>((resolve) => {
      lookup(host, (error, address) => resolve(error === null ? address : undefined));
    });
    return await Promise.race([found, pause(timeoutMs, ended.signal).then(() => undefined)]);
  } finally {
    stop();
    signal.removeEventListener('abort', stop);
  }
}
