import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { HoldfastError } from '@holdfast/sdk';
import { encodeGreeting, type Hello } from '../src/link/greeting.js';
import type { LinkKeys } from '../src/link/keys.js';
import { connectLink, LinkServer, type LinkIdentity, type LinkSession } from '../src/link/session.js';
import { connectSocket } from '../src/link/socket.js';
import { close, read, send } from '../src/system/calls.js';
import { EPOLLIN, MSG_NOSIGNAL } from '../src/system/constants.js';
import { EAGAIN } from '../src/system/errno.js';
import { EpollSet } from '../src/system/epoll.js';
import type { Message } from '../src/wire/messages.js';
import { connectWire, listenSomewhere, nowMs, SILENCE_MAX_MS, turnUntil } from './resync-lab.js';

const hello: Hello = {
  protocol: 1,
  module: 'm',
  node: 'a',
  epoch: 3,
  generation: '0123456789abcdef'.repeat(2),
  async: 'second',
  mode: 'journal',
  roots: ['/data'],
  exclusions: 'none',
};
const write = (seq: number, data: Buffer): Message => ({ kind: 'write', seq, object: 300n, offset: seq, data });
/** Data are views that end with the delivery. */
const kept = (message: Message): Message => (message.kind === 'write' ? { ...message, data: Buffer.from(message.data) } : message);

