/** Real databases for the tests: PostgreSQL and MariaDB, each in a folder of its own, on a Unix socket and a free port of the loopback. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const POSTGRESQL = '/usr/lib/postgresql/15/bin';
const READY_WITHIN_MS = 60_000;

export interface Database {
  readonly folder: string;
  readonly port: number;
  /** For the attribute `socket`. */
  readonly socket: string;
  start(): Promise<void>;
  /** At once, as by a crash. */
  kill(): Promise<void>;
  /** Its first process, which takes the logins (PostgreSQL's others are not stopped): `SIGSTOP` makes it hang until `SIGCONT`. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  execute(sql: string): string;
  remove(): Promise<void>;
}

export async function createPostgresql(): Promise<Database> {
  const folder = ownFolder('postgres');
  const data = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, `${PASSWORD}\n`);
  prepared(folder, () =>
    as('postgres', `${POSTGRESQL}/initdb`, '-D', data, '-A', 'scram-sha-256', '-U', 'postgres', '--no-sync', `--pwfile=${passwordFile}`),
  );
  return server(folder, 'postgres', folder, await freePort(), (port) => ({
    program: `${POSTGRESQL}/postgres`,
    words: ['-D', data, '-k', folder, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off', '-c', 'max_wal_senders=4'],
    execute: (sql) => as('postgres', 'psql', '-h', folder, '-p', String(port), '-U', 'postgres', '-Atqc', sql),
  }));
}

/** A streaming copy of another one. */
export async function createPostgresqlReplica(primary: Database): Promise<Database> {
  const folder = ownFolder('postgres');
  const data = join(folder, 'data');
  const from = ['-h', '127.0.0.1', '-p', String(primary.port), '-U', 'postgres'];
  const words = [...from, '-D', data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync'];
  prepared(folder, () => as('postgres', `${POSTGRESQL}/pg_basebackup`, ...words));
  return server(folder, 'postgres', folder, await freePort(), (port) => ({
    program: `${POSTGRESQL}/postgres`,
    words: ['-D', data, '-k', folder, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off'],
    execute: (sql) => as('postgres', 'psql', '-h', folder, '-p', String(port), '-U', 'postgres', '-Atqc', sql),
  }));
}

/** @param serverId different for a replica */
export async function createMariadb(serverId: number): Promise<Database> {
  const folder = ownFolder('mysql');
  const data = join(folder, 'data');
  const socket = join(folder, 'socket');
  const words = ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'];
  prepared(folder, () => as('mysql', 'mariadb-install-db', ...words));
  return server(folder, 'mysql', socket, await freePort(), (port) => ({
    program: '/usr/sbin/mariadbd',
    words: [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${socket}`,
      `--pid-file=${join(folder, 'pid')}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      `--server-id=${serverId}`,
      '--log-bin=binlog',
      '--innodb-flush-log-at-trx-commit=0',
      '--innodb-buffer-pool-size=16M',
    ],
    execute: (sql) => as('mysql', 'mariadb', '--no-defaults', `--socket=${socket}`, '-uroot', '-Nse', sql),
  }));
}

interface Server {
  readonly program: string;
  readonly words: readonly string[];
  readonly execute: (sql: string) => string;
}

export const PASSWORD = 'correct horse';

function server(folder: string, user: string, socket: string, port: number, describe: (port: number) => Server): Database {
  const { program, words, execute } = describe(port);
  let child: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending?.pid === undefined || ending.exitCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    // The whole group: PostgreSQL's other processes would hold its memory for a moment.
    process.kill(-ending.pid, 'SIGKILL');
    await ended;
  };
  return {
    folder,
    port,
    socket,
    execute,
    kill,
    signal: (signal) => {
      if (child?.pid !== undefined) process.kill(-child.pid, signal);
    },
    start: async () => {
      rmSync(join(folder, 'data', 'postmaster.pid'), { force: true });
      child = spawn('setpriv', [...becoming(user), program, ...words], { stdio: 'ignore', detached: true, cwd: folder });
      const beganMs = performance.now();
      while (!answers(execute)) {
        if (performance.now() - beganMs > READY_WITHIN_MS || child.exitCode !== null) throw new Error(`${program} does not start`);
        await delay(100);
      }
    },
    remove: async () => {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function answers(execute: (sql: string) => string): boolean {
  try {
    execute('SELECT 1');
    return true;
  } catch {
    return false;
  }
}

function becoming(user: string): readonly string[] {
  return ['--reuid', user, '--regid', user, '--init-groups', '--'];
}

function as(user: string, program: string, ...words: readonly string[]): string {
  const env = { PATH: process.env['PATH'] ?? '', PGPASSWORD: PASSWORD, LC_ALL: 'C' };
  // Errors come with what the program said; nothing of it is shown while a server is still starting.
  return execFileSync('setpriv', [...becoming(user), program, ...words], { encoding: 'utf8', env, cwd: '/', stdio: 'pipe' }).trim();
}

/** What cannot be prepared leaves nothing behind. */
function prepared(folder: string, prepare: () => unknown): void {
  try {
    prepare();
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function ownFolder(user: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-checker-sql-'));
  execFileSync('chown', [user, folder]);
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
