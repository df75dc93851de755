/** What a value or a replica's lag is worth. Pure. */
import type { CheckResult } from '@holdfast/sdk';
import type { Demand } from './configuration.js';

const SHOWN_CHARS_MAX = 80;

export function judgeValue(value: unknown, { min, max }: Extract<Demand, { kind: 'query' }>): CheckResult {
  const bounded = min !== undefined || max !== undefined;
  if (value === undefined) return { verdict: 'down', detail: 'the query brings no row' };
  if (!bounded) return { verdict: 'up', detail: `the query brings ${shown(value)}` };
  // Databases give large and exact numbers as text.
  const number = typeof value === 'string' && value.trim() === '' ? Number.NaN : Number(value ?? Number.NaN);
  if (!Number.isFinite(number)) return { verdict: 'down', detail: `the query brings ${shown(value)}, which is no number` };
  if (min !== undefined && number < min) return { verdict: 'down', detail: `the query brings ${number}, at least ${min} is wanted` };
  if (max !== undefined && number > max) return { verdict: 'down', detail: `the query brings ${number}, at most ${max} is wanted` };
  return { verdict: 'up', detail: `the query brings ${number}` };
}

export function judgeLag(lag: number | string, lagMsMax: number): CheckResult {
  if (typeof lag === 'string') return { verdict: 'down', detail: lag };
  const seconds = (lag / 1000).toFixed(1);
  if (lag <= lagMsMax) return { verdict: 'up', detail: `the replica is ${seconds} s behind` };
  return { verdict: 'down', detail: `the replica is ${seconds} s behind, at most ${lagMsMax / 1000} s are wanted` };
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, ' ');
  return line.length > SHOWN_CHARS_MAX ? `${line.slice(0, SHOWN_CHARS_MAX)}…` : line;
}
