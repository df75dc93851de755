/**
 * A steady beat. Each beat is due a period after the former one was *due*, not after it happened, so delays do not add up; beats missed
 * during a stall are left out, not made up for in a burst.
 */
import { monotonicMs } from './channel.js';

export class Pulse {
  readonly #periodMs: number;
  readonly #beat: () => void;
  #dueMs: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(periodMs: number, beat: () => void) {
    this.#periodMs = periodMs;
    this.#beat = beat;
    this.#dueMs = monotonicMs() + periodMs;
    this.#schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, this.#dueMs - monotonicMs()));
  }

  #fire(): void {
    const now = monotonicMs();
    this.#dueMs += this.#periodMs;
    if (this.#dueMs <= now) this.#dueMs = now + this.#periodMs;
    this.#schedule();
    this.#beat();
  }
}
