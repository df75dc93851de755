/** `npm run simulate` as it is run: what it prints, also when it is ended before it has played everything. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../simulation/main.js', import.meta.url));

interface Played {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

/** `atProgress`: what is sent when the first line of progress is there. */
async function play(options: readonly string[], atProgress?: NodeJS.Signals): Promise<Played> {
  const child = spawn(process.execPath, [MAIN, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => {
    const isFirst = !stderr.includes(' left');
    stderr += data.toString();
    if (isFirst && stderr.includes(' left') && atProgress !== undefined) child.kill(atProgress);
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { stdout, stderr, status };
}

describe('npm run simulate', function () {
  this.timeout(120_000);

  it('ends with one JSON object that counts what was played, the same with any number of threads', async () => {
    const totals: object[] = [];
    for (const jobs of ['1', '2']) {
      const { stdout, stderr, status } = await play(['--seeds', '250', '--seed', '77', '--jobs', jobs, '--json']);
      assert.equal(status, 0, stderr);
      const { seconds, ...total } = JSON.parse(stdout) as Record<'seeds' | 'steps' | 'violations' | 'seconds', number>;
      assert.ok(seconds > 0);
      assert.deepEqual([total.seeds, total.violations], [250, 0]);
      assert.ok(total.steps > 250 * 100);
      totals.push(total);
    }
    assert.deepEqual(totals[0], totals[1]);
  });

  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`tells what it has played when ${signal} ends it, and where to go on`, async () => {
      const options = ['--seeds', '100000000', '--seed', '1001', '--jobs', '2', '--progress', '1', '--json'];
      const { stdout, stderr, status } = await play(options, signal);
      assert.equal(status, expected, stderr);
      assert.match(stderr, /^\d+ of 100000000 seeds, \d+ per second, [\d.]+ h left, 0 violations$/m);
      const { seeds, steps, violations } = JSON.parse(stdout) as Record<'seeds' | 'steps' | 'violations', number>;
      assert.ok(seeds > 0 && seeds < 100_000_000 && steps > seeds && violations === 0, stdout);
      const [, last, next, rest] = /seeds 1001 to (\d+) were played; --seed (\d+) --seeds (\d+)/.exec(stderr) ?? [];
      assert.deepEqual([last, next, rest].map(Number), [1000 + seeds, 1001 + seeds, 100_000_000 - seeds]);
    });
  }
});
