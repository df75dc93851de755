/** The agent's side of a session: forwards payloads and ticks, the newest only when the channel is busy, and hands out what arrives. */
import { HEARTBEAT_PAYLOAD_BYTES_MAX, type HeartbeatOptions, type HeartbeatSession, type Log, type ReceivedHeartbeat } from '@holdfast/sdk';
import { type FromProcess, monotonicMs, type Refusals } from './channel.js';
import { errorOf, payloadTooLarge } from './errors.js';
import type { SenderProcess } from './sender-process.js';

const CLOSE_MS = 1000;
const REFUSALS_LOG_INTERVAL_MS = 60_000;

export interface SessionContext {
  /** Number of the session on the channel. */
  readonly id: number;
  readonly options: HeartbeatOptions;
  readonly process: SenderProcess;
  readonly log: Log;
  onClosed(): void;
}

export class UdpSession implements HeartbeatSession {
  readonly #context: SessionContext;
  readonly #heartbeatListeners: ((heartbeat: ReceivedHeartbeat) => void)[] = [];
  readonly #failureListeners: ((error: Error) => void)[] = [];
  #settleOpening: ((failure: Error | undefined) => void) | undefined;
  #settleClosing: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #failure: Error | undefined;
  #refusals: Refusals = {};
  #refusalsLoggedMs = Number.NEGATIVE_INFINITY;
  #payload: Uint8Array | undefined;
  #tickMs: number | undefined;
  #sending = false;

  constructor(context: SessionContext) {
    this.#context = context;
  }

  /** @throws HoldfastError when a link cannot be bound, or the process is gone */
  async open(incarnation: Uint8Array): Promise<void> {
    const { id, options, process } = this.#context;
    const opening = new Promise<Error | undefined>((resolve) => {
      this.#settleOpening = resolve;
    });
    process.send({ kind: 'open', session: id, options, incarnation });
    const failure = await process.expect('open the heartbeat links', opening);
    this.#settleOpening = undefined;
    if (failure !== undefined) throw failure;
  }

  publish(payload: Uint8Array): void {
    if (payload.length > HEARTBEAT_PAYLOAD_BYTES_MAX) throw payloadTooLarge(payload.length);
    this.#payload = Uint8Array.from(payload); // the caller may reuse its buffer
    this.#forward();
  }

  tick(): void {
    this.#tickMs = monotonicMs();
    this.#forward();
  }

  onHeartbeat(listener: (heartbeat: ReceivedHeartbeat) => void): void {
    this.#heartbeatListeners.push(listener);
  }

  onFailure(listener: (error: Error) => void): void {
    this.#failureListeners.push(listener);
    const failure = this.#failure;
    if (failure !== undefined) queueMicrotask(() => listener(failure));
  }

  rejected(): number {
    return Object.values(this.#refusals).reduce((sum, count) => sum + count, 0);
  }

  close(options: { goodbye: boolean }): Promise<void> {
    this.#closing ??= this.#leave(options.goodbye);
    return this.#closing;
  }

  receive(message: FromProcess): void {
    switch (message.kind) {
      case 'heartbeat':
        if (this.#closing === undefined) for (const listener of this.#heartbeatListeners) listener(message.heartbeat);
        break;
      case 'opened':
        this.#settleOpening?.(undefined);
        break;
      case 'refused':
        this.#settleOpening?.(errorOf(message.failure));
        break;
      case 'failed':
        this.fail(errorOf(message.failure));
        break;
      case 'closed':
        this.#refusals = message.refusals;
        this.#settleClosing?.();
        break;
      case 'link':
        if (message.failure === undefined) this.#context.log.info('heartbeat link is back', this.#where(message.link));
        else this.#context.log.warn('heartbeat link lost its socket, retrying', { ...this.#where(message.link), ...message.failure });
        break;
      case 'report':
      case 'ready':
        break;
    }
  }

  /** What the process counted, with one line in the log when frames are refused, at most one per minute. */
  noteRefusals(refusals: Refusals): void {
    const before = this.rejected();
    this.#refusals = refusals;
    const now = monotonicMs();
    if (this.rejected() === before || now - this.#refusalsLoggedMs < REFUSALS_LOG_INTERVAL_MS) return;
    this.#refusalsLoggedMs = now;
    this.#context.log.warn('heartbeat frames refused since this session opened', { ...this.#where(), refusals });
  }

  /** The process, or every link, is gone. */
  fail(error: Error): void {
    this.#settleOpening?.(error);
    this.#settleClosing?.();
    if (this.#failure !== undefined || this.#closing !== undefined || this.#settleOpening !== undefined) return;
    this.#failure = error;
    for (const listener of this.#failureListeners) listener(error);
  }

  async #leave(goodbye: boolean): Promise<void> {
    const { id, process } = this.#context;
    if (!process.isOver) {
      const closed = new Promise<void>((resolve) => {
        this.#settleClosing = resolve;
      });
      this.#send(); // the goodbye carries the last payload
      process.send({ kind: 'close', session: id, goodbye });
      await process.expect('close a heartbeat session', closed, CLOSE_MS);
    }
    this.#context.onClosed();
  }

  #forward(): void {
    if (this.#closing === undefined && !this.#sending) this.#send();
  }

  #send(): void {
    const payload = this.#payload;
    const tickMs = this.#tickMs;
    if (payload === undefined && tickMs === undefined) return;
    this.#payload = undefined;
    this.#tickMs = undefined;
    this.#sending = true;
    const update = {
      kind: 'update',
      session: this.#context.id,
      ...(payload && { payload }),
      ...(tickMs !== undefined && { tickMs }),
    } as const;
    this.#context.process.send(update, () => {
      this.#sending = false;
      // After a failed send there is no one to send to any more.
      if (!this.#context.process.isOver) this.#forward();
    });
  }

  #where(link?: string): Record<string, unknown> {
    const { module, peerNode } = this.#context.options;
    return { module, peer: peerNode, ...(link !== undefined && { link }) };
  }
}
