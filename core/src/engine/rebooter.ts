/** Boots the machine, where a module is configured for it. At most once: what follows depends on the machine, not on us. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { messageOf } from '@holdfast/sdk';
import type { FencingSettings } from './fencing-settings.js';

const COMMAND_TIMEOUT_MS = 60_000;
const SYSRQ = '/proc/sysrq-trigger';
const run = promisify(execFile);

export class Rebooter {
  private asked = false;

  constructor(
    private readonly settings: FencingSettings['reboot'],
    private readonly log: (text: string) => void,
    private readonly trigger = SYSRQ,
  ) {}

  /** Resolves when the machine was told, or cannot be. */
  async reboot(cause: string): Promise<void> {
    if (this.asked) return;
    this.asked = true;
    const { command, sysrq } = this.settings;
    const [program = '', ...words] = command;
    this.log(`this machine is booted: ${cause}; ${command.join(' ')}`);
    try {
      await run(program, words, { timeout: COMMAND_TIMEOUT_MS });
    } catch (error) {
      this.log(
        `${command.join(' ')} failed: ${messageOf(error).trim()}${sysrq ? '; the kernel boots at once' : '; boot this machine by hand'}`,
      );
      if (!sysrq) {
        this.asked = false;
        return;
      }
      await writeFile(this.trigger, 'b').catch((failure: unknown) => {
        this.log(`${this.trigger}: ${messageOf(failure)}; boot this machine by hand`);
      });
    }
  }
}
