/** What an answer is worth: its body and its certificate. Each function returns what is wrong, undefined when nothing is. */
import type { BodyDemand } from './configuration.js';

const DAY_MS = 86_400_000;
const QUOTED_CHARS_MAX = 60;

export async function judgeBody({ expression, json }: BodyDemand, text: string): Promise<string | undefined> {
  if (expression !== undefined && !(await expression.matches(text)))
    return `the body does not satisfy ${expression.source}: ${quoted(text)}`;
  return json === undefined ? undefined : judgeJson(text, json.path, json.equals);
}

function judgeJson(text: string, path: string, equals: string | undefined): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `the body is not JSON: ${quoted(text)}`;
  }
  for (const step of path.split('.')) {
    const inside = typeof value === 'object' && value !== null && Object.hasOwn(value, step);
    if (!inside) return `the JSON has no ${path}`;
    value = (value as Readonly<Record<string, unknown>>)[step];
  }
  const shown = typeof value === 'string' ? value : JSON.stringify(value);
  if (equals === undefined) return value === false || value === null ? `${path} is ${shown}` : undefined;
  return shown === equals ? undefined : `${path} is ${quoted(shown)}, not "${equals}"`;
}

export function judgeExpiry(validTo: Date | undefined, leastMs: number, nowMs: number): string | undefined {
  const leftMs = (validTo?.getTime() ?? Number.NaN) - nowMs;
  if (Number.isNaN(leftMs)) return 'there is no certificate that could expire';
  if (leftMs < 0) return `the certificate expired ${days(-leftMs)} ago`;
  return leftMs < leastMs ? `the certificate expires in ${days(leftMs)}, at least ${days(leastMs)} are wanted` : undefined;
}

function days(durationMs: number): string {
  const number = durationMs / DAY_MS;
  return number >= 2 ? `${Math.floor(number)} days` : `${(durationMs / 3_600_000).toFixed(1)} hours`;
}

function quoted(text: string): string {
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim();
  return `"${line.length > QUOTED_CHARS_MAX ? `${line.slice(0, QUOTED_CHARS_MAX)}…` : line}"`;
}
