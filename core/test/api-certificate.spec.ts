/**
 * A server without the cluster's key, but with a certificate that this machine trusts: no node may believe it. Whom a machine trusts is
 * given by the environment, which Node reads once, so the client is a process of its own.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Prints whether the certificate is trusted at all, and what a request to another node got from its owner. */
const CLIENT = `
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import { connect } from 'node:tls';
const { peerPreSharedKey, peerRequestOptions } = await import(${JSON.stringify(new URL('../src/api/peer-tls.js', import.meta.url).href)});
const server = createServer({ cert: readFileSync('ca.pem'), key: readFileSync('ca.key') }, (_, response) => response.end('false'));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const place = { host: '127.0.0.1', port: server.address().port };
const probe = connect(place);
await once(probe, 'secureConnect');
const trusted = probe.authorized;
probe.destroy();
const sent = request({ ...place, path: '/', ...peerRequestOptions({ localNode: 'north' }, peerPreSharedKey(new Uint8Array(32))) });
const answer = await once(sent.end(), 'response').then(() => 'believed', () => 'refused');
process.stdout.write(JSON.stringify({ trusted, answer }));
server.closeAllConnections();
server.close();
`;

describe('a request to another node', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-certificate-'));
    const subject = ['-subj', '/CN=anybody', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    await run('openssl', ['req', '-x509', ...curve, '-keyout', 'ca.key', '-out', 'ca.pem', ...subject], { cwd: folder });
  });

  after(() => rm(folder, { recursive: true, force: true }));

  it('does not believe a server with a certificate instead of the key', async () => {
    const environment = { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') };
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', CLIENT], {
      cwd: folder,
      env: environment,
      timeout: 20_000,
    });
    assert.deepEqual(JSON.parse(stdout), { trusted: true, answer: 'refused' });
  });
});
