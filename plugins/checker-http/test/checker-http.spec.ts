/** The checker against real HTTP and HTTPS servers on the loopback network, with certificates made for the test. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check, CheckResult, ElementValue } from '@holdfast/sdk';
import { checkerCases } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/http.json', import.meta.url), 'utf8'));
const DAY_MS = 86_400_000;

function create(to: ElementValue): Check {
  const [check] = createdChecks(plugin, SCHEMA, { ident: 'shop', to: [{ interval: 50, timeout: 1000, ...to }] });
  assert(check !== undefined);
  return check;
}

function refused(to: ElementValue, message: RegExp): void {
  assert.throws(() => create(to), message);
}

/** The first verdict. */
async function verdictOf(to: ElementValue): Promise<CheckResult> {
  const check = create({ interval: 60_000, ...to });
  const result = await new Promise<CheckResult>((resolve, reject) => {
    check.start(resolve).catch(reject);
  });
  await check.stop();
  return result;
}

describe('HTTP checker', function () {
  this.timeout(20_000);
  const servers: Server[] = [];
  let folder = '';

  async function serve(answer: RequestListener, secure = false, port = 0): Promise<number> {
    const key = secure ? { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) } : undefined;
    const server = key === undefined ? createServer(answer) : createSecureServer(key, answer);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }

  async function closeAll(): Promise<void> {
    await Promise.all(
      servers.splice(0).map((server) => {
        const closed = new Promise((resolve) => server.close(resolve));
        server.closeAllConnections();
        return closed;
      }),
    );
  }

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-checker-http-'));
    const names = ['-subj', '/CN=shop.test', '-addext', 'subjectAltName=DNS:shop.test,IP:127.0.0.1', '-days', '3'];
    const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...names, ...files], {
      stdio: 'ignore',
    });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  afterEach(closeAll);

  it('judges the status, and takes a redirection for an answer', async () => {
    const port = await serve((request, response) => {
      response.statusCode = Number(request.url?.slice(1));
      response.setHeader('location', '/200').end();
    });
    const url = `http://127.0.0.1:${port}`;
    assert.equal((await verdictOf({ url: `${url}/302` })).verdict, 'up');
    assert.deepEqual(await verdictOf({ url: `${url}/503` }), { verdict: 'down', detail: `${url}/503: status 503` });
    assert.equal((await verdictOf({ url: `${url}/302`, status: '200,204' })).verdict, 'down');
    assert.equal((await verdictOf({ url: `${url}/204`, status: '200,204', method: 'HEAD' })).verdict, 'up');
  });

  it('judges the body by an expression, and by what must not be in it', async () => {
    const port = await serve((_request, response) => void response.end('all 3 queues fine\n'));
    const url = `http://127.0.0.1:${port}/`;
    assert.equal((await verdictOf({ url, body: 'all [0-9]+ queues' })).verdict, 'up');
    assert.equal((await verdictOf({ url, body: '!error' })).verdict, 'up');
    assert.match((await verdictOf({ url, body: '!queues' })).detail, /does not satisfy !queues: "all 3 queues fine"/);
  });

  it('judges a value inside a JSON body', async () => {
    const port = await serve((_request, response) => void response.end('{"db":[{"state":"ok","lag":4,"broken":false}]}'));
    const url = `http://127.0.0.1:${port}/`;
    assert.equal((await verdictOf({ url, json: 'db.0.state', equals: 'ok' })).verdict, 'up');
    assert.equal((await verdictOf({ url, json: 'db.0.lag', equals: '4' })).verdict, 'up');
    assert.match((await verdictOf({ url, json: 'db.0.lag', equals: '5' })).detail, /db\.0\.lag is "4", not "5"/);
    assert.match((await verdictOf({ url, json: 'db.0.broken' })).detail, /db\.0\.broken is false/);
    assert.match((await verdictOf({ url, json: 'db.1.state' })).detail, /no db\.1\.state/);
    assert.match((await verdictOf({ url, json: 'constructor' })).detail, /no constructor/);
  });

  it('says down for a server that accepts and never answers, and for one that never ends its body', async () => {
    const silent = await serve(() => undefined);
    assert.match((await verdictOf({ url: `http://127.0.0.1:${silent}/`, timeout: 100 })).detail, /no answer within 100 ms/);
    const endless = await serve((_request, response) => void response.write('a'));
    assert.equal((await verdictOf({ url: `http://127.0.0.1:${endless}/`, timeout: 100, body: 'a' })).verdict, 'down');
  });

  it('says unknown when the name is not known or the authorities cannot be read', async () => {
    assert.equal((await verdictOf({ url: 'http://no-such-host.invalid/' })).verdict, 'unknown');
    const port = await serve((_request, response) => void response.end(), true);
    const missing = { url: `https://127.0.0.1:${port}/`, ca: join(folder, 'missing.pem') };
    assert.match((await verdictOf(missing)).detail, /^cannot test .*missing\.pem.* cannot be read/);
  });

  it('demands a certificate that is trusted, of that name, and valid for long enough', async () => {
    const port = await serve((_request, response) => void response.end(), true);
    const url = `https://127.0.0.1:${port}/`;
    const ca = join(folder, 'cert.pem');
    assert.match((await verdictOf({ url })).detail, /self-signed certificate/);
    assert.equal((await verdictOf({ url, verify: false })).verdict, 'up');
    assert.equal((await verdictOf({ url, ca })).verdict, 'up');
    assert.equal((await verdictOf({ url, ca, host: 'shop.test' })).verdict, 'up');
    assert.match((await verdictOf({ url, ca, host: 'other.test' })).detail, /does not match certificate/);
    assert.equal((await verdictOf({ url, ca, expires: DAY_MS })).verdict, 'up');
    assert.match((await verdictOf({ url, ca, expires: 14 * DAY_MS })).detail, /expires in 2 days, at least 14 days are wanted/);
  });

  it('refuses what cannot be meant, naming the attribute', () => {
    refused({ url: 'http://h/', body: 'a**' }, /HF_HTTP_BODY: body="a\*\*"/);
    refused({ url: 'http://h/', status: '300-200' }, /HF_HTTP_STATUS: .*300 is more than 200/);
    refused({ url: 'http://h/', method: 'HEAD', json: 'a' }, /HF_HTTP_NO_BODY/);
    refused({ url: 'http://h/', expires: DAY_MS }, /HF_HTTP_NO_TLS: expires/);
    refused({ url: 'http://[::1/' }, /HF_HTTP_URL/);
    try {
      create({ url: 'http://h/', body: '(' });
    } catch (error) {
      assert.deepEqual((error as { details: unknown }).details, { pointer: '/to/0', attribute: 'body' });
    }
  });

  describe('as every checker', () => {
    let port = 0;
    const makeUp = async (): Promise<void> => {
      if (servers.length === 0) port = await serve((_request, response) => void response.end('fine'), false, port);
    };
    const subject = {
      create: () => create({ url: `http://127.0.0.1:${port}/`, body: 'fine' }),
      makeUp,
      makeDown: closeAll,
      cleanUp: closeAll,
    };
    for (const { title, run } of checkerCases(subject)) it(title, run);
  });
});
