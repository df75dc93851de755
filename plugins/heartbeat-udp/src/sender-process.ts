/**
 * The sending process as the agent sees it: forked, listened to, watched, ended. It is gone for good when it exits, or when it gives no
 * sign of life while the agent itself is running well: a stopped or starved sender would otherwise look like a dead peer, on both nodes.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Log } from '@holdfast/sdk';
import { type FromProcess, monotonicMs, REPORT_INTERVAL_MS, type ToProcess } from './channel.js';
import { processGone, processMute, processStalled } from './errors.js';
import { Pulse } from './pulse.js';

const READY_MS = 5000;
const EXIT_MS = 1000;
/** Reports missed in a row, each while the agent's own timers ran on time. */
const REPORTS_MISSED_MAX = 10;
const LAST_WORDS_CHARS = 2000;

export interface ProcessEvents {
  onMessage(message: FromProcess): void;
  /** Once. Not called when the end was asked for. */
  onGone(error: Error): void;
}

export class SenderProcess {
  readonly #child: ChildProcess;
  readonly #log: Log;
  readonly #events: ProcessEvents;
  readonly #watch: Pulse;
  readonly #exited: Promise<void>;
  #lastWords = '';
  /** Undefined until the process is ready: starting may take long on a busy machine. */
  #missed: number | undefined;
  #watchedMs = monotonicMs();
  #over = false;

  constructor(log: Log, events: ProcessEvents) {
    this.#log = log;
    this.#events = events;
    const { NODE_OPTIONS: _, ...env } = process.env; // the agent's debugger or profiler is not meant for this process
    this.#child = fork(fileURLToPath(new URL('./process/main.js', import.meta.url)), [String(process.pid)], {
      env,
      // Garbage collection must not wait for helper threads, which do not have the real-time priority of the main thread.
      execArgv: ['--enable-source-maps', '--single-threaded-gc'],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.on('message', (message: FromProcess) => this.#receive(message));
    this.#exited = this.#untilExit();
    this.#watch = new Pulse(REPORT_INTERVAL_MS, () => this.#look());
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** `done` is called when the message has left the agent, or never will. */
  send(message: ToProcess, done: () => void = () => undefined): void {
    if (this.#over) done();
    else this.#child.send(message, done);
  }

  /** Waits for an answer; a process that does not give it is killed, because nobody knows what it still sends. */
  async expect<Answer>(task: string, answer: Promise<Answer>, waitMs = READY_MS): Promise<Answer> {
    const timer = setTimeout(() => this.#kill(processMute(task, waitMs)), waitMs);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Idempotent. */
  async end(): Promise<void> {
    this.#over = true;
    this.#watch.stop();
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  #receive(message: FromProcess): void {
    if (this.#over) return;
    this.#missed = 0;
    if (message.kind === 'ready') this.#log.info('heartbeat process started', { pid: this.#child.pid, ...message.privileges });
    this.#events.onMessage(message);
  }

  #look(): void {
    const now = monotonicMs();
    const ownGapMs = now - this.#watchedMs;
    this.#watchedMs = now;
    // After a stall of the agent itself the reports are waiting to be read: that says nothing about the process.
    if (ownGapMs > 2 * REPORT_INTERVAL_MS) return;
    if (this.#missed === undefined) return;
    this.#missed += 1;
    if (this.#missed >= REPORTS_MISSED_MAX) this.#kill(processStalled(this.#missed * REPORT_INTERVAL_MS));
  }

  /** Exit, and the end of what it had to say. Not the event 'close': that one stays away after `disconnect` with unread messages. */
  async #untilExit(): Promise<void> {
    const exit = new Promise<string>((resolve) => {
      this.#child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
      this.#child.on('error', (error) => {
        if (this.#child.pid === undefined) resolve(`not started: ${error.message}`);
      });
    });
    const words = this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARS);
    });
    const silence = new Promise((resolve) => words?.once('close', resolve));
    const how = await exit;
    await silence;
    this.#end(processGone(how, this.#lastWords.trim()));
  }

  #kill(error: Error): void {
    this.#child.kill('SIGKILL');
    this.#end(error);
  }

  #end(error: Error): void {
    this.#watch.stop();
    if (this.#over) return;
    this.#over = true;
    this.#events.onGone(error);
  }
}
