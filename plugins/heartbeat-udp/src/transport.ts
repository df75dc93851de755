/** The transport: one sending process for all sessions of the agent, started with the plug-in and anew by the next `open` when it died. */
import type { HeartbeatOptions, HeartbeatSession, HeartbeatTransport, Log } from '@holdfast/sdk';
import type { FromProcess } from './channel.js';
import { notStarted } from './errors.js';
import { Incarnations } from './incarnation.js';
import { assertOptions } from './options.js';
import { SenderProcess } from './sender-process.js';
import { UdpSession } from './session.js';

/** One sending process with the sessions that live in it. */
interface Generation {
  readonly process: SenderProcess;
  readonly sessions: Map<number, UdpSession>;
  readonly ready: Promise<void>;
}

export class UdpTransport implements HeartbeatTransport {
  #started: { readonly log: Log; readonly incarnations: Incarnations } | undefined;
  #generation: Generation | undefined;
  #sessionCount = 0;

  async start(log: Log, stateDirectory: string): Promise<void> {
    this.#started ??= { log, incarnations: new Incarnations(stateDirectory, log) };
    await this.#liveGeneration(log).ready;
  }

  async open(options: HeartbeatOptions): Promise<HeartbeatSession> {
    assertOptions(options);
    if (this.#started === undefined) throw notStarted();
    const { log, incarnations } = this.#started;
    const incarnation = await incarnations.next();
    const { process, sessions, ready } = this.#liveGeneration(log);
    await ready;
    this.#sessionCount += 1;
    const id = this.#sessionCount;
    const session = new UdpSession({ id, options, process, log, onClosed: () => sessions.delete(id) });
    sessions.set(id, session);
    try {
      await session.open(incarnation);
    } catch (error) {
      sessions.delete(id);
      throw error;
    }
    return session;
  }

  /** Idempotent. Sessions still open end without a goodbye: who wants one closes them first. */
  async stop(): Promise<void> {
    const generation = this.#generation;
    this.#started = undefined;
    this.#generation = undefined;
    if (generation === undefined) return;
    await Promise.all([...generation.sessions.values()].map((session) => session.close({ goodbye: false })));
    await generation.process.end();
  }

  #liveGeneration(log: Log): Generation {
    if (this.#generation === undefined || this.#generation.process.isOver) this.#generation = beginGeneration(log);
    return this.#generation;
  }
}

function beginGeneration(log: Log): Generation {
  const sessions = new Map<number, UdpSession>();
  let settle: (failure: Error | undefined) => void = () => undefined;
  const started = new Promise<Error | undefined>((resolve) => {
    settle = resolve;
  });
  const process = new SenderProcess(log, {
    onMessage: (message) => {
      if (message.kind === 'ready') settle(undefined);
      deliver(message, sessions);
    },
    onGone: (error) => {
      log.error('heartbeat process lost', { reason: error.message });
      settle(error);
      for (const session of [...sessions.values()]) session.fail(error);
    },
  });
  const ready = process.expect('start', started).then((failure) => {
    if (failure !== undefined) throw failure;
  });
  ready.catch(() => undefined); // whoever opens or starts meets the error
  return { process, sessions, ready };
}

function deliver(message: FromProcess, sessions: ReadonlyMap<number, UdpSession>): void {
  switch (message.kind) {
    case 'ready':
      break;
    case 'report':
      for (const { session, refusals } of message.refusals) sessions.get(session)?.noteRefusals(refusals);
      break;
    case 'opened':
    case 'refused':
    case 'heartbeat':
    case 'link':
    case 'failed':
    case 'closed':
      sessions.get(message.session)?.receive(message);
      break;
  }
}
