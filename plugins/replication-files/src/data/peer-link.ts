/** The primary's end of an established link: numbers requests and hands each answer to who asked. */
import type { HoldfastError } from '@holdfast/sdk';
import { Channel, type ChannelOptions, type Delivered } from '../link/channel.js';
import type { LiveBody } from '../primary/modification.js';
import type { PeerRequests } from '../primary/pipeline-surroundings.js';
import type { EpollSet } from '../system/epoll.js';
import type { VerifyBody } from '../verify/verification.js';
import type { Answer } from '../wire/messages.js';

/** The resync's own numbers stay below. */
const FIRST_SEQ = 2 ** 40;

export interface PeerLinkEvents {
  /** An answer that belongs to the running resync. */
  readonly onResyncAnswer: (answer: Answer) => void;
  readonly onDrained: () => void;
  readonly onLost: (error: HoldfastError) => void;
  /** The secondary gave up, and says why. */
  readonly onFailed: (code: string, message: string) => void;
}

export class PeerLink implements PeerRequests {
  readonly channel: Channel;
  readonly #events: PeerLinkEvents;
  readonly #waiting = new Map<number, (errno: number) => void>();
  readonly #asking = new Map<number, (answer: Answer) => void>();
  #seq = FIRST_SEQ;

  constructor(
    epoll: EpollSet,
    fd: number,
    options: Pick<ChannelOptions, 'sendKey' | 'receiveKey' | 'silenceMaxMs' | 'nowMs'>,
    events: PeerLinkEvents,
  ) {
    this.#events = events;
    this.channel = new Channel(epoll, fd, {
      ...options,
      onMessages: (messages) => {
        for (const message of messages) this.#receive(message);
      },
      onLost: events.onLost,
      onDrained: events.onDrained,
    });
  }

  /** Requests without an answer yet. */
  get unanswered(): number {
    return this.#waiting.size;
  }

  request(body: LiveBody, answered: (errno: number) => void): void {
    this.#seq += 1;
    this.#waiting.set(this.#seq, answered);
    // The union of bodies with a number is the union of requests; TypeScript does not distribute the spread.
    this.channel.send({ ...body, seq: this.#seq });
  }

  /** A question of a verification. */
  ask(body: VerifyBody, answered: (answer: Answer) => void): void {
    this.#seq += 1;
    this.#asking.set(this.#seq, answered);
    this.channel.send({ ...body, seq: this.#seq });
  }

  /** Answers that still come are for nobody. */
  close(): void {
    this.#waiting.clear();
    this.#asking.clear();
    this.channel.close();
  }

  #receive(message: Delivered): void {
    if (!this.channel.isOpen) return;
    switch (message.kind) {
      case 'ack': {
        const answered = this.#waiting.get(message.seq);
        if (answered === undefined) this.#answer(message);
        else {
          this.#waiting.delete(message.seq);
          answered(message.errno);
        }
        return;
      }
      case 'statuses':
      case 'digests':
      case 'listing':
      case 'contents':
        this.#answer(message);
        return;
      case 'failed':
        this.#events.onFailed(message.code, message.message);
        return;
      default:
        this.channel.fail('HF_REPLICATION_FRAME', `a secondary does not send ${message.kind}`);
        this.#events.onFailed('HF_REPLICATION_FRAME', `the peer sent ${message.kind}, which only a primary sends`);
    }
  }

  /** Of a verification, or of the resync. */
  #answer(answer: Answer): void {
    const answered = this.#asking.get(answer.seq);
    if (answered === undefined) {
      this.#events.onResyncAnswer(answer);
      return;
    }
    this.#asking.delete(answer.seq);
    answered(answer);
  }
}
