/**
 * All the cycles of `crash.spec.ts` that one has time for: `crash-campaign.js OPTIONS` (JSON: rounds, seed, all). Random ones, or every
 * sequence of one length with every victim at every record. Lines of progress, then one line of JSON.
 */
import { CrashLab } from './crash-lab.js';
import { cyclesOfAll, randomCycles } from './crash-plan.js';
import { Random } from './random.js';

const CYCLES_PER_LAB = 50;
const WAYS = [
  ['second', 'write'],
  ['none', 'write'],
  ['second', 'fsync'],
] as const;

const options = JSON.parse(process.argv[2] ?? '{}') as { readonly rounds?: number; readonly seed?: number; readonly all?: number };
const cycles = options.all === undefined ? randomCycles(new Random(options.seed ?? 1)) : cyclesOfAll(options.all);
const rounds = options.all === undefined ? (options.rounds ?? 200) : Number.MAX_SAFE_INTEGER;
const problems: string[] = [];
let [done, acknowledged, interrupted, labs] = [0, 0, 0, 0];
let isInterrupted = true;

for (let isLast = false; !isLast; ) {
  const [async, sync] = WAYS[labs % WAYS.length] as (typeof WAYS)[number];
  labs += 1;
  const lab = await CrashLab.create({ async, sync });
  try {
    for (let left = CYCLES_PER_LAB; left > 0 && !isLast; left -= 1) {
      const next = done >= rounds ? undefined : cycles.next(isInterrupted);
      isLast = next === undefined || next.done === true;
      if (next === undefined || next.done === true) break;
      const { sequences, concurrency, crash } = next.value;
      done += 1;
      const what = `cycle ${done}, async ${async}, sync ${sync}: ${crash.victim} ${crash.how}, ${crash.records} records ${crash.direction}`;
      try {
        const result = await lab.cycle(sequences, concurrency, crash);
        acknowledged += result.acknowledged;
        isInterrupted = result.isInterrupted;
        interrupted += isInterrupted ? 1 : 0;
        process.stdout.write(`${what}: ${result.acknowledged} operations acknowledged\n`);
      } catch (error) {
        problems.push(`${what}, ${concurrency} at a time: ${error instanceof Error ? error.message : String(error)}`);
        process.stdout.write(`BROKEN: ${problems.at(-1) ?? ''}\n`);
        break;
      }
    }
  } finally {
    await lab.close();
  }
}
const ok = problems.length === 0;
process.stdout.write(
  `${JSON.stringify({ ok, rounds: done, interrupted, acknowledged, lost: problems.length, identical: ok, problems })}\n`,
);
