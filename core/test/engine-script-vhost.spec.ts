/** Real namespaces: needs root, as the agent does. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VirtualHostConfiguration } from '../src/model/configuration.js';
import { readFolder } from '../src/engine/configuration-folder.js';
import { runScript } from '../src/engine/script-runner.js';
import { VirtualHost } from '../src/engine/script-vhost.js';

describe('virtual host name', () => {
  let folder = '';
  let bin = '';
  let file = '';
  let host: VirtualHost | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-vhost-'));
    bin = join(folder, 'bin');
    file = join(folder, 'state', 'uts');
    await mkdir(bin);
  });
  afterEach(async () => {
    await host?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const open = async (configuration: VirtualHostConfiguration): Promise<VirtualHost> => {
    host = await VirtualHost.open(configuration, file, bin);
    return host;
  };

  const said = async (script: string): Promise<string> => {
    await writeFile(join(bin, script), '#!/bin/sh\nuname -n; cat /proc/sys/kernel/hostname; hostname\n');
    await chmod(join(bin, script), 0o755);
    const environment = { PATH: process.env['PATH'] ?? '' };
    const limits = { timeoutMs: 5000, logDirectory: join(folder, 'logs'), logBytesMax: 4096 };
    const through = host?.through(script) ?? [];
    const { log } = await runScript({ directory: bin, script, arguments: [], environment, through, ...limits });
    return (await readFile(log ?? '', 'utf8')).trim().split('\n').join(' ');
  };

  it('is what the scripts of the role see, and nobody else', async () => {
    await open({ name: 'ledger.example.org', when: 'prim' });
    const own = hostname();
    assert.equal(await said('start_prim'), 'ledger.example.org ledger.example.org ledger.example.org');
    assert.equal(await said('stop_prim'), 'ledger.example.org ledger.example.org ledger.example.org');
    for (const script of ['start_both', 'start_second', 'start_sec', 'prestart', 'transition'])
      assert.equal(await said(script), `${own} ${own} ${own}`);
    assert.equal(hostname(), own);
  });

  it('follows when', async () => {
    const second = await open({ name: 'a', when: 'second' });
    assert.deepEqual(
      ['start_prim', 'stop_second', 'start_sec'].map((script) => second.through(script).length > 0),
      [false, true, false],
    );
    await second.close();
    const both = await open({ name: 'a', when: 'both' });
    assert.deepEqual(
      ['start_prim', 'stop_both', 'start_sec', 'prestart'].map((script) => both.through(script).length > 0),
      [true, true, true, false],
    );
    assert.deepEqual(
      ['prim', 'sec', 'pre', 'class:batch'].map((phase) => both.throughGroup(phase).length > 0),
      [true, true, false, false],
    );
  });

  it('is the same namespace for whoever starts anew, another one after another name, and gone when it is closed', async () => {
    const inode = (): string => execFileSync('nsenter', [`--uts=${file}`, 'readlink', '/proc/self/ns/uts'], { encoding: 'utf8' });
    await open({ name: 'one', when: 'prim' });
    const first = inode();
    await open({ name: 'one', when: 'prim' });
    assert.equal(inode(), first);
    await open({ name: 'two', when: 'prim' });
    assert.equal(await said('start_prim'), 'two two two');
    await host?.close();
    await host?.close();
    assert(!existsSync(file));
    assert(!readFileSync('/proc/self/mountinfo', 'utf8').includes(folder));
  });

  it('writes the envfile, which is no part of the module, and never over a file of somebody else', async () => {
    await mkdir(join(folder, 'conf'));
    await writeFile(join(bin, 'start_prim'), '#!/bin/sh\n');
    const signature = async (): Promise<string> => (await readFolder(bin)).signature;
    const before = await signature();
    await open({ name: 'one', when: 'prim', envFile: 'vhostenv' });
    await open({ name: 'two', when: 'prim', envFile: 'vhostenv' });
    const shell = `. ${join(bin, 'vhostenv')}; echo "$HOLDFAST_VIRTUAL_HOSTNAME"; nsenter --uts="$HOLDFAST_VIRTUAL_HOST" hostname`;
    assert.equal(execFileSync('sh', ['-c', shell], { encoding: 'utf8' }), 'two\ntwo\n');
    assert.equal(await signature(), before);
    await assert.rejects(open({ name: 'one', when: 'prim', envFile: 'start_prim' }), /HF_VHOST_ENVFILE: .*start_prim exists/);
    assert.equal(await readFile(join(bin, 'start_prim'), 'utf8'), '#!/bin/sh\n');
  });

  it('says why there can be no namespace', async () => {
    const path = process.env['PATH'];
    process.env['PATH'] = bin;
    await assert.rejects(open({ name: 'one', when: 'prim' }), /HF_VHOST_NAMESPACE: .*"one": .*unshare.*it needs root/).finally(() => {
      process.env['PATH'] = path;
    });
    host = undefined;
  });
});
