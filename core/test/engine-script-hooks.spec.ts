import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventLog } from '../src/engine/event-log.js';
import { scriptEnvironment } from '../src/engine/script-environment.js';
import { type Hook, isNeverRun, runHook } from '../src/engine/script-hooks.js';
import { mirror, parse } from './config-fixtures.js';

describe('script hooks', () => {
  let folder = '';
  let log: EventLog;
  const { configuration } = parse(mirror('').replace('<user/>', '<user><var name="EXTRA" value="a b"/></user>'));
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-hooks-'));
    await mkdir(join(folder, 'bin'));
    log = new EventLog(join(folder, 'events.jsonl'), 'n1');
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const environment = (): Record<string, string> =>
    scriptEnvironment(configuration, {
      node: 'n1',
      configDirectory: '/etc/holdfast',
      stateDirectory: '/var/lib/holdfast',
      applied: join(folder, 'applied'),
      work: join(folder, 'var'),
      virtualHost: join(folder, 'uts'),
      tools: { directory: '/opt/tools', api: 'http://127.0.0.1:9010' },
    });

  async function run(hook: Hook, body: string, settings = configuration): Promise<string> {
    await writeFile(join(folder, 'bin', hook), `#!/bin/sh\n${body}\n`);
    await chmod(join(folder, 'bin', hook), 0o755);
    await runHook(hook, settings, { directory: join(folder, 'bin'), environment: environment(), logDirectory: join(folder, 'logs') }, log);
    return readFile(join(folder, 'out'), 'utf8').catch(() => 'nothing');
  }

  it('are called with the operation and the module, and see the folders of what is being applied', async () => {
    const out = await run('config', `echo "$@ $SAFEMODULE $SAFEUSERBIN $SAFEUSERCONF" > ${folder}/out`);
    assert.equal(out, `config ${configuration.name} ${configuration.name} ${folder}/bin ${folder}/conf\n`);
    assert.match(log.query(configuration.name, {}).at(-1)?.text ?? '', /^config: done in \d+ ms$/);
  });

  it('refuse an operation before it is done, and can only complain after', async () => {
    await assert.rejects(run('confcheck', 'echo "no licence" >&2; exit 1'), /HF_HOOK_REFUSED: .*script confcheck.*no licence/);
    await assert.rejects(run('config', 'exit 1'), /HF_HOOK_REFUSED/);
    await run('postconfig', 'echo too late; exit 1');
    assert.match(log.query(configuration.name, {}).at(-1)?.text ?? '', /postconfig ended with status 1: too late/);
    await run('deconfig', 'exit 1');
  });

  it('do not run without <user>, and need not be there', async () => {
    assert.equal(await run('config', `echo ran > ${folder}/out`, parse(mirror('').replace('<user/>', '')).configuration), 'nothing');
    await rm(join(folder, 'bin', 'config'));
    await runHook('config', configuration, { directory: join(folder, 'bin'), environment: {}, logDirectory: folder }, log);
  });

  it('of the names state and level never run', () => {
    assert.deepEqual(['state', 'level', 'config', 'start_prim'].map(isNeverRun), [true, true, false, false]);
  });

  it('and all other scripts have the environment that existing scripts expect, and each <var>', () => {
    const { PATH, ...names } = environment();
    assert.match(PATH ?? '', /:\/opt\/tools\/private\/bin:\/opt\/tools$/);
    assert.deepEqual(names, {
      HOME: '/root',
      LANG: 'C.UTF-8',
      SAFE: '/opt/tools',
      SAFEBIN: '/opt/tools/private/bin',
      SAFEMODULE: configuration.name,
      SAFEUSERBIN: join(folder, 'applied', 'bin'),
      SAFEUSERCONF: join(folder, 'applied', 'conf'),
      SAFEVAR: '/var/lib/holdfast',
      SAFEUSERVAR: join(folder, 'var'),
      HOLDFAST_MODULE: configuration.name,
      HOLDFAST_MODULE_ID: String(configuration.id),
      HOLDFAST_NODE: 'n1',
      HOLDFAST_CONFIG: '/etc/holdfast',
      HOLDFAST_STATE: '/var/lib/holdfast',
      HOLDFAST_API: 'http://127.0.0.1:9010',
      EXTRA: 'a b',
    });
  });
});
