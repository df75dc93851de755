/**
 * One command in a machine of the lab, while it runs. The host's child only waits outside for the real process inside (see
 * enter.ts): signals go to its child, and the exit status that it hands on is the real one.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { HoldfastError } from '@holdfast/sdk';
import { childrenOf, sendSignal } from './host-process.js';

export interface OutputLine {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

export interface CommandExit {
  /** null when a signal ended the process, for example SIGKILL by a power cut. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Older lines are dropped; a log file given to the lab keeps them all. */
const LINES_MAX = 20_000;
/** A daemon left behind by the command may hold its output open: the output ends this long after the command at the latest. */
const OUTPUT_AFTER_EXIT_MS = 200;

export class RunningCommand {
  /** The latest lines of both streams, oldest first. */
  readonly lines: OutputLine[] = [];
  /** Settles when the process has ended and its output is read. Never rejects. */
  readonly finished: Promise<CommandExit>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #title: string;
  readonly #listeners = new Set<(line: OutputLine) => void>();
  #exit: CommandExit | undefined;

  constructor(title: string, argv: readonly string[], environment: NodeJS.ProcessEnv, logFile?: string) {
    const [file = '', ...args] = argv;
    this.#title = title;
    // Its own session: Ctrl-C on the terminal ends the lab through its owner, in order, and not every process at once.
    this.#child = spawn(file, args, { env: environment, detached: true });
    const log = logFile === undefined ? undefined : createWriteStream(logFile, { flags: 'a' });
    this.#read('stdout', log);
    this.#read('stderr', log);
    // Writing to a process that has just been killed is no event of interest here; its end is.
    this.#child.stdin.on('error', () => undefined);
    this.finished = this.#end(log);
  }

  /** True until the process has ended. */
  get running(): boolean {
    return this.#exit === undefined;
  }

  /** Number of the process on the host, undefined while it starts and after its end. */
  get hostPid(): number | undefined {
    return this.#child.pid === undefined ? undefined : childrenOf(this.#child.pid)[0];
  }

  /** Calls the listener for every further line. Returns the function that ends that. */
  onLine(listener: (line: OutputLine) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The first line that matches, among those printed already and those to come.
   * @throws HF_LAB_TIMEOUT, or HF_LAB_COMMAND_ENDED when the process ends first
   */
  async waitForLine(pattern: RegExp, timeoutMs: number): Promise<string> {
    const earlier = this.lines.find((line) => pattern.test(line.text));
    if (earlier !== undefined) return earlier.text;
    return new Promise((resolve, reject) => {
      const settle = (action: () => void): void => {
        clearTimeout(timer);
        stopListening();
        action();
      };
      const stopListening = this.onLine((line) => {
        if (pattern.test(line.text)) settle(() => resolve(line.text));
      });
      const fail = (code: string, problem: string): void =>
        settle(() => reject(new HoldfastError(code, `${this.#title}: ${problem} ${String(pattern)}; last output: ${this.lastOutput()}`)));
      const timer = setTimeout(() => fail('HF_LAB_TIMEOUT', `waited ${timeoutMs} ms for a line matching`), timeoutMs);
      void this.finished.then((exit) => fail('HF_LAB_COMMAND_ENDED', `ended (${describeExit(exit)}) before a line matching`));
    });
  }

  /** Sends text to the process' standard input. */
  write(text: string): void {
    this.#child.stdin.write(text);
  }

  endInput(): void {
    this.#child.stdin.end();
  }

  /** Sends a signal to the process itself, not to its children. Does nothing when it has ended. */
  signal(signal: NodeJS.Signals): void {
    const waiter = this.#child.pid;
    if (waiter === undefined || !this.running) return;
    for (const pid of childrenOf(waiter)) sendSignal(pid, signal);
  }

  /** SIGTERM, then SIGKILL after `timeoutMs`. */
  async stop(timeoutMs = 5000): Promise<CommandExit> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.kill(), timeoutMs);
    const exit = await this.finished;
    clearTimeout(timer);
    return exit;
  }

  /** SIGKILL, also to the waiter outside, so that `finished` settles even if the process is stuck in the kernel. */
  kill(): void {
    this.signal('SIGKILL');
    this.#child.kill('SIGKILL');
  }

  /** The last lines in one string, for messages. */
  lastOutput(count = 5): string {
    return (
      this.lines
        .slice(-count)
        .map((line) => line.text)
        .join(' | ') || '(none)'
    );
  }

  #read(stream: OutputLine['stream'], log: WriteStream | undefined): void {
    createInterface({ input: this.#child[stream] }).on('line', (text) => {
      const line = { stream, text };
      this.lines.push(line);
      if (this.lines.length > LINES_MAX) this.lines.splice(0, LINES_MAX / 10);
      log?.write(`${text}\n`);
      for (const listener of this.#listeners) listener(line);
    });
  }

  async #end(log: WriteStream | undefined): Promise<CommandExit> {
    const child = this.#child;
    const exit = await new Promise<CommandExit>((resolve) => {
      child.once('error', (error) => {
        this.lines.push({ stream: 'stderr', text: error.message });
        resolve({ code: 127, signal: null });
      });
      child.once('close', (code, signal) => resolve({ code, signal }));
      child.once('exit', (code, signal) => {
        setTimeout(() => resolve({ code, signal }), OUTPUT_AFTER_EXIT_MS);
      });
    });
    child.stdout.destroy();
    child.stderr.destroy();
    child.stdin.destroy();
    log?.end();
    this.#exit = exit;
    return exit;
  }
}

/** "exit code 1" or "SIGKILL". */
export function describeExit(exit: CommandExit): string {
  return exit.signal ?? `exit code ${exit.code ?? 'unknown'}`;
}
