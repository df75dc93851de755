/** A witness server that a test can kill: says its port to its parent, and ends with it. */
import { witnessServer } from '../src/index.js';
import { silent } from './harness.js';

const [dataDirectory = '', port = '0'] = process.argv.slice(2);
process.once('disconnect', () => process.exit(1));
try {
  const server = await witnessServer.serve({ dataDirectory, listen: { host: '127.0.0.1', port: Number(port) }, log: silent });
  process.send?.({ port: server.port });
} catch (error) {
  process.send?.({ error: String(error) });
  process.exitCode = 1;
  process.disconnect();
}
