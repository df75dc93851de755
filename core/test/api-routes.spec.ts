/** What the routes answer: the service's own values, in the shape that the OpenAPI document promises. */
import assert from 'node:assert/strict';
import { HoldfastError } from '@holdfast/sdk';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { type Client, createClient } from '../src/api/client.js';
import { statusOf } from '../src/api/failure.js';
import * as configurationSchemas from '../src/api/configuration-schemas.js';
import * as schemas from '../src/api/schemas.js';
import { fullView, type MemoryAgent, startMemoryAgent } from './api-memory-agent.js';

describe('API routes', () => {
  let agent: MemoryAgent;
  let client: Client;
  const ajv = new Ajv2020({ strict: true, allErrors: true });

  beforeEach(async () => {
    agent = await startMemoryAgent('node1');
    client = createClient({ baseUrl: agent.baseUrl, token: agent.token });
    for (const name of ['ledger', 'invalid']) agent.service.addModule(name);
  });
  afterEach(() => agent.close());

  it('answers exactly what the service says, in the documented shape', async () => {
    agent.service.write('ledger', 'first');
    const answers = {
      moduleView: await client.module('ledger'),
      clusterView: await client.cluster(),
      moduleListEntry: (await client.modules())[0],
      resourceView: (await client.resources('ledger'))[0],
      logEntry: (await client.log('ledger', {}))[0],
      health: await client.health(),
    };
    assert.deepEqual(answers.moduleView, fullView('ledger', 'node1'));
    assert.deepEqual(answers.logEntry, agent.service.entries[0]);
    for (const [name, answer] of Object.entries(answers)) {
      const validate = ajv.compile(schemas[name as keyof typeof answers]);
      assert.ok(validate(answer), `${name}: ${ajv.errorsText(validate.errors)}`);
    }
  });

  it('answers about configurations in the documented shape', async () => {
    const { configurations } = client;
    const answers = {
      configureResult: await client.configure('ledger', { dryRun: true }),
      configurationView: await configurations.view('ledger'),
      configurationDifference: await configurations.difference('ledger', { with: 'node2' }),
      configurationFiles: await configurations.files('ledger'),
      transactionOutcome: await configurations.outcome('ledger', 'ab'.repeat(16)),
    };
    for (const [name, answer] of Object.entries(answers)) {
      const validate = ajv.compile(configurationSchemas[name as keyof typeof answers]);
      assert.ok(validate(answer), `${name}: ${ajv.errorsText(validate.errors)}`);
    }
    assert.equal((await configurations.rollback('ledger', { to: 2 })).outcome, 'applied');
    await configurations.deconfigure('ledger');
    await assert.rejects(configurations.commit('ledger', 'no transaction'), { code: 'HF_API_REQUEST_INVALID' });
  });

  it('documents a view with every optional part left out', async () => {
    const { peer: _peer, replication: _replication, ...bare } = fullView('bare', 'node1');
    agent.service.views.set('bare', { ...bare, phase: 'NOT CONFIGURED' });
    assert.ok(ajv.compile(schemas.moduleView)(await client.module('bare')));
  });

  it('hands commands over with their options and answers 202 without body', async () => {
    const response = await fetch(`${agent.baseUrl}/api/v1/modules/ledger/commands`, {
      method: 'POST',
      headers: { authorization: `Bearer ${agent.token}`, 'content-type': 'application/json' },
      body: '{"verb":"second","fullsync":true,"identity":"checker.tcp"}',
    });
    assert.equal(response.status, 202);
    assert.equal(await response.text(), '');
    await client.command('ledger', 'stop', {});
    assert.deepEqual(agent.service.commands, [
      { module: 'ledger', verb: 'second', options: { fullsync: true, identity: 'checker.tcp' } },
      { module: 'ledger', verb: 'stop', options: {} },
    ]);
  });

  it('installs and uninstalls', async () => {
    assert.equal((await client.install('/opt/shop', { id: 7 })).id, 7);
    await assert.rejects(client.install('/opt/shop', {}), { code: 'HF_MODULE_EXISTS' });
    await client.uninstall('shop');
    await assert.rejects(client.module('shop'), { code: 'HF_MODULE_UNKNOWN' });
  });

  it('gives up a damaged state, and no other', async () => {
    await assert.rejects(client.forgetState('ledger'), { code: 'HF_MODULE_STATE_INTACT' });
    const view = fullView('hurt', 'node1');
    agent.service.views.set('hurt', { ...view, phase: 'NOT CONFIGURED', reason: { code: 'HF_STATE_DAMAGED', text: 'both are damaged' } });
    const answer = await client.forgetState('hurt');
    assert.deepEqual(answer, { aside: ['/var/lib/holdfast/modules/hurt/decision.a.damaged-1'] });
    assert.ok(ajv.compile(schemas.stateForgotten)(answer));
  });

  it('passes the query of the log on as numbers', async () => {
    for (let entry = 1; entry <= 10; entry += 1) agent.service.write('ledger', `entry ${entry}`, entry % 2 === 0 ? 'C' : 'D');
    const texts = async (query: { after?: number; limit?: number; levels?: string }): Promise<string[]> =>
      (await client.log('ledger', query)).map((entry) => entry.text);
    assert.deepEqual(await texts({ after: 8 }), ['entry 9', 'entry 10']);
    assert.deepEqual(await texts({ limit: 1 }), ['entry 10']);
    assert.deepEqual(await texts({ levels: 'CE', limit: 2 }), ['entry 8', 'entry 10']);
  });

  it('gives the caller the very error that the service threw', async () => {
    await assert.rejects(client.module('absent'), (error: unknown) => {
      assert.ok(error instanceof HoldfastError);
      assert.equal(error.message, 'HF_MODULE_UNKNOWN: no module "absent" on node1');
      assert.deepEqual(error.details, { module: 'absent' });
      return true;
    });
    await assert.rejects(client.configure('invalid', {}), { code: 'HF_CONFIG_ATTRIBUTE_UNKNOWN' });
    await assert.rejects(client.command('ledger', 'start', {}), { code: 'HF_COMMAND_REFUSED' });
    await assert.rejects(client.onNode('node9').cluster(), { code: 'HF_NODE_UNKNOWN' });
  });

  it('maps codes to statuses', () => {
    const table = {
      HF_MODULE_UNKNOWN: 404,
      HF_COMMAND_REFUSED: 409,
      HF_CONFIG_ANYTHING: 400,
      HF_NODE_UNREACHABLE: 502,
      HF_COMMAND_UNSUPPORTED: 501,
      HF_SOMETHING_ELSE: 500,
    };
    assert.deepEqual(Object.fromEntries(Object.keys(table).map((code) => [code, statusOf(code)])), table);
  });

  it('tells a load balancer 200 only while the module serves here', async () => {
    const view = agent.service.addModule('web');
    const probe = async (method = 'GET', name = 'web'): Promise<number> =>
      (await fetch(`${agent.baseUrl}/var/modules/${name}/ready.txt`, { method })).status;
    for (const phase of ['STOP', 'WAIT', 'ALONE', 'PRIM', 'SECOND', 'UP', 'NOT CONFIGURED'] as const) {
      for (const quality of ['NotReady', 'Transient', 'Ready'] as const) {
        Object.assign(view, { phase, quality });
        const serves = quality === 'Ready' && ['ALONE', 'PRIM', 'UP'].includes(phase);
        assert.equal(await probe(), serves ? 200 : 404, `${phase} ${quality}`);
        assert.equal(await probe('HEAD'), serves ? 200 : 404, `HEAD ${phase} ${quality}`);
      }
    }
    assert.equal(await probe('GET', 'absent'), 404);
  });

  it('tells modules that depend on a serving one since when its application runs', async () => {
    const view = agent.service.addModule('web');
    const since = async (): Promise<string | null> =>
      (await fetch(`${agent.baseUrl}/var/modules/web/ready.txt`)).headers.get('x-holdfast-since');
    Object.assign(view, { phase: 'ALONE', quality: 'Ready' });
    assert.equal(await since(), null);
    Object.assign(view, { applicationSince: '2026-01-01T00:00:00.000Z' });
    assert.equal(await since(), '2026-01-01T00:00:00.000Z');
    Object.assign(view, { quality: 'Transient' });
    assert.equal(await since(), null);
  });

  it('takes lines of scripts for the log of their module, one line each', async () => {
    agent.service.addModule('web');
    const note = async (body: object): Promise<number> =>
      (
        await fetch(`${agent.baseUrl}/api/v1/modules/web/notes`, {
          method: 'POST',
          headers: { authorization: `Bearer ${agent.token}`, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      ).status;
    assert.equal(await note({ level: 'event', text: 'started' }), 204);
    assert.deepEqual(agent.service.notes, [{ level: 'event', text: 'started' }]);
    assert.equal(await note({ level: 'event', text: 'two\nlines' }), 400);
    assert.equal(await note({ level: 'fatal', text: 'x' }), 400);
  });

  it('sends security headers with every answer and no cross-origin permission', async () => {
    for (const path of ['/api/v1/health', '/api/v1/modules', '/nowhere']) {
      const response = await fetch(agent.baseUrl + path, { headers: { origin: 'https://evil.example' } });
      await response.body?.cancel();
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(response.headers.get('cache-control'), 'no-store', path);
      assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/, path);
      assert.equal(response.headers.get('access-control-allow-origin'), null, path);
    }
  });

  it('describes every route in the OpenAPI document', async () => {
    const response = await fetch(`${agent.baseUrl}/api/v1/openapi.json`, { headers: { authorization: `Bearer ${agent.token}` } });
    const document = (await response.json()) as {
      openapi: string;
      paths: Record<string, Record<string, { summary?: string; responses: object }>>;
    };
    assert.equal(document.openapi, '3.1.0');
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        assert.ok(operation.summary, `${method} ${path} has no summary`);
        assert.ok(Object.keys(operation.responses).length > 0, `${method} ${path} has no responses`);
      }
    }
  });

  it('names the port that is taken', async () => {
    const { createApi } = await import('../src/api/server.js');
    const { pino } = await import('pino');
    const taken = {
      service: agent.service,
      token: agent.token,
      log: pino({ level: 'silent' }),
      loopback: { host: '127.0.0.1', port: agent.api.port },
    };
    await assert.rejects(createApi(taken), { code: 'HF_API_LISTEN', message: new RegExp(`port ${agent.api.port}: .*EADDRINUSE`) });
  });
});
