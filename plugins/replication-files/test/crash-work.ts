/** The application in a node that is about to crash, and what it was answered. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Sequence } from './crash-operations.js';
import { until, type LabNode } from './lab.js';

const PROGRAM = fileURLToPath(new URL('./crash-process.js', import.meta.url));
const END_MS = 5000;

export class CrashWork {
  /** The application has ended, and everything that it said was read. */
  readonly finished: Promise<void>;
  returned = 0;
  /** It has performed every operation. */
  isDone = false;
  readonly #process: ChildProcess;
  readonly #outcomes = new Map<number, string[]>();
  #isReady = false;
  #hasEnded = false;

  private constructor(
    node: LabNode,
    readonly directory: string,
    readonly sequences: readonly Sequence[],
    concurrency: number,
  ) {
    const argv = [join(node.directory, directory), String(concurrency), JSON.stringify(sequences)];
    this.#process = spawn('nsenter', ['-t', String(node.agentPid), '-m', process.execPath, PROGRAM, ...argv], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, UV_THREADPOOL_SIZE: String(Math.max(4, concurrency)) },
    });
    const { stdin, stdout } = this.#process;
    stdin?.on('error', () => undefined);
    const lines = createInterface({ input: stdout as NodeJS.ReadableStream });
    lines.on('line', (line) => this.#heard(line));
    this.finished = new Promise((resolve) => {
      this.#process.once('close', () => {
        this.#hasEnded = true;
        resolve();
      });
    });
  }

  /** Resolves when everything is prepared. */
  static async start(node: LabNode, directory: string, sequences: readonly Sequence[], concurrency: number): Promise<CrashWork> {
    const work = new CrashWork(node, directory, sequences, concurrency);
    await until(
      () => work.#isReady || work.#hasEnded,
      () => 'the application to be ready',
    );
    if (!work.#isReady) throw new Error('the application ended while it prepared its directories');
    return work;
  }

  begin(): void {
    this.#process.stdin?.end('go\n');
  }

  /** What the operations of a sequence were answered, as far as they were. */
  outcomes(sequence: number): readonly string[] {
    return this.#outcomes.get(sequence) ?? [];
  }

  /** Waits a moment for its end, then sees to it. */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), END_MS);
    await this.finished;
    clearTimeout(timer);
  }

  #heard(line: string): void {
    if (line === 'ready') this.#isReady = true;
    else if (line === 'done') this.isDone = true;
    else {
      const [sequence = '', , outcome = ''] = line.split(' ');
      const known = this.#outcomes.get(Number(sequence)) ?? [];
      known.push(outcome);
      this.#outcomes.set(Number(sequence), known);
      this.returned += 1;
    }
  }
}
