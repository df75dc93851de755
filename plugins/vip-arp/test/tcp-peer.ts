/** TCP servers and clients in a host's namespace, as processes of their own that say what happens to their connections. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Host, until } from './network-lab.js';

/** Says `listening`, then `from ADDRESS` for each connection, which it greets, and `error CODE` for one that ends with an error. */
const SERVER = `
const [port, address] = process.argv.slice(1);
const server = require('node:net').createServer((socket) => {
  console.log('from ' + socket.remoteAddress.replace('::ffff:', ''));
  socket.on('error', (error) => console.log('error ' + error.code));
  socket.write('hello');
});
server.listen({ port: Number(port), host: address, backlog: 4096 }, () => console.log('listening'));
`;
/** Opens so many connections, and says `open` for each that was greeted; `error CODE` or `end` when one ends. */
const CLIENT = `
const [port, address, count, localAddress] = process.argv.slice(1);
for (let index = 0; index < Number(count); index += 1) {
  const socket = require('node:net').connect({ port: Number(port), host: address, ...(localAddress ? { localAddress } : {}) });
  socket.once('data', () => console.log('open'));
  socket.on('end', () => console.log('end'));
  socket.on('error', (error) => console.log('error ' + error.code));
}
`;

export class TcpPeer {
  readonly lines: string[] = [];
  private readonly child: ChildProcess;

  private constructor(host: Host, script: string, args: readonly string[]) {
    // The pipe of its standard input ends it with this process.
    const ending = `process.stdin.resume().on('end', () => process.exit(0));`;
    const words = host.enter(process.execPath, '-e', ending + script, ...args);
    const child = spawn('nsenter', words, { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
    this.child = child;
  }

  /** @param address default: all, IPv4 on IPv6 sockets */
  static async serve(host: Host, port: number, address = '::'): Promise<TcpPeer> {
    const peer = new TcpPeer(host, SERVER, [String(port), address]);
    await until('the server listens', () => peer.lines.includes('listening'));
    return peer;
  }

  /** Resolves when all connections are established. */
  static async connect(host: Host, address: string, port: number, count = 1, localAddress = ''): Promise<TcpPeer> {
    const peer = new TcpPeer(host, CLIENT, [String(port), address, String(count), localAddress]);
    await until(`${count} connections are open`, () => peer.count('open') === count, 10_000);
    return peer;
  }

  count(line: string): number {
    return this.lines.filter((one) => one === line).length;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await exited;
  }
}
