/**
 * Is the peer that speaks alive now, or is this a recording? Each opened session is an *incarnation*: a number that only grows plus
 * random bits. Every frame carries the sender's incarnation and the *echo*: the last incarnation of the receiver that the sender heard.
 * A frame counts as a sign of life only when it echoes the receiver's present incarnation, which nobody could know before it began;
 * that is what defeats frames recorded before this node restarted. Goodbyes too: a replayed one would start a takeover.
 *
 * The exchange when A starts, B being there or not (each arrow one datagram, none waits for a pulse):
 *
 *     A → B   I am A2, echo none     B: A2 is new to me, and it does not know me: answer
 *     B → A   I am B1, echo A2       A: a sign of life; B1 is new to me: answer
 *     A → B   I am A2, echo B1       B: a sign of life
 *
 * A frame of an incarnation older than the newest one heard is refused: that process is gone. After a goodbye nothing but another
 * goodbye is believed from the same incarnation: a pulse that was overtaken by the goodbye must not bring the peer back.
 * Limit: a node that was never heard by its peer since it started cannot see that peer alive, even if the peer's frames arrive.
 */
import { INCARNATION_BYTES } from './frame.js';

const UNKNOWN = Buffer.alloc(INCARNATION_BYTES);

/** - `alive`: sent after this node's incarnation began. - `unproven`: perhaps a recording. - `departed`: overtaken by its goodbye. */
export type Standing = 'alive' | 'unproven' | 'departed';

export class Acquaintance {
  readonly #self: Buffer;
  #peer: Buffer | undefined;
  #departed = false;

  constructor(self: Buffer) {
    this.#self = self;
  }

  /** What to send as echo. */
  get echo(): Buffer {
    return this.#peer ?? UNKNOWN;
  }

  /** True for an incarnation that a newer one has replaced; needs no authentication, since the frame is only dropped. */
  isOutdated(incarnation: Buffer): boolean {
    return this.#peer !== undefined && incarnation.compare(this.#peer) < 0;
  }

  /**
   * Takes note of an authenticated, not outdated frame.
   * @returns `answer`: the peer does not know this node yet, or this node has just learnt about the peer: send a frame at once.
   */
  meet(incarnation: Buffer, echo: Buffer, goodbye: boolean): { readonly standing: Standing; readonly answer: boolean } {
    const isNew = this.#peer === undefined || !incarnation.equals(this.#peer);
    if (isNew) {
      this.#peer = Buffer.from(incarnation);
      this.#departed = false;
    }
    const knowsSelf = echo.equals(this.#self);
    if (knowsSelf && goodbye) this.#departed = true;
    const answer = (isNew || !knowsSelf) && !goodbye;
    if (!knowsSelf) return { standing: 'unproven', answer };
    return { standing: this.#departed && !goodbye ? 'departed' : 'alive', answer };
  }
}
