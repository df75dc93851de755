/**
 * When the agent decided last, by the monotonic clock that all processes of a node share: written by the replicator's main thread, read
 * by its data thread before anything is acknowledged. An agent that hangs is taken over by the peer; what its replicator acknowledged
 * after that would be lost.
 */

export function sharedClockMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

export class AgentAttention {
  readonly shared: SharedArrayBuffer;
  readonly #atMs: BigInt64Array;

  /** Without `shared` a new one, which counts from now. */
  constructor(shared?: SharedArrayBuffer) {
    this.shared = shared ?? new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
    this.#atMs = new BigInt64Array(this.shared);
    if (shared === undefined) this.note(sharedClockMs());
  }

  note(atMs: number): void {
    Atomics.store(this.#atMs, 0, BigInt(Math.trunc(atMs)));
  }

  get silentMs(): number {
    return sharedClockMs() - Number(Atomics.load(this.#atMs, 0));
  }
}
