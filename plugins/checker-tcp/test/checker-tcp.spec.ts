/** The checker against real sockets on the loopback network. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Check, CheckResult, ElementValue } from '@holdfast/sdk';
import { checkerCases } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { plugin } from '../src/index.js';

const silent = (): void => undefined;
const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/tcp.json', import.meta.url), 'utf8'));

function create(to: ElementValue, attributes: Readonly<Record<string, string>> = {}): Check {
  const [check, ...others] = createdChecks(plugin, SCHEMA, { ident: 'web', ...attributes, to: [to] });
  assert.ok(check);
  assert.equal(others.length, 0);
  return check;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 4000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `waited for: ${what}`);
    await delay(5);
  }
}

async function listen(server: Server, port = 0): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port }, resolve);
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

describe('TCP checker', () => {
  const checks: Check[] = [];
  const servers: Server[] = [];

  function watch(to: ElementValue): { readonly check: Check; readonly results: CheckResult[] } {
    const check = create({ interval: 30, timeout: 500, ...to });
    checks.push(check);
    return { check, results: [] };
  }

  async function serve(): Promise<{ readonly server: Server; readonly port: number }> {
    const server = createServer((socket) => socket.on('error', silent).destroy());
    servers.push(server);
    return { server, port: await listen(server) };
  }

  afterEach(async () => {
    await Promise.all(checks.splice(0).map((check) => check.stop()));
    await Promise.all(servers.splice(0).map(close));
  });

  it('says up while the port accepts, down when it refuses, and up again', async () => {
    const { server, port } = await serve();
    const { check, results } = watch({ addr: '127.0.0.1', port });
    await check.start((result) => results.push(result));
    await until('up, several times', () => results.length >= 3);
    assert.ok(results.every(({ verdict }) => verdict === 'up'));
    assert.match(results[0]?.detail ?? '', new RegExp(`^connected to 127\\.0\\.0\\.1:${port} in \\d+ ms$`));
    await close(server);
    await until('down', () => results.at(-1)?.verdict === 'down');
    assert.equal(results.at(-1)?.detail, `connection refused: 127.0.0.1:${port} (ECONNREFUSED)`);
    await listen(server, port);
    await until('up again', () => results.at(-1)?.verdict === 'up');
  });

  it('says down when the connection takes longer than the timeout', async () => {
    // A stopped process whose queue of connections is full: the kernel drops further requests, as a dead host would.
    const script = "require('net').createServer().listen({host:'127.0.0.1',port:0,backlog:1},function(){console.log(this.address().port)})";
    const stopped = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const fillers: Socket[] = [];
    try {
      const [line] = (await once(createInterface(stopped.stdout), 'line')) as [string];
      const port = Number(line);
      stopped.kill('SIGSTOP');
      for (let count = 0; count < 4; count++) fillers.push(connect({ host: '127.0.0.1', port }).on('error', silent));
      await until('a full queue', () => fillers.filter(({ readyState }) => readyState === 'open').length >= 2);
      const { check, results } = watch({ addr: '127.0.0.1', port, timeout: 100 });
      await check.start((result) => results.push(result));
      await until('a verdict', () => results.length > 0);
      assert.deepEqual(results[0], { verdict: 'down', detail: `no connection to 127.0.0.1:${port} within 100 ms: timed out` });
    } finally {
      for (const filler of fillers) filler.destroy();
      stopped.kill('SIGKILL');
    }
  });

  it('is not deceived by a connection to itself', async () => {
    const fixture = fileURLToPath(new URL('./fixtures/self-connection.js', import.meta.url));
    const { stdout } = await promisify(execFile)('unshare', ['--net', process.execPath, fixture]);
    assert.match(stdout, /^down nobody listens: 127\.0\.0\.1:40000/m);
    assert.doesNotMatch(stdout, /^up/m);
  });

  it('connects over IPv6 and by name', async () => {
    const server = createServer((socket) => socket.on('error', silent).destroy());
    servers.push(server);
    await new Promise<void>((resolve) => server.listen({ host: '::1', port: 0 }, resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const byAddress = watch({ addr: '::1', port: address.port });
    const byName = watch({ addr: 'localhost', port: (await serve()).port });
    await byAddress.check.start((result) => byAddress.results.push(result));
    await byName.check.start((result) => byName.results.push(result));
    await until('both verdicts', () => byAddress.results.length > 0 && byName.results.length > 0);
    assert.deepEqual([byAddress.results[0]?.verdict, byName.results[0]?.verdict], ['up', 'up']);
    assert.match(byAddress.results[0]?.detail ?? '', /\[::1\]/);
  });

  it('says unknown, not down, when the name cannot be resolved', async () => {
    const { check, results } = watch({ addr: 'no-such-host.invalid', port: 80, timeout: 3000 });
    await check.start((result) => results.push(result));
    await until('a verdict', () => results.length > 0);
    assert.equal(results[0]?.verdict, 'unknown');
    assert.match(results[0]?.detail ?? '', /cannot test no-such-host\.invalid:80/);
  });

  it('reports nothing after stop, even in the middle of a test, and can be started again', async () => {
    const { port } = await serve();
    const { check, results } = watch({ addr: '127.0.0.1', port });
    await check.start((result) => results.push(result));
    await Promise.all([check.stop(), check.stop()]);
    const count = results.length;
    const later = watch({ addr: '127.0.0.1', port });
    await later.check.start((result) => later.results.push(result));
    await until('tests of another check', () => later.results.length >= 3);
    assert.equal(results.length, count);
    await check.start((result) => results.push(result));
    await until('a verdict after the second start', () => results.length > count);
  });

  it('tests at the interval, and does not overlap tests', async () => {
    let open = 0;
    let openMax = 0;
    const server = createServer((socket) => {
      open += 1;
      openMax = Math.max(openMax, open);
      socket.on('error', silent).on('close', () => (open -= 1));
    });
    servers.push(server);
    const { check, results } = watch({ addr: '127.0.0.1', port: await listen(server), interval: 100 });
    const beganMs = performance.now();
    await check.start((result) => results.push(result));
    await until('five results', () => results.length === 5);
    const tookMs = performance.now() - beganMs;
    assert.ok(tookMs >= 380 && tookMs < 1000, `five tests took ${tookMs} ms`);
    assert.equal(openMax, 1);
    await check.stop();
    await until('every connection closed', () => open === 0);
  });

  it('takes resource, phase and action from its element, with the defaults of the schema', () => {
    const schema = JSON.parse(readFileSync(new URL('../../schemas/tcp.json', import.meta.url), 'utf8')) as {
      properties: Record<string, { default?: string }>;
    };
    const plain = create({ addr: '127.0.0.1', port: 80 });
    assert.deepEqual([plain.resource, plain.phase, plain.action], ['tcp.web', 'prim', 'restart']);
    assert.equal(schema.properties['when']?.default, plain.phase);
    assert.equal(schema.properties['action']?.default, plain.action);
    const other = create({ addr: '127.0.0.1', port: 80 }, { when: 'pre', action: 'wait', ident: 'db' });
    assert.deepEqual([other.resource, other.phase, other.action], ['tcp.db', 'pre', 'wait']);
  });

  it('refuses an element that was not validated', () => {
    assert.throws(() => create({ addr: '127.0.0.1' }), { code: 'HF_ELEMENT_NOT_VALIDATED' });
    assert.throws(() => create({ addr: '127.0.0.1', port: 80 }, { when: 'never' }), { code: 'HF_ELEMENT_NOT_VALIDATED' });
  });

  describe('as every checker', () => {
    let port = 0;
    const makeUp = async (): Promise<void> => {
      if (servers.length > 0) return;
      const server = createServer((socket) => socket.on('error', silent));
      servers.push(server);
      port = await listen(server, port);
    };
    const makeDown = async (): Promise<void> => {
      await Promise.all(servers.splice(0).map(close));
    };
    const subject = { create: () => create({ addr: '127.0.0.1', port, interval: 50 }), makeUp, makeDown, cleanUp: makeDown };
    for (const { title, run } of checkerCases(subject)) it(title, run).timeout(20_000);
  });
});
