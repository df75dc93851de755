/** The convention of all measuring commands: rows with a value, what it is measured against, the target and whether it was met. */
import Table from 'cli-table3';

export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the ratio compares with, measured in the same run: the machine is shared and noisy. */
  readonly against?: string;
  readonly ratio?: number;
  readonly target?: string;
  readonly met?: boolean;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function tableOf(rows: readonly Row[]): string {
  const table = new Table({ head: ['measure', 'value', 'against', 'ratio', 'target', ''], style: { head: [], border: [] } });
  for (const { name, value, unit, against, ratio, target, met } of rows) {
    const shown = value >= 100 ? value.toFixed(0) : value.toPrecision(3);
    table.push([
      name,
      `${shown} ${unit}`,
      against ?? '',
      ratio?.toFixed(2) ?? '',
      target ?? '',
      met === undefined ? '' : met ? 'met' : 'MISSED',
    ]);
  }
  return table.toString();
}
