/** Who may ask the witness server, whom a node believes, and what strangers can do to it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { witnessServer } from '../src/index.js';
import { preSharedKey } from '../src/protocol.js';
import { Yard, at, rejection, until } from './harness.js';

const run = promisify(execFile);
const ASKING = fileURLToPath(new URL('asking-process.js', import.meta.url));

describe('the witness server and strangers:', () => {
  let yard: Yard;

  beforeEach(async () => {
    yard = await Yard.create('site');
  });

  afterEach(() => yard.remove());

  describe('a node', () => {
    it('without the key, with another one or with an unknown name gets no answer', async () => {
      const { port } = await yard.serve();
      await yard.add('other');
      await copyFile(yard.keyFile('other'), yard.keyFile('site'));
      assert.match(await rejection(yard.node(port, 'site', 'm').read(), 'HF_WITNESS_AUTHENTICATION'), /another key/);
      await mkdir(yard.nodeFolder('stranger'), { recursive: true });
      await copyFile(yard.keyFile('other'), yard.keyFile('stranger'));
      await rejection(yard.node(port, 'stranger', 'm').read(), 'HF_WITNESS_AUTHENTICATION');
      await rm(yard.keyFile('site'));
      assert.match(await rejection(yard.node(port, 'site', 'm').read(), 'HF_WITNESS_AUTHENTICATION'), /does not exist: save what/);
    });

    it('does not use a key that others may read, or that is none', async () => {
      const { port } = await yard.serve();
      const witness = yard.node(port, 'site', 'm');
      await chmod(yard.keyFile('site'), 0o640);
      assert.match(await rejection(witness.read(), 'HF_WITNESS_AUTHENTICATION'), /mode 640\): run chmod 600/);
      await chmod(yard.keyFile('site'), 0o600);
      assert.equal(await witness.read(), undefined);
      await writeFile(yard.keyFile('site'), 'secret but short\n');
      const message = await rejection(witness.read(), 'HF_WITNESS_AUTHENTICATION');
      assert.match(message, /64 hexadecimal digits/);
      assert.ok(!message.includes('secret'));
    });

    it('never reaches the records of another cluster', async () => {
      await yard.add('other');
      const { port } = await yard.serve();
      await yard.node(port, 'site', 'm').arm(at('g1', 'north', 5));
      assert.equal(await yard.node(port, 'other', 'm').read(), undefined);
      for (const path of [
        '/v1/records/../site/m',
        '/v1/records/..%2f..%2fsite%2frecords.1',
        '/v1/records/m/../../site',
        '/v1/clusters/site',
      ]) {
        const { status, body } = await asked(port, 'other', await keyOf(yard, 'other'), `GET ${path} HTTP/1.1`);
        assert.ok(status === 404 || (status === 200 && body === '{"record":null}\n'), `${path}: ${status} ${body}`);
      }
    });

    it('is forgotten at once when its cluster is removed, and has nothing when it is added again', async () => {
      const { port } = await yard.serve();
      const witness = yard.node(port, 'site', 'm');
      await witness.arm(at('g1', 'north', 1));
      await witnessServer.remove(yard.data, 'site');
      await rejection(witness.read(), 'HF_WITNESS_AUTHENTICATION');
      await yard.add('site');
      assert.equal(await witness.read(), undefined);
      assert.deepEqual(await witness.claim({ from: 'g1', record: at('g2', 'north', 2) }), { outcome: 'refused' });
      assert.deepEqual(await witness.arm(at('g1', 'north', 1)), { outcome: 'armed' });
    });

    it('says that the server is away, busy with something else, or silent', async () => {
      const listening = async (server: Server): Promise<number> => {
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        return (server.address() as AddressInfo).port;
      };
      const sockets = new Set<Socket>();
      const mute = createServer((socket) => void sockets.add(socket));
      const web = createHttpServer((_request, response) => response.end('hello'));
      const noise = createServer((socket) => {
        socket.on('error', () => undefined);
        socket.end(randomBytes(200));
      });
      const gone = createServer();
      const gonePort = await listening(gone);
      gone.close();
      try {
        const port = await listening(mute);
        assert.match(await rejection(yard.node(port, 'site', 'm', { timeout: 150 }).read(), 'HF_WITNESS_UNREACHABLE'), /within 150 ms/);
        await rejection(yard.node(await listening(web), 'site', 'm').read(), 'HF_WITNESS_PROTOCOL');
        await rejection(yard.node(await listening(noise), 'site', 'm').read(), 'HF_WITNESS_PROTOCOL');
        await rejection(yard.node(gonePort, 'site', 'm').read(), 'HF_WITNESS_UNREACHABLE');
      } finally {
        for (const socket of sockets) socket.destroy();
        for (const server of [mute, web, noise]) server.close();
      }
    });

    it('does not believe a server with a certificate that its machine trusts', async () => {
      const certificate = join(yard.root, 'ca.pem');
      const key = join(yard.root, 'ca.key');
      const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
      await run('openssl', [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-keyout',
        key,
        '-out',
        certificate,
        ...subject,
      ]);
      const configuration = JSON.stringify({ cluster: 'site', folder: yard.nodeFolder('site'), certificate, key });
      const trusting = { ...process.env, NODE_EXTRA_CA_CERTS: certificate };
      const { stdout } = await run(process.execPath, [ASKING, configuration], { env: trusting, timeout: 10_000 });
      assert.deepEqual(JSON.parse(stdout), { trusted: 'trusted', code: 'HF_WITNESS_AUTHENTICATION', asked: 0 });
    });
  });

  describe('the port', () => {
    it('outlives random bytes, half a handshake and half a request', async () => {
      const { port } = await yard.serve();
      const key = await keyOf(yard, 'site');
      const hello = await clientHello(port);
      for (let round = 0; round < 150; round += 1) {
        const damaged = Buffer.from(hello);
        for (let flips = 0; flips < 3; flips += 1) damaged[Math.floor(Math.random() * damaged.length)] = Math.floor(Math.random() * 256);
        await thrown(
          port,
          round % 3 === 0
            ? randomBytes(1 + Math.floor(Math.random() * 4_000))
            : damaged.subarray(0, Math.ceil(Math.random() * damaged.length)),
        );
      }
      const inside: readonly (string | Buffer)[] = [
        randomBytes(3_000),
        'GET / HTTP/1.1\r\n',
        'PUT /v1/records/m HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n',
        `PUT /v1/records/m HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nFFFFFF\r\n${'x'.repeat(9_000)}`,
        `GET /${'x'.repeat(9_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
        'POST /v1/records/m/claim HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n[]',
        'GET /v1/records/%ff HTTP/1.1\r\nhost: x\r\n\r\n',
        'GET /v1/records/m HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
        'CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n',
      ];
      for (const bytes of inside) await spoken(port, 'site', key, bytes);
      const witness = yard.node(port, 'site', 'm');
      assert.deepEqual(await witness.arm(at('g1', 'north', 1)), { outcome: 'armed' });
      assert.deepEqual(await witness.read(), at('g1', 'north', 1));
    });

    it('refuses documents that are no questions, and keeps its records', async () => {
      const { port } = await yard.serve();
      const key = await keyOf(yard, 'site');
      await yard.node(port, 'site', 'm').arm(at('g1', 'north', 1));
      const put = (text: string) => asked(port, 'site', key, 'PUT /v1/records/m HTTP/1.1', text);
      const claim = (text: string) => asked(port, 'site', key, 'POST /v1/records/m/claim HTTP/1.1', text);
      for (const text of [
        '',
        'x',
        '[]',
        'null',
        '{}',
        '{"generation":"g","owner":"n"}',
        '{"generation":1,"owner":"n","epoch":2}',
        '{"generation":"g","owner":"n","epoch":1e99}',
      ]) {
        assert.equal((await put(text)).status, 400, text);
        assert.equal((await claim(text)).status, 400, text);
      }
      assert.equal((await claim('{"from":"g1","record":{"generation":"g1","owner":"n","epoch":2}}')).status, 400);
      assert.equal((await claim('{"record":{"generation":"g1","owner":"n","epoch":2}}')).status, 400);
      assert.equal((await put(JSON.stringify({ generation: 'g2', owner: 'n', epoch: 2, more: 'x'.repeat(5_000) }))).status, 413);
      assert.equal((await asked(port, 'site', key, `GET /v1/records/${'m'.repeat(65)} HTTP/1.1`)).status, 404);
      assert.equal((await asked(port, 'site', key, 'DELETE /v1/records/m HTTP/1.1')).status, 405);
      assert.deepEqual(await yard.node(port, 'site', 'm').read(), at('g1', 'north', 1));
    });

    it('serves clusters while strangers hold thousands of connections, and lets those go', async function () {
      this.timeout(60_000);
      const { port, healthPort } = await yard.serve();
      const strangers = Array.from({ length: 2_300 }, () => connect({ host: '127.0.0.1', port }).on('error', () => undefined));
      try {
        await Promise.all(strangers.map((socket) => once(socket, 'connect')));
        assert.deepEqual(await yard.node(port, 'site', 'm').arm(at('g1', 'north', 1)), { outcome: 'armed' });
        await until('the oldest strangers are gone', async () => (await health(healthPort)).handshakes.underWay <= 2_048);
        await until('all strangers are gone', async () => (await health(healthPort)).connections <= 1, 25_000);
      } finally {
        for (const socket of strangers) socket.destroy();
      }
    });

    it('lets no cluster ask more than its share, and others go on', async () => {
      await yard.add('other');
      const { port } = await yard.serve();
      const greedy = yard.node(port, 'site', 'm', { timeout: 15_000 });
      const answers = await Promise.allSettled(Array.from({ length: 4_000 }, () => greedy.read()));
      const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [String(answer.reason)] : []));
      assert.ok(refused.length > 0 && refused.length <= 2_000, `${refused.length} refused`);
      assert.match(refused[0] ?? '', /^HoldfastError: HF_WITNESS_STATE: .* too many questions/);
      assert.deepEqual(await yard.node(port, 'other', 'm').arm(at('g1', 'north', 1)), { outcome: 'armed' });
      await until('site may ask again', () =>
        greedy.read().then(
          () => true,
          () => false,
        ),
      );
    });
  });

  it('tells its health and nothing else without encryption', async () => {
    const { port, healthPort } = await yard.serve();
    await yard.node(port, 'site', 'm').arm(at('g1', 'north', 1));
    await yard.node(port, 'site', 'm').claim({ from: 'g1', record: at('g2', 'south', 2) });
    const { status, clusters, claims, requests } = await health(healthPort);
    assert.deepEqual(
      { status, clusters, claims, requests },
      { status: 'ok', clusters: 1, claims: { granted: 1, refused: 0 }, requests: { total: 2, refused: 0, failed: 0 } },
    );
    const metrics = await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text();
    assert.match(metrics, /^holdfast_witness_claims_granted_total 1$/m);
    assert.ok(!metrics.includes('site'));
    assert.equal((await fetch(`http://127.0.0.1:${healthPort}/v1/records/m`)).status, 404);
    const own = await asked(port, 'site', await keyOf(yard, 'site'), 'GET /v1/health HTTP/1.1');
    assert.equal(own.status, 200);
  });
});

interface HealthDocument {
  readonly status: string;
  readonly clusters: number;
  readonly connections: number;
  readonly handshakes: { readonly underWay: number };
  readonly claims: unknown;
  readonly requests: unknown;
}

async function health(port: number | undefined): Promise<HealthDocument> {
  return (await (await fetch(`http://127.0.0.1:${port ?? 0}/v1/health`)).json()) as HealthDocument;
}

async function keyOf(yard: Yard, cluster: string): Promise<Buffer> {
  const file = yard.keyFile(cluster);
  return preSharedKey(await readFile(file, 'utf8'), file);
}

/** Sends bytes in plain and hangs up when the server does, or shortly after. */
async function thrown(port: number, bytes: Buffer): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  socket.write(bytes);
  await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 3))]);
  socket.destroy();
}

