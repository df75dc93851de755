/** `npm run campaign -- faults`: options, progress, and what is said in the end. */
import { writeFileSync } from 'node:fs';
import { HoldfastError } from '@holdfast/sdk';
import { asMarkdown, asTable, isGood, summary } from './report.js';
import { faultCampaign } from './run.js';

export interface FaultWords {
  readonly faults?: string;
  readonly minutes?: string;
  readonly seed?: string;
  readonly first?: string;
  readonly report?: string;
  readonly json: boolean;
}

const FAULTS_DEFAULT = 20;
const CHECK_EVERY = 10;

/** @returns exit status. @throws HF_CAMPAIGN_OPTION */
export async function runFaults(words: FaultWords): Promise<number> {
  const minutes = numberOf('minutes', words.minutes);
  const seed = numberOf('seed', words.seed) ?? Math.floor(Math.random() * 1e6);
  const faultsMax = numberOf('faults', words.faults) ?? (minutes === undefined ? FAULTS_DEFAULT : Infinity);
  const out = process.stderr;
  let width = 0;
  const clear = (): void => {
    if (width > 0) out.write(`\r${' '.repeat(width)}\r`);
    width = 0;
  };
  const say = (text: string): void => {
    clear();
    out.write(`${text}\n`);
  };
  say(`seed ${seed}`);
  const result = await faultCampaign({
    seed,
    faultsMax,
    durationMs: minutes === undefined ? Infinity : minutes * 60_000,
    checkEvery: CHECK_EVERY,
    first: numberOf('first', words.first) ?? 1,
    say,
    onProgress: (text) => {
      if (!out.isTTY) return say(text);
      clear();
      const line = text.slice(0, out.columns - 1);
      out.write(line);
      width = line.length;
    },
  });
  clear();
  (words.json ? process.stderr : process.stdout).write(asTable(result));
  if (words.report !== undefined) writeFileSync(words.report, asMarkdown(result));
  if (words.json) process.stdout.write(`${JSON.stringify(summary(result))}\n`);
  return isGood(result) ? 0 : 1;
}

function numberOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text !== '' && Number.isFinite(value) && value > 0) return value;
  throw new HoldfastError('HF_CAMPAIGN_OPTION', `--${name} ${text} is not a number above 0`);
}
