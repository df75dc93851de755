/**
 * The repeated announcements of one address after it was taken: some equipment drops the first, so five within three seconds, then at an
 * interval for as long as the configuration asks.
 */
import type { Rerouting } from './configuration.js';

/** After the address was taken; the first is sent at once. */
const ANNOUNCE_AT_MS = [50, 200, 1000, 3000] as const;

export class Announcements {
  private readonly announce: () => void;
  private readonly rerouting: Rerouting | undefined;
  private timers: NodeJS.Timeout[] = [];

  /** @param announce sends one announcement; must not throw, and must look for itself whether the address is still held */
  constructor(announce: () => void, rerouting: Rerouting | undefined) {
    this.announce = announce;
    this.rerouting = rerouting;
  }

  /** Announces now and on schedule; a schedule that is running begins anew. */
  start(): void {
    this.stop();
    this.announce();
    this.timers = ANNOUNCE_AT_MS.map((delayMs) => setTimeout(this.announce, delayMs));
    if (this.rerouting !== undefined) {
      const interval = setInterval(this.announce, this.rerouting.intervalMs);
      this.timers.push(
        interval,
        setTimeout(() => clearInterval(interval), this.rerouting.elapseMs),
      );
    }
    for (const timer of this.timers) timer.unref();
  }

  stop(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.timers = [];
  }
}