/** Says something inside an authenticated connection, and gives back what came until the server or 300 ms of silence ended it. */
async function spoken(port: number, identity: string, psk: Buffer, bytes: string | Buffer): Promise<Buffer> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    pskCallback: () => ({ psk, identity }),
    checkServerIdentity: () => undefined,
  });
  const pieces: Buffer[] = [];
  socket.on('error', () => undefined);
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.setTimeout(300, () => socket.destroy());
  await once(socket, 'secureConnect');
  socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(pieces);
}

/** One request whose path nobody tidies up. */
async function asked(port: number, identity: string, psk: Buffer, line: string, body = ''): Promise<{ status: number; body: string }> {
  const text = `${line}\r\nhost: x\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const answer = (await spoken(port, identity, psk, text)).toString();
  const end = answer.indexOf('\r\n\r\n');
  return { status: Number(answer.slice(9, 12)), body: answer.slice(end + 4) };
}

/** The first flight of an honest handshake. */
async function clientHello(port: number): Promise<Buffer> {
  const collector = createServer();
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const psk = randomBytes(32);
  const client = connectTls({
    host: '127.0.0.1',
    port: (collector.address() as AddressInfo).port,
    pskCallback: () => ({ psk, identity: 'site' }),
    ciphers: 'TLS_AES_128_GCM_SHA256',
  });
  client.on('error', () => undefined);
  const [socket] = (await once(collector, 'connection')) as [Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  collector.close();
  assert.ok(hello.length > 100 && port > 0);
  return hello;
}
