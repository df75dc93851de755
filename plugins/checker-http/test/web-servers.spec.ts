/** The checker against real nginx and haproxy: errors, a backend that is gone, a server that hangs, a certificate that runs out. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CheckResult, ElementValue } from '@holdfast/sdk';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { plugin } from '../src/index.js';
import { createHaproxy, createNginx, type WebServer } from './web-servers.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/http.json', import.meta.url), 'utf8'));
const DAY_MS = 86_400_000;
const LOCATIONS = `
  location = / { return 200 "the shop is open"; }
  location = /health { default_type application/json; return 200 '{"database":{"state":"ok","queue":3}}'; }
  location = /broken { return 500; }
  location = /busy { return 503; }`;

/** Watches while `work` runs, which waits for verdicts. */
async function watching(to: ElementValue, work: (until: (verdict: string, detail: RegExp) => Promise<void>) => Promise<void>) {
  const [check] = createdChecks(plugin, SCHEMA, { ident: 'shop', to: [{ interval: 50, timeout: 500, ...to }] });
  assert(check !== undefined);
  let newest: CheckResult | undefined;
  await check.start((result) => (newest = result));
  try {
    await work(async (verdict, detail) => {
      const beganMs = performance.now();
      while (newest?.verdict !== verdict || !detail.test(newest.detail)) {
        assert(performance.now() - beganMs < 10_000, `waited in vain for ${verdict} ${detail}; heard ${JSON.stringify(newest)}`);
        await delay(5);
      }
    });
  } finally {
    await check.stop();
  }
}

async function saysOf(to: ElementValue, verdict: string, detail: RegExp): Promise<void> {
  await watching(to, (until) => until(verdict, detail));
}

describe('HTTP checker with real web servers', function () {
  this.timeout(60_000);
  const servers: WebServer[] = [];
  let folder = '';

  async function started(creating: Promise<WebServer>): Promise<WebServer> {
    const server = await creating;
    servers.push(server);
    await server.start();
    return server;
  }

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-web-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.remove();
  });

  it('tells the answers of nginx from its errors, and judges its bodies', async () => {
    const nginx = await started(createNginx(LOCATIONS));
    const url = `http://127.0.0.1:${nginx.port}`;
    await saysOf({ url: `${url}/` }, 'up', /status 200/);
    await saysOf({ url: `${url}/broken` }, 'down', /status 500/);
    await saysOf({ url: `${url}/busy` }, 'down', /status 503/);
    await saysOf({ url: `${url}/`, body: 'shop is (open|busy)' }, 'up', /status 200/);
    await saysOf({ url: `${url}/`, body: '!open' }, 'down', /does not satisfy !open: "the shop is open"/);
    await saysOf({ url: `${url}/health`, json: 'database.state', equals: 'ok' }, 'up', /status 200/);
    await saysOf({ url: `${url}/health`, json: 'database.queue', equals: '0' }, 'down', /database\.queue is "3", not "0"/);
    await saysOf({ url: `${url}/`, json: 'database' }, 'down', /the body is not JSON/);
  });

  it('follows an nginx that crashes, comes back, hangs and goes on', async () => {
    const nginx = await started(createNginx(LOCATIONS));
    await watching({ url: `http://127.0.0.1:${nginx.port}/` }, async (until) => {
      await until('up', /status 200/);
      await nginx.kill();
      await until('down', /ECONNREFUSED/);
      await nginx.start();
      await until('up', /status 200/);
      nginx.signal('SIGSTOP');
      await until('down', /no answer within 500 ms/);
      nginx.signal('SIGCONT');
      await until('up', /status 200/);
    });
  });

  it('is down while haproxy has no backend, and up when it has one again', async () => {
    const nginx = await started(createNginx(LOCATIONS));
    const haproxy = await started(createHaproxy(nginx.port));
    await watching({ url: `http://127.0.0.1:${haproxy.port}/`, body: 'shop' }, async (until) => {
      await until('up', /status 200/);
      await nginx.kill();
      await until('down', /status 503/);
      await nginx.start();
      await until('up', /status 200/);
      haproxy.signal('SIGSTOP');
      await until('down', /no answer within 500 ms/);
      haproxy.signal('SIGCONT');
      await until('up', /status 200/);
    });
    await saysOf({ url: `http://127.0.0.1:${haproxy.port}/broken` }, 'down', /status 500/);
  });

  it('demands of the certificate of nginx that it is valid for long enough', async () => {
    const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    const words = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      '/CN=shop.test',
      '-days',
      '5',
    ];
    execFileSync('openssl', [...words, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', files.key, '-out', files.cert], {
      stdio: 'ignore',
    });
    const nginx = await started(createNginx(LOCATIONS, files));
    const to = { url: `https://127.0.0.1:${nginx.port}/`, ca: files.cert };
    await saysOf({ ...to, expires: 3 * DAY_MS }, 'up', /status 200/);
    await saysOf({ ...to, expires: 14 * DAY_MS }, 'down', /expires in 4 days, at least 14 days are wanted/);
    await saysOf({ url: to.url }, 'down', /self-signed certificate/);
  });
});
