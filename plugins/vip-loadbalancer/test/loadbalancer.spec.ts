/** The driver on a real kernel: a node with an application, and a client on the same segment. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ElementValue, messageOf } from '@holdfast/sdk';
import { CONNECTIONS_OF_ONE_HOST_MAX } from '../src/connection-guard.js';
import { Inmate } from './inmate.js';
import { CLIENT, type Host, NODE, NODE_IPV6, PEER, startHosts, until } from './two-hosts.js';

const LIFETIME_MS = 1000;
const SERVICE = 8080;
const READY = `http://${NODE}:9010/var/modules/shop/ready.txt`;

describe('the address of a load balancer', function () {
  this.timeout(20_000);
  let node: Host;
  let outside: Host;
  /** On the node: the agent with the driver, and an application that goes on whatever the agent does. */
  let agent: Inmate;
  let application: Inmate;
  /** Not on the node. */
  let client: Inmate;
  const inmates: Inmate[] = [];

  async function inmate(...words: Parameters<typeof Inmate.start>): Promise<Inmate> {
    const started = await Inmate.start(...words);
    inmates.push(started);
    return started;
  }

  beforeEach(async () => {
    [node, outside] = await startHosts();
    [agent, application, client] = await Promise.all([inmate(node), inmate(node), inmate(outside)]);
    await application.call({ do: 'listen', port: SERVICE, host: '::' });
  });
  afterEach(async () => {
    await Promise.all(inmates.splice(0).map((one) => one.kill()));
    await Promise.all([node.stop(), outside.stop()]);
  });

  function create(module = 'shop', configuration: ElementValue = { port: String(SERVICE) }, lifetimeMs = LIFETIME_MS): Promise<unknown> {
    return agent.call({ do: 'create', module, configuration, lifetimeMs });
  }

  async function serve(module = 'shop'): Promise<void> {
    await agent.call({ do: 'acquire', module });
    await agent.call({ do: 'renew', module, everyMs: 50 });
    await agent.call({ do: 'ready', module, isReady: true, detail: 'ALONE (Ready)' });
  }

  const status = async (url = READY): Promise<number> => (await client.get(url)).status;
  const isStatus = (wanted: number, url = READY) => until(`the probe says ${wanted}`, async () => (await status(url)) === wanted);

  describe('the probe', () => {
    it('says 200 only when the address is acquired and the application is ready, else 503 with the reason', async () => {
      await create();
      assert.deepEqual(await agent.states('verify', 'shop'), ['absent']);
      assert.equal((await client.get(READY)).body, 'shop is not ready on node1: the agent has just started\n');
      await agent.call({ do: 'ready', module: 'shop', isReady: false, detail: 'SECOND (Ready)' });
      const waiting = await client.get(READY);
      assert.deepEqual([waiting.status, waiting.body], [503, 'shop is not ready on node1: SECOND (Ready)\n']);

      await agent.call({ do: 'acquire', module: 'shop' });
      await agent.call({ do: 'renew', module: 'shop', everyMs: 50 });
      await agent.call({ do: 'ready', module: 'shop', isReady: false, detail: 'ALONE (Transient)' });
      assert.equal(await status(), 503, 'acquired, and the application is still starting');
      assert.deepEqual(await agent.states('verify', 'shop'), ['held']);
      await agent.call({ do: 'ready', module: 'shop', isReady: true, detail: 'ALONE (Ready)' });
      await isStatus(200);
      assert.deepEqual(await agent.states('probe', 'shop'), ['held']);

      await agent.call({ do: 'release', module: 'shop' });
      assert.equal(await status(), 503);
      await agent.call({ do: 'ready', module: 'shop', isReady: true, detail: 'late' });
      assert.equal(await status(), 503, 'ready without the address is not enough');
    });

    it('answers GET and HEAD on both paths, IPv4 and IPv6, refuses other methods, and knows no other path or module', async () => {
      await create();
      await serve();
      await isStatus(200);
      for (const url of [READY, `http://${NODE}:9010/ready/shop`, `http://[${NODE_IPV6}]:9010/ready/shop?x=1`]) {
        assert.equal(await status(url), 200, url);
        const head = await client.get(url, 'HEAD');
        assert.deepEqual([head.status, head.body], [200, '']);
      }
      for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
        const answer = await client.get(READY, method);
        assert.deepEqual([answer.status, answer.headers['allow']], [405, 'GET, HEAD'], method);
      }
      for (const path of ['', 'ready/', 'ready/other', 'ready/%ff', 'var/modules/shop/', 'var/modules/shop/ready.txt/x', 'ready/shop/../x'])
        assert.equal(await status(`http://${NODE}:9010/${path}`), 404, path);
      // As balancers ask that know HTTP 1.0 only.
      const old = await client.call({ do: 'throw', host: NODE, port: 9010, hex: hex('GET /ready/shop HTTP/1.0\r\n\r\n') });
      assert.match(old as string, /^HTTP\/1\.1 200 OK\r\n/);
    });

    it('survives what is no question: garbage, endless headers, a flood of idle connections', async () => {
      await create();
      await serve();
      await isStatus(200);
      const thrown = (text: string): Promise<unknown> => client.call({ do: 'throw', host: NODE, port: 9010, hex: hex(text) });
      assert.match(String(await thrown('\u0016\u0003\u0001\u0000\u0000\r\n\r\n')), /^HTTP\/1\.1 400 /);
      assert.match(String(await thrown(`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)), /^HTTP\/1\.1 431 /);
      assert.match(String(await thrown('CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n')), /^HTTP\/1\.1 405 /);
      const names = Array.from({ length: 3 * CONNECTIONS_OF_ONE_HOST_MAX }, (_, index) => `idle${index}`);
      for (const name of names) assert.equal(await client.connect(name, NODE, 9010), 'connected');
      assert.equal(await status(), 200);
      const states = await Promise.all(names.map((name) => client.call({ do: 'state', name })));
      assert(states.filter((state) => state === 'connected').length <= CONNECTIONS_OF_ONE_HOST_MAX, 'the oldest were ended');
      // A question that never ends is not waited for.
      const began = performance.now();
      assert.match(String(await thrown('GET /ready/shop HTTP/1.1\r\n')), /^$/);
      assert(performance.now() - began < 7000);
    });

    it('stands beside whoever listens on the same port of the loopback, as the API does', async () => {
      await application.call({ do: 'listen', port: 9010, host: '127.0.0.1' });
      await create();
      assert.equal(await status(), 503);
    });

    it('is shared by the modules of the node, found by the path, until the last one leaves', async () => {
      await create('shop');
      await create('mail', { port: '25' });
      await serve('mail');
      await isStatus(200, `http://${NODE}:9010/ready/mail`);
      assert.equal(await status(), 503);
      await agent.call({ do: 'close', module: 'mail' });
      assert.equal(await status(`http://${NODE}:9010/ready/mail`), 404);
      await agent.call({ do: 'close', module: 'shop' });
      await assert.rejects(status(), /ECONNREFUSED/);
    });

    it('listens on an address that the node gets later', async () => {
      await create();
      node.run('ip', 'address', 'add', '10.78.0.9/24', 'dev', 'eth0');
      await agent.call({ do: 'acquire', module: 'shop' });
      assert.equal(await status('http://10.78.0.9:9010/ready/shop'), 503);
    });

    it('is not there beside a program that has its port: the error names the port and the program', async () => {
      await application.call({ do: 'listen', port: 9010, host: '0.0.0.0' });
      const taken = `HF_LOADBALANCER_PORT_TAKEN: probe port 9010 of .* is taken by \\S+ \\(process ${application.pid}\\)`;
      await assert.rejects(create(), new RegExp(taken));
      assert.deepEqual(node.tables(), [], 'nothing is left of the attempt');
      await assert.rejects(
        create('shop', { port: '25', probe: [{ proto: 'tcp', port: SERVICE }] }),
        new RegExp(`HF_LOADBALANCER_PORT_TAKEN: probe port ${SERVICE} is taken by .*process ${application.pid}`),
      );
    });

    it('is one of tcp where the balancer only connects: the port is open only while the application is ready', async () => {
      await create('shop', { port: String(SERVICE), probe: [{ proto: 'tcp', port: 9011 }] });
      assert.equal(await client.connect('early', NODE, 9011), 'ECONNREFUSED');
      await serve();
      await until('the port is open', async () => (await client.connect('open', NODE, 9011)) === 'connected');
      await agent.call({ do: 'release', module: 'shop' });
      assert.equal(await client.connect('late', NODE, 9011), 'ECONNREFUSED');
    });

    it('is one of https with the certificate that is named, and refuses one that it cannot use', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'holdfast-probe-'));
      try {
        const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
        const subject = ['-subj', '/CN=node1', '-days', '2', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
        execFileSync('openssl', ['req', '-x509', '-nodes', ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' });
        await assert.rejects(create('bad', { probe: [{ proto: 'https', port: 9444, cert: key, key }] }), /HF_LOADBALANCER_CERTIFICATE/);
        await create('shop', { probe: [{ proto: 'https', port: 9443, cert, key }] });
        await serve();
        await isStatus(200, `https://${NODE}:9443/ready/shop`);
        await client.call({ do: 'throw', host: NODE, port: 9443, hex: hex('GET / HTTP/1.0\r\n\r\n') });
        await isStatus(200, `https://${NODE}:9443/ready/shop`);
        await assert.rejects(create('mail', { probe: [{ proto: 'http', port: 9443 }] }), /HF_LOADBALANCER_PORT_SHARED/);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  });

  describe('when the agent', () => {
    it('decides nothing any more the probe says 503 after the lifetime, and only acquire brings it back', async () => {
      await create();
      await serve();
      await isStatus(200);
      await agent.call({ do: 'renew', module: 'shop', everyMs: 0 });
      const lateMs = await isStatus(503);
      assert(lateMs < LIFETIME_MS + 300, `${lateMs} ms`);
      await until('the service is refused', async () => (await client.connect('late', NODE, SERVICE)) === 'ECONNREFUSED');
      await agent.call({ do: 'renew', module: 'shop', everyMs: 50 });
      assert.deepEqual(await agent.states('verify', 'shop'), ['absent']);
      assert.equal(await status(), 503);
      await serve();
      await isStatus(200);
    });

    it('hangs nobody is told 200, and what it answers first when it goes on is 503', async () => {
      await create();
      await serve();
      await isStatus(200);
      await agent.call({ do: 'hang', forMs: 2 * LIFETIME_MS });
      const seen: string[] = [];
      await until('an answer other than 200 comes', async () => {
        seen.push(await status().then(String, messageOf));
        return seen.at(-1) === '503';
      });
      const silent = seen.findIndex((one) => one === 'no answer');
      assert(silent >= 0, seen.join(' '));
      assert(!seen.slice(silent).includes('200'), seen.join(' '));
    });

    it('is stopped a probe by tcp goes on for two connections at most', async () => {
      await create('shop', { probe: [{ proto: 'tcp', port: 9011 }] });
      await serve();
      await until('the port is open', async () => (await client.connect('open', NODE, 9011)) === 'connected');
      agent.signal('SIGSTOP');
      const outcomes: string[] = [];
      for (let index = 0; index < 4; index += 1) outcomes.push(await client.connect(`probe${index}`, NODE, 9011));
      assert.deepEqual(outcomes.slice(2), ['no answer', 'no answer'], outcomes.join(' '));
    });

    it('is killed the port is closed, and what was refused stays refused until a new agent lifts it', async () => {
      await create();
      agent.signal('SIGKILL');
      await until('the port is closed', () =>
        status().then(
          () => false,
          (error: unknown) => messageOf(error) === 'ECONNREFUSED',
        ),
      );
      assert.equal(await client.connect('dead', NODE, SERVICE), 'ECONNREFUSED');
      agent = await inmate(node);
      await create();
      await serve();
      await isStatus(200);
      assert.equal(await client.connect('alive', NODE, SERVICE), 'connected');
    });
  });

  describe('the service ports', () => {
    it('are refused until the application is ready, from outside and not from the node itself or its peer', async () => {
      await create();
      for (const host of [NODE, NODE_IPV6]) assert.equal(await client.connect(`refused ${host}`, host, SERVICE), 'ECONNREFUSED');
      for (const host of ['127.0.0.1', '::1', NODE]) assert.equal(await application.connect(`own ${host}`, host, SERVICE), 'connected');
      assert.equal(await client.connect('peer', NODE, SERVICE, PEER), 'connected');
      await serve();
      await isStatus(200);
      for (const host of [NODE, NODE_IPV6]) assert.equal(await client.connect(`open ${host}`, host, SERVICE), 'connected');
    });

    it('are open before the probe says so', async () => {
      await create();
      for (let round = 0; round < 5; round += 1) {
        await serve();
        await until('the probe says 200', async () => (await status()) === 200);
        assert.equal(await client.connect(`round ${round}`, NODE, SERVICE), 'connected');
        await agent.call({ do: 'release', module: 'shop' });
      }
    });

    it('take no new connection while the application is being stopped, and those that exist go on', async () => {
      await create();
      await serve();
      await isStatus(200);
      assert.equal(await client.connect('old', NODE, SERVICE, CLIENT), 'connected');
      await agent.call({ do: 'ready', module: 'shop', isReady: false, detail: 'PRIM (Transient)' });
      await until('new ones are refused', async () => (await client.connect('new', NODE, SERVICE)) === 'ECONNREFUSED');
      await client.call({ do: 'send', name: 'old', text: 'still there' });
      assert.equal(await client.call({ do: 'state', name: 'old' }), 'connected');
      assert.equal(await status(), 503);
    });

    it('have their connections reset at the release, idle ones too, and not those of the node itself and its peer', async () => {
      await create();
      await serve();
      await isStatus(200);
      for (const host of [NODE, NODE_IPV6]) assert.equal(await client.connect(`idle ${host}`, host, SERVICE), 'connected');
      assert.equal(await client.connect('peer', NODE, SERVICE, PEER), 'connected');
      assert.equal(await application.connect('own', NODE, SERVICE), 'connected');
      await agent.call({ do: 'release', module: 'shop' });
      for (const host of [NODE, NODE_IPV6]) {
        const state = (): Promise<unknown> => client.call({ do: 'state', name: `idle ${host}` });
        await until(`the one to ${host} is reset`, async () => (await state()) === 'ECONNRESET', 1000);
      }
      assert.equal(await client.call({ do: 'state', name: 'peer' }), 'connected');
      assert.equal(await application.call({ do: 'state', name: 'own' }), 'connected');
    });

    it('reset with the next packet where the sockets are kept (tcpreset="off")', async () => {
      await create('shop', { port: String(SERVICE), tcpreset: false });
      await serve();
      await isStatus(200);
      assert.equal(await client.connect('kept', NODE, SERVICE), 'connected');
      await agent.call({ do: 'release', module: 'shop' });
      assert.equal(await client.call({ do: 'state', name: 'kept' }), 'connected');
      await client.call({ do: 'send', name: 'kept', text: 'x' });
      await until('it is reset', async () => (await client.call({ do: 'state', name: 'kept' })) === 'ECONNRESET', 1000);
    });

    it('are refused again when somebody has flushed the rules, and it is idempotent', async () => {
      await create();
      for (let times = 0; times < 2; times += 1) await agent.call({ do: 'release', module: 'shop' });
      assert.deepEqual(node.tables(), ['table inet holdfast_shop']);
      node.run('nft', 'flush', 'ruleset');
      assert.equal(await client.connect('open', NODE, SERVICE), 'connected');
      assert.deepEqual(await agent.states('verify', 'shop'), ['absent']);
      assert.equal(await client.connect('refused', NODE, SERVICE), 'ECONNREFUSED');
      assert(agent.logged.some((line) => /another program has changed the rules/.test(line)));
      await agent.call({ do: 'close', module: 'shop' });
      assert.deepEqual(node.tables(), []);
    });

    it('leave the rules of others alone', async () => {
      node.run('nft', 'add', 'table', 'inet', 'others');
      await create();
      await serve();
      await isStatus(200);
      assert.deepEqual(node.tables(), ['table inet others']);
      await agent.call({ do: 'release', module: 'shop' });
      assert.deepEqual(node.tables().toSorted(), ['table inet holdfast_shop', 'table inet others']);
    });

    it('cannot be refused without CAP_NET_ADMIN, and without nft: each is said, with what to do', async () => {
      agent = await inmate(node, ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin']);
      await assert.rejects(create(), /HF_LOADBALANCER_PERMISSION: .*CAP_NET_ADMIN/);
      const empty = mkdtempSync(join(tmpdir(), 'holdfast-sbin-'));
      try {
        const hide = `mount --bind "$0" /usr/sbin && exec "$@"`;
        agent = await inmate(node, ['unshare', '--mount', 'sh', '-c', hide, empty]);
        await assert.rejects(create(), /HF_LOADBALANCER_NFT_MISSING: .*apt-get install nftables/);
        await create('bare', {});
      } finally {
        rmSync(empty, { recursive: true });
      }
    });
  });
});

function hex(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex');
}
