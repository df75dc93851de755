/**
 * What is known about another host that claims one held address, and what to do about the next claim: pure, time is an argument.
 * Defending is limited as RFC 5227 asks (once in ten seconds), or two owners that both insist would flood the link. Listeners hear of a
 * conflict at once and then at most once a second, or again at once when yet another host appears.
 */
import { formatMac } from './claim.js';

const DEFENCE_INTERVAL_MS = 10_000;
const REPORT_INTERVAL_MS = 1000;
/** A conflict that was not seen again for this long is over. */
const CONFLICT_MEMORY_MS = 10_000;

export interface ConflictReaction {
  readonly defend: boolean;
  readonly report: boolean;
}

export class ConflictRecord {
  private otherMac: string | undefined;
  private claimedAtMs = -Infinity;
  private defendedAtMs = -Infinity;
  private reportedAtMs = -Infinity;

  claimed(mac: Buffer, nowMs: number): ConflictReaction {
    const otherMac = formatMac(mac);
    const defend = nowMs - this.defendedAtMs >= DEFENCE_INTERVAL_MS;
    const report = otherMac !== this.otherMac || nowMs - this.reportedAtMs >= REPORT_INTERVAL_MS;
    this.otherMac = otherMac;
    this.claimedAtMs = nowMs;
    if (defend) this.defendedAtMs = nowMs;
    if (report) this.reportedAtMs = nowMs;
    return { defend, report };
  }

  /** The other owner's hardware address while the conflict lasts. */
  otherOwner(nowMs: number): string | undefined {
    return nowMs - this.claimedAtMs < CONFLICT_MEMORY_MS ? this.otherMac : undefined;
  }
}