describe('the data connection', () => {
  it('delivers messages in order in both directions, however they are batched', () => {
    const received: Message[] = [];
    const answers: Message[] = [];
    const wire = connectWire({
      onPrimary: (messages) => answers.push(...messages),
      onSecondary: (messages) => received.push(...messages.map(kept)),
    });
    try {
      const sizes = [0, 1, 4096, 1 << 20, 100, 1 << 20, 1 << 20, 65536, 7];
      const sent = sizes.map((size, index) => write(index + 1, randomBytes(size)));
      for (const [index, message] of sent.entries()) {
        wire.primary.send(message);
        if (index % 3 === 0) wire.primary.flush();
      }
      wire.primary.flush();
      turnUntil(wire.epoll, 'all messages', () => received.length === sent.length);
      assert.deepEqual(received, sent);
      assert.equal(wire.primary.queuedBytes, 0);
      for (let seq = 1; seq <= 5000; seq += 1) wire.secondary.send({ kind: 'ack', seq, errno: 0 });
      wire.secondary.flush();
      turnUntil(wire.epoll, 'all answers', () => answers.length === 5000);
      assert.deepEqual(
        answers.map((answer) => answer.seq),
        Array.from({ length: 5000 }, (_, index) => index + 1),
      );
    } finally {
      wire.close();
    }
  });

  it('keeps what the socket does not take, and delivers it when the peer reads again', () => {
    let count = 0;
    const wire = connectWire({ onPrimary: () => undefined, onSecondary: (messages) => (count += messages.length) });
    try {
      const data = randomBytes(1 << 20);
      for (let seq = 1; seq <= 32; seq += 1) {
        wire.primary.send(write(seq, data));
        wire.primary.flush();
      }
      assert.ok(wire.primary.queuedBytes > 0, 'more than a socket takes');
      turnUntil(wire.epoll, 'everything', () => count === 32);
      assert.equal(wire.primary.queuedBytes, 0);
    } finally {
      wire.close();
    }
  });

  it('makes new records in the place of old ones only when those have been sent', () => {
    const received: Message[] = [];
    const wire = connectWire({ onPrimary: () => undefined, onSecondary: (messages) => received.push(...messages.map(kept)) });
    try {
      // On both sides of every size at which records are made elsewhere; more than are kept, sent while the peer does not read.
      const sizes = [1 << 20, 330 << 10, 4096, (320 << 10) - 100, 320 << 10, 1 << 20, 64 << 10, 1 << 20];
      const bursts = 3;
      for (let burst = 1; burst <= bursts; burst += 1) {
        const sent = Array.from({ length: 4 }, () => sizes)
          .flat()
          .map((size, index) => write(index + 1, randomBytes(size)));
        for (const message of sent) {
          wire.primary.send(message);
          wire.primary.flush();
        }
        assert.ok(wire.primary.queuedBytes > 0, 'more than a socket takes');
        turnUntil(wire.epoll, 'everything', () => received.length === sent.length);
        assert.deepEqual(received.splice(0), sent);
      }
    } finally {
      wire.close();
    }
  });

  it('is lost when the peer closes, and says why when the peer gave a reason', () => {
    const lost: string[] = [];
    const received: Message[] = [];
    const wire = connectWire({
      onPrimary: (messages) => received.push(...messages),
      onSecondary: () => undefined,
      onLost: (side, error) => lost.push(`${side} ${error.code}`),
    });
    try {
      wire.secondary.fail('HF_REPLICATION_APPLY', 'the disk is full');
      turnUntil(wire.epoll, 'the loss', () => lost.length > 0);
      assert.deepEqual(received, [{ kind: 'failed', seq: 0, code: 'HF_REPLICATION_APPLY', message: 'the disk is full' }]);
      assert.deepEqual(lost, ['primary HF_REPLICATION_LINK_LOST']);
      assert.equal(wire.primary.isOpen, false);
    } finally {
      wire.close();
    }
  });

  it('is lost when the peer is silent for the limit, not when it only has nothing to say', () => {
    const lost: string[] = [];
    let clock = 0;
    const wire = connectWire(
      { onPrimary: () => undefined, onSecondary: () => undefined, onLost: (side, error) => lost.push(`${side} ${error.code}`) },
      () => clock,
    );
    try {
      for (; clock < 5 * SILENCE_MAX_MS; clock += 1000) {
        wire.primary.tick();
        if (clock > 0) turnUntil(wire.epoll, 'the answer to a ping', () => wire.primary.lastHeardMs === clock);
      }
      assert.deepEqual(lost, []);
      const lastHeard = wire.primary.lastHeardMs;
      clock = lastHeard + SILENCE_MAX_MS - 1;
      wire.primary.tick();
      assert.deepEqual(lost, [], 'not before the limit');
      clock += 1;
      wire.primary.tick();
      assert.deepEqual(lost, ['primary HF_REPLICATION_LINK_LOST']);
    } finally {
      wire.close();
    }
  });

  it('closes whoever does not show the cookie: garbage, a wrong one, silence, too many', () => {
    const epoll = new EpollSet();
    let clock = 0;
    const { endpoint, listener } = listenSomewhere(epoll, () => clock);
    const open: number[] = [];
    const taken: number[] = [];
    const closed = new Set<number>();
    const connect = (bytes: Buffer): number => {
      const fd = connectSocket(endpoint);
      open.push(fd);
      epoll.add(fd, EPOLLIN, () => {
        const got = read(fd, Buffer.alloc(16), 16);
        if (got === -EAGAIN) return;
        closed.add(fd);
        epoll.remove(fd);
      });
      if (bytes.length > 0) turnUntil(epoll, 'the bytes to go out', () => send(fd, bytes, bytes.length, MSG_NOSIGNAL) === bytes.length);
      return fd;
    };
    try {
      const cookie = randomBytes(32);
      listener.expect(cookie, (fd) => taken.push(fd));
      const bad = [connect(randomBytes(32)), connect(Buffer.from('GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n'))];
      turnUntil(epoll, 'the wrong ones to be closed', () => bad.every((fd) => closed.has(fd)));
      const many = Array.from({ length: 9 }, () => connect(Buffer.from('x')));
      turnUntil(epoll, 'the oldest of too many to be closed', () => closed.has(many[0] as number));
      clock = 60_000;
      listener.tick();
      turnUntil(epoll, 'the silent ones to be closed', () => many.every((fd) => closed.has(fd)));
      assert.deepEqual(taken, []);
      connect(cookie.subarray(0, 31));
      const rest = open.at(-1) as number;
      turnUntil(epoll, 'the last byte to go out', () => send(rest, cookie.subarray(31), 1, MSG_NOSIGNAL) === 1);
      turnUntil(epoll, 'the right one', () => taken.length === 1);
      const replayed = connect(cookie);
      turnUntil(epoll, 'the second with the same cookie to be closed', () => closed.has(replayed));
      assert.equal(taken.length, 1);
    } finally {
      listener.close();
      for (const fd of [...taken, ...open]) {
        epoll.remove(fd);
        close(fd);
      }
      epoll.close();
    }
  });
});

