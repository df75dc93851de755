/** Workload client of the module postgresql-mirror; runs as a process of its own: `node postgresql-client.js [options as JSON]`. */
import { PostgresqlConnection } from './postgresql-connection.js';
import { optionsOfProcess, runWorkload, type WorkloadOptions, type WorkloadSession } from './workload.js';

const READ_TIMEOUT_MS = 30_000;
/** IF NOT EXISTS alone is not enough: two sessions that make the table at the same time collide. */
const CREATE_TABLE = `
  BEGIN; SELECT pg_advisory_xact_lock(4801);
  CREATE TABLE IF NOT EXISTS holdfast_workload (entry text NOT NULL, place bigserial PRIMARY KEY); COMMIT`;

async function openConnection(options: WorkloadOptions, answerTimeoutMs = options.answerTimeoutMs): Promise<PostgresqlConnection> {
  const connection = await PostgresqlConnection.open({ ...options, answerTimeoutMs, user: 'postgres', database: 'postgres' });
  await connection.query(CREATE_TABLE);
  return connection;
}

class PostgresqlSession implements WorkloadSession {
  readonly #options: WorkloadOptions;
  #connection: PostgresqlConnection | undefined;

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  async write(entry: string): Promise<string> {
    try {
      this.#connection ??= await openConnection(this.#options);
      const [row] = await this.#connection.query(`INSERT INTO holdfast_workload (entry) VALUES ('${entry}') RETURNING place`);
      const place = row?.[0];
      if (place === undefined) throw new Error('the insert returned no row');
      return place;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }
}

const options = optionsOfProcess(5432);
await runWorkload(
  {
    open: () => new PostgresqlSession(options),
    async read(run) {
      const connection = await openConnection(options, READ_TIMEOUT_MS);
      try {
        const rows = await connection.query(`SELECT entry, place FROM holdfast_workload WHERE entry LIKE '${run}:%'`);
        return rows.map(([entry = '', place = '']) => ({ entry, place }));
      } finally {
        connection.close();
      }
    },
  },
  options,
);
