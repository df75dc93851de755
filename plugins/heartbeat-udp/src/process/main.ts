/**
 * The sending process: holds the sockets of every heartbeat link of this node and does nothing else, so that its pulse does not depend
 * on the agent's event loop. It lives and dies with the agent: it ends when the channel closes, the kernel kills it when the agent is
 * gone, and it ignores the signals that a service manager sends to the whole group, because the agent still has a goodbye to send.
 */
import { type FromProcess, REPORT_INTERVAL_MS, type ToProcess } from '../channel.js';
import { Pulse } from '../pulse.js';
import { Outbox } from './outbox.js';
import { acquirePrivileges, dieWithParent } from './privileges.js';
import { PulsingSession } from './pulsing-session.js';

process.on('disconnect', () => process.exit(0));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
dieWithParent(Number(process.argv[2]));

const sessions = new Map<number, PulsingSession>();
// An error of the channel means that it is closing: 'disconnect' follows.
const outbox = new Outbox((message, done) => process.send?.(message, undefined, {}, done));

function post(message: FromProcess): void {
  outbox.post(message);
}

async function open(message: ToProcess & { kind: 'open' }): Promise<void> {
  const { session, options, incarnation } = message;
  const opened = new PulsingSession(session, options, Buffer.from(incarnation), post);
  sessions.set(session, opened);
  const failure = await opened.open();
  if (failure === undefined) {
    post({ kind: 'opened', session });
    return;
  }
  sessions.delete(session);
  post({ kind: 'refused', session, failure });
}

async function close(session: number, goodbye: boolean): Promise<void> {
  const closing = sessions.get(session);
  await closing?.close(goodbye);
  sessions.delete(session);
  post({ kind: 'closed', session, refusals: closing?.refusals ?? {} });
}

process.on('message', (message: ToProcess) => {
  switch (message.kind) {
    case 'open':
      void open(message);
      break;
    case 'update':
      sessions.get(message.session)?.update(message.payload, message.tickMs);
      break;
    case 'close':
      void close(message.session, message.goodbye);
      break;
  }
});

function report(): void {
  post({ kind: 'report', refusals: [...sessions].map(([session, pulsing]) => ({ session, refusals: pulsing.refusals })) });
}

post({ kind: 'ready', privileges: acquirePrivileges() });
new Pulse(REPORT_INTERVAL_MS, report);
