/** The agent's side of replication: starts one replicator process per module, sends it commands and keeps its last status. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  HoldfastError,
  messageOf,
  type ElementValue,
  type Log,
  type Replica,
  type ReplicationBackend,
  type ReplicationOptions,
  type ReplicationStatus,
  type ResyncMode,
  type Term,
  type VerifyOptions,
} from '@holdfast/sdk';
import { readDirectories } from './configuration.js';
import { errorOf, type ControlCommand, type ControlReport, type ControlRequest } from './control.js';

const LOCK_TIMEOUT_DEFAULT_SECONDS = 10;
const CLOSE_TIMEOUT_MS = 20_000;

export class FilesBackend implements ReplicationBackend {
  directories(configuration: ElementValue): readonly string[] {
    return readDirectories(configuration).map(({ path }) => path);
  }

  async open(options: ReplicationOptions): Promise<Replica> {
    const replica = new ProcessReplica(options.log);
    try {
      const { module, localNode, peerNode, local, peer, stateDirectory, configuration } = options;
      await replica.run({
        kind: 'open',
        options: {
          module,
          localNode,
          peerNode,
          local,
          peer,
          stateDirectory,
          key: Buffer.from(options.key).toString('base64'),
          directories: readDirectories(configuration),
          async: configuration['async'] === 'none' ? 'none' : 'second',
          resyncBytesPerSecondMax: bandwidthOf(configuration['reiallowedbw']),
          verifyBytesPerSecondMax: bandwidthOf(configuration['verifyallowedbw']),
          verifyEveryMs: everyMs(configuration['verifyevery']),
          lockTimeoutSeconds: Number(configuration['locktimeout'] ?? LOCK_TIMEOUT_DEFAULT_SECONDS),
        },
      });
    } catch (error) {
      await replica.close();
      throw error;
    }
    return replica;
  }
}

/** KB/s to bytes per second. */
function bandwidthOf(value: ElementValue[string] | undefined): number | undefined {
  return value === undefined ? undefined : Number(value) * 1024;
}

/** Seconds; 0: never. */
function everyMs(value: ElementValue[string] | undefined): number | undefined {
  return value === undefined || value === 0 ? undefined : Number(value) * 1000;
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

class ProcessReplica implements Replica {
  readonly #process: ChildProcess;
  readonly #log: Log;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners: ((status: ReplicationStatus) => void)[] = [];
  readonly #ended: Promise<void>;
  #status: ReplicationStatus = { role: 'stopped', link: 'none', inconsistent: false };
  #nextId = 1;
  #isClosing = false;
  #hasEnded = false;

  constructor(log: Log) {
    this.#log = log;
    this.#process = fork(new URL('./process/main.js', import.meta.url), [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // A descriptor or debugger port of the agent is none of its business.
      execArgv: [],
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log.error(`replicator: ${text.trimEnd()}`);
    });
    this.#process.on('message', (report: ControlReport) => {
      this.#onReport(report);
    });
    this.#ended = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => {
        this.#onExit(signal ?? `code ${code ?? '?'}`);
        resolve();
      });
    });
    this.#process.on('error', (error) => {
      this.#onExit(error.message);
    });
  }

  status(): ReplicationStatus {
    return this.#status;
  }

  onStatus(listener: (status: ReplicationStatus) => void): void {
    this.#listeners.push(listener);
  }

  becomePrimary(term: Term, options: { base: string; fresh: boolean; force: boolean }): Promise<void> {
    return this.run({ kind: 'become-primary', term, ...options });
  }

  becomeSecondary(term: Term): Promise<void> {
    return this.run({ kind: 'become-secondary', term });
  }

  connectPeer(term: Term, mode: ResyncMode, reason?: string): void {
    this.#runLater({ kind: 'connect-peer', term, mode, ...(reason === undefined ? {} : { reason }) });
  }

  disconnectPeer(): void {
    this.#runLater({ kind: 'disconnect-peer' });
  }

  continueAlone(term: Term, options: { base: string }): Promise<void> {
    return this.run({ kind: 'continue-alone', term, ...options });
  }

  refuse(): void {
    this.#runLater({ kind: 'refuse' });
  }

  async verify(options: VerifyOptions): Promise<string> {
    const verifyId = randomUUID();
    await this.run({ kind: 'verify', verifyId, options });
    return verifyId;
  }

  cancelVerify(): Promise<void> {
    return this.run({ kind: 'cancel-verify' });
  }

  async stop(options: { force: boolean }): Promise<void> {
    // A process that has ended holds nothing; what it left mounted is removed by the next `open`.
    if (!this.#hasEnded) await this.run({ kind: 'stop', force: options.force });
  }

  async close(): Promise<void> {
    if (this.#hasEnded) return;
    if (!this.#isClosing) {
      this.#isClosing = true;
      void this.run({ kind: 'close' }).catch((error: unknown) => {
        this.#log.warn(`the replicator did not close well: ${messageOf(error)}`);
      });
    }
    const timer = setTimeout(() => {
      this.#log.error(`the replicator did not end within ${CLOSE_TIMEOUT_MS / 1000} s and is killed`);
      this.#process.kill('SIGKILL');
    }, CLOSE_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  /** @throws HoldfastError what the process answered, or HF_REPLICATION_PROCESS when it has ended */
  run(command: ControlCommand): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#hasEnded || !this.#process.connected) {
        reject(this.#endedError('is not running'));
        return;
      }
      const id = this.#nextId;
      this.#nextId += 1;
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ ...command, id } satisfies ControlRequest);
    });
  }

  #runLater(command: ControlCommand): void {
    this.run(command).catch((error: unknown) => {
      this.#log.warn(`${command.kind}: ${messageOf(error)}`);
    });
  }

  #onReport(report: ControlReport): void {
    switch (report.kind) {
      case 'outcome': {
        const waiting = this.#waiting.get(report.id);
        this.#waiting.delete(report.id);
        if (report.failure === undefined) waiting?.resolve();
        else waiting?.reject(errorOf(report.failure));
        return;
      }
      case 'status':
        this.#setStatus(report.status);
        return;
      case 'log':
        this.#log[report.level](report.message);
        return;
    }
  }

  #setStatus(status: ReplicationStatus): void {
    this.#status = status;
    for (const listener of this.#listeners) listener(status);
  }

  #onExit(how: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const error = this.#endedError(`has ended (${how})`);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    if (this.#isClosing) return;
    const { code, message } = error;
    this.#setStatus({
      role: 'stopped',
      link: 'none',
      inconsistent: this.#status.inconsistent,
      failure: { code, message: message.slice(code.length + 2) },
    });
  }

  #endedError(what: string): HoldfastError {
    return new HoldfastError('HF_REPLICATION_PROCESS', `the replicator process ${what}`);
  }
}
