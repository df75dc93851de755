/** The checker against a server that answers as an agent does. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Check, CheckResult, ElementValue } from '@holdfast/sdk';
import { checkerCases } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/module.json', import.meta.url), 'utf8'));

function create(to: ElementValue, attributes: ElementValue = {}): Check {
  const [check] = createdChecks(plugin, SCHEMA, { name: 'database', ...attributes, to: [{ interval: 200, timeout: 500, ...to }] });
  assert(check !== undefined);
  return check;
}

describe('module checker', function () {
  this.timeout(20_000);
  let server: Server | undefined;
  let port = 0;
  let status = 200;
  let asked = '';
  let since = '';

  async function listen(): Promise<void> {
    status = 200;
    if (server !== undefined) return;
    const made = createServer((request, response) => {
      asked = request.url ?? '';
      response.writeHead(status, { connection: 'close', ...(since === '' ? {} : { 'x-holdfast-since': since }) }).end();
    });
    server = made;
    await new Promise<void>((resolve) => made.listen(port, '127.0.0.1', resolve));
    port = (made.address() as AddressInfo).port;
  }

  async function close(): Promise<void> {
    const closing = server;
    server = undefined;
    if (closing === undefined) return;
    const closed = new Promise((resolve) => closing.close(resolve));
    closing.closeAllConnections();
    await closed;
  }

  async function verdict(): Promise<CheckResult> {
    const check = create({ port, interval: 60_000 });
    const result = await new Promise<CheckResult>((resolve, reject) => {
      check.start(resolve).catch(reject);
    });
    await check.stop();
    return result;
  }

  beforeEach(listen);
  afterEach(close);

  it('asks the probe of the agent, and is up only when the module serves', async () => {
    assert.deepEqual(await verdict(), { verdict: 'up', detail: `database on 127.0.0.1:${port} serves` });
    assert.equal(asked, '/var/modules/database/ready.txt');
    status = 404;
    assert.deepEqual(await verdict(), { verdict: 'down', detail: `database on 127.0.0.1:${port} does not serve` });
    status = 500;
    assert.equal((await verdict()).verdict, 'unknown');
    await close();
    assert.equal((await verdict()).verdict, 'down');
  });

  it('is named after the module and the node, or by its ident', () => {
    assert.equal(create({}).resource, 'module.database_127.0.0.1');
    assert.equal(create({}, { ident: 'db' }).resource, 'module.db');
    assert.deepEqual([create({}).phase, create({}).action], ['pre', 'wait']);
  });

  it('notices that the application was started anew between two tests, once', async () => {
    const [serving, restarts] = createdChecks(plugin, SCHEMA, { name: 'database', to: [{ interval: 20, timeout: 500, port }] });
    assert(serving !== undefined && restarts !== undefined);
    assert.deepEqual([restarts.resource, restarts.phase, restarts.action], ['module.database_127.0.0.1.restart', 'prim', 'stopstart']);
    const results: CheckResult[] = [];
    let tests = 0;
    const more = async (count: number): Promise<void> => {
      const end = tests + count;
      while (tests < end) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    try {
      await serving.start(() => (tests += 1));
      await more(2);
      since = '2026-11-29T10:00:00.000Z';
      await restarts.start((result) => results.push(result));
      await more(2);
      status = 404;
      await more(2);
      status = 200;
      await more(2);
      assert.deepEqual(results, [
        { verdict: 'up', detail: 'no restart was seen' },
        { verdict: 'up', detail: `its application runs since ${since}` },
      ]);
      since = '2026-11-29T10:05:00.000Z';
      await more(3);
      since = '2026-11-29T10:06:00.000Z';
      await more(3);
      assert.deepEqual(
        results.map(({ verdict }) => verdict),
        ['up', 'up', 'down'],
      );
      assert.match(results[2]?.detail ?? '', /runs since 2026-11-29T10:05.*before$/);
      await restarts.stop();
      await restarts.start((result) => results.push(result));
      await more(3);
      assert.equal(results.at(-1)?.verdict, 'up');
    } finally {
      since = '';
      await Promise.all([serving.stop(), restarts.stop()]);
    }
  });

  it('takes over the phase and the action of the element for restarts', () => {
    const [, restarts] = createdChecks(plugin, SCHEMA, { name: 'a', when: 'both', action: 'noaction', to: [{ port }] });
    assert.deepEqual([restarts?.phase, restarts?.action], ['both', 'noaction']);
  });

  it('refuses a module that would wait for itself', () => {
    assert.throws(() => create({}, { name: 'shop' }), /HF_MODULE_CHECKS_ITSELF/);
    assert.equal(create({ addr: '192.0.2.20' }, { name: 'shop' }).resource, 'module.shop_192.0.2.20');
  });

  describe('as every checker', () => {
    for (const { title, run } of checkerCases({ create: () => create({ port }), makeUp: listen, makeDown: close, cleanUp: close }))
      it(title, run);
  });
});
