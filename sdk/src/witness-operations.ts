/**
 * The questions that a witness has under way: each ends at its limit, when the caller aborts it or when the witness is closed, whichever
 * comes first, and rejects then with HF_WITNESS_UNREACHABLE and the reason. A signal per question, and no signal that lives as long as the
 * witness is combined with it: AbortSignal.any would leave an entry behind for every question, for years.
 */
import { HoldfastError, messageOf } from './errors.js';

export class WitnessOperations {
  readonly #underWay = new Set<AbortController>();
  #closed: HoldfastError | undefined;

  /** @param name of the witness, for messages */
  constructor(private readonly name: string) {}

  /**
   * @param work ends soon after its signal aborts; the signal's reason is a HoldfastError
   * @throws HoldfastError; what `work` throws that is none becomes HF_WITNESS_UNREACHABLE
   */
  async run<T>(timeoutMs: number, signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) throw this.#closed;
    if (signal?.aborted === true) throw this.#aborted(signal);
    const controller = new AbortController();
    const onAbort = (): void => {
      if (signal !== undefined) controller.abort(this.#aborted(signal));
    };
    const timer = setTimeout(
      () => controller.abort(unreachable(`no answer from the witness ${this.name} within ${timeoutMs} ms`)),
      timeoutMs,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#underWay.add(controller);
    try {
      return await work(controller.signal);
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      if (controller.signal.reason instanceof HoldfastError) throw controller.signal.reason;
      throw unreachable(`the witness ${this.name} could not be asked: ${messageOf(error)}`, error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.#underWay.delete(controller);
    }
  }

  /** Ends what is under way, and refuses what comes. Idempotent. */
  close(): void {
    this.#closed ??= unreachable(`the witness ${this.name} is closed`);
    for (const controller of this.#underWay) controller.abort(this.#closed);
  }

  #aborted(signal: AbortSignal): HoldfastError {
    return unreachable(`the question to the witness ${this.name} was aborted: ${messageOf(signal.reason)}`, signal.reason);
  }
}

function unreachable(message: string, cause?: unknown): HoldfastError {
  return new HoldfastError('HF_WITNESS_UNREACHABLE', message, {}, cause === undefined ? undefined : { cause });
}
