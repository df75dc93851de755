/**
 * Whether what this node acknowledges may be believed: the decision loop runs, and it has not slept through a takeover by the peer. Told to
 * the replication (and to nothing else) after every decision of a tick; an agent that hangs says nothing, and one that wakes up says
 * nothing until it knows its peer again, because the decision to give up may be the next one.
 */
import { knowsPeer } from '../decide/detector.js';
import type { MirrorState } from '../decide/mirror/types.js';

export class Attention {
  private lastMs = Number.NEGATIVE_INFINITY;

  /** After a decision. @returns whether the replication may be told that the core attends */
  decided({ detector, settings, nowMs }: MirrorState): boolean {
    const slept = nowMs - this.lastMs > settings.heartbeatTimeoutMs;
    if (slept && !knowsPeer(detector, nowMs)) return false;
    this.lastMs = nowMs;
    return true;
  }
}
