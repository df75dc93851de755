/**
 * The clients of a fault campaign, as a process of its own in the lab's client machine: workers that write unique records through the
 * virtual address, one in flight each, and tell every acknowledgement at once. After an error or a timeout the outcome of a record is
 * unknown, and the worker goes on with a new connection and a new record. Takes `pause` and `resume` on its standard input; ends with it.
 */
import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '@holdfast/sdk';
import { monotonicMs } from '../../lab/workload-report.js';
import type { Acknowledgement, WriterReport } from './acknowledgement.js';

const [host = '', port = ''] = process.argv.slice(2);
const WORKERS = 4;
const CONNECT_TIMEOUT_MS = 300;
const ANSWER_TIMEOUT_MS = 1000;
const BACKOFF_MS = 25;
/** The ledger must not grow faster than a campaign of an hour can read it. */
const REST_MS = 12;
const REPORT_MS = 50;

const run = randomBytes(4).toString('hex');
let fresh: Acknowledgement[] = [];
let unknown = 0;
let problem: string | undefined;
let paused = false;
let writing = 0;
let ended = false;

function append(agent: Agent, entry: string): Promise<{ sequence: number; node: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ agent, host, port, method: 'POST', path: '/append', headers: { 'content-length': Buffer.byteLength(entry) } });
    const answerTimer = setTimeout(() => call.destroy(new Error(`no answer in ${ANSWER_TIMEOUT_MS} ms`)), ANSWER_TIMEOUT_MS);
    let connectTimer: NodeJS.Timeout | undefined;
    const settle = (action: () => void): void => {
      clearTimeout(answerTimer);
      clearTimeout(connectTimer);
      action();
    };
    call.once('socket', (socket) => {
      if (!socket.connecting) return;
      connectTimer = setTimeout(() => call.destroy(new Error(`no connection in ${CONNECT_TIMEOUT_MS} ms`)), CONNECT_TIMEOUT_MS);
      socket.once('connect', () => clearTimeout(connectTimer));
    });
    call.on('error', (error) => settle(() => reject(error)));
    call.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.once('error', (error) => settle(() => reject(error)));
      response.once('end', () =>
        settle(() => {
          if (response.statusCode === 200) resolve(JSON.parse(body) as { sequence: number; node: string });
          else reject(new Error(`status ${response.statusCode}: ${body.slice(0, 200)}`));
        }),
      );
    });
    call.end(entry);
  });
}

const newAgent = (): Agent => new Agent({ keepAlive: true, maxSockets: 1 });

async function work(worker: number): Promise<void> {
  let agent = newAgent();
  for (let counter = 1; !ended; counter += 1) {
    while (paused && !ended) await delay(BACKOFF_MS);
    const entry = `${run}:${worker}:${counter}`;
    const sentMs = monotonicMs();
    writing += 1;
    try {
      const { sequence, node } = await append(agent, entry);
      fresh.push({ entry, place: sequence, node, sentMs, atMs: monotonicMs() });
      problem = undefined;
      await delay(REST_MS);
    } catch (error) {
      unknown += 1;
      problem = messageOf(error);
      agent.destroy();
      agent = newAgent();
      await delay(BACKOFF_MS);
    } finally {
      writing -= 1;
    }
  }
  agent.destroy();
}

function report(): void {
  const line: WriterReport = {
    run,
    acknowledged: fresh,
    unknown,
    writing: writing > 0 || !paused,
    ...(problem === undefined ? {} : { problem }),
  };
  fresh = [];
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const timer = setInterval(report, REPORT_MS);
const workers = Array.from({ length: WORKERS }, (_, worker) => work(worker));
const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  paused = line === 'pause';
});
input.once('close', () => {
  ended = true;
});
await Promise.all(workers);
clearInterval(timer);
report();
