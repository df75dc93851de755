/**
 * `npm run simulate`: the decisions against faults of every kind; many seeds fast, one seed as a transcript, deliberate bugs as a proof.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import * as decisions from '@holdfast/core/decide';
import { messageOf } from '@holdfast/sdk';
import { Crew } from './crew.js';
import { exploreAll } from './exploration.js';
import { hunt } from './hunt.js';
import { runSeed } from './run.js';
import { simulate } from './simulate.js';

const HELP = `Usage: npm run simulate -- [options]

Plays two simulated nodes, their witness, network, disks and clocks against the decisions of the product. Each seed is another
story of faults and operators; checked is that never two nodes acknowledged, that no acknowledged write was lost, and that the
pair is whole again at the end.

  --seeds N       how many seeds (default: 1000)
  --seed S        the first of them (default: 1); with --seeds 1 its transcript is printed
  --jobs N        threads (default: one per processor); the result is the same with any number. SIGINT and SIGTERM end it
                  in good order: what was played until then is told and counts, and from which seed to go on
  --explore       instead: every order of what can happen to a healthy pair under few faults and commands, breadth-first
  --states N      with --explore: states per bound at the most (default: 200000; 1000000 exhausts a power cut of either node)
  --depth N       with --explore: events in a row at the most (default: 200)
  --mutants       instead: each deliberate bug in the decisions must be caught
  --effort N      with --mutants: seeds per bug at the most (default: 20000)
  --progress N    seconds between two lines of progress on stderr (default: 10): seeds per second, time left
  --json          one JSON object as the last line: {"seeds","steps","violations","seconds"},
                  {"states","depth","exhausted","violations","seconds","bounds"} or {"total","caught","missed"}
  --help          this text

Exit status: 0 no violation (every bug caught), 1 otherwise, 130 or 143 when SIGINT or SIGTERM ended it without a violation.
`;

function tellOne(seed: number): boolean {
  const { transcript, violation } = runSeed(decisions, seed, true);
  process.stdout.write(`${(transcript ?? []).join('\n')}\n`);
  return violation === undefined;
}

function statusOf(isGood: boolean): number {
  return isGood ? 0 : 1;
}

function numberOf(text: string, option: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`--${option} ${text} is not a whole number above 0`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      explore: { type: 'boolean', default: false },
      states: { type: 'string', default: '200000' },
      depth: { type: 'string', default: '200' },
      mutants: { type: 'boolean', default: false },
      effort: { type: 'string', default: '20000' },
      progress: { type: 'string', default: '10' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [seeds, seed] = [numberOf(values.seeds, 'seeds'), numberOf(values.seed, 'seed')];
  const [jobs, effort] = [numberOf(values.jobs, 'jobs'), numberOf(values.effort, 'effort')];
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (seeds === 1 && !values.mutants && !values.explore && !values.json) return statusOf(tellOne(seed));
  const crew = new Crew(jobs, (task, states, depth) => {
    if (task.kind === 'explore' && task.mutant === undefined && process.stderr.isTTY)
      process.stderr.write(`\r${task.options.faults} faults, ${task.options.commands} commands: ${states} states, depth ${depth} `);
  });
  try {
    if (values.explore)
      return statusOf(await exploreAll(crew, numberOf(values.states, 'states'), numberOf(values.depth, 'depth'), values.json));
    if (values.mutants) return statusOf(await hunt(crew, effort, values.json));
    return await simulate(crew, {
      count: seeds,
      first: seed,
      isJson: values.json,
      progressMs: 1000 * numberOf(values.progress, 'progress'),
    });
  } finally {
    await crew.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`simulate: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
