/** The outcome of a fault campaign: what it counts, the table for a terminal, the same as Markdown, and the line for a program. */
import Table from 'cli-table3';
import type { Finding } from './judge.js';

export interface FaultResult {
  readonly number: number;
  readonly title: string;
  /** Longest time without an acknowledged record. */
  readonly outageMs: number;
  /** From the end of the fault, with power, agents and network back, until the pair was whole and served. */
  readonly recoveryMs: number;
  readonly durationMs: number;
  /** What an operator had to do, or a node had to say. */
  readonly notes: readonly string[];
  /** Why it failed. */
  readonly problem?: string;
}

export interface CampaignResult {
  readonly seed: number;
  readonly durationMs: number;
  readonly faults: readonly FaultResult[];
  readonly acknowledged: number;
  readonly unknown: number;
  readonly findings: readonly Finding[];
  readonly identical: boolean;
  /** Times that both nodes claimed the address or accepted connections to it, each among the other's. */
  readonly claims: number;
  /** Frames by which the sniffer could tell the owner. */
  readonly framesSeen: number;
  /** Folder with what the failed faults left. */
  readonly evidence?: string;
  readonly aborted?: string;
}

interface Distribution {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

function distribution(values: readonly number[]): Distribution {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0);
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

export function countOf(result: CampaignResult, kind: Finding['kind']): number {
  return result.findings.filter((finding) => finding.kind === kind).length;
}

export function isGood(result: CampaignResult): boolean {
  const failed = result.faults.some(({ problem }) => problem !== undefined);
  return result.findings.length === 0 && result.identical && !failed && result.aborted === undefined && result.acknowledged > 0;
}

/** The last line of the output for programs. */
export function summary(result: CampaignResult): object {
  return {
    faults: result.faults.length,
    acknowledged: result.acknowledged,
    lost: countOf(result, 'lost'),
    dualPrimary: countOf(result, 'dualPrimary'),
    identical: result.identical,
    outageMs: distribution(result.faults.map(({ outageMs }) => outageMs)),
    ok: isGood(result),
    seed: result.seed,
    failed: result.faults.filter(({ problem }) => problem !== undefined).map(({ number }) => number),
    seconds: Math.round(result.durationMs / 1000),
    outages: Object.fromEntries(groups(result).map(([title, faults]) => [title, faults.map(({ outageMs }) => Math.round(outageMs))])),
  };
}

/** Single kinds by name; two at a time are one row, because hardly any pair comes twice. */
function groups({ faults }: CampaignResult): [string, FaultResult[]][] {
  const found = new Map<string, FaultResult[]>();
  for (const fault of faults) {
    const title = fault.title.includes(' + ') ? 'two at a time' : fault.title;
    found.set(title, [...(found.get(title) ?? []), fault]);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

const HEAD = ['fault', 'count', 'failed', 'outage p50', 'p95', 'p99', 'max', 'whole again p50', 'max'];

function rows(result: CampaignResult): string[][] {
  const row = (title: string, faults: readonly FaultResult[]): string[] => {
    const { p50, p95, p99, max } = distribution(faults.map(({ outageMs }) => outageMs));
    const recovery = distribution(faults.map(({ recoveryMs }) => recoveryMs));
    const failed = faults.filter(({ problem }) => problem !== undefined).length;
    return [title, ...[faults.length, failed, p50, p95, p99, max, recovery.p50, recovery.max].map(String)];
  };
  return [...groups(result).map(([title, faults]) => row(title, faults)), row('all', result.faults)];
}

function sentences(result: CampaignResult): string[] {
  const { acknowledged, unknown, seed, faults, durationMs, framesSeen, claims, evidence, aborted } = result;
  const notes = faults.flatMap(({ number, title, notes: own }) => own.map((note) => `#${number} ${title}: ${note}`));
  const failures = faults.flatMap(({ number, title, problem }) =>
    problem === undefined ? [] : [`#${number} ${title} failed: ${problem}`],
  );
  return [
    `${faults.length} faults from seed ${seed} in ${Math.round(durationMs / 1000)} s; times are milliseconds as the clients saw them.`,
    `${acknowledged} records acknowledged, ${countOf(result, 'lost')} lost, ${unknown} without an answer.`,
    `Two nodes acknowledging: ${countOf(result, 'dualPrimary')}; records out of order: ${countOf(result, 'disorder')}.`,
    `The sniffer saw ${framesSeen} frames of an owner; ${claims} claims of one node among those of the other.`,
    `Copies: ${result.identical ? 'identical, byte for byte' : 'DIFFERENT'}.`,
    ...(aborted === undefined ? [] : [`Ended early: ${aborted}.`]),
    ...result.findings.slice(0, 20).map(({ kind, text }) => `${kind}: ${text}`),
    ...failures,
    ...notes,
    ...(evidence === undefined ? [] : [`Logs of what failed: ${evidence}`]),
  ];
}

export function asTable(result: CampaignResult): string {
  const table = new Table({ head: HEAD, style: { head: [], border: [] } });
  table.push(...rows(result));
  return `${table.toString()}\n${sentences(result).join('\n')}\n`;
}

export function asMarkdown(result: CampaignResult): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const body = [line(HEAD), line(HEAD.map((_, index) => (index === 0 ? '---' : '--:'))), ...rows(result).map(line)];
  return `# Fault campaign\n\n${body.join('\n')}\n\n${sentences(result)
    .map((text) => `* ${text}`)
    .join('\n')}\n`;
}
