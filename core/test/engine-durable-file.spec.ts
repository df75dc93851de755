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

  it('loses nothing when one slot is cut or changed at any byte, whichever it is, and mends it', async () => {
    const file = await DurableFile.open<{ n: number }>(path());
    await file.write({ n: 1 });
    await file.write({ n: 2 });
    for (const name of ['a', 'b']) {
      const slot = `${path()}.${name}`;
      const whole = Buffer.from((await readFile(slot, 'utf8')).trimEnd());
      for (let at = 1; at < whole.length - 1; at += 3) {
        const flipped = Buffer.from(whole);
        flipped[at] = (flipped[at] ?? 0) ^ 0x04;
        for (const damage of [whole.subarray(0, at), flipped]) {
          await writeFile(slot, damage);
          assert.deepEqual((await DurableFile.open<{ n: number }>(path(), { isExpected: true })).value, { n: 2 }, `${name} at ${at}`);
        }
      }
      for (const damage of [Buffer.alloc(0), Buffer.alloc(16_384), Buffer.alloc(16_384, ' ')]) {
        await writeFile(slot, damage);
        assert.deepEqual((await DurableFile.open<{ n: number }>(path(), { isExpected: true })).value, { n: 2 });
      }
      await rm(slot);
      assert.deepEqual((await DurableFile.open<{ n: number }>(path(), { isExpected: true })).value, { n: 2 });
    }
    assert.equal(await readFile(`${path()}.a`, 'utf8'), await readFile(`${path()}.b`, 'utf8'));
  });

  it('holds the value before, or the new one, when the power goes between the two slots', async () => {
    const file = await DurableFile.open<{ n: number }>(path());
    await file.write({ n: 1 });
    const before = await readFile(`${path()}.b`);
    await file.write({ n: 2 });
    const after = await readFile(`${path()}.a`);
    // The first slot is torn, the second was not reached.
    await writeFile(`${path()}.b`, before);
    await writeFile(`${path()}.a`, after.subarray(0, 40));
    assert.deepEqual((await DurableFile.open<{ n: number }>(path())).value, { n: 1 });
    // The first slot is whole, the second was not reached, or is torn.
    await writeFile(`${path()}.b`, before);
    await writeFile(`${path()}.a`, after);
    assert.deepEqual((await DurableFile.open<{ n: number }>(path())).value, { n: 2 });
  });

  it('refuses to start from nothing when both slots are damaged, and names the files and what to do', async () => {
    const file = await DurableFile.open<{ n: number }>(path());
    await file.write({ n: 1 });
    await file.write({ n: 2 });
    await writeFile(`${path()}.a`, '{');
    await rm(`${path()}.b`);
    await assert.rejects(DurableFile.open(path(), { module: 'm' }), (error: unknown) => {
      assert.ok(error instanceof HoldfastError);
      assert.equal(error.code, 'HF_STATE_DAMAGED');
      assert.match(error.message, /decision\.a is damaged, .*decision\.b is missing/);
      assert.match(error.message, /intact copy of either file back.*holdfast module forget-state -m m/);
      return true;
    });
  });

  const losses: Readonly<Record<string, (slot: string) => Promise<void>>> = {
    missing: (slot) => rm(slot),
    empty: (slot) => writeFile(slot, ''),
    'cut off to blanks': (slot) => writeFile(slot, '  '),
  };
  for (const [loss, apply] of Object.entries(losses)) {
    it(`does not take a state for new that must be there and is ${loss}, but one that never was`, async () => {
      await DurableFile.open(path());
      assert.equal((await DurableFile.open(path(), { isExpected: true })).value, undefined, 'made and never written');
      for (const slot of ['a', 'b']) await apply(`${path()}.${slot}`);
      await assert.rejects(DurableFile.open(path(), { isExpected: true }), /HF_STATE_DAMAGED/);
      assert.equal((await DurableFile.open(path())).value, undefined);
    });
  }

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

  it('writes the slot first whose write failed before: the other one is whole until it is', async () => {
    const file = await DurableFile.open<{ n: number }>(path());
    await file.write({ n: 1 });
    const [whole, failing] = [`${path()}.a`, `${path()}.b`];
    await rm(failing);
    await mkdir(failing);
    await assert.rejects(file.write({ n: 2 }), /EISDIR/);
    assert.match(await readFile(whole, 'utf8'), /"n": 2/);
    await assert.rejects(file.write({ n: 3 }), /EISDIR/);
    assert.match(await readFile(whole, 'utf8'), /"n": 2/, 'it was not touched');
    assert.deepEqual(file.value, { n: 1 }, 'neither was taken');
    await rm(failing, { recursive: true });
    await file.write({ n: 4 });
    assert.equal(await readFile(whole, 'utf8'), await readFile(failing, 'utf8'));
  });
});
