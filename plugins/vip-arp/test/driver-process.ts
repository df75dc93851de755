/**
 * Runs the driver inside a namespace, steered over the IPC channel: the test process stays outside. Ends with its parent, and can be
 * killed or stopped to play a dead or hung agent.
 */
import { type AddressStatus, type ConflictVerdict, type Log, messageOf, type VirtualIp, type VirtualIpDriver } from '@holdfast/sdk';
import type { DriverEvent, DriverRequest } from './driver-client.js';
import { PacketSocket } from '../src/packet-socket.js';
import { plugin } from '../src/index.js';
import { Rtnetlink } from '../src/rtnetlink.js';

let driver: VirtualIpDriver | undefined;
plugin.register({
  heartbeatTransport: refuse,
  replicationBackend: refuse,
  witness: refuse,
  checker: refuse,
  virtualIpDriver: (_type, implementation) => {
    driver = implementation;
  },
});

let virtualIp: VirtualIp | undefined;
let verdict: ConflictVerdict = 'defend';
let renewal: NodeJS.Timeout | undefined;
const aborted = new AbortController();
aborted.abort();
const signal = new AbortController().signal;

process.on('message', (request: DriverRequest) => {
  perform(request).then(
    (value) => emit({ kind: 'result', id: request.id, value: value ?? null }),
    (error: unknown) => emit({ kind: 'failure', id: request.id, message: messageOf(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
emit({ kind: 'ready' });

async function perform(request: DriverRequest): Promise<readonly AddressStatus[] | number | undefined> {
  switch (request.method) {
    case 'create':
      virtualIp = await driver?.create({ module: 'test', localNode: 'node1', log, ...request.options });
      virtualIp?.onConflict((status) => {
        emit({ kind: 'conflict', status });
        return verdict;
      });
      return undefined;
    case 'probe':
      return opened().probe(signal);
    case 'acquire':
      return void (await opened().acquire(signal));
    case 'renew':
      opened().renew();
      return undefined;
    case 'keepRenewing':
      renewal = setInterval(() => virtualIp?.renew(), request.intervalMs);
      return undefined;
    case 'verify':
      return opened().verify();
    case 'release':
      return void (await opened().release(request.aborted === true ? aborted.signal : signal, {
        resetConnections: request.resetConnections === true,
      }));
    case 'close':
      clearInterval(renewal);
      return void (await opened().close());
    case 'judge':
      verdict = request.verdict;
      return undefined;
    case 'inject':
      return inject(request.etherType, request.frames);
    case 'handles':
      return process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap').length;
  }
}

async function inject(etherType: number, frames: readonly string[]): Promise<undefined> {
  const rtnetlink = new Rtnetlink();
  const index = rtnetlink.link('eth0')?.index ?? 0;
  const socket = new PacketSocket(index, etherType);
  for (const frame of frames) socket.send(Buffer.from(frame, 'hex'));
  await Promise.all([socket.close(), rtnetlink.close()]);
}

function opened(): VirtualIp {
  if (virtualIp === undefined) throw new Error('not created');
  return virtualIp;
}

function emit(event: DriverEvent): void {
  process.send?.(event);
}

function refuse(): void {
  throw new Error('vip-arp registers a virtual-IP driver only');
}

const log: Log = {
  debug: (message, fields) => emit({ kind: 'log', level: 'debug', message, fields: fields ?? {} }),
  info: (message, fields) => emit({ kind: 'log', level: 'info', message, fields: fields ?? {} }),
  warn: (message, fields) => emit({ kind: 'log', level: 'warn', message, fields: fields ?? {} }),
  error: (message, fields) => emit({ kind: 'log', level: 'error', message, fields: fields ?? {} }),
};
