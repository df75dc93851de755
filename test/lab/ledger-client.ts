/** Workload client of the module ledger-mirror; runs as a process of its own: `node ledger-client.js [options as JSON]`. */
import { Agent, request } from 'node:http';
import { optionsOfProcess, runWorkload, type WorkloadOptions, type WorkloadSession } from './workload.js';

const READ_TIMEOUT_MS = 30_000;

interface Answer {
  readonly status: number;
  readonly body: string;
}

class LedgerSession implements WorkloadSession {
  readonly #options: WorkloadOptions;
  #agent = newAgent();

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  async write(entry: string): Promise<string> {
    try {
      const { status, body } = await ask(this.#agent, this.#options, this.#options.answerTimeoutMs, 'POST', '/append', entry);
      if (status !== 200) throw new Error(`status ${status}: ${body.slice(0, 200)}`);
      return String((JSON.parse(body) as { sequence: number }).sequence);
    } catch (error) {
      this.close();
      this.#agent = newAgent();
      throw error;
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

function newAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}

function ask(agent: Agent, options: WorkloadOptions, timeoutMs: number, method: string, path: string, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { host, port, connectTimeoutMs } = options;
    const headers = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    const call = request({ agent, host, port, method, path, headers });
    const answerTimer = setTimeout(() => call.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    let connectTimer: NodeJS.Timeout | undefined;
    const settle = (action: () => void): void => {
      clearTimeout(answerTimer);
      clearTimeout(connectTimer);
      action();
    };
    call.once('socket', (socket) => {
      if (!socket.connecting) return;
      connectTimer = setTimeout(() => call.destroy(new Error(`no connection in ${connectTimeoutMs} ms`)), connectTimeoutMs);
      socket.once('connect', () => clearTimeout(connectTimer));
    });
    call.on('error', (error) => settle(() => reject(error)));
    call.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', (error) => settle(() => reject(error)));
      response.once('end', () => settle(() => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() })));
    });
    call.end(body);
  });
}

const options = optionsOfProcess(8080);
await runWorkload(
  {
    open: () => new LedgerSession(options),
    async read(run) {
      const agent = newAgent();
      try {
        const { status, body } = await ask(agent, options, READ_TIMEOUT_MS, 'GET', '/entries');
        if (status !== 200) throw new Error(`status ${status}: ${body.slice(0, 200)}`);
        const rows = body.split('\n').map((line) => line.split('\t') as [string, string?]);
        return rows.flatMap(([place, entry]) => (entry?.startsWith(`${run}:`) === true ? [{ entry, place }] : []));
      } finally {
        agent.destroy();
      }
    },
  },
  options,
);
