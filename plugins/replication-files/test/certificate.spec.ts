/**
 * A server without the cluster's key, but with a certificate that this machine trusts, is no secondary: it would acknowledge everything
 * and keep nothing. Whom a machine trusts is given by the environment, which Node reads once, so the primary is a process of its own.
 */
import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Prints whether the certificate is trusted at all, and whether its owner was told the primary's greeting. */
const PRIMARY = `
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:tls';
const { connectLink } = await import(${JSON.stringify(new URL('../src/link/session.js', import.meta.url).href)});
let greeted = false;
const server = createServer({ cert: readFileSync('ca.pem'), key: readFileSync('ca.key') }, (socket) => {
  socket.on('error', () => undefined).on('data', () => { greeted = true; socket.destroy(); });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address();
const probe = connect({ host: '127.0.0.1', port });
await once(probe, 'secureConnect');
const trusted = probe.authorized;
probe.destroy();
const identity = { module: 'm', localNode: 'a', peerNode: 'b', key: new Uint8Array(32) };
const hello = { protocol: 1, module: 'm', node: 'a', epoch: 1, generation: '', async: 'second', mode: 'full', roots: [], exclusions: '' };
const code = await connectLink({ address: '127.0.0.1', port }, identity, hello).then(() => 'linked', (error) => error.code);
process.stdout.write(JSON.stringify({ trusted, code, greeted }));
server.close();
`;

describe('the link to the secondary', () => {
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
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', PRIMARY], {
      cwd: folder,
      env: environment,
      timeout: 20_000,
    });
    assert.deepEqual(JSON.parse(stdout), { trusted: true, code: 'HF_REPLICATION_CONNECT', greeted: false });
  });
});
