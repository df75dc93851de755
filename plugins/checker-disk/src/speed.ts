/**
 * Whether fsync is slow: by an absolute limit, by the usual time of this disk, by the present time of the other node. A disk that is slow
 * while it still answers (gray failure) shows only beside another: under load both are slow, and moving the application would help nobody.
 * Pure, but for the memory of earlier measurements.
 */
import type { Demands } from './configuration.js';

/** So many measurements make a baseline. */
const BASELINE_MIN = 10;
const BASELINE_MAX = 1000;
/** A disk that is slower than it was, or than the other, but as fast as this, is fast. */
const SLOW_MS_MIN = 20;
/** The present time is the median of so many: one fsync behind a burst of writes is neither a slow disk nor a healthy one. */
const PRESENT_COUNT = 5;
/** What was slow is fast again only below this part of the limit. */
const RECOVERED_SHARE = 0.5;

export type SpeedDemands = Pick<Demands, 'fsyncMsMax' | 'slowerMax' | 'slowerThanPeerMax'>;

export interface SpeedJudgement {
  /** What is wrong. */
  readonly problem?: string;
  /** It is slow by its own past, and nobody says whether the other one is: neither up nor down. */
  readonly doubt?: string;
}

export class SpeedJudge {
  private readonly usual: number[] = [];
  private readonly recent: number[] = [];
  private isSlow = false;

  constructor(private readonly demands: SpeedDemands) {}

  /** Milliseconds at present, for the other node. Undefined: nothing was measured yet. */
  get presentMs(): number | undefined {
    return this.recent.length === 0 ? undefined : median(this.recent);
  }

  /** What is measured next begins a new present; the usual time stays. */
  rest(): void {
    this.recent.length = 0;
  }

  /** @param peerMs the other node's present time. Undefined: not known, which is nobody's fault */
  judge(fsyncMs: number, peerMs: number | undefined): SpeedJudgement {
    const { fsyncMsMax, slowerMax, slowerThanPeerMax } = this.demands;
    this.recent.push(fsyncMs);
    if (this.recent.length > PRESENT_COUNT) this.recent.shift();
    if (fsyncMsMax !== undefined && fsyncMs > fsyncMsMax) {
      return { problem: `fsync took ${fsyncMs.toFixed(0)} ms, at most ${fsyncMsMax} ms are allowed` };
    }
    const usualMs = this.usual.length < BASELINE_MIN ? undefined : median(this.usual);
    const isUnusual = slowerMax !== undefined && usualMs !== undefined && fsyncMs > Math.max(SLOW_MS_MIN, usualMs * slowerMax);
    if (!isUnusual) this.remember(fsyncMs);
    if (slowerThanPeerMax !== undefined) return this.compare(usualMs, peerMs, slowerThanPeerMax);
    return isUnusual ? { problem: `fsync took ${fsyncMs.toFixed(0)} ms, ${times(fsyncMs, usualMs)} the usual ${ms(usualMs)}` } : {};
  }

  /** What was too slow does not become usual. */
  private remember(fsyncMs: number): void {
    this.usual.push(fsyncMs);
    if (this.usual.length > BASELINE_MAX) this.usual.shift();
  }

  private compare(usualMs: number | undefined, peerMs: number | undefined, slowerThanPeerMax: number): SpeedJudgement {
    const { slowerMax } = this.demands;
    const presentMs = this.presentMs ?? 0;
    const share = this.isSlow ? RECOVERED_SHARE : 1;
    const limitMs = (baseMs: number, factor: number): number => Math.max(SLOW_MS_MIN, baseMs * factor) * share;
    const byPast = slowerMax === undefined ? undefined : usualMs !== undefined && presentMs > limitMs(usualMs, slowerMax);
    if (byPast === false) return this.isFast();
    const own = `fsync takes ${ms(presentMs)}${byPast === true ? `, ${times(presentMs, usualMs)} the usual ${ms(usualMs)}` : ''}`;
    if (peerMs === undefined) {
      return byPast === true || this.isSlow ? { doubt: `${own}; the other node's time is not known` } : {};
    }
    if (presentMs <= limitMs(peerMs, slowerThanPeerMax)) return this.isFast();
    this.isSlow = true;
    return { problem: `${own}, ${times(presentMs, peerMs)} the ${ms(peerMs)} of the other node` };
  }

  private isFast(): SpeedJudgement {
    this.isSlow = false;
    return {};
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function ms(value: number | undefined): string {
  return `${(value ?? 0).toFixed(value !== undefined && value >= 100 ? 0 : 1)} ms`;
}

function times(value: number, base: number | undefined): string {
  return `${(value / Math.max(base ?? value, 0.001)).toFixed(0)} times`;
}
