/**
 * The agent's side of a holder: starts it with one end of a pair of sockets and keeps the other for the replicators, one after the other.
 * When both the agent and the replicator have closed theirs the holder ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Log } from '@holdfast/sdk';
import { close, setsockopt } from './system/calls.js';
import { SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET } from './system/constants.js';
import { errnoName } from './system/errno.js';
import { socketPair } from './system/passing.js';

/** A holder that does not take or answer for so long is not there: `struct timeval`. */
const TIMEOUT_SECONDS = 5n;
/** It holds descriptors, and needs no memory. */
const NODE_OPTIONS = ['--max-old-space-size=32', '--max-semi-space-size=1'];

export class HolderProcess {
  readonly #process: ChildProcess;
  #socketFd: number;

  private constructor(process: ChildProcess, socketFd: number, log: Log) {
    this.#process = process;
    this.#socketFd = socketFd;
    const ended = (how: string): void => {
      if (this.#socketFd < 0) return;
      log.warn(`the holder has ended (${how}): a replicator that ends cannot be replaced until the module is started again`);
      this.close();
    };
    process.on('error', (error) => {
      ended(error.message);
    });
    process.on('exit', (code, signal) => {
      ended(signal ?? `code ${code ?? '?'}`);
    });
    process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log.error(`holder: ${text.trimEnd()}`);
    });
  }

  /** @returns undefined, with a line in the log, when there can be none */
  static start(log: Log): HolderProcess | undefined {
    const pair = socketPair();
    if (typeof pair === 'number') {
      log.warn(`no holder: socketpair: ${errnoName(pair)}; a replicator that ends cannot be replaced`);
      return undefined;
    }
    const [ours, theirs] = pair;
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(TIMEOUT_SECONDS, 0);
    for (const option of [SO_SNDTIMEO, SO_RCVTIMEO]) setsockopt(ours, SOL_SOCKET, option, timeout);
    const script = new URL('./process/holder.js', import.meta.url).pathname;
    const stdio = ['ignore', 'ignore', 'pipe', 'ignore', theirs] as const;
    const process = spawn(globalThis.process.execPath, [...NODE_OPTIONS, script], { stdio: [...stdio] });
    close(theirs);
    return new HolderProcess(process, ours, log);
  }

  get isAlive(): boolean {
    return this.#socketFd >= 0;
  }

  /** For the descriptor HOLDER_SOCKET_FD of a replicator; stays this process's. -1: the holder has ended. */
  get socketFd(): number {
    return this.#socketFd;
  }

  /** With it goes what it kept: mounts that nobody serves answer "not connected". Idempotent. */
  close(): void {
    if (this.#socketFd < 0) return;
    close(this.#socketFd);
    this.#socketFd = -1;
    this.#process.kill('SIGKILL');
  }
}
