/**
 * One session in the sending process: on every link, the last payload at every pulse and at once when it is new; what arrives is judged
 * by the link's receiver and told to the agent. The agent's silence does not stop the pulse, but shows in the age of its last tick.
 */
import type { HeartbeatLink, HeartbeatOptions } from '@holdfast/sdk';
import { type FromProcess, monotonicMs, type Refusals } from '../channel.js';
import { type CodedFailure, linksFailed } from '../errors.js';
import { Pulse } from '../pulse.js';
import { Acquaintance } from '../wire/acquaintance.js';
import { encodeBody } from '../wire/frame.js';
import { LinkReceiver, type Reception, type Refusal } from '../wire/link-receiver.js';
import { directionKey, keyIdOf, Sealer } from '../wire/sealing.js';
import { LinkSocket } from './link-socket.js';

const GOODBYES = 3;
const GOODBYE_INTERVAL_MS = 10;
/** Answers outside the pulse, per link: a recording replayed at full speed must not make this node send at full speed. */
const ANSWER_INTERVAL_MS = 20;

interface Link {
  readonly socket: LinkSocket;
  readonly receiver: LinkReceiver;
  readonly sealer: Sealer;
  failure: CodedFailure | undefined;
  answeredMs: number;
}

export class PulsingSession {
  readonly #session: number;
  readonly #post: (message: FromProcess) => void;
  readonly #acquaintance: Acquaintance;
  readonly #links: readonly Link[];
  readonly #pulseMs: number;
  readonly #refusals: Partial<Record<Refusal, number>> = {};
  #pulse: Pulse | undefined;
  #payload: Uint8Array | undefined;
  #tickMs = monotonicMs();
  #closing: Promise<void> | undefined;

  constructor(session: number, options: HeartbeatOptions, incarnation: Buffer, post: (message: FromProcess) => void) {
    this.#session = session;
    this.#post = post;
    this.#pulseMs = options.pulseMs;
    this.#acquaintance = new Acquaintance(incarnation);
    this.#links = options.links.map((link) => this.#connect(link, options, incarnation));
  }

  get refusals(): Refusals {
    return { ...this.#refusals };
  }

  /** Binds every link, or none. */
  async open(): Promise<CodedFailure | undefined> {
    const outcomes = await Promise.all(this.#links.map(({ socket }) => socket.bind()));
    const failure = outcomes.find((outcome) => outcome !== undefined);
    if (failure !== undefined || this.#closing !== undefined) {
      await Promise.all(this.#links.map(({ socket }) => socket.close()));
      return failure;
    }
    this.#pulse = new Pulse(this.#pulseMs, () => this.#sendAll(false));
    this.#sendAll(false); // introduces this incarnation at once, without waiting for a pulse
    return undefined;
  }

  update(payload: Uint8Array | undefined, tickMs: number | undefined): void {
    if (this.#closing !== undefined) return;
    if (tickMs !== undefined) this.#tickMs = Math.max(this.#tickMs, tickMs);
    if (payload === undefined) return;
    this.#payload = payload;
    this.#sendAll(false);
  }

  close(goodbye: boolean): Promise<void> {
    this.#closing ??= this.#leave(goodbye);
    return this.#closing;
  }

  async #leave(goodbye: boolean): Promise<void> {
    this.#pulse?.stop();
    for (let sent = 0; goodbye && sent < GOODBYES; sent++) {
      this.#sendAll(true);
      // Also after the last one: a socket that is closed at once drops what it was just given.
      await new Promise((resolve) => setTimeout(resolve, GOODBYE_INTERVAL_MS));
    }
    await Promise.all(this.#links.map(({ socket }) => socket.close()));
  }

  #connect(link: HeartbeatLink, options: HeartbeatOptions, incarnation: Buffer): Link {
    const { module, localNode, peerNode, key } = options;
    const keyId = keyIdOf(key);
    const outward = directionKey(key, { module, from: localNode, to: peerNode, link: link.name });
    const inward = directionKey(key, { module, from: peerNode, to: localNode, link: link.name });
    const socket = new LinkSocket(link, {
      onDatagram: (datagram, receivedMs) => this.#take(connected, datagram, receivedMs),
      onState: (failure) => {
        if (failure === undefined) connected.failure = undefined;
        this.#post({ kind: 'link', session: this.#session, link: link.name, failure });
      },
      onFailed: (failure) => this.#noteFailed(connected, failure),
    });
    const connected: Link = {
      socket,
      receiver: new LinkReceiver(inward, keyId, this.#acquaintance),
      sealer: new Sealer(outward, keyId, incarnation),
      failure: undefined,
      answeredMs: Number.NEGATIVE_INFINITY,
    };
    return connected;
  }

  /** One link that works is a session that works: only the loss of the last one is a failure. */
  #noteFailed(link: Link, failure: CodedFailure): void {
    link.failure = failure;
    const failures = this.#links.flatMap((each) => each.failure ?? []);
    if (failures.length === this.#links.length) this.#post({ kind: 'failed', session: this.#session, failure: linksFailed(failures) });
  }

  #take(link: Link, datagram: Buffer, receivedMs: number): void {
    if (this.#closing !== undefined) return; // no answer may follow the goodbye
    const reception: Reception = link.receiver.receive(datagram);
    if (reception.kind === 'refused') {
      this.#refusals[reception.refusal] = (this.#refusals[reception.refusal] ?? 0) + 1;
      return;
    }
    if (reception.answer && receivedMs - link.answeredMs >= ANSWER_INTERVAL_MS) {
      link.answeredMs = receivedMs;
      this.#send(link, false);
    }
    if (reception.alive === undefined) return;
    const { agentTickAgeMs, goodbye, payload } = reception.alive;
    const heartbeat = { link: link.socket.link.name, receivedMs, agentTickAgeMs, goodbye, payload };
    this.#post({ kind: 'heartbeat', session: this.#session, heartbeat });
  }

  #sendAll(goodbye: boolean): void {
    for (const link of this.#links) this.#send(link, goodbye);
  }

  #send(link: Link, goodbye: boolean): void {
    const agentTickAgeMs = monotonicMs() - this.#tickMs;
    const body = encodeBody({ goodbye, echo: this.#acquaintance.echo, agentTickAgeMs, payload: this.#payload });
    link.socket.send(link.sealer.seal(body));
  }
}