describe('the control connection', () => {
  const key = randomBytes(32);
  const primary: LinkIdentity = { module: 'm', localNode: 'a', peerNode: 'b', key };
  const secondary: LinkIdentity = { module: 'm', localNode: 'b', peerNode: 'a', key };
  let server: LinkServer;
  let sessions: LinkSession[];
  let offered: LinkKeys[];
  let refused: string[];
  let answer: (given: Hello) => ReturnType<Parameters<typeof LinkServer.listen>[2]>;

  beforeEach(async () => {
    [sessions, offered, refused] = [[], [], []];
    answer = async () => ({ welcome: true });
    server = await LinkServer.listen(
      { address: '127.0.0.1', port: 0 },
      secondary,
      (given, keys) => {
        offered.push(keys);
        return answer(given);
      },
      (session) => sessions.push(session),
      (reason) => refused.push(reason),
    );
  });
  afterEach(async () => {
    for (const session of sessions) session.close();
    await server.close();
  });
  const endpoint = (): { address: string; port: number } => ({ address: '127.0.0.1', port: server.port });

  async function rejection(attempt: Promise<LinkSession>): Promise<HoldfastError> {
    const error: unknown = await attempt.then(
      (session) => session.close(),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof HoldfastError, String(error));
    return error;
  }

  async function eventually(what: string, condition: () => boolean): Promise<void> {
    const deadline = nowMs() + 5000;
    while (!condition()) {
      if (nowMs() > deadline) assert.fail(`waited 5 s for ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  it('gives both ends the same keys, other keys for every session, and ends when either end closes', async () => {
    const first = await connectLink(endpoint(), primary, hello);
    const second = await connectLink(endpoint(), primary, hello);
    await eventually('both sessions', () => sessions.length === 2);
    assert.deepEqual(sessions[0]?.keys, first.keys);
    assert.deepEqual(sessions[1]?.keys, second.keys);
    assert.deepEqual(sessions[0]?.hello, hello);
    assert.notDeepEqual(first.keys.toSecondary, first.keys.toPrimary);
    assert.notDeepEqual(first.keys.cookie, second.keys.cookie);
    let ended = 0;
    sessions[0]?.onEnd(() => (ended += 1));
    second.onEnd(() => (ended += 1));
    first.close();
    sessions[1]?.close();
    await eventually('both ends', () => ended === 2);
  });

  it('tells the primary why it is refused', async () => {
    answer = async ({ epoch }) => ({ welcome: false, code: 'deposed', message: `epoch ${epoch} is over` });
    const error = await rejection(connectLink(endpoint(), primary, hello));
    assert.equal(error.code, 'HF_REPLICATION_REFUSED');
    assert.equal(error.details.code, 'deposed');
    assert.match(error.message, /epoch 3 is over/);
    assert.deepEqual(sessions, []);
  });

  it('refuses another key, another module and another node before anything is said', async () => {
    for (const other of [
      { ...primary, key: randomBytes(32) },
      { ...primary, module: 'n' },
      { ...primary, localNode: 'c' },
    ]) {
      const error = await rejection(connectLink(endpoint(), other, hello));
      assert.equal(error.code, 'HF_REPLICATION_CONNECT');
    }
    assert.deepEqual(offered, []);
    await eventually('the refusals to be told', () => refused.length === 3);
  });

  it('closes garbage and greetings that make no sense, and goes on', async () => {
    for (const bytes of [randomBytes(2000), Buffer.from('GET / HTTP/1.0\r\n\r\n'), Buffer.alloc(0)]) {
      const socket = connectPlain(server.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.end(bytes);
      socket.resume();
      await once(socket, 'close');
    }
    const error = await rejection(connectLink(endpoint(), primary, { ...hello, generation: 'none' }));
    assert.equal(error.code, 'HF_REPLICATION_FRAME');
    const session = await connectLink(endpoint(), primary, hello);
    session.close();
  });

  it('says so when nobody listens, or the port is taken', async () => {
    const { port } = server;
    await assert.rejects(
      LinkServer.listen(
        { address: '127.0.0.1', port },
        secondary,
        async () => ({ welcome: true }),
        () => undefined,
        () => undefined,
      ),
      { code: 'HF_REPLICATION_LISTEN' },
    );
    await server.close();
    const error = await rejection(connectLink({ address: '127.0.0.1', port }, primary, hello));
    assert.equal(error.code, 'HF_REPLICATION_CONNECT');
  });

  it('has one line for a greeting', () => assert.equal(encodeGreeting(hello).indexOf('\n'), encodeGreeting(hello).length - 1));
});
