/**
 * How long a primary waits before it tries to reach its peer again. A peer that cannot be reached is tried often. One that takes the
 * connection and loses it again because its disk fails or is full would otherwise be lost and found several times a second, each time
 * with a pause for the application: it is left in peace for longer and longer, until a connection has lasted.
 */
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1000;
const REST_MIN_MS = 1000;
const REST_MAX_MS = 10_000;
const LASTED_MS = 60_000;
/** What the peer says when it could not do what was asked of it. */
const DISK_CODES: ReadonlySet<string> = new Set(['HF_REPLICATION_APPLY', 'HF_REPLICATION_TARGET']);

export class RetryDelay {
  #retryMs = RETRY_MIN_MS;
  #restMs = 0;
  #restUntilMs = -Infinity;
  #connectedAtMs: number | undefined;

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  /** Tried at the wish of the core: soon. @returns milliseconds until the attempt; 0: at once */
  first(): number {
    this.#retryMs = RETRY_MIN_MS;
    return this.#rest();
  }

  /** After a failed attempt, or a lost connection. @returns milliseconds until the next */
  next(): number {
    const delayMs = Math.max(this.#retryMs, this.#rest());
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MAX_MS);
    return delayMs;
  }

  connected(): void {
    this.#retryMs = RETRY_MIN_MS;
    this.#connectedAtMs ??= this.nowMs();
  }

  /** @param code why: of an attempt, or of a connection */
  lost(code: string): void {
    const lasted = this.#connectedAtMs !== undefined && this.nowMs() - this.#connectedAtMs >= LASTED_MS;
    this.#connectedAtMs = undefined;
    if (lasted) this.#restMs = 0;
    if (!DISK_CODES.has(code)) return;
    this.#restMs = Math.min(Math.max(2 * this.#restMs, REST_MIN_MS), REST_MAX_MS);
    this.#restUntilMs = this.nowMs() + this.#restMs;
  }

  #rest(): number {
    return Math.max(0, this.#restUntilMs - this.nowMs());
  }
}
