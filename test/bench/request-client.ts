/**
 * Runs on the client: a new TCP connection and one request every 10 ms, whatever became of those before (open loop), and a line
 * `MILLISECONDS NODE` for each complete answer. Arguments: address, port.
 */
import { connect } from 'node:net';
import { monotonicMs } from '../lab/workload-report.js';

const [host = '', port = ''] = process.argv.slice(2);
const INTERVAL_MS = 10;
/** Longer than that none of the questions waits; there is always a younger one. */
const PATIENCE_MS = 1000;

function ask(): void {
  const socket = connect({ host, port: Number(port) });
  let text = '';
  const patience = setTimeout(() => socket.destroy(), PATIENCE_MS);
  socket.once('connect', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  socket.once('end', () => {
    const [, length, node] = /^HTTP\/1\.0 200 OK\r\nContent-Length: (\d+)\r\n\r\n(\S+)$/.exec(text) ?? [];
    if (node !== undefined && node.length === Number(length)) process.stdout.write(`${monotonicMs().toFixed(2)} ${node}\n`);
  });
  socket.on('error', () => undefined);
  socket.once('close', () => clearTimeout(patience));
}

setInterval(ask, INTERVAL_MS);
