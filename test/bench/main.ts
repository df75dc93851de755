/** `npm run bench -- NAME`: measures and compares with the targets. Exits 1 when a promise is broken. */
import { parseArgs } from 'node:util';
import { messageOf } from '@holdfast/sdk';
import { benchFailover } from './failover.js';
import { benchReplication } from './replication.js';
import { tableOf, type Row } from './rows.js';

const HELP = `Usage: npm run bench -- failover|replication [options]

  failover         outage seen by a client at power cuts and swaps, with default timeouts
  replication      work in a replicated directory against a bare one, same disk, in turns
  --rounds N       rounds of each measure (default 5; the median counts)
  --quick          smaller amounts (replication)
  --json           one JSON object as the last line: {"rows":[{name, value, unit, against, ratio, target, met}, …]}

Exit status: 0 all targets met, 1 otherwise. Needs root (it builds a lab).
`;

async function measure(name: string | undefined, rounds: number, quick: boolean): Promise<Row[] | undefined> {
  const progress = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  switch (name) {
    case 'failover':
      return benchFailover(rounds, progress);
    case 'replication':
      return benchReplication(rounds, quick, progress);
    default:
      return undefined;
  }
}

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const rounds = Math.max(1, Number.parseInt(values.rounds, 10) || 1);
  const rows = values.help ? undefined : await measure(positionals[0], rounds, values.quick);
  if (rows === undefined) {
    process.stdout.write(HELP);
    process.exitCode = values.help ? 0 : 1;
  } else {
    process.stdout.write(values.json ? `${JSON.stringify({ rows })}\n` : `${tableOf(rows)}\n`);
    process.exitCode = rows.some(({ met }) => met === false) ? 1 : 0;
  }
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
