/**
 * The data connection in use: messages in, messages out, over a non-blocking descriptor in the data thread's epoll set. Messages are
 * collected into one record until `flush`; what the socket does not take at once waits in a queue whose size the senders watch
 * (`queuedBytes`). PINGs are answered here; a peer that is silent for the limit is lost. Any garbage ends the connection with its reason.
 */
import { HoldfastError } from '@holdfast/sdk';
import { close, read, send } from '../system/calls.js';
import { EPOLLIN, EPOLLOUT, MSG_NOSIGNAL } from '../system/constants.js';
import type { EpollSet } from '../system/epoll.js';
import { EAGAIN, EINTR, errnoName } from '../system/errno.js';
import { ByteWriter } from '../wire/bytes.js';
import { decodeMessages } from '../wire/decode.js';
import { encodedBytesMax, encodeMessage } from '../wire/encode.js';
import { LENGTH_BYTES, RecordOpener, RecordSealer, TAG_BYTES } from '../wire/seal.js';
import { RECORD_BYTES_MAX } from '../wire/limits.js';
import type { Answer, Lone, Message, Request } from '../wire/messages.js';
import { tuneSocket } from './socket.js';

const MSG_MORE = 0x8000;
const PING_INTERVAL_MS = 1000;
const RECEIVE_BYTES = 2 * (LENGTH_BYTES + RECORD_BYTES_MAX + TAG_BYTES);

/** What the owner of a channel sees; PING and PONG are the channel's own. */
export type Delivered = Request | Answer | Extract<Lone, { kind: 'failed' }>;

export interface ChannelOptions {
  readonly sendKey: Buffer;
  readonly receiveKey: Buffer;
  /** The peer is lost when it was silent for so long. */
  readonly silenceMaxMs: number;
  readonly nowMs: () => number;
  /** Messages of one or more whole records, in order. Their data is valid until the call returns. May call `close`. */
  readonly onMessages: (messages: readonly Delivered[]) => void;
  /** Once, when the connection has ended for any reason but `close`; the descriptor is closed already. */
  readonly onLost: (error: HoldfastError) => void;
  /** The queue has become empty after it was not: senders that waited may go on. */
  readonly onDrained?: () => void;
}

export class Channel {
  readonly #fd: number;
  readonly #epoll: EpollSet;
  readonly #options: ChannelOptions;
  readonly #sealer: RecordSealer;
  readonly #opener: RecordOpener;
  readonly #batch = new ByteWriter(64 << 10);
  readonly #received = Buffer.from(new ArrayBuffer(RECEIVE_BYTES));
  #have = 0;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isWaitingToWrite = false;
  #isOpen = true;
  #lastReceivedMs: number;
  #lastPingMs: number;

