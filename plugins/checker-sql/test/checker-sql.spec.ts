/** The checker against real PostgreSQL and MariaDB servers, primaries and replicas. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Check, CheckResult, ElementValue } from '@holdfast/sdk';
import { checkerCases } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { createConnection } from 'mysql2';
import { plugin } from '../src/index.js';
import { judgeValue } from '../src/judgement.js';
import { createMariadb, createPostgresql, createPostgresqlReplica, type Database, PASSWORD } from './databases.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/sql.json', import.meta.url), 'utf8'));

function create(to: ElementValue): Check {
  const [check] = createdChecks(plugin, SCHEMA, { ident: 'db', to: [{ interval: 200, timeout: 2000, ...to }] });
  assert(check !== undefined);
  return check;
}

async function verdictOf(to: ElementValue): Promise<CheckResult> {
  const check = create({ ...to, interval: 60_000 });
  const result = await new Promise<CheckResult>((resolve, reject) => {
    check.start(resolve).catch(reject);
  });
  await check.stop();
  return result;
}

async function until(to: ElementValue, verdict: CheckResult['verdict'], detail: RegExp): Promise<void> {
  const beganMs = performance.now();
  for (;;) {
    const result = await verdictOf(to);
    if (result.verdict === verdict && detail.test(result.detail)) return;
    assert(performance.now() - beganMs < 20_000, `waited in vain for ${verdict} ${detail}; heard ${JSON.stringify(result)}`);
    await delay(100);
  }
}

describe('SQL checker', function () {
  this.timeout(180_000);
  let folder = '';
  let passwordFile = '';

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-checker-sql-'));
    passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('refuses what cannot be meant, naming the attribute', () => {
    const refused = (to: ElementValue, message: RegExp): void => {
      assert.throws(() => create({ engine: 'postgresql', user: 'u', ...to }), message);
    };
    refused({ socket: '/run', port: 5432 }, /HF_SQL_PLACE/);
    refused({ min: 2, max: 1 }, /HF_SQL_BOUNDS: min="2" and max="1"/);
    refused({ lag: 1000, query: 'SELECT 1' }, /HF_SQL_LAG: .*leave out query/);
    refused({ ca: '/ca.pem', tls: 'on' }, /HF_SQL_CA/);
  });

  it('compares numbers that databases give as text, and nothing else', () => {
    assert.equal(judgeValue('12', { kind: 'query', query: '', max: 12 }).verdict, 'up');
    assert.equal(judgeValue('13', { kind: 'query', query: '', max: 12 }).verdict, 'down');
    for (const none of ['', 'many', null]) assert.equal(judgeValue(none, { kind: 'query', query: '', min: 0 }).verdict, 'down');
    assert.equal(judgeValue(undefined, { kind: 'query', query: '' }).detail, 'the query brings no row');
  });

  it('says unknown when the password cannot be read, and down for a server that accepts and says nothing', async () => {
    const missing = { engine: 'postgresql', user: 'u', password_file: join(folder, 'missing') };
    assert.match((await verdictOf(missing)).detail, /^cannot test .*password_file.*cannot be read/);
    const silent = createServer((socket) => socket.on('error', () => undefined).resume());
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    try {
      for (const engine of ['postgresql', 'mysql']) {
        const result = await verdictOf({ engine, user: 'u', port, timeout: 200 });
        assert.equal(result.verdict, 'down');
      }
    } finally {
      await new Promise((resolve) => silent.close(resolve));
    }
  });

  describe('with PostgreSQL', () => {
    let database: Database;
    let stopped = false;
    const to = (more: ElementValue = {}): ElementValue => ({
      engine: 'postgresql',
      user: 'postgres',
      password_file: passwordFile,
      port: database.port,
      ...more,
    });

    before(async () => {
      database = await createPostgresql();
      await database.start();
    });
    after(() => database.remove());

    it('logs in by address or socket, runs the query and judges the value', async () => {
      assert.match((await verdictOf(to())).detail, /^postgresql at 127\.0\.0\.1:\d+: the query brings 1$/);
      assert.equal((await verdictOf(to({ query: 'SELECT 7', min: 7, max: 7 }))).verdict, 'up');
      assert.match((await verdictOf(to({ query: 'SELECT 7', max: 6 }))).detail, /brings 7, at most 6 is wanted/);
      assert.match((await verdictOf(to({ query: 'SELEC 1' }))).detail, /syntax error/);
      assert.match((await verdictOf(to({ user: 'nobody' }))).detail, /password authentication failed/);
      assert.match((await verdictOf(to({ query: 'SELECT pg_sleep(30)', timeout: 500 }))).detail, /within 500 ms|statement timeout/);
      assert.match((await verdictOf(to({ lag: 1000 }))).detail, /is no replica/);
    });

    it('is down when it is stopped, hangs or has no connection left, and up when that is over', async () => {
      const asked = to({ timeout: 500 });
      await until(asked, 'up', /brings 1/);
      database.signal('SIGSTOP');
      try {
        await until(asked, 'down', /does not answer within 500 ms|timeout|ETIMEDOUT/);
      } finally {
        database.signal('SIGCONT');
      }
      await until(asked, 'up', /brings 1/);
      await database.kill();
      await until(asked, 'down', /ECONNREFUSED/);
      await database.start();
      await until(asked, 'up', /brings 1/);
      database.execute("CREATE ROLE guest LOGIN PASSWORD 'correct horse' CONNECTION LIMIT 0");
      await until({ ...asked, user: 'guest', database: 'postgres' }, 'down', /too many connections for role "guest"/);
      database.execute('ALTER ROLE guest CONNECTION LIMIT -1');
      await until({ ...asked, user: 'guest', database: 'postgres' }, 'up', /brings 1/);
      database.execute("ALTER ROLE guest PASSWORD 'another one'");
      await until({ ...asked, user: 'guest', database: 'postgres' }, 'down', /password authentication failed/);
    });

    it('knows how far a replica is behind, and when it receives or replays nothing', async () => {
      const replica = await createPostgresqlReplica(database);
      try {
        await replica.start();
        const lag = to({ port: replica.port, lag: 1000 });
        await until(lag, 'up', /the replica is 0\.\d s behind/);
        replica.execute('SELECT pg_wal_replay_pause()');
        database.execute('CREATE TABLE t (n int)');
        await until(lag, 'down', /the replay is paused/);
        replica.execute('SELECT pg_wal_replay_resume()');
        await until(lag, 'up', /behind/);
        replica.execute("ALTER SYSTEM SET recovery_min_apply_delay = '60s'");
        replica.execute('SELECT pg_reload_conf()');
        database.execute('CREATE TABLE late (n int)');
        await until(lag, 'down', /the replica is [0-9.]+ s behind, at most 1(\.0)? s/);
        replica.execute('ALTER SYSTEM RESET recovery_min_apply_delay');
        replica.execute('SELECT pg_reload_conf()');
        await until(lag, 'up', /behind/);
        await database.kill();
        await until(lag, 'down', /receives nothing from its primary/);
        await database.start();
        await until(lag, 'up', /behind/);
      } finally {
        await replica.remove();
      }
    });

    describe('as every checker', () => {
      const subject = {
        create: () => create(to()),
        makeUp: async () => {
          if (stopped) await database.start();
          stopped = false;
        },
        makeDown: async () => {
          await database.kill();
          stopped = true;
        },
        idleShareMax: 0.3,
      };
      for (const { title, run } of checkerCases(subject)) it(title, run);
    });
  });

  describe('with MariaDB', () => {
    let database: Database;
    let stopped = false;
    const to = (more: ElementValue = {}): ElementValue => ({
      engine: 'mysql',
      user: 'watcher',
      password_file: passwordFile,
      port: database.port,
      ...more,
    });

    before(async () => {
      database = await createMariadb(1);
      await database.start();
      database.execute(`CREATE USER watcher@'%' IDENTIFIED BY '${PASSWORD}'; GRANT ALL ON *.* TO watcher@'%'`);
    });
    after(() => database.remove());

    it('logs in by address or socket, runs the query and judges the value', async () => {
      assert.match((await verdictOf(to())).detail, /^mysql at 127\.0\.0\.1:\d+: the query brings 1$/);
      const { port: _port, ...bySocket } = to({ socket: database.socket, query: 'SELECT 7', min: 7, max: 7 });
      assert.equal((await verdictOf(bySocket)).verdict, 'up');
      assert.match((await verdictOf(to({ query: 'SELECT 7', max: 6 }))).detail, /brings 7, at most 6 is wanted/);
      assert.match((await verdictOf(to({ query: 'SELEC 1' }))).detail, /error in your SQL syntax/);
      assert.match((await verdictOf(to({ user: 'nobody' }))).detail, /Access denied/);
      assert.match((await verdictOf(to({ query: 'SELECT SLEEP(30)', timeout: 500 }))).detail, /does not answer within 500 ms/);
      assert.match((await verdictOf(to({ lag: 1000 }))).detail, /is no replica/);
    });

    it('is down when it is stopped, hangs or has no connection left, and up when that is over', async () => {
      const asked = to({ timeout: 500 });
      await until(asked, 'up', /brings 1/);
      database.signal('SIGSTOP');
      try {
        await until(asked, 'down', /does not answer within 500 ms|timeout|ETIMEDOUT/);
      } finally {
        database.signal('SIGCONT');
      }
      await until(asked, 'up', /brings 1/);
      await database.kill();
      await until(asked, 'down', /ECONNREFUSED/);
      await database.start();
      await until(asked, 'up', /brings 1/);
      database.execute(`CREATE USER guest@'%' IDENTIFIED BY '${PASSWORD}' ACCOUNT LOCK`);
      const guest = { ...asked, user: 'guest' };
      await until(guest, 'down', /account is locked/i);
      database.execute(`ALTER USER guest@'%' ACCOUNT UNLOCK`);
      await until(guest, 'up', /brings 1/);
      database.execute(`ALTER USER guest@'%' IDENTIFIED BY 'another one'`);
      await until(guest, 'down', /Access denied/);
      database.execute(`ALTER USER guest@'%' IDENTIFIED BY '${PASSWORD}'; SET GLOBAL max_connections = 10`);
      const held = Array.from({ length: 10 }, () => createConnection({ port: database.port, user: 'guest', password: PASSWORD }));
      try {
        await Promise.all(held.map((connection) => connection.promise().connect()));
        await until(guest, 'down', /Too many connections/);
      } finally {
        for (const connection of held) connection.destroy();
      }
      await until(guest, 'up', /brings 1/);
    });

    it('knows how far a replica is behind, and why it does not replicate', async () => {
      const replica = await createMariadb(2);
      try {
        await replica.start();
        replica.execute(`CREATE USER watcher@'%' IDENTIFIED BY '${PASSWORD}'; GRANT ALL ON *.* TO watcher@'%'`);
        const place = `MASTER_HOST='127.0.0.1', MASTER_PORT=${database.port}, MASTER_USER='watcher', MASTER_PASSWORD='${PASSWORD}'`;
        database.execute('RESET MASTER');
        replica.execute(`CHANGE MASTER TO ${place}, MASTER_CONNECT_RETRY=1; START SLAVE`);
        const lag = to({ port: replica.port, lag: 1000 });
        await until(lag, 'up', /the replica is 0\.0 s behind/);
        replica.execute('STOP SLAVE SQL_THREAD');
        await until(lag, 'down', /does not replicate/);
        replica.execute('START SLAVE SQL_THREAD');
        await until(lag, 'up', /behind/);
        replica.execute('STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=60; START SLAVE');
        database.execute('CREATE DATABASE late');
        await until(lag, 'down', /the replica is [0-9.]+ s behind, at most 1(\.0)? s/);
        replica.execute('STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=0; START SLAVE');
        await until(lag, 'up', /behind/);
      } finally {
        await replica.remove();
      }
    });

    describe('as every checker', () => {
      const subject = {
        create: () => create(to()),
        makeUp: async () => {
          if (stopped) await database.start();
          stopped = false;
        },
        makeDown: async () => {
          await database.kill();
          stopped = true;
        },
        idleShareMax: 0.3,
      };
      for (const { title, run } of checkerCases(subject)) it(title, run);
    });
  });
});
