/**
 * The client of the demo, the tests and the benchmarks: a program in the lab's client machine that writes through the virtual address all the
 * time, remembers every acknowledgement, and in the end asks the application for each of them.
 */
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '@holdfast/sdk';
import type { LabMachine } from '../lab/machine.js';
import type { RunningCommand } from '../lab/running-command.js';
import { waitFor } from '../lab/deadline.js';
import type { Application } from './applications.js';

/** A time without any acknowledgement; times are the machine's monotonic clock in milliseconds. */
export interface Outage {
  readonly startMs: number;
  readonly endMs: number;
}

interface Status {
  readonly acknowledged: number;
  readonly lastAcknowledgedMs: number;
}

interface Verification {
  readonly acknowledged: number;
  readonly lost: readonly string[];
}

/** Shorter gaps are the application's ordinary latency on a busy machine. */
const OUTAGE_MS_MIN = 150;
const STALLED_MS = 30_000;

export class Workload {
  private readonly outages: Outage[] = [];
  private status: Status = { acknowledged: 0, lastAcknowledgedMs: 0 };
  private verification: Verification | undefined;

  private constructor(private readonly command: RunningCommand) {
    command.onLine(({ stream, text }) => {
      if (stream === 'stdout' && text.startsWith('{')) this.take(JSON.parse(text) as Message);
    });
  }

  /** Starts the client and waits for its first acknowledgement. */
  static async start(machine: LabMachine, application: Application, address: string): Promise<Workload> {
    const program = fileURLToPath(new URL(`../lab/${application.client}`, import.meta.url));
    const workload = new Workload(machine.spawn([process.execPath, program, ...application.clientArguments(address)]));
    await waitFor('the first acknowledged write', STALLED_MS, () => {
      if (!workload.command.running) throw new HoldfastError('HF_LAB_COMMAND_ENDED', `the client ended: ${workload.command.lastOutput()}`);
      return workload.acknowledged > 0;
    });
    return workload;
  }

  private take(message: Message): void {
    switch (message.type) {
      case 'status':
        this.status = message;
        return;
      case 'outage':
        if (message.endMs - message.startMs >= OUTAGE_MS_MIN) this.outages.push(message);
        return;
      case 'verified':
        this.verification = message;
        return;
    }
  }

  get acknowledged(): number {
    return this.status.acknowledged;
  }

  /** The longest outage that ended after `sinceMs`, in milliseconds; 0 when there was none. */
  longestOutageMs(sinceMs: number): number {
    return Math.round(Math.max(0, ...this.outages.filter(({ endMs }) => endMs >= sinceMs).map(({ startMs, endMs }) => endMs - startMs)));
  }

  /** Waits until writes are acknowledged again after `sinceMs`. */
  async acknowledgedAfter(sinceMs: number): Promise<void> {
    await waitFor('an acknowledged write', STALLED_MS, () => this.status.lastAcknowledgedMs > sinceMs);
  }

  /** Stops writing and asks the application for every acknowledged write. */
  async verify(): Promise<Verification> {
    this.command.write('verify\n');
    return waitFor('the verification of all acknowledged writes', 120_000, () => {
      if (!this.command.running && this.verification === undefined) {
        throw new HoldfastError('HF_LAB_COMMAND_ENDED', `the client ended before it had verified: ${this.command.lastOutput()}`);
      }
      return this.verification;
    });
  }
}

type Message =
  | ({ readonly type: 'status' } & Status)
  | ({ readonly type: 'outage' } & Outage)
  | ({ readonly type: 'verified' } & Verification);

/** The clock of outages and acknowledgements: CLOCK_MONOTONIC, which all processes of a machine share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
