/** PostgreSQL, through its client for Node. */
import { Client } from 'pg';
import type { Login, Session } from './database-test.js';

/**
 * Milliseconds behind. A replica that has replayed all that it received is not behind, however long ago the last transaction was, as long
 * as it still receives.
 */
const LAG_QUERY = `
  SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN 'this database is no replica'
    WHEN NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') THEN 'the replica receives nothing from its primary'
    WHEN pg_is_wal_replay_paused() THEN 'the replay is paused'
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN '0'
    ELSE (greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())) * 1000)::bigint::text
  END`;

export async function openPostgresql({ target, password, ca, opened }: Login): Promise<Session> {
  const { at, user, database, tls, timeoutMs } = target;
  const client = new Client({
    ...(at.kind === 'tcp' ? { host: at.host, port: at.port } : { host: at.path }),
    user,
    database: database ?? 'postgres',
    application_name: 'holdfast-checker',
    // Without one the client would look for a password in the agent's environment and home.
    password: password ?? '',
    ssl: tls === 'off' ? false : { rejectUnauthorized: tls === 'verify', ...(ca === undefined ? {} : { ca }) },
    connectionTimeoutMillis: timeoutMs,
    // The server itself ends what takes longer, also when nobody is there to wait.
    statement_timeout: timeoutMs,
  });
  // A connection that breaks after the answer is nobody's business; without a listener it would end the agent.
  client.on('error', () => undefined);
  opened(() => {
    void client.end().catch(() => undefined);
    client.connection.stream.destroy();
  });
  await client.connect();
  const value = async (query: string): Promise<unknown> => {
    const { rows } = await client.query<unknown[]>({ text: query, rowMode: 'array' });
    return rows[0]?.[0];
  };
  return {
    value,
    lag: async () => {
      const answer = await value(LAG_QUERY);
      const number = typeof answer === 'string' && /^\d+$/.test(answer) ? Number(answer) : undefined;
      return number ?? (typeof answer === 'string' ? answer : 'the replica has replayed no transaction yet');
    },
  };
}
