/**
 * The application of the crash tests: `crash-process.js DIRECTORY CONCURRENCY SEQUENCES` (JSON). Prepares a directory for every sequence,
 * says `ready`, waits for a line, then performs the sequences, so many at a time. Every operation that has returned is a line
 * `<sequence> <step> <ok or errno>`, written before the next one begins; what a lost mount answers is no answer.
 */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { perform, prepare, type Sequence } from './crash-operations.js';

const [directory = '', concurrencyText = '1', sequencesText = '[]'] = process.argv.slice(2);
const sequences = JSON.parse(sequencesText) as readonly Sequence[];
const NO_ANSWER = ['ENOTCONN', 'EIO', 'ECONNABORTED', 'EFALLOCATE'];

const say = (text: string): void => {
  writeSync(1, `${text}\n`);
};

let next = 0;
async function work(): Promise<void> {
  for (let index = next; index < sequences.length; index = next) {
    next += 1;
    for (const [step, name] of (sequences[index] ?? []).entries()) {
      const outcome = await perform(name, join(directory, String(index)));
      if (NO_ANSWER.includes(outcome)) return;
      say(`${index} ${step} ${outcome}`);
    }
  }
}

for (const index of sequences.keys()) await prepare(join(directory, String(index)));
say('ready');
await new Promise((resolve) => process.stdin.once('data', resolve));
process.stdin.destroy();
await Promise.all(Array.from({ length: Number(concurrencyText) }, () => work()));
say('done');
