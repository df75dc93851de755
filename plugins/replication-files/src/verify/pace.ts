/**
 * How fast a verification may go: a limit of bytes per second, and, while the application works, a share of the data thread. A verification
 * that takes a millisecond of the only thread then leaves it alone for a few.
 */

/** Share of the data thread while the application works. */
const SHARE = 0.25;
/** A pause is never longer: the application may have ended its work. */
const PAUSE_MAX_MS = 50;

export class Pace {
  readonly #nowMs: () => number;
  readonly #isApplicationActive: () => boolean;
  readonly #bytesPerSecondMax: number | undefined;
  #pausedUntilMs = 0;
  #limitedUntilMs = 0;

  constructor(nowMs: () => number, isApplicationActive: () => boolean, bytesPerSecondMax: number | undefined) {
    this.#nowMs = nowMs;
    this.#isApplicationActive = isApplicationActive;
    this.#bytesPerSecondMax = bytesPerSecondMax;
  }

  /** The data thread was busy for so long. */
  spent(ms: number): void {
    if (!this.#isApplicationActive()) return;
    const now = this.#nowMs();
    this.#pausedUntilMs = Math.min(now + PAUSE_MAX_MS, Math.max(now, this.#pausedUntilMs) + ms * (1 / SHARE - 1));
  }

  compared(bytes: number): void {
    if (this.#bytesPerSecondMax === undefined) return;
    this.#limitedUntilMs = Math.max(this.#nowMs(), this.#limitedUntilMs) + (bytes * 1000) / this.#bytesPerSecondMax;
  }

  /** How long to wait before the next request; 0: not at all. */
  get waitMs(): number {
    return Math.max(0, Math.max(this.#pausedUntilMs, this.#limitedUntilMs) - this.#nowMs());
  }
}
