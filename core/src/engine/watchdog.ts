/**
 * The kernel's watchdog: a machine whose agent does not decide any more is booted by it. The device is fed from the decision loop and from
 * nothing else; an agent that ends in good order says so ('V', "magic close"), and the device stops, unless the driver forbids that.
 *
 * Only opening, writing and closing are used. The time after which the device boots is the driver's: it is read from sysfs, and a device
 * that is too impatient is refused.
 */
import { open, readFile, realpath, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { FencingSettings } from './fencing-settings.js';

const FEED_MS = 1000;
/** Decisions are made every 50 ms; an agent that made none for so long hangs. */
const DECIDES_WITHIN_MS = 2000;
/** Feeding comes every second, when nothing is in the way. */
const TIMEOUT_SECONDS_MIN = 5;

export interface WatchdogParts {
  readonly settings: FencingSettings['watchdog'];
  /** Monotonic: when the module that decided longest ago did so; undefined: no module is loaded. */
  readonly oldestDecisionMs: () => number | undefined;
  readonly nowMs: () => number;
  readonly log: (level: 'C' | 'I', text: string) => void;
}

export class Watchdog {
  private device: FileHandle | undefined;
  private failure: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<unknown> = Promise.resolve();
  private starved = false;

  constructor(private readonly parts: WatchdogParts) {}

  /** Opens the device, where one is wanted. A failure is kept: see `refusal`. */
  async start(): Promise<void> {
    const { settings, log } = this.parts;
    if (settings.mode === 'off') return;
    try {
      const seconds = await timeoutOf(settings.device);
      if (seconds !== undefined && seconds < TIMEOUT_SECONDS_MIN) {
        throw new Error(`it boots after ${seconds} s; at least ${TIMEOUT_SECONDS_MIN} s are needed`);
      }
      this.device = await open(settings.device, 'w');
      log(
        'I',
        `the watchdog ${settings.device} is fed while decisions are made${seconds === undefined ? '' : `; it boots after ${seconds} s`}`,
      );
    } catch (error) {
      this.fail(messageOf(error));
      return;
    }
    this.timer = setInterval(() => {
      this.feed();
    }, FEED_MS);
    this.feed();
  }

  /** Why no module may start on this node; undefined: any may. */
  get refusal(): HoldfastError | undefined {
    const { mode, device } = this.parts.settings;
    if (mode !== 'required' || this.failure === undefined) return undefined;
    const cure = 'load its driver, or set mode "automatic" in fencing.json';
    const message = `this node requires its watchdog, and ${device} cannot be used: ${this.failure}; ${cure}`;
    return new HoldfastError('HF_WATCHDOG_REQUIRED', message, { device });
  }

  private fail(why: string): void {
    this.failure = why;
    this.parts.log(this.parts.settings.mode === 'required' ? 'C' : 'I', `the watchdog ${this.parts.settings.device} is not used: ${why}`);
  }

  private feed(): void {
    const { oldestDecisionMs, nowMs, log } = this.parts;
    const oldest = oldestDecisionMs();
    const hangs = oldest !== undefined && nowMs() - oldest > DECIDES_WITHIN_MS;
    if (hangs !== this.starved)
      log('C', hangs ? 'a module does not decide: the watchdog is not fed' : 'decisions are made again: the watchdog is fed');
    this.starved = hangs;
    if (!hangs) this.write('\0');
  }

  private write(text: string): void {
    const { device } = this;
    this.writing = this.writing
      .then(() => device?.write(text))
      .catch((error: unknown) => {
        if (this.failure === undefined) this.fail(messageOf(error));
      });
  }

  /** The agent ends in good order: the machine goes on without it. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    if (this.device === undefined) return;
    this.write('V');
    await this.writing;
    await this.device.close().catch(() => undefined);
    this.device = undefined;
  }
}

/** Seconds, as the driver says; undefined when it does not, or the device is none. */
async function timeoutOf(device: string): Promise<number | undefined> {
  const name = basename(await realpath(device));
  const text = await readFile(`/sys/class/watchdog/${name === 'watchdog' ? 'watchdog0' : name}/timeout`, 'utf8').catch(() => '');
  const seconds = Number.parseInt(text, 10);
  return Number.isNaN(seconds) ? undefined : seconds;
}
