/**
 * Requests of the resync's source and their answers. What is in flight is bounded, in number and in bytes, and so is what one step of the
 * data thread does: a resync must not make the application wait, and its memory must not grow with the tree.
 */
import { HoldfastError } from '@holdfast/sdk';
import type { Channel } from '../link/channel.js';
import { errnoName } from '../system/errno.js';
import type { Answer, ResyncRequest } from '../wire/messages.js';

const IN_FLIGHT_MAX = 256;
const IN_FLIGHT_BYTES_MAX = 8 << 20;
const QUEUED_BYTES_MAX = 4 << 20;
const STEP_BYTES_MAX = 1 << 20;
const STEP_MAX_MS = 4;

/** `more`: call again soon. `waiting`: call again when something has happened. */
export type StepOutcome = 'more' | 'waiting';
/** Work that is done in steps. */
export type Steps = Generator<StepOutcome, void, void>;
type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never;
type OnAnswer = (answer: Answer) => void;

/** The resync cannot go on: the source could not read, or the target answered what it must not. */
export class ResyncError extends HoldfastError {
  constructor(message: string, details: Readonly<Record<string, unknown>> = {}) {
    super('HF_REPLICATION_RESYNC', message, details);
    this.name = 'ResyncError';
  }
}

export class RequestFlow {
  /** Content sent so far. */
  bytesSent = 0;
  readonly #inFlight = new Map<number, { readonly kind: string; readonly bytes: number; readonly onAnswer: OnAnswer | undefined }>();
  #inFlightBytes = 0;
  #stepBytes = 0;
  #stepStartMs = 0;

  /** @param nextSeq number of the first request: greater than every number used before on the channel */
  constructor(
    private readonly channel: Pick<Channel, 'send' | 'flush' | 'queuedBytes'>,
    private readonly nowMs: () => number,
    public nextSeq: number,
  ) {}

  /** @param onAnswer without it, every answer but success ends the resync */
  request(message: WithoutSeq<ResyncRequest>, onAnswer?: OnAnswer): void {
    const seq = this.nextSeq;
    this.nextSeq += 1;
    const bytes = messageBytes(message);
    this.#inFlight.set(seq, { kind: message.kind, bytes, onAnswer });
    this.#inFlightBytes += bytes;
    this.#stepBytes += message.kind === 'digest' ? 0 : bytes;
    this.bytesSent += contentBytes(message);
    this.channel.send({ ...message, seq });
  }

  /** @throws ResyncError */
  answer(answer: Answer): void {
    const request = this.#inFlight.get(answer.seq);
    if (request === undefined) throw new ResyncError(`an answer to request ${answer.seq}, which was not asked`);
    this.#inFlight.delete(answer.seq);
    this.#inFlightBytes -= request.bytes;
    if (request.onAnswer !== undefined) request.onAnswer(answer);
    else if (answer.kind !== 'ack' || answer.errno !== 0) {
      throw new ResyncError(`the peer answered ${request.kind} with ${answer.kind} ${errnoName(answer.errno)}`);
    }
  }

  beginStep(): void {
    this.#stepBytes = 0;
    this.#stepStartMs = this.nowMs();
  }

  /** Waits until another request may go out. */
  *room(): Steps {
    while (this.#isFull()) yield 'waiting';
    if (this.isStepOver) yield 'more';
  }

  /** Whether it is the turn of others. */
  get isStepOver(): boolean {
    return this.#stepBytes >= STEP_BYTES_MAX || this.nowMs() - this.#stepStartMs >= STEP_MAX_MS;
  }

  /** Waits until every request is answered. */
  *settled(): Steps {
    while (this.#inFlight.size > 0) yield 'waiting';
  }

  #isFull(): boolean {
    return (
      this.#inFlight.size >= IN_FLIGHT_MAX || this.#inFlightBytes >= IN_FLIGHT_BYTES_MAX || this.channel.queuedBytes >= QUEUED_BYTES_MAX
    );
  }
}

function messageBytes(message: WithoutSeq<ResyncRequest>): number {
  switch (message.kind) {
    case 'data':
      return message.data.length;
    case 'xattr':
      return 64 + message.value.length;
    case 'digest':
      // What may have to be sent when the answer comes.
      return message.length;
    case 'clear':
    case 'place':
      return 64 + message.entries.length * 128;
    case 'small':
      // What may have to be sent when the answer comes counts too.
      return message.objects.reduce((sum, { size }) => sum + 128 + size, 64);
    default:
      return 64;
  }
}

function contentBytes(message: WithoutSeq<ResyncRequest>): number {
  if (message.kind === 'data') return message.data.length;
  return message.kind === 'small' ? message.objects.reduce((sum, each) => sum + ('data' in each ? each.data.length : 0), 0) : 0;
}
