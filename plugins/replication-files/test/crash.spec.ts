/**
 * A sample of sequences of operations and points at which a node crashes: at a record of the link, by a kill or by a power cut that loses
 * what was not synced. `npm run campaign -- crash` does them all. `CYCLES=100` does more, `SEED` repeats.
 */
import { CrashLab } from './crash-lab.js';
import { randomCycle } from './crash-plan.js';
import { Random } from './random.js';

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
const CYCLES = Number(process.env['CYCLES'] ?? 8);
const CYCLE_MS = 20_000;

describe(`a pair that crashes in the middle of its work (SEED=${SEED})`, function () {
  this.timeout((CYCLES + 2) * CYCLE_MS);

  for (const settings of [{ async: 'second' }, { async: 'none' }, { sync: 'fsync' }] as const) {
    it(`holds what it has acknowledged, and both nodes the same in the end (${JSON.stringify(settings)})`, async () => {
      const random = new Random(SEED);
      const lab = await CrashLab.create(settings);
      try {
        for (let cycle = 0; cycle < CYCLES; cycle += 1) {
          const { sequences, concurrency, crash } = randomCycle(random);
          const what = `cycle ${cycle}: ${JSON.stringify(crash)}, ${concurrency} at a time`;
          await lab.cycle(sequences, concurrency, crash).catch((error: unknown) => {
            throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
          });
        }
      } finally {
        await lab.close();
      }
    });
  }
});
