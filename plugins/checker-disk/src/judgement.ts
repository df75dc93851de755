/** What was found on a disk, and what it is worth: limits and the forecast. Pure, but for the memory of earlier looks. */
import type { CheckResult } from '@holdfast/sdk';
import type { Amount, Demands } from './configuration.js';
import { SpeedJudge } from './speed.js';

export interface DiskState {
  readonly bytesTotal: number;
  /** For everybody, without what is kept for root. */
  readonly bytesFree: number;
  /** 0 where the file system has no fixed number of them. */
  readonly inodesTotal: number;
  readonly inodesFree: number;
  readonly readOnly: boolean;
  /** Undefined: not measured. */
  readonly fsyncMs: number | undefined;
}

/** A forecast from fewer looks, or over less of the window, would be a guess. */
const LOOKS_MIN = 3;
const WINDOW_SHARE_MIN = 0.5;
/** Name of the figure that the other node compares with its own. */
export const FSYNC_FIGURE = 'fsync';

export class DiskJudge {
  private looks: { readonly atMs: number; readonly bytesFree: number }[] = [];
  private readonly speed: SpeedJudge;

  constructor(private readonly demands: Demands) {
    this.speed = new SpeedJudge(demands);
  }

  /** @param peerFsyncMs what an fsync takes on the other node. Undefined: not known */
  judge(state: DiskState, nowMs: number, peerFsyncMs?: number): CheckResult {
    const { path } = this.demands;
    const { problem, doubt } = state.fsyncMs === undefined ? {} : this.speed.judge(state.fsyncMs, peerFsyncMs);
    const { presentMs } = this.speed;
    const measured =
      state.fsyncMs === undefined || presentMs === undefined
        ? {}
        : { figures: [{ name: FSYNC_FIGURE, value: presentMs, unit: 'ms' as const }] };
    const wrong = [
      this.demands.mustBeWritable && state.readOnly ? 'it is read-only' : undefined,
      lack('bytes', state.bytesFree, state.bytesTotal, this.demands.free),
      state.inodesTotal === 0 ? undefined : lack('inodes', state.inodesFree, state.inodesTotal, this.demands.inodes),
      this.judgeForecast(state, nowMs),
      problem,
    ].filter((found) => found !== undefined);
    if (wrong.length > 0) return { verdict: 'down', detail: `${path}: ${wrong.join('; ')}`, ...measured };
    if (doubt !== undefined) return { verdict: 'unknown', detail: `${path}: ${doubt}`, ...measured };
    const inodes = state.inodesTotal === 0 ? '' : `, ${percent(state.inodesFree, state.inodesTotal)} of the inodes`;
    const beside = this.demands.slowerThanPeerMax === undefined ? '' : ` (${besideOf(peerFsyncMs)})`;
    const speed = state.fsyncMs === undefined ? '' : `, fsync ${state.fsyncMs.toFixed(1)} ms${beside}`;
    const room = `${size(state.bytesFree)} (${percent(state.bytesFree, state.bytesTotal)}) free${inodes}${speed}`;
    return { verdict: 'up', detail: `${path}: ${room}`, ...measured };
  }

  /** Nobody looks for a while. What is usual stays known: a role that changes makes no other disk of it. */
  rest(): void {
    this.speed.rest();
  }

  /** A straight line through the looks of the window, by least squares: one large file does not make a trend, steady growth does. */
  private judgeForecast({ bytesFree }: DiskState, nowMs: number): string | undefined {
    const { fullInMs, windowMs } = this.demands;
    if (fullInMs === undefined) return undefined;
    this.looks = [...this.looks.filter(({ atMs }) => nowMs - atMs <= windowMs), { atMs: nowMs, bytesFree }];
    const spanMs = nowMs - (this.looks[0]?.atMs ?? nowMs);
    if (this.looks.length < LOOKS_MIN || spanMs < windowMs * WINDOW_SHARE_MIN) return undefined;
    const bytesPerMs = -slopeOf(this.looks);
    if (bytesPerMs <= 0) return undefined;
    const leftMs = bytesFree / bytesPerMs;
    return leftMs < fullInMs ? `full in ${duration(leftMs)} if it goes on like this (${size(bytesPerMs * 3_600_000)} per hour)` : undefined;
  }
}

function lack(what: 'bytes' | 'inodes', free: number, total: number, wanted: Amount): string | undefined {
  const least = 'percent' in wanted ? (total * wanted.percent) / 100 : wanted.count;
  if (free >= least) return undefined;
  const show = (number: number): string => (what === 'bytes' ? size(number) : String(Math.ceil(number)));
  const noun = what === 'bytes' ? '' : ' inodes';
  const limit = 'percent' in wanted ? `${wanted.percent} %` : show(least);
  return `${show(free)}${noun} (${percent(free, total)}) free, at least ${limit} are wanted`;
}

/** Bytes per millisecond. */
function slopeOf(looks: readonly { readonly atMs: number; readonly bytesFree: number }[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanMs = mean(looks.map(({ atMs }) => atMs));
  const meanFree = mean(looks.map(({ bytesFree }) => bytesFree));
  let covariance = 0;
  let variance = 0;
  for (const { atMs, bytesFree } of looks) {
    covariance += (atMs - meanMs) * (bytesFree - meanFree);
    variance += (atMs - meanMs) ** 2;
  }
  return variance === 0 ? 0 : covariance / variance;
}

function besideOf(peerFsyncMs: number | undefined): string {
  return peerFsyncMs === undefined ? "the other node's is not known" : `${peerFsyncMs.toFixed(1)} ms on the other node`;
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${((part / whole) * 100).toFixed(1)} %`;
}

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

function duration(durationMs: number): string {
  const minutes = durationMs / 60_000;
  if (minutes < 1) return `${Math.max(1, Math.round(durationMs / 1000))} s`;
  return minutes < 120 ? `${Math.round(minutes)} min` : `${Math.round(minutes / 60)} h`;
}
