/** Runs on a node, all the time: answers every request with the node's name. Arguments: port, name. */
import { createServer } from 'node:net';

const [port = '', name = ''] = process.argv.slice(2);
const ANSWER = `HTTP/1.0 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`;

const server = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.once('data', () => socket.end(ANSWER));
});
server.listen(Number(port), '::', () => process.stdout.write('ready\n'));
