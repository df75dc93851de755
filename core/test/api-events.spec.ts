/** The event stream and the way to other nodes: what happens when clients, nodes and the agent itself come and go. */
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { LogEntry } from '../src/api/contract.js';
import { type Client, createClient } from '../src/api/client.js';
import { EVENT_CLIENT_BYTES_MAX, EVENT_STREAMS_MAX } from '../src/api/event-stream.js';
import type { PeerOptions } from '../src/api/peer-tls.js';
import { type MemoryAgent, startMemoryPair } from './api-memory-agent.js';

async function until(what: string, condition: () => boolean, timeoutMs = 5_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) assert.fail(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('API events and other nodes', () => {
  let first: MemoryAgent;
  let second: MemoryAgent;
  let peer: PeerOptions;
  let client: Client;

  beforeEach(async () => {
    ({ first, second, peer } = await startMemoryPair());
    for (const { service } of [first, second]) service.addModule('ledger');
    client = createClient({ baseUrl: first.baseUrl, token: first.token });
  });
  afterEach(async () => {
    await Promise.all([first.close(), second.close()]);
    assert.equal(first.service.listeners.size + second.service.listeners.size, 0, 'a subscription was left');
  });

  /** Follows events; `done` settles with the entries when the stream ends, by the abort or by an error. */
  function follow(from: Client, options: { module?: string; after?: number } = {}) {
    const abort = new AbortController();
    const entries: LogEntry[] = [];
    let failure: unknown;
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const done = (async () => {
      try {
        for await (const entry of from.events({ ...options, signal: abort.signal, onOpen: open })) entries.push(entry);
      } catch (error) {
        failure = error;
      }
      open();
    })();
    return { entries, opened, done, abort: () => abort.abort(), failure: () => failure as { code?: string } | undefined };
  }

  it('end when they are aborted, however long they were quiet', async () => {
    const quiet = follow(client);
    await quiet.opened;
    // What only a weak reference holds is gone after a while; here at once.
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let turn = 0; turn < 5; turn += 1) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    quiet.abort();
    await quiet.done;
    assert.equal(quiet.failure(), undefined);
  });

  it('brings every entry in order, of all modules or of one, from this node and from another', async () => {
    const all = follow(client);
    const one = follow(client.onNode('node1'), { module: 'ledger' });
    const remote = follow(client.onNode('node2'));
    await Promise.all([all.opened, one.opened, remote.opened]);
    for (let count = 0; count < 50; count += 1) {
      first.service.write(count % 2 === 0 ? 'ledger' : 'other', `line\n\n${count} é\u2028`);
      second.service.write('ledger', `remote ${count}`);
    }
    await until('all entries arrived', () => all.entries.length === 50 && one.entries.length === 25 && remote.entries.length === 50);
    assert.deepEqual(all.entries, first.service.entries);
    assert.deepEqual(
      one.entries,
      first.service.entries.filter((entry) => entry.module === 'ledger'),
    );
    assert.deepEqual(remote.entries, second.service.entries);
    for (const stream of [all, one, remote]) stream.abort();
    await Promise.all([all.done, one.done, remote.done]);
    assert.equal(all.failure(), undefined);
    await until('the agents forgot the clients', () => first.service.listeners.size === 0 && second.service.listeners.size === 0);
  });

  it('brings entries of the node itself to those who follow one module', async () => {
    const stream = follow(client, { module: 'ledger' });
    await stream.opened;
    first.service.write('', 'the agent starts');
    first.service.write('other', 'not for us');
    first.service.write('ledger', 'last');
    await until('two entries', () => stream.entries.length >= 2);
    assert.deepEqual(
      stream.entries.map((entry) => entry.text),
      ['the agent starts', 'last'],
    );
    stream.abort();
    await stream.done;
  });

  it('brings what a returning client missed first, each entry once', async () => {
    for (let count = 1; count <= 10; count += 1) first.service.write('ledger', `entry ${count}`);
    const log = first.service.log.bind(first.service);
    // An entry is written while the log is being read: it is in both, or only live; it must come once.
    first.service.log = async (name, query) => {
      first.service.write('ledger', 'entry 11');
      const found = await log(name, query);
      first.service.write('ledger', 'entry 12');
      return found;
    };
    const stream = follow(client, { module: 'ledger', after: 7 });
    await until('entries 8 to 12', () => stream.entries.length >= 5);
    first.service.write('ledger', 'entry 13');
    await until('entry 13', () => stream.entries.at(-1)?.text === 'entry 13');
    assert.deepEqual(
      stream.entries.map((entry) => entry.sequence),
      [8, 9, 10, 11, 12, 13],
    );
    stream.abort();
    await stream.done;
  });

  it('cuts a client that does not read at a bound', async () => {
    const socket = await rawStream();
    socket.pause();
    const text = 'x'.repeat(16 * 1024);
    let written = 0;
    while (first.service.listeners.size > 0 && written < 4_000) {
      first.service.write('ledger', text);
      written += 1;
      // Lets the connection take what it can.
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(first.service.listeners.size, 0, `still subscribed after ${written} entries beyond ${EVENT_CLIENT_BYTES_MAX} bytes`);
    socket.destroy();
  });

  it('refuses one stream more than the bound and has room again when one ends', async () => {
    const sockets: Socket[] = [];
    for (let count = 0; count < EVENT_STREAMS_MAX; count += 1) sockets.push(await rawStream());
    const refused = follow(client);
    await refused.done;
    assert.equal(refused.failure()?.code, 'HF_API_STREAMS_MAX');
    sockets.pop()?.destroy();
    await until('room', () => first.service.listeners.size < EVENT_STREAMS_MAX);
    const admitted = follow(client);
    await admitted.opened;
    admitted.abort();
    await admitted.done;
    assert.equal(admitted.failure(), undefined);
    for (const socket of sockets) socket.destroy();
    await until('all gone', () => first.service.listeners.size === 0);
  });

  it('closes at once with open streams, idle connections and a stuck request', async () => {
    const local = follow(client);
    const remote = follow(client.onNode('node2'));
    await Promise.all([local.opened, remote.opened]);
    const idle = connect(first.api.port, '127.0.0.1');
    idle.on('error', () => undefined);
    first.service.cluster = () => new Promise(() => undefined);
    const stuck = client.cluster().catch((error: unknown) => error as { code?: string });
    await until('streams are subscribed', () => first.service.listeners.size === 1 && second.service.listeners.size === 1);
    const began = performance.now();
    await first.close();
    assert.ok(performance.now() - began < 2_000, `close took ${Math.round(performance.now() - began)} ms`);
    await Promise.all([local.done, remote.done]);
    assert.equal(local.failure()?.code, 'HF_API_STREAM_ENDED');
    assert.equal(((await stuck) as { code?: string }).code, 'HF_AGENT_UNREACHABLE');
    // The first call may still meet a pooled connection that was just cut.
    await assert.rejects(client.health(), { code: /^HF_AGENT_(NOT_RUNNING|UNREACHABLE)$/ });
    await assert.rejects(client.health(), { code: 'HF_AGENT_NOT_RUNNING' });
    await until('the other node forgot the stream', () => second.service.listeners.size === 0);
    idle.destroy();
  });

  it('ends the stream of a node that goes away', async () => {
    const remote = follow(client.onNode('node2'));
    await remote.opened;
    await second.close();
    await remote.done;
    assert.ok(['HF_API_STREAM_ENDED', 'HF_AGENT_UNREACHABLE'].includes(remote.failure()?.code ?? ''), remote.failure()?.code);
    await assert.rejects(client.onNode('node2').module('ledger'), {
      code: 'HF_NODE_UNREACHABLE',
      message: /node "node2" at 127\.0\.0\.2 port \d+: .*ECONNREFUSED/,
    });
    assert.equal((await client.module('ledger')).node, 'node1');
  });

  it("passes the other node's own errors and commands through", async () => {
    await assert.rejects(client.onNode('node2').module('absent'), { code: 'HF_MODULE_UNKNOWN', message: /on node2$/ });
    await client.onNode('node2').command('ledger', 'swap', { identity: 'x' });
    assert.deepEqual(second.service.commands, [{ module: 'ledger', verb: 'swap', options: { identity: 'x' } }]);
    assert.equal((await client.onNode('node2').log('ledger', { limit: 5 })).length, 0);
  });

  it('never forwards the token of this node', async () => {
    const seen: string[] = [];
    const listener = await silentNode((socket) => socket.on('data', (chunk: Buffer) => seen.push(chunk.toString('latin1'))));
    const asked = client
      .onNode('node3')
      .cluster()
      .catch(() => undefined);
    await until('the connection', () => seen.length > 0);
    assert.ok(!seen.join('').includes(first.token));
    await listener.close();
    await asked;
  });

  it('gives up on a node that accepts the connection and says nothing, and says so', async () => {
    const listener = await silentNode(() => undefined);
    const began = performance.now();
    await assert.rejects(client.onNode('node3').cluster(), { code: 'HF_NODE_TIMEOUT', message: /could not be reached within 5000 ms/ });
    assert.ok(performance.now() - began < 7_000);
    await listener.close();
  });

  it('tells a node with another cluster key from one that is down', async () => {
    await second.close();
    const { startMemoryAgent } = await import('./api-memory-agent.js');
    const wrong: PeerOptions = {
      ...peer,
      localNode: 'node2',
      address: '127.0.0.2',
      clusterKey: new Uint8Array(32),
      peers: [{ name: 'node1', address: '127.0.0.1' }],
    };
    const impostor = await startMemoryAgent('node2', wrong);
    try {
      await assert.rejects(client.onNode('node2').cluster(), { code: 'HF_NODE_UNREACHABLE', message: /same cluster\.key/ });
    } finally {
      await impostor.close();
    }
  });

  /** An open event stream on a bare socket, whose reading the test controls. */
  async function rawStream(): Promise<Socket> {
    const before = first.service.listeners.size;
    const socket = connect(first.api.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`GET /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${first.token}\r\n\r\n`);
    await until('the stream is subscribed', () => first.service.listeners.size > before);
    return socket;
  }

  /** Something that listens in node3's place. */
  async function silentNode(onConnection: (socket: Socket) => void): Promise<{ close(): Promise<void> }> {
    const sockets: Socket[] = [];
    const server: Server = createServer((socket) => {
      socket.on('error', () => undefined);
      sockets.push(socket);
      onConnection(socket);
    });
    await new Promise<void>((resolve) => server.listen(peer.port, '127.0.0.3', resolve));
    return {
      close: async () => {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }
});
