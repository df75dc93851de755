/**
 * One link's judgement of what arrives: from raw datagram to a sign of life of the peer, or the reason why not. Cheap refusals come
 * first; nothing that an unauthenticated datagram says changes any state.
 */
import { type Acquaintance } from './acquaintance.js';
import { type Body, decodeBody, decodeHeader } from './frame.js';
import { ReplayWindow } from './replay-window.js';
import { incarnationKey, unseal } from './sealing.js';

/**
 * - `malformed`: not our frame, truncated, too long. - `foreign-key`: sealed with another cluster key.
 * - `forged`: does not open: damaged, or of another module, node or link. - `replayed`: this number was taken, or is far too late.
 * - `outdated`: an incarnation of the peer that a newer one has replaced. - `departed`: later than its own goodbye.
 */
export type Refusal = 'malformed' | 'foreign-key' | 'forged' | 'replayed' | 'outdated' | 'departed';

export type Reception =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** Authentic; `alive` is undefined when it proves nothing or brings nothing. `answer`: send a frame on this link at once. */
  | { readonly kind: 'accepted'; readonly alive: (Body & { readonly payload: Uint8Array }) | undefined; readonly answer: boolean };

/** What is remembered of the peer's incarnation that this link hears. */
interface Hearing {
  readonly incarnation: Buffer;
  readonly key: Buffer;
  readonly window: ReplayWindow;
  saidGoodbye: boolean;
}

export class LinkReceiver {
  readonly #directionKey: Buffer;
  readonly #keyId: Buffer;
  readonly #acquaintance: Acquaintance;
  #hearing: Hearing | undefined;

  constructor(directionKey: Buffer, keyId: Buffer, acquaintance: Acquaintance) {
    this.#directionKey = directionKey;
    this.#keyId = keyId;
    this.#acquaintance = acquaintance;
  }

  receive(datagram: Buffer): Reception {
    const header = decodeHeader(datagram);
    if (header === undefined) return refused('malformed');
    if (!header.keyId.equals(this.#keyId)) return refused('foreign-key');
    if (this.#acquaintance.isOutdated(header.incarnation)) return refused('outdated');
    const hearing = this.#hearingOf(header.incarnation);
    if (!hearing.window.admits(header.counter)) return refused('replayed');
    const opened = unseal(datagram, header, hearing.key);
    if (opened === undefined) return refused('forged');
    this.#hearing = hearing;
    hearing.window.record(header.counter);
    const body = decodeBody(opened);
    if (body === undefined) return refused('malformed');
    return this.#judge(hearing, body);
  }

  #judge(hearing: Hearing, body: Body): Reception {
    const { standing, answer } = this.#acquaintance.meet(hearing.incarnation, body.echo, body.goodbye);
    switch (standing) {
      case 'departed':
        return refused('departed');
      case 'unproven':
        return { kind: 'accepted', alive: undefined, answer };
      case 'alive': {
        const repeated = body.goodbye && hearing.saidGoodbye;
        hearing.saidGoodbye ||= body.goodbye;
        const { payload } = body;
        return { kind: 'accepted', alive: payload === undefined || repeated ? undefined : { ...body, payload }, answer };
      }
    }
  }

  /** The state kept for this incarnation, or a fresh one that is kept only if a frame under it proves authentic. */
  #hearingOf(incarnation: Buffer): Hearing {
    if (this.#hearing?.incarnation.equals(incarnation)) return this.#hearing;
    const key = incarnationKey(this.#directionKey, incarnation);
    return { incarnation: Buffer.from(incarnation), key, window: new ReplayWindow(), saidGoodbye: false };
  }
}

function refused(refusal: Refusal): Reception {
  return { kind: 'refused', refusal };
}
