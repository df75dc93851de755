/** A workload client in a machine of the lab, seen from the test, the benchmark or the demo that started it. */
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '@holdfast/sdk';
import { waitFor } from './deadline.js';
import type { LabMachine } from './machine.js';
import type { RunningCommand } from './running-command.js';
import type { Outage, WorkloadMessage, WorkloadResult } from './workload-report.js';
import type { WorkloadOptions } from './workload.js';

const PROGRAMS = { ledger: './ledger-client.js', postgresql: './postgresql-client.js' };
/** On top of the client's own time for the check. */
const FINISH_TIMEOUT_MS = 45_000;
const VERIFY_TIMEOUT_MS_DEFAULT = 60_000;

export class WorkloadClient {
  /** Finished outages so far. */
  readonly outages: Outage[] = [];
  readonly command: RunningCommand;
  readonly #finishTimeoutMs: number;
  readonly #listeners = new Set<(message: WorkloadMessage) => void>();
  #acknowledged = 0;
  #result: WorkloadResult | undefined;
  #down = false;

  private constructor(command: RunningCommand, verifyTimeoutMs: number) {
    this.command = command;
    this.#finishTimeoutMs = verifyTimeoutMs + FINISH_TIMEOUT_MS;
    command.onLine(({ stream, text }) => {
      if (stream === 'stdout') this.#take(JSON.parse(text) as WorkloadMessage);
    });
  }

  /** Starts writing through the virtual address, usually from `lab.client`. The service need not be there yet. */
  static start(machine: LabMachine, service: keyof typeof PROGRAMS, options: Partial<WorkloadOptions> = {}): WorkloadClient {
    const program = fileURLToPath(new URL(PROGRAMS[service], import.meta.url));
    const command = machine.spawn([process.execPath, program, JSON.stringify(options)]);
    return new WorkloadClient(command, options.verifyTimeoutMs ?? VERIFY_TIMEOUT_MS_DEFAULT);
  }

  /** As of the last report, at most 100 ms ago. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** True while the service has not acknowledged anything for longer than the threshold. */
  get down(): boolean {
    return this.#down;
  }

  onMessage(listener: (message: WorkloadMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Waits for so many acknowledgements from now on: the service works. @throws HF_LAB_TIMEOUT */
  async waitForMore(count: number, timeoutMs: number): Promise<void> {
    const goal = this.#acknowledged + count;
    await waitFor(`${count} more acknowledged writes`, timeoutMs, () => this.#acknowledged >= goal);
  }

  /**
   * Stops writing and checks that everything acknowledged is there.
   * @throws HF_LAB_COMMAND_ENDED when the client gives no result
   */
  async finish(): Promise<WorkloadResult> {
    this.command.write('stop\n');
    const timer = setTimeout(() => this.command.kill(), this.#finishTimeoutMs);
    await this.command.finished;
    clearTimeout(timer);
    if (this.#result !== undefined) return this.#result;
    throw new HoldfastError('HF_LAB_COMMAND_ENDED', `the workload client gave no result; last output: ${this.command.lastOutput()}`);
  }

  #take(message: WorkloadMessage): void {
    switch (message.type) {
      case 'started':
        break;
      case 'progress':
        this.#acknowledged = message.acknowledged;
        break;
      case 'down':
        this.#down = true;
        break;
      case 'outage':
        this.#down = false;
        this.outages.push({ startMs: message.startMs, endMs: message.endMs });
        break;
      case 'result':
        this.#result = message;
        break;
    }
    for (const listener of this.#listeners) listener(message);
  }
}
