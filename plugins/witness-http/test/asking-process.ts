/**
 * A node on a machine that trusts an authority (NODE_EXTRA_CA_CERTS), and a server without the cluster's key, but with a certificate of
 * that authority. Prints whether the certificate is trusted at all, or why not, how the question ended, and how often the server was asked.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { provider, silent } from './harness.js';

interface Configuration {
  readonly cluster: string;
  readonly folder: string;
  readonly certificate: string;
  readonly key: string;
}

const { cluster, folder, certificate, key } = JSON.parse(process.argv[2] ?? '{}') as Configuration;
let asked = 0;
const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (_request, response) => {
  asked += 1;
  response.end('{"record":null}');
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
const socket = connect({ host: '127.0.0.1', port });
const trusted = await once(socket, 'secureConnect').then(
  () => (socket.authorized ? 'trusted' : `not trusted: ${String(socket.authorizationError)}`),
  (error: unknown) => `not trusted: ${String(error)}`,
);
socket.destroy();
const witness = provider().create({
  cluster,
  module: 'm',
  localNode: 'north',
  configurationDirectory: folder,
  configuration: { server: `127.0.0.1:${port}`, cluster },
  log: silent,
});
const outcome = witness.grade === 'strong' ? witness.read() : Promise.reject(new Error('weak'));
const code = await outcome.then(
  () => 'answered',
  (error: unknown) => (error as { readonly code?: unknown }).code,
);
process.stdout.write(JSON.stringify({ trusted, code, asked }));
await witness.close();
server.closeAllConnections();
server.close();
