/** Runs inside a namespace, steered over the IPC channel, and ends with its parent. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createConnection, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type Log, messageOf, type VirtualIp, type VirtualIpDriver } from '@holdfast/sdk';
import { plugin } from '../src/index.js';
import type { Answer, Command, Message, Outcome } from './inmate.js';
import { PEER } from './two-hosts.js';

const CONNECT_MS = 1500;

let driver: VirtualIpDriver | undefined;
const refuse = (): never => {
  throw new Error('vip-loadbalancer registers a virtual-IP driver only');
};
plugin.register({
  heartbeatTransport: refuse,
  replicationBackend: refuse,
  witness: refuse,
  checker: refuse,
  virtualIpDriver: (_type, implementation) => {
    driver = implementation;
  },
});

const made = new Map<string, VirtualIp>();
const renewals = new Map<string, NodeJS.Timeout>();
const connections = new Map<string, { readonly socket: Socket; state: string }>();
const signal = new AbortController().signal;

process.on('message', ({ id, command }: { id: number; command: Command }) => {
  perform(command).then(
    (value) => tell({ kind: 'result', id, value: value ?? null }),
    (error: unknown) => tell({ kind: 'failure', id, message: messageOf(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
tell({ kind: 'started' });

async function perform(command: Command): Promise<Outcome | undefined> {
  switch (command.do) {
    case 'create':
      return create(command);
    case 'acquire':
    case 'release':
      return void (await of(command.module)[command.do](signal));
    case 'verify':
      return of(command.module).verify();
    case 'probe':
      return of(command.module).probe(signal);
    case 'close':
      clearInterval(renewals.get(command.module));
      return void (await of(command.module).close());
    case 'renew':
      clearInterval(renewals.get(command.module));
      of(command.module).renew();
      if (command.everyMs > 0)
        renewals.set(
          command.module,
          setInterval(() => of(command.module).renew(), command.everyMs),
        );
      return undefined;
    case 'ready':
      of(command.module).ready?.({ isReady: command.isReady, detail: command.detail });
      return undefined;
    case 'hang':
      return void hang(command.forMs);
    case 'get':
      return get(command);
    case 'listen':
      await new Promise<void>((resolve, reject) => {
        const server = createServer((socket) => void socket.on('error', () => undefined).pipe(socket));
        server.once('error', reject).listen(command.port, command.host, resolve);
      });
      return undefined;
    case 'connect':
      return connect(command);
    case 'state':
      return connections.get(command.name)?.state ?? 'unknown';
    case 'send':
      connections.get(command.name)?.socket.write(command.text);
      return undefined;
    case 'throw':
      return throwAt(command);
  }
}

async function create({ module, configuration, lifetimeMs }: Extract<Command, { do: 'create' }>): Promise<undefined> {
  const options = { module, localNode: 'node1', configuration, localAddresses: [], peerAddresses: [PEER], lifetimeMs, log };
  const address = await driver?.create(options);
  if (address !== undefined) made.set(module, address);
}

function of(module: string): VirtualIp {
  const address = made.get(module);
  if (address === undefined) throw new Error(`${module} was not created`);
  return address;
}

function hang(forMs: number): void {
  // Only after the answer of this command is on its way.
  setTimeout(() => {
    const end = performance.now() + forMs;
    while (performance.now() < end);
  }, 20);
}

function get({ url, method = 'GET', headers = {} }: Extract<Command, { do: 'get' }>): Promise<Answer> {
  const request = url.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const call = request(url, { method, headers, agent: false, timeout: CONNECT_MS, rejectUnauthorized: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString(), headers: { ...response.headers } }),
      );
    });
    call.once('timeout', () => call.destroy(new Error('no answer')));
    call.once('error', (error: NodeJS.ErrnoException) => reject(new Error(error.code ?? error.message)));
    call.end();
  });
}

async function connect({ name, host, port, from }: Extract<Command, { do: 'connect' }>): Promise<string> {
  const socket = createConnection({ host, port, ...(from === undefined ? {} : { localAddress: from }) });
  const entry = { socket, state: 'connecting' };
  connections.set(name, entry);
  socket.on('data', () => undefined);
  const settled = new Promise<string>((resolve) => {
    socket.once('connect', () => resolve((entry.state = 'connected')));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve((entry.state = error.code ?? error.message)));
    socket.once('end', () => (entry.state = 'ended'));
  });
  const limit = delay(CONNECT_MS, 'no answer', { ref: false });
  return Promise.race([settled, limit]);
}

function throwAt({ host, port, hex }: Extract<Command, { do: 'throw' }>): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(answer));
    socket.write(Buffer.from(hex, 'hex'));
  });
}

function tell(message: Message): void {
  process.send?.(message);
}

function noted(level: string): Log['info'] {
  return (message, fields) => tell({ kind: 'log', text: `${level} ${message} ${JSON.stringify(fields ?? {})}` });
}

const log: Log = { debug: noted('debug'), info: noted('info'), warn: noted('warn'), error: noted('error') };
