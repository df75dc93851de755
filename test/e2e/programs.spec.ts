/**
 * The commands that a user runs first, run as the user runs them: demo with both applications, a short bench; and that they leave nothing.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Row } from '../bench/rows.js';

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, ...words: string[]): Promise<Run> {
  const path = fileURLToPath(new URL(`../${program}/main.js`, import.meta.url));
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [path, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('close', (code) => {
      resolve({ code, stdout, stderr });
    });
  });
}

interface DemoOutcome {
  readonly ok: boolean;
  readonly acknowledged: number;
  readonly lost: number;
  readonly identical: boolean;
  readonly acts: readonly { readonly name: string; readonly outageMs: number }[];
}

describe('programs', () => {
  for (const application of ['ledger', 'postgresql']) {
    it(`the demo with ${application} loses nothing and ends with identical copies`, async () => {
      const { code, stdout, stderr } = await run('demo', '--json', '--app', application, '--calm', '0.7');
      assert.equal(code, 0, stderr);
      const outcome = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as DemoOutcome;
      assert.deepEqual(
        outcome.acts.map(({ name }) => name),
        ['power-cut', 'failback', 'swap', 'stop', 'start'],
      );
      assert.equal(outcome.ok, true);
      assert.equal(outcome.lost, 0);
      assert.equal(outcome.identical, true);
      assert.ok(outcome.acknowledged > 100);
    });
  }

  it('the demo refuses an unknown application by name', async () => {
    const { code, stderr } = await run('demo', '--app', 'oracle');
    assert.equal(code, 1);
    assert.match(stderr, /oracle.*ledger and postgresql/);
  });

  it('the benchmarks print rows in one JSON object', async () => {
    const { stdout, stderr } = await run('bench', 'replication', '--quick', '--rounds', '1', '--json');
    const { rows } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { rows: readonly Row[] };
    assert.equal(rows.length, 3, stderr);
    for (const { value, ratio, target } of rows) assert.ok(value > 0 && ratio !== undefined && ratio > 0 && target !== undefined);
  });
});
