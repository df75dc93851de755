/** What may lie in a module's folder, and what is said about the rest. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FOLDER_FILES_MAX, readFolder, refuseUnsafe } from '../src/engine/configuration-folder.js';
import { unifiedDifference } from '../src/engine/unified-difference.js';

describe("a module's folder", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-folder-'));
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin', 'start_prim'), '#!/bin/sh\n', { mode: 0o755 });
    writeFileSync(join(folder, 'module.json'), '{}');
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('is read whole, and its signature changes with every byte, name and right to execute', async () => {
    const first = await readFolder(folder);
    assert.deepEqual(
      first.files.map(({ path, executable }) => [path, executable]),
      [
        ['bin/start_prim', true],
        ['module.json', false],
      ],
    );
    writeFileSync(join(folder, 'module.json'), '{ }');
    const second = await readFolder(folder);
    assert.notEqual(second.signature, first.signature);
    execFileSync('chmod', ['-x', join(folder, 'bin', 'start_prim')]);
    assert.notEqual((await readFolder(folder)).signature, second.signature);
  });

  it('may hold links that stay inside, which are read as files, and no others', async () => {
    symlinkSync('start_prim', join(folder, 'bin', 'start_second'));
    assert.equal((await readFolder(folder)).files.find(({ path }) => path === 'bin/start_second')?.content.toString(), '#!/bin/sh\n');
    symlinkSync('/etc/passwd', join(folder, 'bin', 'secret'));
    await assert.rejects(readFolder(folder), { code: 'HF_CONFIG_FOLDER_LINK', message: /bin\/secret is a link to \/etc\/passwd/ });
    rmSync(join(folder, 'bin', 'secret'));
    symlinkSync('nowhere', join(folder, 'bin', 'broken'));
    await assert.rejects(readFolder(folder), { code: 'HF_CONFIG_FOLDER_LINK', message: /link to nothing/ });
  });

  it('holds no pipe, which would hold up the agent, and no device', async () => {
    execFileSync('mkfifo', [join(folder, 'bin', 'pipe')]);
    await assert.rejects(readFolder(folder), { code: 'HF_CONFIG_FOLDER_SPECIAL' });
  });

  it('is refused when it is too large, with the name of the largest file, without reading it', async () => {
    writeFileSync(join(folder, 'application.jar'), '');
    truncateSync(join(folder, 'application.jar'), 100 * 1024 ** 3);
    await assert.rejects(readFolder(folder), { code: 'HF_CONFIG_FOLDER_LARGE', message: /application\.jar alone has 102400\.0 MiB/ });
  });

  it('is refused when it has too many files', async () => {
    for (let number = 0; number < FOLDER_FILES_MAX; number += 1) writeFileSync(join(folder, `file${number}`), '');
    await assert.rejects(readFolder(folder), { code: 'HF_CONFIG_FOLDER_LARGE' });
  });

  it('is not taken while somebody writes into it', async () => {
    const original = fsPromises.open;
    // Somebody writes while each of the attempts reads.
    fsPromises.open = async (...words) => {
      appendFileSync(join(folder, 'bin', 'start_prim'), 'echo more\n');
      return original(...words);
    };
    syncBuiltinESMExports();
    try {
      await assert.rejects(readFolder(folder), { code: 'HF_CONFIG_FOLDER_CHANGING' });
    } finally {
      fsPromises.open = original;
      syncBuiltinESMExports();
    }
    assert.equal((await readFolder(folder)).files.length, 2);
  });

  it('cannot come from another node with names that lead out of it', () => {
    const file = (path: string): Parameters<typeof refuseUnsafe>[0][number] => ({ path, executable: false, content: Buffer.from('') });
    for (const path of ['/etc/passwd', '../up', 'bin/../../up', 'a//b', 'a\nb', '.', 'bin/', '']) {
      assert.throws(
        () => {
          refuseUnsafe([file(path)]);
        },
        { code: 'HF_CONFIG_FOLDER_PATH' },
        JSON.stringify(path),
      );
    }
    assert.throws(
      () => {
        refuseUnsafe([file('bin'), file('bin/start_prim')]);
      },
      { code: 'HF_CONFIG_FOLDER_PATH' },
    );
    refuseUnsafe([file('bin/start_prim'), file('conf/userconfig.xml')]);
  });

  it('leaves everything as it was when the disk is full while it is stored', function () {
    this.timeout(20_000);
    const store = fileURLToPath(new URL('../src/engine/configuration-store.js', import.meta.url));
    const reader = fileURLToPath(new URL('../src/engine/configuration-folder.js', import.meta.url));
    const program = `
      const { ConfigurationStore } = await import(${JSON.stringify(store)});
      const { contentOf } = await import(${JSON.stringify(reader)});
      const store = new ConfigurationStore(process.argv[1]);
      const record = { digest: 'd', signature: 's', transaction: 't', coordinator: 'n1', origin: 'config', preparedAt: 'now' };
      const of = (bytes) => contentOf([{ path: 'bin/x', executable: true, content: Buffer.alloc(bytes) }]);
      await store.commit(await store.prepare(of(1000), record));
      const error = await store.prepare(of(400000), record).catch((error) => error);
      await store.recover('n1');
      const { number } = await store.applied();
      const [file] = (await store.content(number)).files;
      console.log(JSON.stringify([error.code, number, await store.prepared() ?? null, file.content.length]));
      await store.commit(await store.prepare(of(2000), record));
      console.log((await store.applied()).number);`;
    const script = 'mount -t tmpfs -o size=200k tmpfs "$1" && exec "$2" --input-type=module -e "$3" "$1"';
    const output = execFileSync('unshare', ['-m', 'sh', '-c', script, 'sh', folder, process.execPath, program], { encoding: 'utf8' });
    assert.equal(output, '["HF_CONFIG_STORE",1,null,1000]\n2\n');
  });
});

describe('a difference of texts', () => {
  it('shows the lines that differ with three around them', () => {
    const before = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join('\n');
    const after = ['a', 'b', 'c', 'd', 'E', 'f', 'g', 'h', 'i', 'j', 'k'].join('\n');
    assert.equal(
      unifiedDifference(before, after, ['one', 'two']),
      ['--- one', '+++ two', '@@ -2,9 +2,10 @@', ' b', ' c', ' d', '-e', '+E', ' f', ' g', ' h', ' i', ' j', '+k'].join('\n'),
    );
    assert.equal(unifiedDifference(before, before, ['one', 'two']), '');
  });

  it('is bounded for texts that have nothing in common', () => {
    const lines = (mark: string): string => Array.from({ length: 5000 }, (_, line) => `${mark}${line}`).join('\n');
    assert.equal(unifiedDifference(lines('a'), lines('b'), ['one', 'two']).split('\n').length, 10_003);
  });
});
