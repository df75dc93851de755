/** Answers every request with the name of its node. Says on descriptor 9 when it serves. */
import { closeSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';

process.title = 'hello';
const { HELLO_PORT: port = '8090', HOLDFAST_NODE: node = '?' } = process.env;

const server = createServer((_request, response) => {
  response.end(`hello from ${node}\n`);
});
server.listen(Number(port), () => {
  writeSync(9, 'ready\n');
  closeSync(9);
});
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
