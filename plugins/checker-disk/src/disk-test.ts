/**
 * Asks the file system in a thread of its own, because a disk or a mount that hangs keeps whoever asks: the agent's own threads must never
 * wait for it. No answer in time is down; the thread that hangs is asked nothing more until it has come back.
 */
import { Worker } from 'node:worker_threads';
import { type CheckResult, messageOf, pause } from '@holdfast/sdk';
import type { Demands } from './configuration.js';
import { DiskJudge } from './judgement.js';
import type { ProbeAnswer, ProbeRequest } from './probe.js';

/** A thread that hangs in the kernel cannot be ended; it ends when the kernel lets it go. */
const END_WITHIN_MS = 500;

export class DiskTest {
  private worker: Worker | undefined;
  private waiting: ((answer: ProbeAnswer) => void) | undefined;
  private askedAtMs = 0;
  private readonly judge: DiskJudge;

  /** @param peerFsyncMs what an fsync takes on the other node at present. Undefined: not known */
  constructor(
    private readonly demands: Demands,
    private readonly peerFsyncMs: () => number | undefined = () => undefined,
  ) {
    this.judge = new DiskJudge(demands);
  }

  async run(signal: AbortSignal): Promise<CheckResult | undefined> {
    const { path, timeoutMs } = this.demands;
    if (this.waiting !== undefined) {
      return { verdict: 'down', detail: `${path} does not answer for ${((performance.now() - this.askedAtMs) / 1000).toFixed(1)} s` };
    }
    const answer = await this.ask(signal);
    if (signal.aborted) return undefined;
    if (answer === undefined) return { verdict: 'down', detail: `${path} does not answer within ${timeoutMs} ms` };
    if ('code' in answer) return judgeFailure(path, answer);
    return this.judge.judge(answer, performance.now(), this.peerFsyncMs());
  }

  async close(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    this.waiting = undefined;
    this.judge.rest();
    if (worker === undefined) return;
    const limit = new AbortController();
    await Promise.race([worker.terminate(), pause(END_WITHIN_MS, limit.signal)]);
    limit.abort();
  }

  /** @returns undefined when there was no answer in time */
  private async ask(signal: AbortSignal): Promise<ProbeAnswer | undefined> {
    const limit = new AbortController();
    const stop = (): void => limit.abort();
    signal.addEventListener('abort', stop);
    const { fsyncMsMax, slowerMax, slowerThanPeerMax } = this.demands;
    const request: ProbeRequest = {
      path: this.demands.path,
      writes: [fsyncMsMax, slowerMax, slowerThanPeerMax].some((demand) => demand !== undefined),
    };
    try {
      const answered = new Promise<ProbeAnswer>((resolve) => {
        this.waiting = (answer) => {
          this.waiting = undefined;
          resolve(answer);
        };
        this.askedAtMs = performance.now();
        this.worker ??= this.startWorker();
        this.worker.postMessage(request);
      });
      return await Promise.race([answered, pause(this.demands.timeoutMs, limit.signal).then(() => undefined)]);
    } finally {
      stop();
      signal.removeEventListener('abort', stop);
    }
  }

  private startWorker(): Worker {
    const worker = new Worker(new URL('./probe.js', import.meta.url), { name: 'holdfast-disk' });
    worker.on('message', (answer: ProbeAnswer) => {
      if (this.worker === worker) this.waiting?.(answer);
    });
    worker.on('error', (error) => {
      if (this.worker !== worker) return;
      this.worker = undefined;
      this.waiting?.({ code: 'EWORKER', message: messageOf(error) });
    });
    worker.unref();
    return worker;
  }
}

/** Failures of this node, not of the disk. */
const UNKNOWN_CODES: readonly string[] = ['EWORKER', 'EMFILE', 'ENFILE', 'ENOMEM', 'EACCES', 'EPERM'];

function judgeFailure(path: string, { code, message }: Extract<ProbeAnswer, { code: string }>): CheckResult {
  return { verdict: UNKNOWN_CODES.includes(code) ? 'unknown' : 'down', detail: `${path}: ${message.replaceAll(/\s+/g, ' ')}` };
}
