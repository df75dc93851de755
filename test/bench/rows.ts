/** The convention of all measuring commands: rows with a value, what it is measured against, the target and whether it was met. */
import Table from 'cli-table3';

export interface Row {
  readonly name: string;
  /** The median, where there is more than one. */
  readonly value: number;
  readonly unit: string;
  readonly min?: number;
  readonly max?: number;
  /** What the ratio compares with, measured in the same run: the machine is shared and noisy. */
  readonly against?: string;
  readonly againstValue?: number;
  readonly againstMin?: number;
  readonly againstMax?: number;
  readonly ratio?: number;
  readonly target?: string;
  readonly met?: boolean;
}

/** What a bench found. */
export interface BenchResult {
  readonly rows: readonly Row[];
  /** What a reader of the rows must know: what was left out and why. */
  readonly notes?: readonly string[];
  /** Tables for a page of the documentation; by default a table of the rows. */
  readonly markdown?: string;
}

/** A promise about a value or a ratio. */
export type Target = { readonly atLeast: number } | { readonly atMost: number };

export function meets(target: Target, value: number): boolean {
  return 'atLeast' in target ? value >= target.atLeast : value <= target.atMost;
}

export function textOf(target: Target): string {
  return 'atLeast' in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
}

/** Medians of two series, measured in turns, and their ratio. */
export function comparison(
  name: string,
  unit: string,
  values: readonly number[],
  other: { readonly name: string; readonly values: readonly number[] },
  target?: Target,
): Row {
  const ratio = median(values) / median(other.values);
  const { value: againstValue, min: againstMin, max: againstMax } = single(name, unit, other.values);
  return {
    ...single(name, unit, values),
    against: other.name,
    againstValue,
    ...(againstMin === undefined || againstMax === undefined ? {} : { againstMin, againstMax }),
    ratio,
    ...(target === undefined ? {} : { target: `${textOf(target)} × ${other.name}`, met: meets(target, ratio) }),
  };
}

/** The median of a series, with a promise about itself. */
export function single(name: string, unit: string, values: readonly number[], target?: Target): Row {
  const value = median(values);
  return {
    name,
    value,
    unit,
    ...(values.length > 1 ? { min: Math.min(...values), max: Math.max(...values) } : {}),
    ...(target === undefined ? {} : { target: `${textOf(target)} ${unit}`, met: meets(target, value) }),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

const HEAD = ['measure', 'value', 'against', 'ratio', 'target', ''];

export function tableOf(rows: readonly Row[]): string {
  const table = new Table({ head: HEAD, style: { head: [], border: [] } });
  for (const row of rows) table.push(cellsOf(row));
  return table.toString();
}

export function markdownTable(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...lines.map(line)].join('\n');
}

export function markdownOf(rows: readonly Row[]): string {
  return markdownTable(HEAD, rows.map(cellsOf));
}

function cellsOf({ name, value, unit, min, max, against, againstValue, againstMin, againstMax, ratio, target, met }: Row): string[] {
  const other = againstValue === undefined ? '' : ` ${spread(againstValue, againstMin, againstMax)}`;
  return [
    name,
    `${spread(value, min, max)} ${unit}`,
    `${against ?? ''}${other}`,
    ratio === undefined ? '' : number(ratio),
    target ?? '',
    met === undefined ? '' : met ? 'met' : 'MISSED',
  ];
}

/** `321 (300–350)`: the median and the range. */
export function spread(value: number, min?: number, max?: number): string {
  return min === undefined || max === undefined ? number(value) : `${number(value)} (${number(min)}–${number(max)})`;
}

function number(value: number): string {
  return value >= 100 || value === 0 ? value.toFixed(0) : value.toPrecision(3);
}
