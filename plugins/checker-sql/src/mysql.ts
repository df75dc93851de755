/** MySQL and MariaDB, through their client for Node. */
import { createConnection } from 'mysql2';
import type { ConnectionOptions, RowDataPacket } from 'mysql2';
import type { Login, Session } from './database-test.js';

const SYNTAX_ERROR = 'ER_PARSE_ERROR';

export async function openMysql({ target, password, ca, opened }: Login): Promise<Session> {
  const { at, user, database, tls, timeoutMs } = target;
  const options: ConnectionOptions = {
    ...(at.kind === 'tcp' ? { host: at.host, port: at.port } : { socketPath: at.path }),
    user,
    connectTimeout: timeoutMs,
    multipleStatements: false,
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { database }),
    ...(tls === 'off' ? {} : { ssl: { rejectUnauthorized: tls === 'verify', ...(ca === undefined ? {} : { ca }) } }),
  };
  const connection = createConnection(options);
  // A connection that breaks after the answer is nobody's business; without a listener it would end the agent.
  connection.on('error', () => undefined);
  opened(() => connection.destroy());
  const session = connection.promise();
  await session.connect();
  const firstRow = async (query: string): Promise<RowDataPacket | undefined> => {
    const [rows] = await session.query<RowDataPacket[]>(query);
    return Array.isArray(rows) ? rows[0] : undefined;
  };
  return {
    value: async (query) => {
      const [rows] = await session.query<RowDataPacket[][]>({ sql: query, rowsAsArray: true });
      return Array.isArray(rows) ? rows[0]?.[0] : undefined;
    },
    lag: async () => lagOf(await replicaStatus(firstRow)),
  };
}

/** MySQL 8.4 knows only the new words, older ones and MariaDB before 10.5 only the old. */
async function replicaStatus(firstRow: (query: string) => Promise<RowDataPacket | undefined>): Promise<RowDataPacket | undefined> {
  try {
    return await firstRow('SHOW REPLICA STATUS');
  } catch (error) {
    if ((error as { code?: unknown }).code !== SYNTAX_ERROR) throw error;
    return firstRow('SHOW SLAVE STATUS');
  }
}

function lagOf(status: RowDataPacket | undefined): number | string {
  if (status === undefined) return 'this database is no replica';
  const behind: unknown = status['Seconds_Behind_Source'] ?? status['Seconds_Behind_Master'];
  if (behind !== null && behind !== undefined) return Number(behind) * 1000;
  const reason = [status['Last_IO_Error'], status['Last_SQL_Error']].find((text) => typeof text === 'string' && text !== '') as unknown;
  return `the replica does not replicate${typeof reason === 'string' ? `: ${reason.replaceAll(/\s+/g, ' ').slice(0, 200)}` : ''}`;
}
