/**
 * Hundreds of thousands of random operations of several processes at once, each done in the replicated directory and in a bare one:
 * applications must not be able to tell them apart, and both nodes must hold the same afterwards. `OPERATIONS=1000000` does more.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertIdentical, Lab, SYNC_MODES, until } from './lab.js';

const DUEL = fileURLToPath(new URL('./duel-process.js', import.meta.url));
const OPERATIONS = Number(process.env['OPERATIONS'] ?? 200_000);
const PROCESSES = 4;
/** The kernel does most of the work when it writes back. */
const COUNTS = { write: OPERATIONS, fsync: OPERATIONS / 4 } as const;
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));

describe(`a replicated directory beside a bare one (SEED=${SEED})`, function () {
  this.timeout(90_000 + OPERATIONS * 2);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  for (const sync of SYNC_MODES) {
    const count = COUNTS[sync];
    it(`answers ${count} random operations of ${PROCESSES} processes as a disk does, on both nodes (sync ${sync})`, async () => {
      const { a, b } = await lab.connectedPair({ sync });
      await a.must('mkdir shared');
      let isDone = false;
      const working = Promise.all(
        Array.from({ length: PROCESSES }, async (_, index) => {
          const bare = join(lab.base, `bare${index}`);
          mkdirSync(bare);
          await a.must(`mkdir own${index}`);
          return a.run(`${process.execPath} ${DUEL} ${SEED + index} ${count / PROCESSES} own${index} ${bare} shared ${sync}`);
        }),
      ).finally(() => (isDone = true));
      await until(
        () => isDone || a.status.link === 'holding',
        () => 'the operations',
        60_000 + count * 2,
      );
      // Nothing may end the link; a primary that holds would never answer.
      if (!isDone) await a.call({ call: 'refuse' });
      const outcomes = await working;
      for (const { code, output } of outcomes) assert.equal(code, 0, `${output}${a.log.concat(b.log).join('\n')}`);
      await assertIdentical(a, b);
      assert.equal(a.status.link, 'connected', a.log.join('\n'));
      assert.deepEqual(
        [a, b].flatMap(({ log }) => log.filter((line) => line.startsWith('warn') || line.startsWith('error'))),
        [],
      );
    });
  }
});
