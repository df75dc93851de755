/**
 * What happens when an application does not end: after a forced stop that failed, or when the file system is still in use, its processes
 * are killed wherever they are; when even that does not help, the machine is booted, where the module is configured for it. Nothing of
 * this touches an application of which other groups of scripts still run.
 */
import type { ApplicationGroup } from './application-group.js';
import { endApplication, listText } from './application-processes.js';
import type { Rebooter } from './rebooter.js';

export interface StopFenceParts {
  /** Value of the marker in the environment of the module's scripts. */
  readonly marker: string;
  /** Absent: this machine has no control groups that serve. */
  readonly group?: ApplicationGroup;
  readonly rebooter: Rebooter;
  readonly automaticReboot: boolean;
  readonly log: (text: string, fields?: Readonly<Record<string, unknown>>) => void;
}

export class StopFence {
  private failure: string | undefined;

  constructor(private readonly parts: StopFenceParts) {}

  /** A forced stop script has failed, or did not end in time. */
  stopFailed(why: string): void {
    this.failure ??= why;
  }

  /** Every group of scripts has been stopped. */
  async afterStops(): Promise<void> {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) await this.end(failure);
  }

  /** Kills what is there, and says so. */
  async end(why: string): Promise<void> {
    const { marker, group, log, automaticReboot, rebooter } = this.parts;
    const { killed, left } = await endApplication(marker, group);
    const pids = (list: typeof killed): number[] => list.map(({ pid }) => pid);
    if (killed.length > 0) log(`${why}: processes of the application were killed: ${listText(killed)}`, { pids: pids(killed) });
    if (left.length === 0) return;
    log(`${why}: processes of the application cannot be killed: ${listText(left)}`, { pids: pids(left) });
    if (automaticReboot) await rebooter.reboot(`processes of the application cannot be killed: ${listText(left)}`);
  }

  async close(): Promise<void> {
    await this.parts.group?.close();
  }

  reboot(cause: string): Promise<void> {
    return this.parts.rebooter.reboot(cause);
  }
}
