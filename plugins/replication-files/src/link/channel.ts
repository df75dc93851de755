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
import { encodeBeforeData, encodedBytesMax, encodeMessage } from '../wire/encode.js';
import { RECORD_EXTRA_BYTES, RecordOpener, RecordSealer } from '../wire/seal.js';
import { RECORD_BYTES_MAX } from '../wire/limits.js';
import type { Answer, Lone, Message, Request } from '../wire/messages.js';
import { tuneSocket } from './socket.js';

const MSG_MORE = 0x8000;
const PING_INTERVAL_MS = 1000;
const RECEIVE_BYTES = 2 * (RECORD_BYTES_MAX + RECORD_EXTRA_BYTES);
/** Data of this size is sealed from where it lies and sent at once: the peer works on it while the next is sealed. */
const UNCOPIED_BYTES_MIN = 32 << 10;
/**
 * Where records are made, in two sizes. Some are kept for further records: new memory for each record of 1 MiB, which the system must
 * clear and map first, is a fifth of what a full synchronisation costs the primary.
 */
const ROOM_BYTES = 320 << 10;
const LARGE_ROOM_BYTES = RECORD_BYTES_MAX + RECORD_EXTRA_BYTES;
const SPARE_ROOMS_MAX = 8;
const SPARE_LARGE_ROOMS_MAX = 4;

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
  #queue: { left: Buffer; readonly room: Buffer }[] = [];
  readonly #spareRooms: Buffer[] = [];
  readonly #spareLargeRooms: Buffer[] = [];
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
    if ((message.kind === 'write' || message.kind === 'data') && message.data.length >= UNCOPIED_BYTES_MIN) {
      encodeBeforeData(this.#batch, message);
      this.#seal(message.data);
      if (!this.#isWaitingToWrite) this.#write();
    } else encodeMessage(this.#batch, message);
  }

  /** Sends what was collected: once per turn of the event loop, and before anything slow. */
  flush(): void {
    if (!this.#isOpen) return;
    // What the socket cannot take anyway goes into one record later.
    if (this.#isWaitingToWrite) return;
    if (this.#batch.length > 0) this.#seal();
    this.#write();
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

  /** @param data follows what was collected */
  #seal(data?: Buffer): void {
    const bytes = RECORD_EXTRA_BYTES + this.#batch.length + (data?.length ?? 0);
    const isLarge = bytes > ROOM_BYTES;
    const spare = (isLarge ? this.#spareLargeRooms : this.#spareRooms).pop();
    const room = spare ?? Buffer.from(new ArrayBuffer(isLarge ? LARGE_ROOM_BYTES : ROOM_BYTES));
    const left = this.#sealer.seal(data === undefined ? [this.#batch.view()] : [this.#batch.view(), data], room);
    this.#batch.clear();
    this.#queue.push({ left, room });
    this.#queuedBytes += left.length;
  }

  #write(): void {
    let sent = 0;
    while (sent < this.#queue.length) {
      const record = this.#queue[sent] as { left: Buffer; readonly room: Buffer };
      const more = sent + 1 < this.#queue.length ? MSG_MORE : 0;
      const outcome = send(this.#fd, record.left, record.left.length, MSG_NOSIGNAL | more);
      if (outcome === -EINTR) continue;
      if (outcome === -EAGAIN) break;
      if (outcome < 0) return this.#lost(linkLost(`sending failed: ${errnoName(outcome)}`));
      this.#queuedBytes -= outcome;
      if (outcome === record.left.length) {
        this.#spare(record.room);
        sent += 1;
      } else record.left = record.left.subarray(outcome);
    }
    this.#queue.splice(0, sent);
    this.#wantWrite(this.#queue.length > 0);
  }

  /** What was made in it has been sent. */
  #spare(room: Buffer): void {
    if (room.length === LARGE_ROOM_BYTES) {
      if (this.#spareLargeRooms.length < SPARE_LARGE_ROOMS_MAX) this.#spareLargeRooms.push(room);
    } else if (this.#spareRooms.length < SPARE_ROOMS_MAX) this.#spareRooms.push(room);
  }

  #wantWrite(wanted: boolean): void {
    if (wanted === this.#isWaitingToWrite) return;
    this.#isWaitingToWrite = wanted;
    this.#epoll.change(this.#fd, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (!wanted) this.#options.onDrained?.();
  }

  #ready(events: number): void {
    if ((events & EPOLLOUT) !== 0) {
      this.#write();
      this.flush();
    }
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
