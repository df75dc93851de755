/** `holdfast witness`: the server as a service manager runs it, and the clusters in its folder. */
import assert from 'node:assert/strict';
import { readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandLine, type Running, until } from './command-line.js';

describe('holdfast witness', function () {
  this.timeout(60_000);
  let line: CommandLine;
  let data: string;

  beforeEach(async () => {
    // No agent: nothing listens there, and no token is needed.
    line = await CommandLine.create('http://127.0.0.1:9');
    data = join(line.folder, 'witness');
  });

  afterEach(() => line.remove());

  const json = async (...words: readonly string[]): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await line.run('--json', 'witness', ...words, '--data', data);
    assert.equal(code, 0, stdout + stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  it('adds, lists and removes clusters', async () => {
    const { code, stdout } = await line.run('witness', 'add', 'site-42', '--server', 'witness.example.org', '--data', data);
    assert.equal(code, 0);
    assert.match(stdout, /chmod 600 \/etc\/holdfast\/witness.key/);
    assert.match(stdout, /<witness><http server="witness.example.org" cluster="site-42"\/><\/witness>/);
    const key = /^[0-9a-f]{64}$/m.exec(stdout)?.[0];
    const file = join(data, 'clusters', 'site-42', 'key');
    assert.equal(await readFile(file, 'utf8'), `${key ?? ''}\n`);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const added = await json('add', 'lab', '--server', '[2001:db8::5]:9700');
    assert.equal(added['element'], '<http server="[2001:db8::5]:9700" cluster="lab"/>');
    const { clusters } = (await json('list')) as { readonly clusters: readonly { readonly cluster: string }[] };
    assert.deepEqual(
      clusters.map(({ cluster }) => cluster),
      ['lab', 'site-42'],
    );
    assert.match((await line.run('witness', 'list', '--data', data)).stdout, /^lab +never +\(not armed yet\)$/m);
    await json('remove', 'lab');
    const again = await line.run('witness', 'remove', 'lab', '--data', data);
    assert.deepEqual([again.code, again.stdout], [1, '']);
    assert.match(again.stderr, /"lab" is not known .*\[HF_WITNESS_CLUSTER\]/);
    assert.match((await line.run('witness', 'add', 'a/b', '--data', data)).stderr, /HF_WITNESS_CLUSTER/);
    assert.match((await line.run('witness', 'add', 'x', '--server', '"<', '--data', data)).stderr, /HF_CLI_USAGE/);
  });

  it('serves until it is told to end, one server per folder', async () => {
    await json('add', 'site');
    const serve = (health: string): Running =>
      line.start(['witness', 'serve', '--listen', '127.0.0.1:0', '--health', health, '--data', data]);
    const first = serve('127.0.0.1:0');
    try {
      await until('the server serves', () => /the witness serves 1 cluster on 127.0.0.1 port [0-9]+/.test(first.stderr()));
      const second = await serve('127.0.0.1:0').outcome;
      assert.equal(second.code, 1);
      assert.match(second.stderr, /HF_WITNESS_BUSY/);
    } finally {
      first.kill('SIGTERM');
    }
    assert.equal((await first.outcome).code, 0);
  });

  it('does not serve damaged records, and names them', async () => {
    await json('add', 'site');
    const files = ['records.1', 'records.2'].map((name) => join(data, 'clusters', 'site', name));
    for (const file of files) await truncate(file, 50);
    const { code, stderr } = await line.run('witness', 'serve', '--listen', '127.0.0.1:0', '--data', data);
    assert.equal(code, 1);
    for (const file of files) assert.ok(stderr.includes(file), stderr);
  });

  it('is explained by --help', async () => {
    for (const words of [[], ['serve'], ['add'], ['remove'], ['list']]) {
      const { code, stdout } = await line.run('witness', ...words, '--help');
      assert.equal(code, 0);
      assert.match(stdout, /^Usage: holdfast witness/);
    }
    assert.match((await line.run('--help')).stdout, /witness +run the witness server of a third machine/);
  });
});
