/** Incarnations grow, over restarts, clocks set back, damage and loss of their file. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '@holdfast/sdk';
import { Incarnations } from '../src/incarnation.js';

describe('incarnation', () => {
  let directory: string;
  let warnings: string[];
  const silent = (): void => undefined;
  const log: Log = { debug: silent, info: silent, warn: (message) => warnings.push(message), error: silent };

  beforeEach(async () => {
    warnings = [];
    directory = await mkdtemp(join(tmpdir(), 'holdfast-incarnation-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it('grows with every call, also with calls at the same time, and after a restart', async () => {
    const first = new Incarnations(directory, log);
    const taken = await Promise.all([first.next(), first.next(), first.next()]);
    taken.push(await new Incarnations(directory, log).next());
    for (const [index, bytes] of taken.entries()) {
      assert.equal(bytes.length, 16);
      const former = taken[index - 1];
      if (former !== undefined) assert.ok(bytes.compare(former) > 0);
    }
  });

  it('goes on from its file, not from the clock, when the clock is behind', async () => {
    const ahead = Date.now() + 1e11;
    await writeFile(join(directory, 'incarnation'), `${ahead}\n`);
    const bytes = await new Incarnations(directory, log).next();
    assert.equal(Number(bytes.readBigUInt64BE()), ahead + 1);
    assert.equal(await readFile(join(directory, 'incarnation'), 'utf8'), `${ahead + 1}\n`);
    assert.deepEqual(await readdir(directory), ['incarnation']);
  });

  it('goes on from the clock, with a warning, when its file is damaged', async () => {
    const former = await new Incarnations(directory, log).next();
    for (const text of ['', 'x', '12', '99999999999999999999\n']) {
      await writeFile(join(directory, 'incarnation'), text);
      const bytes = await new Incarnations(directory, log).next();
      assert.ok(bytes.compare(former) > 0);
    }
    assert.equal(warnings.length, 4);
  });

  it('is refused, by name, when it cannot be made durable', async () => {
    const absent = new Incarnations(join(directory, 'absent'), log);
    await assert.rejects(absent.next(), { code: 'HF_HEARTBEAT_STATE' });
    await assert.rejects(absent.next(), { code: 'HF_HEARTBEAT_STATE' });
  });

  it('grows on a disk without any room', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', directory]);
    try {
      const former = await new Incarnations(directory, log).next();
      await assert.rejects(writeFile(join(directory, 'filler'), Buffer.alloc(128 << 10)), { code: 'ENOSPC' });
      const bytes = await new Incarnations(directory, log).next();
      assert.ok(bytes.compare(former) > 0);
      assert.equal(await readFile(join(directory, 'incarnation'), 'utf8'), `${bytes.readBigUInt64BE()}\n`);
      await rm(join(directory, 'filler'));
      assert.ok((await new Incarnations(directory, log).next()).compare(bytes) > 0);
      assert.deepEqual(await readdir(directory), ['incarnation']);
    } finally {
      execFileSync('umount', [directory]);
    }
  });
});
