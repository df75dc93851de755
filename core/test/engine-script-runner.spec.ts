import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import { runScript, type ScriptRun } from '../src/engine/script-runner.js';

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

describe('script runner', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-scripts-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const script = async (name: string, body: string, mode = 0o755): Promise<void> => {
    await writeFile(join(folder, name), body);
    await chmod(join(folder, name), mode);
  };

  const run = (name: string, change: Partial<ScriptRun> = {}): ReturnType<typeof runScript> =>
    runScript({
      directory: folder,
      script: name,
      arguments: ['WAIT', 'ALONE', 'start'],
      environment: { PATH: process.env['PATH'] ?? '', GREETING: 'hello world' },
      timeoutMs: 5000,
      logDirectory: join(folder, 'logs'),
      logBytesMax: 4096,
      ...change,
    });

  const refusal = async (work: Promise<unknown>): Promise<HoldfastError> => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof HoldfastError, `expected a coded error, got ${String(error)}`);
    return error;
  };

  it('passes the three arguments and the environment, and keeps the output', async () => {
    await script('start_prim', '#!/bin/sh\necho "$1-$2-$3 $GREETING"\necho problem >&2\n');
    const result = await run('start_prim');
    assert.equal(result.outcome, 'done');
    const log = await readFile(result.log ?? '', 'utf8');
    assert.match(log, /WAIT-ALONE-start hello world/);
    assert.match(log, /problem/);
  });

  it('does not mind a script that the module does not ship', async () => {
    assert.deepEqual(await run('start_sec'), { outcome: 'missing', durationMs: 0 });
  });

  it('names a script that is not executable', async () => {
    await script('start_prim', '#!/bin/sh\nexit 0\n', 0o644);
    const error = await refusal(run('start_prim'));
    assert.equal(error.code, 'HF_SCRIPT_NOT_EXECUTABLE');
    assert.match(error.message, /chmod \+x .*start_prim/);
  });

  it('names a script whose interpreter does not exist', async () => {
    await script('start_prim', '#!/no/such/shell\n');
    assert.match((await refusal(run('start_prim'))).message, /^HF_SCRIPT_FAILED: .*by its interpreter "\/no\/such\/shell": /);
    await script('start_prim', '#!/bin/sh\r\necho hello\r\n');
    assert.match((await refusal(run('start_prim'))).message, /carriage returns: convert it with dos2unix/);
  });

  it('gives a script without a first line to the shell, any other to its interpreter, and runs a program as it is', async () => {
    await script('start_prim', 'echo "shell $1"\n');
    assert.equal(await readFile((await run('start_prim')).log ?? '', 'utf8'), 'shell WAIT\n');
    await script('start_prim', `#!${process.execPath}\nprocess.stdout.write(process.argv[3])\n`);
    assert.equal(await readFile((await run('start_prim')).log ?? '', 'utf8'), 'ALONE');
    await copyFile('/bin/echo', join(folder, 'start_prim'));
    assert.equal(await readFile((await run('start_prim')).log ?? '', 'utf8'), 'WAIT ALONE start\n');
  });

  it('keeps the last words of a script that ends right after them', async () => {
    await script('start_prim', '#!/bin/sh\nhead -c 60000 /dev/zero | tr "\\0" x; echo; echo last words; exit 1\n');
    for (let n = 0; n < 20; n += 1) assert.match((await refusal(run('start_prim'))).message, /last words$/);
  });

  it('runs a script through another command', async () => {
    await script('start_prim', '#!/bin/sh\necho "$VIA $1"\n');
    assert.equal(await readFile((await run('start_prim', { through: ['env', 'VIA=env'] })).log ?? '', 'utf8'), 'env WAIT\n');
  });

  it('ends a script that multiplies, and one that never stops writing, at its time limit', async () => {
    // 4 + 16 + 64 processes that do not listen.
    const grow = 'grow() { for i in 1 2 3 4; do (($1 > 0)) && { grow $(($1 - 1)); } & done; sleep 60; }';
    await script('start_prim', `#!/bin/bash\ntrap '' TERM\n${grow}\ngrow 3\n`);
    assert.equal((await refusal(run('start_prim', { timeoutMs: 300 }))).code, 'HF_SCRIPT_TIMEOUT');
    await script('start_prim', '#!/bin/sh\nexec yes\n');
    const before = process.memoryUsage().rss;
    assert.equal((await refusal(run('start_prim', { timeoutMs: 1000 }))).code, 'HF_SCRIPT_TIMEOUT');
    assert(process.memoryUsage().rss - before < 100e6);
    const left = (): readonly string[] => readdirSync('/proc').filter((pid) => commandOf(pid).includes(join(folder, 'start_prim')));
    const end = Date.now() + 5000;
    while (left().length > 0 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(left(), []);
  }).timeout(20_000);

  it('reports the exit status and the last words of a script that fails', async () => {
    await script('start_prim', '#!/bin/sh\necho one; echo "database is locked" >&2; exit 3\n');
    const error = await refusal(run('start_prim'));
    assert.equal(error.code, 'HF_SCRIPT_FAILED');
    assert.match(error.message, /status 3.*database is locked/);
  });

  it('kills a script that hangs, with everything it started', async () => {
    await script(
      'start_prim',
      `#!/bin/sh\ntrap '' TERM\nsh -c 'trap "" TERM; echo $$ > ${folder}/child; while :; do sleep 0.2; done' &\nwait\nsleep 100\n`,
    );
    const error = await refusal(run('start_prim', { timeoutMs: 500 }));
    assert.equal(error.code, 'HF_SCRIPT_TIMEOUT');
    const child = Number(await readFile(join(folder, 'child'), 'utf8'));
    const end = Date.now() + 5000;
    while (existsSync(`/proc/${child}`) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(existsSync(`/proc/${child}`), false, 'the child of the script is still there');
  }).timeout(15_000);

  it('does not wait for a daemon that keeps the output open', async () => {
    await script('start_prim', `#!/bin/sh\nsleep 30 &\necho $! > ${folder}/daemon\nexit 0\n`);
    const began = performance.now();
    await run('start_prim');
    assert.ok(performance.now() - began < 5000);
    process.kill(Number(await readFile(join(folder, 'daemon'), 'utf8')), 'SIGKILL');
  });

  it('bounds the log of one run and the number of logs', async () => {
    await script('start_prim', '#!/bin/sh\nhead -c 100000 /dev/zero | tr "\\0" x\n');
    const result = await run('start_prim');
    const log = await readFile(result.log ?? '', 'utf8');
    assert.deepEqual([log.indexOf('x'), log.lastIndexOf('x'), log.slice(4096)], [0, 4095, '\n[further output is dropped: userlogsize]\n']);
    await script('stop_prim', '#!/bin/sh\nexit 0\n');
    for (let n = 0; n < 65; n += 1) await run('stop_prim');
    assert.ok((await readdir(join(folder, 'logs'))).length <= 60);
  }).timeout(30_000);
});
