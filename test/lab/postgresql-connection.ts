/**
 * A connection to PostgreSQL, as much of protocol 3.0 as a test needs: start without password, simple queries, errors. One query at a time.
 * Any error closes it.
 */
import { connect, type Socket } from 'node:net';

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly connectTimeoutMs: number;
  readonly answerTimeoutMs: number;
}

const PROTOCOL_3_0 = 196_608;
/** One byte of type, four of length. */
const HEADER_BYTES = 5;

interface Pending {
  readonly rows: string[][];
  readonly timer: NodeJS.Timeout;
  readonly resolve: (rows: string[][]) => void;
  readonly reject: (error: Error) => void;
}

export class PostgresqlConnection {
  readonly #socket: Socket;
  readonly #answerTimeoutMs: number;
  #received = Buffer.alloc(0);
  #pending: Pending | undefined;
  #failure: Error | undefined;

  private constructor(options: ConnectionOptions) {
    this.#answerTimeoutMs = options.answerTimeoutMs;
    this.#socket = connect({ host: options.host, port: options.port, noDelay: true });
    const timer = setTimeout(() => this.#fail(`no connection in ${options.connectTimeoutMs} ms`), options.connectTimeoutMs);
    this.#socket.once('connect', () => {
      clearTimeout(timer);
      this.#socket.write(startMessage(options));
    });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#fail(error.message));
    this.#socket.once('close', () => {
      clearTimeout(timer);
      this.#fail('the server closed the connection');
    });
  }

  /** Resolves when the server is ready for a query. */
  static async open(options: ConnectionOptions): Promise<PostgresqlConnection> {
    const connection = new PostgresqlConnection(options);
    await connection.#wait(options.connectTimeoutMs + options.answerTimeoutMs);
    return connection;
  }

  /** Rows of text; an SQL null is an empty text. */
  query(sql: string): Promise<string[][]> {
    const text = Buffer.from(`${sql}\0`);
    const header = Buffer.alloc(HEADER_BYTES);
    header.write('Q');
    header.writeInt32BE(text.length + 4, 1);
    const answer = this.#wait(this.#answerTimeoutMs);
    if (this.#failure === undefined) this.#socket.write(Buffer.concat([header, text]));
    return answer;
  }

  close(): void {
    this.#fail('closed');
  }

  #wait(timeoutMs: number): Promise<string[][]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#pending !== undefined) return Promise.reject(new Error('a query is under way'));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(`no answer in ${timeoutMs} ms`), timeoutMs);
      this.#pending = { rows: [], timer, resolve, reject };
    });
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= HEADER_BYTES) {
      const end = 1 + this.#received.readInt32BE(1);
      if (this.#received.length < end) return;
      const type = String.fromCharCode(this.#received[0] ?? 0);
      const body = this.#received.subarray(HEADER_BYTES, end);
      this.#received = this.#received.subarray(end);
      this.#handle(type, body);
    }
  }

  #handle(type: string, body: Buffer): void {
    switch (type) {
      case 'R': // authentication; 0 is "ok"
        if (body.readInt32BE(0) !== 0) this.#fail('the server asks for a password; this client has none');
        break;
      case 'D':
        this.#pending?.rows.push(columnsOf(body));
        break;
      case 'E':
        this.#fail(errorText(body));
        break;
      case 'Z': // ready for the next query: what came before is committed
        this.#settle((pending) => pending.resolve(pending.rows));
        break;
      default: // parameters, notices, row descriptions, command tags
        break;
    }
  }

  #fail(problem: string): void {
    this.#failure ??= new Error(problem);
    const failure = this.#failure;
    this.#settle((pending) => pending.reject(failure));
    this.#socket.destroy();
  }

  #settle(action: (pending: Pending) => void): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    clearTimeout(pending.timer);
    action(pending);
  }
}

function startMessage({ user, database }: ConnectionOptions): Buffer {
  const parameters = Buffer.from(`user\0${user}\0database\0${database}\0\0`);
  const header = Buffer.alloc(8);
  header.writeInt32BE(parameters.length + 8, 0);
  header.writeInt32BE(PROTOCOL_3_0, 4);
  return Buffer.concat([header, parameters]);
}

function columnsOf(body: Buffer): string[] {
  const columns: string[] = [];
  let offset = 2;
  for (let count = body.readInt16BE(0); count > 0; count -= 1) {
    const bytes = Math.max(0, body.readInt32BE(offset));
    offset += 4;
    columns.push(body.toString('utf8', offset, offset + bytes));
    offset += bytes;
  }
  return columns;
}

/** Fields are a letter and a text each; M is the message. */
function errorText(body: Buffer): string {
  const fields = body.toString('utf8').split('\0');
  return fields.find((field) => field.startsWith('M'))?.slice(1) ?? 'an error without a message';
}
