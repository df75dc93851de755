import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import { DurableFile } from '../src/engine/durable-file.js';

describe('durable file', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-durable-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const path = (): string => join(folder, 'state', 'decision');

  it('keeps the last value over a restart and starts with none', async () => {
    const first = await DurableFile.open<{ n: number }>(path());
    assert.equal(first.value, undefined);
    for (let n = 1; n <= 5; n += 1) await first.write({ n });
    assert.deepEqual((await DurableFile.open<{ n: number }>(path())).value, { n: 5 });
  });

  it('falls back to the value before when the newest slot is cut or changed at any byte', async () => {
    const file = await DurableFile.open<{ n: number }>(path());
    await file.write({ n: 1 });
    await file.write({ n: 2 });
    const slot = `${path()}.a`;
    const padded = await readFile(slot);
    const whole = Buffer.from(padded.toString('utf8').trimEnd());
    for (let at = 1; at < whole.length - 1; at += 3) {
      await writeFile(slot, whole.subarray(0, at));
      assert.deepEqual((await DurableFile.open<{ n: number }>(path())).value, { n: 1 }, `cut at ${at}`);
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] ?? 0) ^ 0x04;
      await writeFile(slot, flipped);
      const value = (await DurableFile.open<{ n: number }>(path())).value;
      // A flipped blank between two tokens may leave the same document.
      assert.ok(value?.n === 1 || value?.n === 2, `flipped at ${at}: ${JSON.stringify(value)}`);
    }
    await writeFile(slot, whole);
    assert.deepEqual((await DurableFile.open<{ n: number }>(path())).value, { n: 2 });
  });

  it('refuses to start from nothing when both slots are damaged', async () => {
    const file = await DurableFile.open<{ n: number }>(path());
    await file.write({ n: 1 });
    await file.write({ n: 2 });
    await writeFile(`${path()}.a`, '{');
    await writeFile(`${path()}.b`, 'garbage');
    await assert.rejects(DurableFile.open(path()), (error: unknown) => error instanceof HoldfastError && error.code === 'HF_STATE_DAMAGED');
  });

  it('writes on a disk that is full, because its room was taken before', async () => {
    const mount = join(folder, 'small');
    await mkdir(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', mount]);
    try {
      const file = await DurableFile.open<{ n: number }>(join(mount, 'decision'));
      await file.write({ n: 1 });
      await assert.rejects(writeFile(join(mount, 'filler'), Buffer.alloc(1024 * 1024)), /ENOSPC/);
      await file.write({ n: 2 });
      await file.write({ n: 3 });
      assert.deepEqual((await DurableFile.open<{ n: number }>(join(mount, 'decision'))).value, { n: 3 });
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  it('goes on with the next sequence after a damaged slot, so that the good slot is not overwritten first', async () => {
    const file = await DurableFile.open<{ n: number }>(path());
    await file.write({ n: 1 });
    await file.write({ n: 2 });
    await writeFile(`${path()}.a`, 'torn');
    const again = await DurableFile.open<{ n: number }>(path());
    await again.write({ n: 3 });
    assert.match(await readFile(`${path()}.b`, 'utf8'), /"n": 1/);
    assert.deepEqual((await DurableFile.open<{ n: number }>(path())).value, { n: 3 });
  });
});
