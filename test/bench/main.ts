/** `npm run bench -- NAME`: measures and compares with the targets. Exits 1 when a promise is broken. */
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { messageOf } from '@holdfast/sdk';
import { type Bench, BENCHES, commonOptions, listOf } from './benches.js';
import { type BenchResult, markdownOf, tableOf } from './rows.js';

/** Ended from outside, the work folder is still removed: that is done at `exit`. */
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help') {
    process.stdout.write(listOf(BENCHES));
    return 0;
  }
  const bench = BENCHES.find((candidate) => candidate.name === name);
  if (bench === undefined) {
    process.stderr.write(`bench: no benchmark "${name}"\n\n${listOf(BENCHES)}`);
    return 1;
  }
  const { values } = parseArgs({ args: rest, options: { ...commonOptions, ...bench.options } });
  if (values.help) {
    process.stdout.write(bench.help);
    return 0;
  }
  const result = await bench.run(values, (text) => {
    process.stderr.write(`${text}\n`);
  });
  const { rows, notes = [] } = result;
  if (values.json) process.stdout.write(`${JSON.stringify({ rows, notes })}\n`);
  else process.stdout.write([tableOf(rows), ...notes, ''].join('\n'));
  if (typeof values['markdown'] === 'string') writeMarkdown(values['markdown'], bench, result);
  return rows.some(({ met }) => met === false) ? 1 : 0;
}

/** `-` is the standard output. */
function writeMarkdown(file: string, { name }: Bench, { rows, notes = [], markdown }: BenchResult): void {
  const memory = Math.round(totalmem() / 1024 ** 3);
  const processor = cpus()[0]?.model ?? 'unknown processor';
  const machine = `${cpus().length} × ${processor}, ${memory} GiB, Linux ${release()}, Node ${process.version}`;
  const text = [`Benchmark \`${name}\` on ${machine}: median (min–max).`, markdown ?? markdownOf(rows), ...notes].join('\n\n');
  if (file === '-') process.stdout.write(`${text}\n`);
  else writeFileSync(file, `${text}\n`);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
