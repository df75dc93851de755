/**
 * What is known about another host that claims one held address, and what is to be done about it: pure, time is an argument.
 *
 * As long as a conflict lasts the other host is asked whether it is still there. An answer goes to the asker alone, so asking teaches
 * nobody anything; when three questions in a row stay without one, the conflict is over, and the owner must announce itself: caches of the
 * clients may still name the other host, and would until they expire. Defending is limited, or two owners that both insist would flood the
 * link: at once, then once a second while the conflict is young, then as RFC 5227 asks, once in ten seconds. Listeners hear of a conflict
 * at once and then at most once a second, or again at once when yet another host appears.
 */
import { formatMac } from './claim.js';

const REPORT_INTERVAL_MS = 1000;
const DEFENCE_INTERVAL_MS = 1000;
/** So many defences are made at the short interval. */
const EAGER_DEFENCES_MAX = 5;
const DEFENCE_INTERVAL_LATER_MS = 10_000;
/** Without a claim for so long, the next conflict is a new one. */
const CALM_MS = 10_000;
const ASK_INTERVAL_MS = 200;
const UNANSWERED_MAX = 3;

export interface ConflictReaction {
  /** A defence is allowed now; whether it is made says the verdict. */
  readonly mayDefend: boolean;
  readonly report: boolean;
}

export class ConflictRecord {
  private otherMac: string | undefined;
  private claimedAtMs = -Infinity;
  private defendedAtMs = -Infinity;
  private defences = 0;
  private reportedAtMs = -Infinity;
  private lasts = false;
  private askedAtMs = -Infinity;
  private unanswered = 0;

  claimed(mac: Buffer, nowMs: number): ConflictReaction {
    const otherMac = formatMac(mac);
    if (nowMs - this.claimedAtMs >= CALM_MS) this.defences = 0;
    if (!this.lasts) this.askedAtMs = nowMs;
    const interval = this.defences < EAGER_DEFENCES_MAX ? DEFENCE_INTERVAL_MS : DEFENCE_INTERVAL_LATER_MS;
    const report = otherMac !== this.otherMac || nowMs - this.reportedAtMs >= REPORT_INTERVAL_MS;
    this.otherMac = otherMac;
    this.claimedAtMs = nowMs;
    this.lasts = true;
    this.unanswered = 0;
    if (report) this.reportedAtMs = nowMs;
    return { mayDefend: nowMs - this.defendedAtMs >= interval, report };
  }

  defended(nowMs: number): void {
    this.defendedAtMs = nowMs;
    this.defences += 1;
  }

  /** What is due: `ask` the other host, or the conflict is `over`, which is said once. */
  next(nowMs: number): 'ask' | 'over' | undefined {
    if (!this.lasts || nowMs - this.askedAtMs < ASK_INTERVAL_MS) return undefined;
    if (this.unanswered >= UNANSWERED_MAX) {
      this.lasts = false;
      return 'over';
    }
    this.askedAtMs = nowMs;
    this.unanswered += 1;
    return 'ask';
  }

  /** The other owner's hardware address while the conflict lasts. */
  get otherOwner(): string | undefined {
    return this.lasts ? this.otherMac : undefined;
  }
}
