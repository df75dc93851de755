/** Hostile and broken input on both ports: each gets a coded refusal or a closed connection, and the agent goes on serving. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { PeerOptions } from '../src/api/peer-tls.js';
import { createClient } from '../src/api/client.js';
import { type MemoryAgent, startMemoryPair } from './api-memory-agent.js';

describe('API against garbage', () => {
  let first: MemoryAgent;
  let second: MemoryAgent;
  let peer: PeerOptions;
  const logged: string[] = [];

  before(async () => {
    ({ first, second, peer } = await startMemoryPair((line) => logged.push(line)));
    for (const { service } of [first, second]) for (const name of ['ledger', 'broken', 'invalid']) service.addModule(name);
  });
  after(async () => {
    await Promise.all([first.close(), second.close()]);
  });
  afterEach(async () => {
    const client = createClient({ baseUrl: first.baseUrl, token: first.token });
    assert.equal((await client.module('ledger')).node, 'node1');
    assert.equal((await client.onNode('node2').module('ledger')).node, 'node2');
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });

  async function post(
    path: string,
    body: string,
    contentType = 'application/json',
  ): Promise<{ status: number; code: string; text: string }> {
    const response = await fetch(first.baseUrl + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${first.token}`, 'content-type': contentType },
      body,
    });
    const text = await response.text();
    return { status: response.status, code: text === '' ? '' : (JSON.parse(text) as { code: string }).code, text };
  }

  /** Sends bytes and gives what came back until the other side closed. */
  function exchange(host: string, port: number, bytes: Uint8Array | string): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect(port, host);
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.once('close', () => resolve(text));
      socket.end(bytes);
    });
  }

  it('answers random bytes with a sentence on the loopback port and with a closed connection on the peer port', async () => {
    for (let round = 0; round < 20; round += 1) {
      const bytes = randomBytes(1 + round * 97);
      bytes[0] = 0xff;
      const answer = await exchange('127.0.0.1', first.api.port, bytes);
      assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/, `round ${round}`);
      assert.match(answer, /"code":"HF_API_REQUEST_INVALID","message":"this is not an HTTP\/1\.1 request/);
      assert.doesNotMatch(await exchange('127.0.0.2', peer.port, bytes), /HTTP/);
    }
  });

  it('closes half a TLS handshake and half a request instead of keeping them', async () => {
    assert.equal((await exchange('127.0.0.2', peer.port, Buffer.from('16030100', 'hex'))).includes('HTTP'), false);
    const answer = await exchange('127.0.0.1', first.api.port, 'POST /api/v1/modules HTTP/1.1\r\nhost: x\r\ncontent-le');
    assert.match(answer, /^(HTTP\/1\.1 400|$)/);
  });

  it('refuses request smuggling by two lengths', async () => {
    const both =
      'POST /api/v1/modules HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n' +
      '0\r\n\r\nGET /api/v1/health HTTP/1.1\r\n\r\n';
    const answer = await exchange('127.0.0.1', first.api.port, both);
    assert.doesNotMatch(answer, / 200 /);
  });

  it('refuses headers without end', async () => {
    const answer = await exchange('127.0.0.1', first.api.port, `GET / HTTP/1.1\r\nx: ${'a'.repeat(100_000)}`);
    assert.match(answer, /^HTTP\/1\.1 431 /);
  });

  it('refuses a body above 64 KiB, here and through another node', async () => {
    const body = JSON.stringify({ folder: `/${'a'.repeat(70_000)}` });
    for (const path of ['/api/v1/modules', '/api/v1/nodes/node2/modules']) {
      const { status, code } = await post(path, body);
      assert.deepEqual([status, code], [413, 'HF_API_BODY_TOO_LARGE'], path);
    }
  });

  it('refuses what is not JSON, not an object, or not declared as JSON', async () => {
    for (const path of ['/api/v1/modules/ledger/commands', '/api/v1/nodes/node2/modules/ledger/commands']) {
      for (const body of [
        '',
        '{',
        '{"verb":',
        'null',
        '[]',
        '"start"',
        '42',
        '\0',
        '{"verb":"start"}}',
        randomBytes(64).toString('latin1'),
      ]) {
        const { status } = await post(path, body);
        assert.equal(status, 400, `${path} ${JSON.stringify(body)}`);
      }
      assert.equal((await post(path, 'verb=start', 'application/x-www-form-urlencoded')).status, 415);
      assert.equal((await post(path, '{"verb":"start"}', 'text/plain')).status, 415);
      assert.equal((await post(path, '--b', 'multipart/form-data; boundary=b')).status, 415);
    }
    assert.deepEqual(first.service.commands, []);
    assert.deepEqual(second.service.commands, []);
  });

  it('refuses keys that could pollute prototypes', async () => {
    for (const key of ['__proto__', 'constructor', 'prototype', 'toString']) {
      const body = `{"verb":"start","${key}":{"prototype":{"polluted":1},"polluted":1}}`;
      const { status } = await post('/api/v1/modules/ledger/commands', body);
      assert.equal(status, 400, key);
    }
    for (const name of ['__proto__', '..', '.hidden', '-rf', '%2e%2e%2fetc', 'a%00b', 'a%2fb', 'x'.repeat(65)]) {
      const response = await fetch(`${first.baseUrl}/api/v1/modules/${name}/log`, { headers: { authorization: `Bearer ${first.token}` } });
      assert.ok([400, 404].includes(response.status), `${name}: ${response.status}`);
      assert.notEqual(((await response.json()) as { code: string }).code, 'HF_MODULE_UNKNOWN', name);
    }
  });

  it('converts nothing, drops nothing and ignores nothing that the schema does not allow', async () => {
    const bodies = [
      { verb: 'start', fullsync: 'true' },
      { verb: 'start', fullsync: 1 },
      { verb: 'start', extra: 1 },
      { verb: 'START' },
      { verb: ['start'] },
      { verb: 'start', identity: 'a b' },
      { verb: 'start', identity: '$(reboot)' },
      {},
    ];
    for (const body of bodies) {
      const { status, code } = await post('/api/v1/modules/ledger/commands', JSON.stringify(body));
      assert.deepEqual([status, code], [400, 'HF_API_REQUEST_INVALID'], JSON.stringify(body));
    }
    for (const folder of ['relative', '', 7]) assert.equal((await post('/api/v1/modules', JSON.stringify({ folder }))).status, 400);
    for (const query of [
      'limit=ten',
      'limit=-1',
      'limit=1e3',
      'after=1.5',
      'levels=X',
      'limit=1&limit=2',
      'other=1',
      'after=9999999999999999',
    ]) {
      const response = await fetch(`${first.baseUrl}/api/v1/modules/ledger/log?${query}`, {
        headers: { authorization: `Bearer ${first.token}` },
      });
      assert.equal(response.status, 400, query);
    }
  });

  it('tells a failure of its own by a number only, and logs the rest', async () => {
    const { status, code, text } = await post('/api/v1/modules/broken/configure', '{}');
    assert.deepEqual([status, code], [500, 'HF_INTERNAL']);
    assert.doesNotMatch(text, /secret|\.js|stack/);
    assert.ok(logged.some((line) => line.includes('secret internal text')));
  });

  it('never logs the token', () => {
    assert.ok(logged.length > 0);
    assert.ok(logged.every((line) => !line.includes(first.token)));
  });
});
