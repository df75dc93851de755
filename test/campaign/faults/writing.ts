/** The clients of a campaign, seen from the campaign: all that was acknowledged, and when. */
import { fileURLToPath } from 'node:url';
import { waitFor } from '../../lab/deadline.js';
import type { LabMachine } from '../../lab/machine.js';
import type { RunningCommand } from '../../lab/running-command.js';
import type { Acknowledgement, WriterReport } from './acknowledgement.js';

const PROGRAM = fileURLToPath(new URL('./writer.js', import.meta.url));
const PAUSE_MS = 15_000;

export class Writing {
  readonly acknowledged: Acknowledgement[] = [];
  readonly #command: RunningCommand;
  #run = '';
  #writing = true;
  #unknown = 0;
  #problem: string | undefined;

  private constructor(command: RunningCommand) {
    this.#command = command;
    command.onLine(({ stream, text }) => {
      if (stream !== 'stdout') return;
      const report = JSON.parse(text) as WriterReport;
      this.#run = report.run;
      this.#writing = report.writing;
      this.#unknown = report.unknown;
      this.#problem = report.problem;
      this.acknowledged.push(...report.acknowledged);
    });
  }

  static start(machine: LabMachine, host: string, port: number): Writing {
    return new Writing(machine.spawn([process.execPath, PROGRAM, host, String(port)]));
  }

  /** Begins every record of these clients. */
  get run(): string {
    return this.#run;
  }

  get unknown(): number {
    return this.#unknown;
  }

  /** The last thing that the clients met, for messages. */
  get problem(): string {
    return this.#command.running ? (this.#problem ?? 'none') : `the clients have ended: ${this.#command.lastOutput()}`;
  }

  async waitForMore(count: number, timeoutMs: number): Promise<void> {
    const goal = this.acknowledged.length + count;
    await waitFor(`${count} more acknowledged records`, timeoutMs, () => this.acknowledged.length >= goal);
  }

  /** Resolves when no record is under way. */
  async pause(): Promise<void> {
    this.#command.write('pause\n');
    this.#writing = true;
    await waitFor('the clients to pause', PAUSE_MS, () => !this.#writing);
  }

  resume(): void {
    this.#command.write('resume\n');
  }

  async end(): Promise<void> {
    this.#command.endInput();
    await this.#command.finished;
  }
}
