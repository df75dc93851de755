/**
 * How the data connection comes to be, in the data thread. The primary connects and sends the cookie of its TLS session; the secondary
 * takes the first connection that shows the cookie it expects, and closes everything else: garbage, silence, too many at once.
 */
import { timingSafeEqual } from 'node:crypto';
import { HoldfastError } from '@holdfast/sdk';
import { close, read, send } from '../system/calls.js';
import { EPOLLIN, EPOLLOUT, MSG_NOSIGNAL } from '../system/constants.js';
import type { EpollSet } from '../system/epoll.js';
import { EAGAIN, errnoName } from '../system/errno.js';
import { COOKIE_BYTES } from './keys.js';
import type { Endpoint } from './session.js';
import { acceptSocket, connectSocket, listenSocket, socketError } from './socket.js';

const COOKIE_TIMEOUT_MS = 5000;
const CANDIDATES_MAX = 8;

interface Candidate {
  readonly received: Buffer;
  have: number;
  readonly deadlineMs: number;
}

/** The secondary's end. */
export class DataListener {
  readonly #fd: number;
  readonly #candidates = new Map<number, Candidate>();
  #expected: { cookie: Buffer; taken: (fd: number) => void } | undefined;

  /** @throws HoldfastError HF_REPLICATION_LISTEN */
  constructor(
    private readonly epoll: EpollSet,
    endpoint: Endpoint,
    private readonly nowMs: () => number,
  ) {
    this.#fd = listenSocket(endpoint);
    epoll.add(this.#fd, EPOLLIN, () => this.#accept());
  }

  /** The next connection with this cookie is handed to `taken`, once. Replaces an earlier expectation. */
  expect(cookie: Buffer, taken: (fd: number) => void): void {
    this.#expected = { cookie, taken };
  }

  expectNothing(): void {
    this.#expected = undefined;
  }

  /** Closes candidates that stay silent; to be called about once a second. */
  tick(): void {
    const now = this.nowMs();
    for (const [fd, candidate] of this.#candidates) if (now >= candidate.deadlineMs) this.#drop(fd);
  }

  close(): void {
    for (const fd of this.#candidates.keys()) this.#drop(fd);
    this.epoll.remove(this.#fd);
    close(this.#fd);
    this.#expected = undefined;
  }

  #accept(): void {
    const fd = acceptSocket(this.#fd);
    if (fd < 0) return;
    const oldest = this.#candidates.keys().next().value;
    if (oldest !== undefined && this.#candidates.size >= CANDIDATES_MAX) this.#drop(oldest);
    this.#candidates.set(fd, { received: Buffer.alloc(COOKIE_BYTES), have: 0, deadlineMs: this.nowMs() + COOKIE_TIMEOUT_MS });
    this.epoll.add(fd, EPOLLIN, () => this.#read(fd));
  }

  #read(fd: number): void {
    const candidate = this.#candidates.get(fd);
    if (candidate === undefined) return;
    const got = read(fd, candidate.received.subarray(candidate.have), COOKIE_BYTES - candidate.have);
    if (got === -EAGAIN) return;
    if (got <= 0) return this.#drop(fd);
    candidate.have += got;
    if (candidate.have < COOKIE_BYTES) return;
    const expected = this.#expected;
    if (expected === undefined || !timingSafeEqual(candidate.received, expected.cookie)) return this.#drop(fd);
    this.#candidates.delete(fd);
    this.epoll.remove(fd);
    this.#expected = undefined;
    expected.taken(fd);
  }

  #drop(fd: number): void {
    this.#candidates.delete(fd);
    this.epoll.remove(fd);
    close(fd);
  }
}

/** The primary's end: connects and shows the cookie. `done` gets the descriptor, or the error; `cancel` ends the attempt silently. */
export class DataConnector {
  #fd: number;

  constructor(
    private readonly epoll: EpollSet,
    private readonly endpoint: Endpoint,
    private readonly cookie: Buffer,
    private readonly done: (outcome: number | HoldfastError) => void,
    localAddress?: string,
  ) {
    this.#fd = connectSocket(endpoint, localAddress);
    epoll.add(this.#fd, EPOLLOUT, () => this.#connected());
  }

  /** Idempotent. */
  cancel(): void {
    if (this.#fd < 0) return;
    this.epoll.remove(this.#fd);
    close(this.#fd);
    this.#fd = -1;
  }

  #connected(): void {
    const fd = this.#fd;
    const errno = socketError(fd);
    // 32 bytes always fit into an empty socket buffer.
    const sent = errno === 0 ? send(fd, this.cookie, this.cookie.length, MSG_NOSIGNAL) : -errno;
    if (sent !== this.cookie.length) {
      this.cancel();
      const { address, port } = this.endpoint;
      this.done(
        new HoldfastError('HF_REPLICATION_CONNECT', `no data connection to ${address} port ${port}: ${errnoName(sent)}`, { address, port }),
      );
      return;
    }
    this.epoll.remove(fd);
    this.#fd = -1;
    this.done(fd);
  }
}
