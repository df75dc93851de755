/**
 * How often a checker must say the same before it is believed. One lost packet is no dead service: a verdict counts when it was repeated as
 * often as the check asks for, and until then the last one that counted stands. `unknown` is neither: it shows at once and breaks no row.
 */
import type { CheckResult, Repeats, Verdict } from '@holdfast/sdk';

export class RepeatedVerdict {
  private row: { readonly verdict: 'up' | 'down'; readonly count: number } | undefined;
  private believed: 'up' | 'down' | undefined;

  constructor(private readonly repeats: Repeats = { down: 1, up: 1 }) {}

  /** @returns what holds now; the detail says so when the newest verdict does not count yet. */
  take({ verdict, detail }: CheckResult): { readonly verdict: Verdict; readonly detail: string } {
    if (verdict === 'unknown') return { verdict, detail };
    this.row = { verdict, count: this.row?.verdict === verdict ? this.row.count + 1 : 1 };
    // Only a resource that was down has to prove itself: at the start one success is enough.
    const wanted = verdict === 'down' ? this.repeats.down : this.believed === 'down' ? this.repeats.up : 1;
    if (this.row.count < wanted) return { verdict: this.believed ?? 'unknown', detail: `${detail} (${this.row.count} of ${wanted})` };
    this.believed = verdict;
    return { verdict, detail };
  }
}
