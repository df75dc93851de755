/**
 * One replica, seen from the agent: a holder and a replicator process, the commands to it and its last status. A replicator that ends
 * while it served is replaced: its successor gets the descriptors from the holder and goes on, applications wait for that moment, and the
 * core sees a link that resynchronises. Commands that come meanwhile wait too.
 *
 * It is not replaced, and the status says so, when it was about to change its role or to stop, when its holder is gone, when the successor
 * finds things otherwise than they should be, and when it ends again and again.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  type ElementValue,
  HoldfastError,
  messageOf,
  type Log,
  type Replica,
  type ReplicationStatus,
  type ResyncMode,
  type Term,
  type VerifyOptions,
} from '@holdfast/sdk';
import { readLimits } from './configuration.js';
import { ConflictArchive } from './conflicts/archive.js';
import {
  errorOf,
  EXIT_FINAL,
  type ControlCommand,
  type ControlReport,
  type ControlRequest,
  type ReplicatorOptions,
  type ResumePoint,
} from './control.js';
import { HolderProcess } from './holder-process.js';
import { sharedClockMs } from './system/attention.js';

const CLOSE_TIMEOUT_MS = 20_000;
const PING_INTERVAL_MS = 1000;
/** A replicator that left so many pings in a row unanswered is killed. Counted in pings: an agent that slept has sent none. */
const PINGS_UNANSWERED_MAX = 5;

/** How often a replicator hears of its agent within the time after which it stops to acknowledge. */
const TICKS_PER_SILENCE = 10;

/** A replicator that ends so often within the time is not replaced any more. */
export interface ReplacementLimits {
  readonly deathsMax: number;
  readonly withinMs: number;
}

interface Waiting {
  readonly command: ControlCommand;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Commands that a successor can be given again. */
const REPEATABLE: readonly ControlCommand['kind'][] = [
  'connect-peer',
  'disconnect-peer',
  'continue-alone',
  'verify',
  'cancel-verify',
  'limit',
];

export class ProcessReplica implements Replica {
  readonly #log: Log;
  readonly #limits: ReplacementLimits;
  #options: ReplicatorOptions;
  readonly conflicts: ConflictArchive;
  readonly #holder: HolderProcess | undefined;
  /** Sent, or to be sent as soon as a successor serves, in order. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners: ((status: ReplicationStatus) => void)[] = [];
  #process: ChildProcess;
  #stage: 'serving' | 'replacing' | 'ended' = 'serving';
  #status: ReplicationStatus = { role: 'stopped', link: 'none', inconsistent: false };
  /** What a successor would go on with; undefined: nothing, it has no role, or gives it up. */
  #point: ResumePoint | undefined;
  #nextId = 1;
  #isClosing = false;
  #deathsMs: number[] = [];
  /** The next end is wanted and does not count. */
  #isPlanned = false;
  #pingsUnanswered = 0;
  #statusOfSuccessor: ReplicationStatus | undefined;
  #tickedMs = -Infinity;
  readonly #pinging: NodeJS.Timeout;
  #hasEnded: () => void = () => undefined;
  readonly #ended = new Promise<void>((resolve) => (this.#hasEnded = resolve));