  /** Takes over a connected, non-blocking descriptor. */
  constructor(epoll: EpollSet, fd: number, options: ChannelOptions) {
    this.#epoll = epoll;
    this.#fd = fd;
    this.#options = options;
    this.#sealer = new RecordSealer(options.sendKey);
    this.#opener = new RecordOpener(options.receiveKey);
    this.#lastReceivedMs = options.nowMs();
    this.#lastPingMs = this.#lastReceivedMs;
    tuneSocket(fd, options.silenceMaxMs);
    epoll.add(fd, EPOLLIN, (events) => this.#ready(events));
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** When the peer was last heard, on the clock of the options. */
  get lastHeardMs(): number {
    return this.#lastReceivedMs;
  }

  /** Bytes that the socket has not taken yet, the open record included. */
  get queuedBytes(): number {
    return this.#queuedBytes + this.#batch.length;
  }

  /** Adds a message to the record that `flush` sends. Data is copied. Does nothing when the connection has ended. */
  send(message: Message): void {
    if (!this.#isOpen) return;
    if (this.#batch.length > 0 && this.#batch.length + encodedBytesMax(message) > RECORD_BYTES_MAX) this.#seal();
    encodeMessage(this.#batch, message);
  }

  /** Sends what was collected: once per turn of the event loop, and before anything slow. */
  flush(): void {
    if (!this.#isOpen) return;
    if (this.#batch.length > 0) this.#seal();
    if (!this.#isWaitingToWrite) this.#write();
  }

  /** To be called about once a second: keeps the connection alive and notices a silent peer. */
  tick(): void {
    if (!this.#isOpen) return;
    const now = this.#options.nowMs();
    const silentMs = now - this.#lastReceivedMs;
    if (silentMs >= this.#options.silenceMaxMs) {
      this.#lost(
        linkLost(`the peer has been silent for ${(silentMs / 1000).toFixed(1)} s; its node or the network is down, or it is overloaded`),
      );
    } else if (now - this.#lastPingMs >= PING_INTERVAL_MS) {
      this.#lastPingMs = now;
      this.send({ kind: 'ping', seq: 0 });
      this.flush();
    }
  }

  /** Says why and ends the connection: best effort, what the socket does not take at once is dropped. */
  fail(code: string, message: string): void {
    this.send({ kind: 'failed', seq: 0, code, message });
    this.flush();
    this.close();
  }

  /** Idempotent. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#epoll.remove(this.#fd);
    close(this.#fd);
  }

  #lost(error: HoldfastError): void {
    if (!this.#isOpen) return;
    this.close();
    this.#options.onLost(error);
  }

  #seal(): void {
    // What the socket has not taken of the last record lies in the sealer's buffer, which is about to be used again.
    const left = this.#queue.pop();
    if (left !== undefined) this.#queue.push(Buffer.from(left));
    const record = this.#sealer.seal(this.#batch.view());
    this.#batch.clear();
    this.#queue.push(record);
    this.#queuedBytes += record.length;
  }

  #write(): void {
    let sent = 0;
    while (sent < this.#queue.length) {
      const piece = this.#queue[sent] as Buffer;
      const more = sent + 1 < this.#queue.length ? MSG_MORE : 0;
      const outcome = send(this.#fd, piece, piece.length, MSG_NOSIGNAL | more);
      if (outcome === -EINTR) continue;
      if (outcome === -EAGAIN) break;
      if (outcome < 0) return this.#lost(linkLost(`sending failed: ${errnoName(outcome)}`));
      this.#queuedBytes -= outcome;
      if (outcome === piece.length) sent += 1;
      else this.#queue[sent] = piece.subarray(outcome);
    }
    this.#queue.splice(0, sent);
    this.#wantWrite(this.#queue.length > 0);
  }

  #wantWrite(wanted: boolean): void {
    if (wanted === this.#isWaitingToWrite) return;
    this.#isWaitingToWrite = wanted;
    this.#epoll.change(this.#fd, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (!wanted) this.#options.onDrained?.();
  }

  #ready(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#write();
    if (this.#isOpen && (events & ~EPOLLOUT) !== 0) this.#read();
  }

  #read(): void {
    const got = read(this.#fd, this.#received.subarray(this.#have), RECEIVE_BYTES - this.#have);
    if (got === -EAGAIN || got === -EINTR) return;
    if (got === 0) return this.#lost(linkLost('the peer closed the connection'));
    if (got < 0) return this.#lost(linkLost(`receiving failed: ${errnoName(got)}`));
    this.#have += got;
    this.#lastReceivedMs = this.#options.nowMs();
    const messages: Delivered[] = [];
    let taken: number;
    try {
      taken = this.#takeRecords(messages);
    } catch (error) {
      return this.#lost(error instanceof HoldfastError ? error : linkLost(String(error)));
    }
    // Data of the messages are views into what was received: it is moved only afterwards.
    if (messages.length > 0) this.#options.onMessages(messages);
    this.#received.copyWithin(0, taken, this.#have);
    this.#have -= taken;
  }

  /** Opens every whole record that was received. @returns their bytes @throws WireError */
  #takeRecords(messages: Delivered[]): number {
    let at = 0;
    for (;;) {
      const rest = this.#received.subarray(at, this.#have);
      const bytes = this.#opener.recordBytes(rest);
      if (bytes === undefined || bytes > rest.length) break;
      for (const message of decodeMessages(this.#opener.open(rest.subarray(0, bytes)))) {
        if (message.kind === 'ping') this.send({ kind: 'pong', seq: 0 });
        else if (message.kind !== 'pong') messages.push(message);
      }
      at += bytes;
    }
    if (this.#batch.length > 0) this.flush();
    return at;
  }
}

function linkLost(why: string): HoldfastError {
  return new HoldfastError('HF_REPLICATION_LINK_LOST', why);
}
