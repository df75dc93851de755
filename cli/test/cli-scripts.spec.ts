/** What scripts of a module call: the real commands, on real processes, a stand-in crontab, and the API of a module played in memory. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCriteria } from '../src/commands/processes.js';
import { switchCrontab } from '../src/crontab.js';
import { rewriteSafekit } from '../src/safekit.js';
import type { Outcome } from './command-line.js';

const SAFE = fileURLToPath(new URL('../../safe', import.meta.url));
const SAFEBIN = join(SAFE, 'private/bin');
const TAG = `holdfast-script-test-${process.pid}`;

describe('helpers of scripts', function () {
  this.timeout(30_000);
  let folder = '';
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-helpers-'));
  });
  afterEach(async () => {
    for (const { pid } of children.splice(0)) if (pid !== undefined && existsSync(`/proc/${pid}`)) process.kill(-pid, 'SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  function run(file: string, words: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const child = spawn(file, words, { env: { PATH: `${folder}:${process.env['PATH'] ?? ''}:${SAFEBIN}`, ...environment } });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
  }

  const helper = (name: string, ...words: readonly string[]): Promise<Outcome> => run(join(SAFEBIN, name), words);

  function start(script: string): number {
    const child = spawn('bash', ['-c', script], { detached: true, stdio: 'ignore' });
    children.push(child);
    assert(child.pid !== undefined);
    return child.pid;
  }

  /** Until the processes that a test starts are there. */
  async function found(count: number, expression: string): Promise<void> {
    const end = performance.now() + 10_000;
    for (;;) {
      const { stdout } = await helper('safekit', 'kill', `-argregex=${expression}`, '-level=test', '--json');
      const { processes } = JSON.parse(stdout) as { processes: readonly unknown[] };
      if (processes.length === count) return;
      assert(performance.now() < end, `waited in vain for ${count} processes: ${stdout}`);
    }
  }

  it('kill lists, asks, kills and spares those who call it', async () => {
    start(`trap '' TERM; exec -a ${TAG}-a sleep 60`);
    start(`exec -a ${TAG}-b sleep 60`);
    await found(2, `^${TAG}-[ab] 60`);
    const listed = await helper('safekit', 'kill', `-argregex=^${TAG}-[ab]`, '-level=test');
    assert.equal(listed.code, 0);
    assert.match(listed.stdout, new RegExp(`^\\d+ ${TAG}-[ab] 60\\n\\d+ ${TAG}-[ab] 60\\n$`));
    assert.equal((await helper('safekit', 'kill', '-name=sleep', `-argregex=^${TAG}-[ab]`, '-level=15')).code, 0);
    await found(1, `^${TAG}-[ab] 60`);
    const ended = await run('bash', ['-c', `safekit kill -argregex='${TAG}' -level=terminate; echo survived`]);
    assert.match(ended.stdout, /survived/);
    await found(0, `^${TAG}-[ab] 60`);
    assert.equal((await helper('safekit', 'kill', '-name=no-such-name', '-level=test')).code, 1);
  });

  it('kill refuses what would end everything, or is no expression', () => {
    const refused: readonly (readonly [readonly string[], RegExp])[] = [
      [['-level=9'], /needs -name= or -argregex=/],
      [['-name=a'], /-level= of kill must be one of test, terminate, 9, 15/],
      [['-name=a', '-level=11'], /-level=11/],
      [['-argregex=(', '-level=9'], /not a POSIX extended expression/],
      [['all', '-level=9'], /does not know all/],
    ];
    for (const [words, expected] of refused) assert.throws(() => readCriteria(words), expected);
    assert.equal(readCriteria(['-name', 'a', '--level', '9']).level, '9');
  });

  it('processtree shows and ends a process with all that it started, also what does not listen', async () => {
    const pid = start(`bash -c "trap '' TERM; exec -a ${TAG}-leaf sleep 60" & exec -a ${TAG}-root bash -c "sleep 61 & wait"`);
    await found(1, `^${TAG}-leaf`);
    await found(1, `^${TAG}-root`);
    const listed = await helper('processtree', 'list', String(pid));
    assert.match(listed.stdout, new RegExp(`^${pid} ${TAG}-root .*\\n  \\d+ ${TAG}-leaf 60$`, 'm'));
    assert.equal((await helper('safekit', '-r', 'processtree', 'kill', String(pid))).code, 0);
    await found(0, `^${TAG}-(leaf|root)`);
    assert.equal((await helper('processtree', 'list', String(pid))).code, 1);
    assert.match((await run('bash', ['-c', 'processtree kill $$; exit $?'])).stderr, /would end the script that calls it/);
  });

  it('boundcmd hands on arguments, output and status, and ends what takes too long with all that it started', async () => {
    assert.deepEqual(await helper('boundcmd', '5', 'sh', '-c', 'echo "$@"; exit 3', 'sh', '--json', '-H', '-V'), {
      code: 3,
      stdout: '--json -H -V\n',
      stderr: '',
    });
    const began = performance.now();
    const late = await helper(
      'boundcmd',
      '1',
      'bash',
      '-c',
      `trap '' TERM; bash -c "trap '' TERM; exec -a ${TAG}-late sleep 60"; sleep 60`,
    );
    assert.equal(late.code, 2);
    assert(performance.now() - began < 15_000);
    await found(0, `^${TAG}-late`);
    assert.equal((await helper('boundcmd', '1', join(folder, 'nothing'))).code, 127);
    assert.equal((await helper('boundcmd', 'soon', 'true')).code, 1);
  });

  it('gencron switches the entries of a user off and on, and no others', async () => {
    const table = [
      '# jobs',
      'PATH=/bin',
      '0 * * * * /opt/app/nightly',
      '@daily /opt/app/report',
      '5 5 * * * /opt/other',
      '#1 1 * * * /old',
      '',
    ].join('\n');
    await writeFile(join(folder, 'table'), table);
    const standIn =
      '#!/bin/sh\n[ "$2" = nobody ] && { echo "no crontab for nobody" >&2; exit 1; }\n' +
      `if [ "$3" = -l ]; then cat ${folder}/table; else cat > ${folder}/new && mv ${folder}/new ${folder}/table; fi\n`;
    await writeFile(join(folder, 'crontab'), standIn, { mode: 0o755 });
    assert.equal((await helper('gencron', 'del', 'oracle', '-c', 'ledger', '/opt/app/')).stdout, '2 entries of oracle switched off\n');
    const off = await readFile(join(folder, 'table'), 'utf8');
    assert.match(off, /^#holdfast-off\(ledger\): 0 \* \* \* \* \/opt\/app\/nightly$/m);
    assert.match(off, /^5 5/m);
    assert.equal((await helper('gencron', 'add', 'oracle', 'all')).stdout, '0 entries of oracle switched on\n');
    assert.equal((await helper('gencron', 'add', 'oracle', '-c', 'ledger', 'all')).stdout, '2 entries of oracle switched on\n');
    assert.equal(await readFile(join(folder, 'table'), 'utf8'), table);
    assert.equal((await helper('gencron', 'del', 'nobody', 'all')).stdout, '0 entries of nobody switched off\n');
    await writeFile(join(folder, 'crontab'), '#!/bin/sh\necho "must be privileged" >&2; exit 1\n', { mode: 0o755 });
    assert.match((await helper('gencron', 'del', 'oracle', 'all')).stderr, /HF_CLI_CRONTAB|must be privileged/);
  });

  it('switching a crontab off twice or on twice changes nothing more', () => {
    const selection = { words: [], comment: '' };
    const off = switchCrontab('1 1 * * * a\nMAILTO=x\n', false, selection);
    assert.deepEqual(off, { text: '#holdfast-off: 1 1 * * * a\nMAILTO=x\n', changed: 1 });
    assert.equal(switchCrontab(off.text, false, selection).changed, 0);
    assert.equal(switchCrontab(off.text, true, selection).text, '1 1 * * * a\nMAILTO=x\n');
  });

  it('knows the words of existing scripts, and refuses by name what does not exist here', async () => {
    assert.deepEqual(rewriteSafekit(['set', '-r', 'custom.x', '-v', 'up', '-i', 'custom_x', '-n']), ['set', '-r', 'custom.x', '-v', 'up']);
    assert.deepEqual(rewriteSafekit(['-H', 'n2', 'confcheck', '-m', 'a']), ['-H', 'n2', 'module', 'config', '--check', '-m', 'a']);
    assert.deepEqual(rewriteSafekit(['errd', 'suspend', '-m', 'a']), ['errd', 'off', '-m', 'a']);
    assert.deepEqual(rewriteSafekit(['-r', 'processtree', 'list', '1']), ['processtree', 'list', '1']);
    assert.deepEqual(rewriteSafekit(['incloop', '-i', 'h']), ['incloop', '-i', 'h']);
    assert.throws(() => rewriteSafekit(['-r', 'vip_if_ctrl']), /there are processtree, boundcmd, gencron/);
    assert.match((await helper('namealias', 'add')).stderr, /safekit namealias does not exist here: .*virtual address/);
    assert.match((await helper('vhostservice', 'x')).stderr, /<vhost>/);
    assert.deepEqual(await helper('exitcode', '7'), { code: 7, stdout: '', stderr: '' });
    assert.equal((await helper('sleep', '0')).code, 0);
    assert.equal((await helper('sync', folder)).code, 0);
    const paths = await run(join(SAFE, 'safekit'), ['-p'], { SAFEMODULE: 'ledger', SAFEUSERBIN: '/x/bin' });
    assert.match(paths.stdout, /^SAFEMODULE=ledger\nSAFEUSERBIN=\/x\/bin$/m);
  });
});