  constructor(log: Log, limits: ReplacementLimits, options: ReplicatorOptions) {
    this.#log = log;
    this.#limits = limits;
    this.#options = options;
    const directories = options.directories.map(({ path }) => path);
    this.conflicts = new ConflictArchive(options.stateDirectory, directories, () => {
      this.#tell();
    });
    this.#holder = HolderProcess.start(log);
    this.#process = this.#start();
    this.#pinging = setInterval(() => {
      this.#ping();
    }, PING_INTERVAL_MS).unref();
  }

  /** The first command. @throws HoldfastError */
  open(): Promise<void> {
    return this.#run({ kind: 'open', options: this.#options, hasHolder: this.#holder?.isAlive === true });
  }

  status(): ReplicationStatus {
    const { events } = this.conflicts;
    return events.length === 0 ? this.#status : { ...this.#status, conflicts: events };
  }

  onStatus(listener: (status: ReplicationStatus) => void): void {
    this.#listeners.push(listener);
  }

  async becomePrimary(term: Term, options: Parameters<Replica['becomePrimary']>[1]): Promise<void> {
    await this.#changeRole(
      { kind: 'become-primary', term, ...options, image: options.image === true },
      { role: 'primary', term, wanted: undefined, mayLack: false },
    );
  }

  async becomeSecondary(term: Term, options: { readonly givenUp?: string } = {}): Promise<void> {
    await this.#changeRole({ kind: 'become-secondary', term, ...options }, { role: 'secondary', term, wanted: undefined, mayLack: false });
  }

  connectPeer(term: Term, mode: ResyncMode, reason?: string): void {
    const wanted = { term, mode, ...(reason === undefined ? {} : { reason }) };
    this.#want(wanted);
    this.#runLater({ kind: 'connect-peer', ...wanted });
  }

  disconnectPeer(): void {
    this.#want(undefined);
    this.#runLater({ kind: 'disconnect-peer' });
  }

  async continueAlone(term: Term, options: { base: string }): Promise<void> {
    await this.#run({ kind: 'continue-alone', term, ...options });
    if (this.#point !== undefined) this.#point = { ...this.#point, term };
  }

  refuse(): void {
    this.#point = undefined;
    this.#runLater({ kind: 'refuse' });
  }

  tick(): void {
    const { agentSilenceMaxMs } = this.#options;
    const atMs = sharedClockMs();
    if (agentSilenceMaxMs === undefined || atMs - this.#tickedMs < agentSilenceMaxMs / TICKS_PER_SILENCE) return;
    this.#tickedMs = atMs;
    this.#send({ kind: 'tick', id: 0, atMs });
  }

  async verify(options: VerifyOptions): Promise<string> {
    const verifyId = randomUUID();
    await this.#run({ kind: 'verify', verifyId, options });
    return verifyId;
  }

  cancelVerify(): Promise<void> {
    return this.#run({ kind: 'cancel-verify' });
  }

  /** Of the configuration, only what `reconfigurable` names is read. A successor begins with it too. */
  async reconfigure(configuration: ElementValue): Promise<void> {
    const limits = readLimits(configuration);
    this.#options = { ...this.#options, ...limits };
    await this.#run({ kind: 'limit', limits });
  }

  async stop(options: { force: boolean }): Promise<void> {
    // A process that has ended holds nothing; what it left mounted is removed by the next `open`.
    if (this.#stage !== 'ended') await this.#changeRole({ kind: 'stop', force: options.force }, undefined);
  }

  async close(): Promise<void> {
    clearInterval(this.#pinging);
    if (this.#stage === 'ended') {
      this.#holder?.close();
      return;
    }
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#point = undefined;
      void this.#run({ kind: 'close' }).catch((error: unknown) => {
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

  /** A process that ends in between leaves nothing that a successor could go on with. @param next after success */
  async #changeRole(command: ControlCommand, next: ResumePoint | undefined): Promise<void> {
    const before = this.#point;
    this.#point = this.#stage === 'replacing' ? before : undefined;
    try {
      await this.#run(command);
      this.#point = next;
    } catch (error) {
      // Refused: it is served as before.
      this.#point = this.#status.role === before?.role ? before : undefined;
      throw error;
    }
  }

  #want(wanted: ResumePoint['wanted']): void {
    if (this.#point !== undefined) this.#point = { ...this.#point, wanted };
  }

  /** @throws HoldfastError what the process answered, or HF_REPLICATION_PROCESS when it has ended */
  #run(command: ControlCommand): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#stage === 'ended') {
        reject(endedError('is not running'));
        return;
      }
      const id = this.#nextId;
      this.#nextId += 1;
      this.#waiting.set(id, { command, resolve, reject });
      if (this.#stage === 'serving') this.#send({ ...command, id });
    });
  }

  #runLater(command: ControlCommand): void {
    this.#run(command).catch((error: unknown) => {
      this.#log.warn(`${command.kind}: ${messageOf(error)}`);
    });
  }

  #send(request: ControlRequest): void {
    if (this.#process.connected) this.#process.send(request);
  }

  #start(): ChildProcess {
    const fd = this.#holder?.socketFd ?? -1;
    const started = fork(new URL('./process/main.js', import.meta.url), [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc', ...(fd >= 0 ? [fd] : [])],
      // A descriptor or debugger port of the agent is none of its business.
      execArgv: [],
    });
    started.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log.error(`replicator: ${text.trimEnd()}`);
    });
    started.on('message', (report: ControlReport) => {
      this.#onReport(report);
    });
    // Its last words are read before its end counts.
    let left = 2;
    let code: number | null = null;
    let how = '';
    const step = (): void => {
      left -= 1;
      if (left === 0) this.#onExit(code, how);
    };
    started.once('exit', (exitCode, signal) => {
      code = exitCode;
      how = signal ?? `code ${exitCode ?? '?'}`;
      step();
    });
    started.once('disconnect', step);
    started.on('error', (error) => {
      if (started.pid !== undefined) return;
      left = 1;
      how = error.message;
      step();
    });
    this.#pingsUnanswered = 0;
    return started;
  }

  #ping(): void {
    // A change of role may take its time.
    if (this.#stage !== 'serving' || this.#status.role === 'stopped' || !this.#isRepeatable) return;
    if (this.#pingsUnanswered >= PINGS_UNANSWERED_MAX) {
      this.#log.error(`the replicator has not answered for ${(PINGS_UNANSWERED_MAX * PING_INTERVAL_MS) / 1000} s and is killed`);
      this.#process.kill('SIGKILL');
      return;
    }
    this.#pingsUnanswered += 1;
    this.#send({ kind: 'ping', id: 0 });
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
      case 'pong':
        this.#pingsUnanswered = 0;
        return;
      case 'replace':
        this.#log.info('the replicator is to be replaced');
        this.#isPlanned = true;
        this.#process.kill('SIGKILL');
        return;
      case 'status':
        // Until a successor serves, it is what its predecessor was.
        if (this.#stage === 'serving') this.#setStatus(report.status);
        else this.#statusOfSuccessor = report.status;
        return;
      case 'log':
        this.#log[report.level](report.message);
        return;
    }
  }

  #setStatus(status: ReplicationStatus): void {
    this.#status = status;
    // Who held asks the core first; a new link is wanted by a new connectPeer.
    if (status.link === 'holding') this.#want(undefined);
    if (status.role !== 'primary') this.conflicts.look();
    this.#tell();
  }

  #tell(): void {
    const status = this.status();
    for (const listener of this.#listeners) listener(status);
  }

  #onExit(code: number | null, how: string): void {
    // A successor that did not get as far as serving.
    for (const [id, { command, reject }] of this.#waiting) {
      if (command.kind !== 'open' || command.resume === undefined) continue;
      this.#waiting.delete(id);
      reject(endedError(`has ended (${how})`));
    }
    const point = this.#pointAfter(code);
    if (point === undefined) {
      this.#end(how);
      return;
    }
    this.#log.warn(`the replicator has ended (${how}) and is replaced`);
    this.#stage = 'replacing';
    const { link } = this.#status;
    if (point.role === 'secondary') {
      this.#point = { ...point, mayLack: point.mayLack || link === 'connected' };
      this.#setStatus({ ...this.#status, link: 'none' });
    } else if (link === 'connected') this.#setStatus({ ...this.#status, link: 'resynchronising' });
    const verifyId = this.#status.verification?.progress?.id;
    const { verifyId: _earlier, ...resume } = this.#point ?? point;
    void this.#replace({ ...resume, ...(verifyId === undefined ? {} : { verifyId }) });
  }

  /** Nothing is asked that a successor could not be asked again. */
  get #isRepeatable(): boolean {
    return [...this.#waiting.values()].every(({ command }) => REPEATABLE.includes(command.kind));
  }

  /** @returns undefined: the end is final */
  #pointAfter(code: number | null): ResumePoint | undefined {
    const isPossible = this.#holder?.isAlive === true && code !== EXIT_FINAL && !this.#isClosing;
    if (!isPossible || !this.#isRepeatable || this.#point === undefined) return undefined;
    if (!this.#isPlanned) {
      const now = performance.now();
      this.#deathsMs = [...this.#deathsMs.filter((deathMs) => now - deathMs < this.#limits.withinMs), now];
      if (this.#deathsMs.length >= this.#limits.deathsMax) {
        this.#log.error(`the replicator has ended ${this.#deathsMs.length} times within ${this.#limits.withinMs / 1000} s: not replaced`);
        return undefined;
      }
    }
    this.#isPlanned = false;
    return this.#point;
  }

  async #replace(resume: ResumePoint): Promise<void> {
    const startMs = performance.now();
    this.#statusOfSuccessor = undefined;
    this.#process = this.#start();
    const process = this.#process;
    const id = this.#nextId;
    this.#nextId += 1;
    const command: ControlCommand = { kind: 'open', options: this.#options, hasHolder: true, resume };
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.set(id, { command, resolve, reject });
        process.send({ ...command, id } satisfies ControlRequest);
      });
    } catch (error) {
      if (process.exitCode === null && process.signalCode === null) {
        // It is alive, but it cannot go on.
        this.#log.error(messageOf(error));
        this.#point = undefined;
        process.kill('SIGKILL');
      }
      return;
    }
    this.#stage = 'serving';
    this.#log.info(`a new replicator serves after ${Math.round(performance.now() - startMs)} ms`);
    for (const [waitingId, { command: next }] of this.#waiting) this.#send({ ...next, id: waitingId });
    if (this.#statusOfSuccessor !== undefined) this.#setStatus(this.#statusOfSuccessor);
  }

  #end(how: string): void {
    if (this.#stage === 'ended') return;
    this.#stage = 'ended';
    clearInterval(this.#pinging);
    // Nobody will serve its mounts: whoever waits gets an error.
    this.#holder?.close();
    const error = endedError(`has ended (${how})`);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#hasEnded();
    if (this.#isClosing) return;
    const { code, message } = error;
    this.#setStatus({
      role: 'stopped',
      link: 'none',
      inconsistent: this.#status.inconsistent,
      failure: { code, message: message.slice(code.length + 2) },
    });
  }
}

function endedError(what: string): HoldfastError {
  return new HoldfastError('HF_REPLICATION_PROCESS', `the replicator process ${what}`);
}
