/** A short fault campaign, run as a user runs it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../campaign/main.js', import.meta.url));
const FAULTS = 7;

interface Outcome {
  readonly faults: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly dualPrimary: number;
  readonly identical: boolean;
  readonly outageMs: Readonly<Record<'p50' | 'p95' | 'p99' | 'max', number>>;
}

describe('a fault campaign', () => {
  it('breaks no promise', async () => {
    const child = spawn(process.execPath, [PROGRAM, 'faults', '--faults', String(FAULTS), '--seed', '1873', '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 0, stderr);
    const outcome = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Outcome;
    assert.equal(outcome.faults, FAULTS);
    assert.equal(outcome.lost, 0);
    assert.equal(outcome.dualPrimary, 0);
    assert.equal(outcome.identical, true);
    assert.ok(outcome.acknowledged > 100);
    assert.ok(outcome.outageMs.max >= outcome.outageMs.p50);
  });
});
