/** The main thread's handle of the data thread: commands with outcomes, reports, and its unexpected end. */
import { Worker } from 'node:worker_threads';
import { HoldfastError } from '@holdfast/sdk';
import { errorOf } from '../control.js';
import type { DataCommand, DataReport, DataRequest, DataSettings } from '../data/messages.js';
import * as sys from '../system/calls.js';
import { EFD_CLOEXEC, EFD_NONBLOCK } from '../system/constants.js';
import { errnoName } from '../system/errno.js';

export type UnsolicitedReport = Exclude<DataReport, { kind: 'outcome' }>;

/** What lives for one request fits into that; more would only be memory that is never given back. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 12 };

export class DataThread {
  readonly #worker: Worker;
  readonly #wakeFd: number;
  readonly #one = Buffer.alloc(8);
  readonly #waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  #nextId = 1;

  /** @param onEnd the thread failed: nothing is served any more, the process must end */
  constructor(settings: Omit<DataSettings, 'wakeFd'>, onReport: (report: UnsolicitedReport) => void, onEnd: (error: Error) => void) {
    this.#one.writeBigUInt64LE(1n);
    this.#wakeFd = sys.eventfd(EFD_NONBLOCK | EFD_CLOEXEC);
    if (this.#wakeFd < 0) throw new HoldfastError('HF_REPLICATION_SYSTEM', `eventfd: ${errnoName(this.#wakeFd)}`);
    const workerData: DataSettings = { ...settings, wakeFd: this.#wakeFd };
    this.#worker = new Worker(new URL('../data/main.js', import.meta.url), { workerData, resourceLimits: RESOURCE_LIMITS });
    this.#worker.on('message', (report: DataReport) => {
      if (report.kind !== 'outcome') {
        onReport(report);
        return;
      }
      const waiting = this.#waiting.get(report.id);
      this.#waiting.delete(report.id);
      if (report.failure === undefined) waiting?.resolve();
      else waiting?.reject(errorOf(report.failure));
    });
    this.#worker.on('error', onEnd);
  }

  /** @throws HoldfastError what the data thread answered */
  run(command: DataCommand): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(this.#nextId, { resolve, reject });
      this.#post(command);
    });
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#post({ kind: 'end' });
    await ended;
    sys.close(this.#wakeFd);
  }

  #post(command: DataCommand): void {
    this.#worker.postMessage({ ...command, id: this.#nextId } satisfies DataRequest);
    this.#nextId += 1;
    sys.write(this.#wakeFd, this.#one, 8);
  }
}
