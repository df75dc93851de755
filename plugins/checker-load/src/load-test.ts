/** One look at the pressure that the kernel measures, and at how much was swapped since the last look. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckResult } from '@holdfast/sdk';
import { parsePressure, parseSwapped, type Average } from './kernel-text.js';

export type Demand = 'memory' | 'memory_some' | 'io' | 'cpu';

export interface LoadLimits {
  readonly demands: readonly { readonly name: Demand; readonly percentMax: number }[];
  readonly over: Average;
  readonly swapBytesPerSecondMax?: number;
  /** Absent: the whole machine. */
  readonly cgroup?: string;
}

const FILE: Readonly<Record<Demand, { readonly file: 'memory' | 'io' | 'cpu'; readonly line: 'some' | 'full'; readonly what: string }>> = {
  memory: { file: 'memory', line: 'full', what: 'all work waited for memory' },
  memory_some: { file: 'memory', line: 'some', what: 'work waited for memory' },
  io: { file: 'io', line: 'full', what: 'all work waited for disks' },
  cpu: { file: 'cpu', line: 'some', what: 'work waited for a processor' },
};
/** The kernel counts pages of this size on every supported machine. */
const PAGE_BYTES = 4096;
const MEBIBYTE = 1024 ** 2;

export class LoadTest {
  private lastSwap: { readonly pages: number; readonly atMs: number } | undefined;

  constructor(private readonly limits: LoadLimits) {}

  run(nowMs: number): CheckResult {
    const fine: string[] = [];
    const exceeded: string[] = [];
    for (const { name, percentMax } of this.limits.demands) {
      const { file, line, what } = FILE[name];
      const percent = parsePressure(this.pressure(file), line, this.limits.over);
      if (percent === undefined) return { verdict: 'unknown', detail: `the kernel does not say how long work waits (${file})` };
      const text = `${what} ${percent} % of the last ${this.limits.over}`;
      if (percent > percentMax) exceeded.push(`${text}, at most ${percentMax} % are allowed`);
      else fine.push(text);
    }
    const swap = this.judgeSwap(nowMs);
    if (swap !== undefined) (swap.exceeded ? exceeded : fine).push(swap.text);
    if (exceeded.length > 0) return { verdict: 'down', detail: exceeded.join('; ') };
    return { verdict: 'up', detail: fine.join('; ') };
  }

  /** What was swapped before the check began is not its business. */
  forget(): void {
    this.lastSwap = undefined;
  }

  private pressure(file: 'memory' | 'io' | 'cpu'): string {
    const { cgroup } = this.limits;
    return readText(cgroup === undefined ? `/proc/pressure/${file}` : join(cgroup, `${file}.pressure`));
  }

  private judgeSwap(nowMs: number): { readonly exceeded: boolean; readonly text: string } | undefined {
    const { swapBytesPerSecondMax } = this.limits;
    if (swapBytesPerSecondMax === undefined) return undefined;
    const pages = parseSwapped(readText('/proc/vmstat'));
    const last = this.lastSwap;
    this.lastSwap = { pages, atMs: nowMs };
    if (last === undefined) return { exceeded: false, text: 'swapping is being measured' };
    const perSecond = ((pages - last.pages) * PAGE_BYTES * 1000) / Math.max(1, nowMs - last.atMs);
    const exceeded = perSecond > swapBytesPerSecondMax;
    const limit = exceeded ? `, at most ${(swapBytesPerSecondMax / MEBIBYTE).toFixed(1)} are allowed` : '';
    return { exceeded, text: `${(perSecond / MEBIBYTE).toFixed(1)} MiB swapped per second${limit}` };
  }
}

/** @returns an empty text when the kernel, or the control group, does not have that file */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
