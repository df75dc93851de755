/** Real web servers for the tests: nginx and haproxy, each in a folder of its own, on loopback, never as services of the machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const READY_WITHIN_MS = 20_000;

export interface WebServer {
  readonly port: number;
  start(): Promise<void>;
  /** At once, as by a crash. */
  kill(): Promise<void>;
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  remove(): Promise<void>;
}

/** @param locations lines of its `server` block; with a certificate it speaks TLS */
export async function createNginx(locations: string, certificate?: { readonly cert: string; readonly key: string }): Promise<WebServer> {
  const folder = ownFolder();
  const port = await freePort();
  const tls = certificate === undefined ? '' : `ssl_certificate ${certificate.cert}; ssl_certificate_key ${certificate.key};`;
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${join(folder, name)};`).join(' ');
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${join(folder, 'pid')}; error_log stderr;
events { worker_connections 64; }
http { access_log off; ${paths} server { listen 127.0.0.1:${port}${certificate === undefined ? '' : ' ssl'}; ${tls}
${locations}
} }
`,
  );
  return server(folder, port, '/usr/sbin/nginx', ['-p', folder, '-c', file]);
}

/** A proxy in front of one server, which it asks `GET /` every 100 ms; without it, it answers 503. */
export async function createHaproxy(backendPort: number): Promise<WebServer> {
  const folder = ownFolder();
  const port = await freePort();
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend all
  bind 127.0.0.1:${port}
  default_backend shop
backend shop
  option httpchk GET /
  server one 127.0.0.1:${backendPort} check inter 100ms fall 1 rise 1
`,
  );
  return server(folder, port, '/usr/sbin/haproxy', ['-db', '-f', file]);
}

function server(folder: string, port: number, program: string, words: readonly string[]): WebServer {
  let child: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill('SIGKILL');
    await ended;
  };
  return {
    port,
    kill,
    start: async () => {
      let said = '';
      const started = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
      child = started;
      started.on('error', (error) => (said += error.message));
      started.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-2000)));
      const beganMs = performance.now();
      while (!(await accepts(port))) {
        if (performance.now() - beganMs > READY_WITHIN_MS || started.exitCode !== null || started.pid === undefined)
          throw new Error(`${program} does not start: ${said}`);
        await delay(20);
      }
    },
    signal: (signal) => void child?.kill(signal),
    remove: async () => {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const end = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}

function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-web-'));
  chmodSync(folder, 0o755);
  return folder;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
