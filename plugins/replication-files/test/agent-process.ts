/**
 * Stands in for the agent of one node, in a mount namespace of its own: opens the backend and does what the test says over IPC. It keeps
 * no state: a replicator that is killed, or this process itself, is simply started again by the test.
 */
import type { Replica, ReplicationOptions, ResyncMode, Term, VerifyOptions } from '@holdfast/sdk';
import { messageOf } from '@holdfast/sdk';
import { FilesBackend } from '../src/backend.js';

export type AgentOptions = Omit<ReplicationOptions, 'log' | 'key'> & { readonly key: string; readonly deathsMax: number };

export type AgentCall =
  | { readonly call: 'open'; readonly options: AgentOptions }
  | {
      readonly call: 'becomePrimary';
      readonly term: Term;
      readonly base: string;
      readonly fresh: boolean;
      readonly force: boolean;
      readonly image: boolean;
    }
  | { readonly call: 'becomeSecondary'; readonly term: Term; readonly givenUp?: string }
  | { readonly call: 'connectPeer'; readonly term: Term; readonly mode: ResyncMode }
  | { readonly call: 'disconnectPeer' }
  | { readonly call: 'continueAlone'; readonly term: Term; readonly base: string }
  | { readonly call: 'refuse' }
  | { readonly call: 'verify'; readonly options: VerifyOptions }
  | { readonly call: 'cancelVerify' }
  | { readonly call: 'stop'; readonly force: boolean }
  | { readonly call: 'close' };

export type AgentRequest = AgentCall & { readonly id: number };

export type AgentReport =
  | { readonly kind: 'outcome'; readonly id: number; readonly error?: { readonly message: string; readonly code: string } }
  | { readonly kind: 'status'; readonly status: ReturnType<Replica['status']> }
  | { readonly kind: 'log'; readonly text: string };

let replica: Replica | undefined;

function report(message: AgentReport): void {
  if (process.connected) process.send?.(message);
}

function logLine(level: string): (message: string) => void {
  return (message) => {
    report({ kind: 'log', text: `${level} ${message}` });
  };
}

async function perform(request: AgentRequest): Promise<void> {
  if (request.call === 'open') {
    const log = { debug: logLine('debug'), info: logLine('info'), warn: logLine('warn'), error: logLine('error') };
    const limits = { deathsMax: request.options.deathsMax, withinMs: 60_000 };
    replica = await new FilesBackend(limits).open({ ...request.options, key: Buffer.from(request.options.key, 'base64'), log });
    replica.onStatus((status) => {
      report({ kind: 'status', status });
    });
    return;
  }
  const open = replica as Replica;
  switch (request.call) {
    case 'becomePrimary':
      return open.becomePrimary(request.term, {
        base: request.base,
        fresh: request.fresh,
        force: request.force,
        image: request.image,
      });
    case 'becomeSecondary':
      return open.becomeSecondary(request.term, request.givenUp === undefined ? {} : { givenUp: request.givenUp });
    case 'connectPeer':
      open.connectPeer(request.term, request.mode);
      return;
    case 'disconnectPeer':
      open.disconnectPeer();
      return;
    case 'continueAlone':
      return open.continueAlone(request.term, { base: request.base });
    case 'refuse':
      open.refuse();
      return;
    case 'verify':
      await open.verify?.(request.options);
      return;
    case 'cancelVerify':
      return open.cancelVerify?.();
    case 'stop':
      return open.stop({ force: request.force });
    case 'close':
      return open.close();
  }
}

process.on('disconnect', () => process.exit(0));
process.on('message', (request: AgentRequest) => {
  perform(request).then(
    () => {
      report({ kind: 'outcome', id: request.id });
    },
    (error: unknown) => {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      report({ kind: 'outcome', id: request.id, error: { message: messageOf(error), code } });
    },
  );
});
