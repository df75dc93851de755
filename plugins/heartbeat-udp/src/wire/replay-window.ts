/**
 * Which frame numbers of one sender were already taken. UDP may double and reorder, and an attacker may replay: a number is admitted
 * once, and only while it is at most WINDOW_FRAMES behind the highest number seen. Two steps, because a number must not be spent by a
 * frame that then fails authentication: `admits` before opening the frame, `record` after.
 */

/** Ten links' worth of reordering at any sensible pulse; a multiple of 32. */
export const WINDOW_FRAMES = 1024;

const WORD_BITS = 32;
/** One word more than the window, so that clearing the words ahead never touches a number still inside it. */
const WORDS = WINDOW_FRAMES / WORD_BITS + 1;

export class ReplayWindow {
  readonly #words = new Uint32Array(WORDS);
  #highest = 0;

  /** Numbers start at 1. */
  admits(counter: number): boolean {
    if (!Number.isSafeInteger(counter) || counter < 1) return false;
    if (counter > this.#highest) return true;
    if (this.#highest - counter >= WINDOW_FRAMES) return false;
    return (this.#word(counter) & bit(counter)) === 0;
  }

  record(counter: number): void {
    if (counter > this.#highest) {
      const from = Math.floor(this.#highest / WORD_BITS);
      const steps = Math.min(Math.floor(counter / WORD_BITS) - from, WORDS);
      for (let step = 1; step <= steps; step++) this.#words[(from + step) % WORDS] = 0;
      this.#highest = counter;
    }
    this.#words[Math.floor(counter / WORD_BITS) % WORDS] = this.#word(counter) | bit(counter);
  }

  #word(counter: number): number {
    return this.#words[Math.floor(counter / WORD_BITS) % WORDS] ?? 0;
  }
}

function bit(counter: number): number {
  return 1 << (counter % WORD_BITS);
}
