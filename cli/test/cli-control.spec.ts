import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { MemoryAgent } from '../../core/test/api-memory-agent.js';
import { CommandLine, loadMemoryAgents } from './command-line.js';

const errorOf = (stdout: string): { code: string; message: string } =>
  (JSON.parse(stdout) as { error: { code: string; message: string } }).error;

describe('holdfast commands', function () {
  this.timeout(30_000);
  let first: MemoryAgent;
  let second: MemoryAgent;
  let cli: CommandLine;

  beforeEach(async () => {
    ({ first, second } = await (await loadMemoryAgents()).startMemoryPair());
    cli = await CommandLine.create(first.baseUrl, first.token);
    first.service.addModule('ledger');
    second.service.addModule('ledger', { phase: 'STOP', quality: 'NotReady' });
  });
  afterEach(async () => {
    await Promise.all([first.close(), second.close(), cli.remove()]);
  });

  it('sends each verb with its options to the node that is named', async () => {
    await Promise.all([
      cli.run('second', 'fullsync', '-m', 'ledger'),
      cli.run('-H', 'node2', 'prim', '-m', 'ledger', '-i', 'checker.tcp'),
      cli.start(['restart'], { SAFEMODULE: 'ledger' }).outcome,
    ]);
    await cli.run('-H', 'node2', 'primforce', '-m', 'ledger');
    await cli.run('-H', 'node2', 'prim', '-m', 'ledger', '--image');
    const byVerb = [...first.service.commands].sort((one, other) => (one.verb < other.verb ? -1 : 1));
    assert.deepEqual(byVerb, [
      { module: 'ledger', verb: 'restart', options: {} },
      { module: 'ledger', verb: 'second', options: { fullsync: true } },
    ]);
    assert.deepEqual(second.service.commands, [
      { module: 'ledger', verb: 'prim', options: { identity: 'checker.tcp' } },
      { module: 'ledger', verb: 'prim', options: { force: true } },
      { module: 'ledger', verb: 'prim', options: { image: true } },
    ]);
  });

  it('tells refusals in one sentence with the code, and in JSON as one document', async () => {
    const [text, json] = await Promise.all([cli.run('start', '-m', 'ledger'), cli.run('start', '-m', 'ledger', '--json')]);
    assert.deepEqual(text, {
      code: 1,
      stdout: '',
      stderr: 'holdfast: ledger is PRIM: only a stopped module can be started [HF_COMMAND_REFUSED]\n',
    });
    assert.deepEqual([json.code, json.stderr], [1, '']);
    assert.deepEqual(JSON.parse(json.stdout), {
      error: { code: 'HF_COMMAND_REFUSED', message: 'ledger is PRIM: only a stopped module can be started', details: { phase: 'PRIM' } },
    });
  });

  it('switches a class of watched processes and sets a resource, for scripts', async () => {
    const [enabled, set, unknown, refused] = await Promise.all([
      cli.run('errd', 'enable', 'batch', '-m', 'ledger'),
      cli.run('-H', 'node2', 'set', '-m', 'ledger', '-r', 'custom.door', '-v', 'down', '-d', 'it is open'),
      cli.run('errd', 'disable', 'bacth', '-m', 'ledger'),
      cli.run('set', '-m', 'ledger', '-r', 'tcp.web', '-v', 'up'),
    ]);
    assert.deepEqual([enabled.code, enabled.stdout], [0, 'class batch of ledger is enabled\n']);
    assert.deepEqual(first.service.switches, [{ class: 'batch', enabled: true }]);
    assert.equal(set.code, 0);
    assert.deepEqual(second.service.verdicts, [{ resource: 'custom.door', value: 'down', detail: 'it is open' }]);
    assert.match(unknown.stderr, /classes: batch \[HF_CHECK_CLASS_UNKNOWN\]/);
    assert.match(refused.stderr, /can be set: custom.door \[HF_RESOURCE_NOT_SETTABLE\]/);
    const garbage = await cli.run('set', '-m', 'ledger', '-r', 'custom.door', '-v', 'broken');
    assert.deepEqual([garbage.code, /choices are up, down, unknown/.test(garbage.stderr)], [1, true]);
  });

  it('sets by force and with a name, suspends for maintenance, and counts automatic actions', async () => {
    const door = ['-m', 'ledger', '-r', 'custom.door', '-v', 'up'];
    const set = await cli.run('-H', 'node2', 'set', ...door, '-n', '-l', '-i', 'anna');
    assert.equal(set.code, 0, set.stderr);
    assert.deepEqual(second.service.verdicts.at(-1), {
      resource: 'custom.door',
      value: 'up',
      identity: 'anna',
      unrecorded: true,
      force: true,
    });
    for (const what of ['checker', 'errd', 'failover'] as const) {
      const off = await cli.run('-H', 'node1,node2', what, 'off', '-m', 'ledger');
      assert.equal(off.stdout, `node1: ${what} of ledger is off\nnode2: ${what} of ledger is off\n`);
      assert.deepEqual(second.service.maintenance.at(-1), { name: what, on: false });
    }
    const here = await cli.run('checker', 'on', '-m', 'ledger');
    assert.deepEqual([here.code, here.stdout], [0, 'checker of ledger is on\n']);
    assert.match(here.stderr, /on this node only/);
    assert.match((await cli.run('errd', 'enable', '-m', 'ledger')).stderr, /needs the name of a class \[HF_CLI_USAGE\]/);

    const loop = async (...words: string[]): Promise<string> => {
      const { code, stdout } = await cli.run(...words, '-m', 'ledger');
      return `${code}: ${stdout.trim()}`;
    };
    for (const count of [1, 2, 3]) assert.equal(await loop('incloop', '-i', 'script'), `0: ${count} of 3`);
    assert.equal(await loop('incloop', '-i', 'script'), '1: 3 of 3: the limit is reached');
    assert.equal(await loop('checkloop'), '1: 3 of 3: the limit is reached');
    assert.equal(await loop('resetloop'), '0: 0 of 3');
    assert.equal(await loop('checkloop'), '0: 0 of 3');
  }).timeout(60_000);

  it('runs on all nodes, reports each, and fails when one does', async () => {
    const [text, json] = await Promise.all([
      cli.run('-H', '*', 'stop', '-m', 'ledger'),
      cli.run('-H', 'node2,nodeX', 'stop', '-m', 'ledger', '--json'),
    ]);
    assert.equal(text.code, 1);
    assert.match(text.stdout, /^node1: stop of ledger is under way\nnode2: stop of ledger is under way\n$/);
    assert.match(text.stderr, /^node3: .*ECONNREFUSED.*\[HF_NODE_UNREACHABLE\]\n$/);
    const { nodes } = JSON.parse(json.stdout) as { nodes: { node: string; result?: object; error?: { code: string } }[] };
    assert.deepEqual(
      nodes.map(({ node, result, error }) => [node, result ?? error?.code]),
      [
        ['node2', { module: 'ledger', verb: 'stop' }],
        ['nodeX', 'HF_NODE_UNKNOWN'],
      ],
    );
  });

  it('waits with --wait until the command has had its effect', async () => {
    const view = second.service.views.get('ledger');
    assert.ok(view);
    let polls = -1;
    second.service.onCommand = () => (polls = 0);
    const original = second.service.module.bind(second.service);
    second.service.module = async (name) => {
      if (polls >= 0) polls += 1;
      if (polls === 2) Object.assign(view, { phase: 'WAIT', quality: 'Transient' });
      if (polls === 3) Object.assign(view, { phase: 'SECOND', quality: 'Transient' });
      if (polls === 5) Object.assign(view, { phase: 'SECOND', quality: 'Ready' });
      return original(name);
    };
    const { code, stdout } = await cli.run('-H', 'node2', 'start', '-m', 'ledger', '--wait', '--timeout', '15');
    assert.deepEqual([code, stdout], [0, 'node2: ledger is SECOND (Ready)\n']);
    assert.ok(polls >= 5);
  });

  it('does not wait out the timeout for a module that stopped on its way', async () => {
    const view = first.service.addModule('ledger', { phase: 'STOP', quality: 'NotReady' });
    let polls = -1;
    first.service.onCommand = () => (polls = 0);
    const original = first.service.module.bind(first.service);
    first.service.module = async (name) => {
      if (polls >= 0) polls += 1;
      if (polls === 1) Object.assign(view, { phase: 'WAIT', quality: 'Transient' });
      if (polls === 2)
        Object.assign(view, { phase: 'STOP', quality: 'NotReady', reason: { code: 'script-failed', text: 'start_prim exited with 3' } });
      return original(name);
    };
    const { code, stderr } = await cli.run('start', '-m', 'ledger', '--wait');
    assert.equal(code, 1);
    assert.match(stderr, /ledger did not become .*: it is STOP \(NotReady\): start_prim exited with 3 \[HF_CLI_WAIT_FAILED\]/);
  });

  it('installs, configures, lists and uninstalls modules', async () => {
    const installed = await cli.run('module', 'install', './shop', '--id', '4');
    assert.match(installed.stdout, /^shop 1\.0\.0 is installed with id 4; .*holdfast module config -m shop$/m);
    const [check, config, list, taken] = await Promise.all([
      cli.run('module', 'config', '-m', 'shop', '--check'),
      cli.run('module', 'config', '-m', 'shop'),
      cli.run('module', 'list'),
      cli.run('module', 'install', '/opt/shop', '--json'),
    ]);
    assert.equal(check.stdout, 'warning: checked only\nshop: the configuration is valid\n');
    assert.equal(
      config.stdout,
      'shop is configured, digest d1635, while it runs\n  maxloop of <service>: 3 -> 5, line 3\napplied on node2\n',
    );
    assert.match(list.stdout, /^shop +4 +1\.0\.0 +yes +shop$/m);
    assert.equal(errorOf(taken.stdout).code, 'HF_MODULE_EXISTS');
    assert.equal((await cli.run('module', 'uninstall', '-m', 'shop')).stdout, 'shop is uninstalled\n');
    assert.deepEqual([...first.service.views.keys()], ['ledger']);
  });

  it('gives up a damaged state only when that is confirmed', async () => {
    const { reason: _good, ...view } = await first.service.module('ledger');
    first.service.views.set('ledger', { ...view, reason: { code: 'HF_STATE_DAMAGED', text: 'both are damaged' } });
    const unconfirmed = await cli.run('module', 'forget-state', '-m', 'ledger');
    assert.equal(unconfirmed.code, 1);
    assert.match(unconfirmed.stderr, /older than any: read --help.*HF_CLI_CONFIRM/);
    const { stdout } = await cli.run('module', 'forget-state', '-m', 'ledger', '--yes');
    assert.match(stdout, /given up, the module is stopped\nkept: \/var\/lib\/holdfast\/modules\/ledger\/decision\.a\.damaged-1/);
  });

  it('configures both nodes unless it is told otherwise, and each by itself with -H', async () => {
    await cli.run('config', '-m', 'ledger', '--both');
    await cli.run('module', 'config', '-m', 'ledger', '--dry-run', '--local');
    await cli.run('-H', 'node1,node2', 'module', 'config', '-m', 'ledger');
    assert.deepEqual(
      first.service.configured.map(({ options }) => options),
      [{}, { dryRun: true, local: true }, { local: true }],
    );
    assert.deepEqual(second.service.configured, [{ module: 'ledger', options: { local: true } }]);
    const both = await cli.run('module', 'config', '-m', 'ledger', '--both', '--local');
    assert.equal(both.code, 1);
    assert.match(both.stderr, /cannot be used with/);
  });

  it('shows what is edited, applied and kept, what differs, and goes back', async () => {
    const [info, difference, rollback, deconfig, check] = await Promise.all([
      cli.run('confinfo', '-m', 'ledger'),
      cli.run('module', 'diff', '-m', 'ledger', '--with', 'node2'),
      cli.run('module', 'rollback', '-m', 'ledger', '--to', '6'),
      cli.run('deconfig', '-m', 'ledger'),
      cli.run('module', 'confcheck', '-m', 'ledger'),
    ]);
    assert.match(info.stdout, /^ledger: edited, not applied$/m);
    assert.match(info.stdout, /^applied +d7d7d7d7d7d7 +s7s7s7s7s7s7 +2026-11-20T10:00:00\.000Z +number 7$/m);
    assert.match(info.stdout, /^kept 6 .* rollback to 4$/m);
    assert.match(info.stdout, /node2 has another one \(d6\): "holdfast module config -m ledger"/);
    assert.equal(difference.code, 1);
    assert.equal(difference.stdout, '--- a\n+++ b\nchanged: bin/start_prim\n');
    assert.equal(rollback.stdout, 'ledger is configured, digest d6\n');
    assert.equal(deconfig.stdout, 'ledger is not configured any more\n');
    assert.equal(check.stdout, 'warning: checked only\nledger: the configuration is valid\n');
    assert.deepEqual([...first.service.configurations.asked].sort(), ['deconfigure node1', 'difference node2', 'rollback 6']);
    assert.equal((await cli.run('module', 'diff', '-m', 'absent')).code, 2);
  });

  it('shows the cluster and whether all nodes run the same configuration', async () => {
    second.service.addModule('extra', { configuration: { applied: 'ffff' } });
    const [state, info, json] = await Promise.all([
      cli.run('cluster', 'state'),
      cli.run('cluster', 'confinfo'),
      cli.run('-H', 'node1,node2', 'cluster', 'confinfo', '--json'),
    ]);
    assert.match(state.stdout, /^node1 \(asked\) +127\.0\.0\.1 +reachable +c0ffee same$/m);
    assert.match(state.stdout, /^node3 +127\.0\.0\.3 +unreachable +unknown$/m);
    assert.match(state.stdout, /^broken +1\.0\.0 +failed +HF_PLUGIN_SDK_RANGE: too new$/m);
    assert.equal(info.code, 1);
    assert.match(info.stdout, /^cluster +same +c0ffee +c0ffee +no answer$/m);
    assert.match(info.stdout, /^module extra +different +not installed +ffff +no answer$/m);
    assert.equal(json.code, 0);
    assert.equal((JSON.parse(json.stdout) as { same: boolean }).same, false);
  });

  it('explains what keeps it from the agent', async () => {
    await first.close();
    const missing = await CommandLine.create(first.baseUrl);
    const wrong = await CommandLine.create(second.baseUrl, 'f'.repeat(64));
    try {
      const [stopped, noToken, badToken, remote, noModule] = await Promise.all([
        cli.run('state'),
        missing.run('state'),
        wrong.run('state'),
        cli.run('--api', 'http://192.0.2.1:9010', 'state'),
        cli.run('start'),
      ]);
      assert.match(
        stopped.stderr,
        /^holdfast: no agent answers at .*; start it with "systemctl start holdfast" or.*"holdfast agent" \[HF_AGENT_NOT_RUNNING\]\n$/,
      );
      assert.match(noToken.stderr, /api\.token does not exist: no agent has run .* \[HF_CLI_TOKEN_MISSING\]\n$/);
      assert.match(badToken.stderr, /\[HF_API_UNAUTHORIZED\]\n$/);
      assert.match(remote.stderr, /the token would travel unencrypted; use -H NODE .*\[HF_CLI_API_NOT_LOCAL\]\n$/);
      assert.match(noModule.stderr, /which module\? give -m NAME.*\[HF_CLI_MODULE_MISSING\]\n$/);
      for (const { code, stdout } of [stopped, noToken, badToken, remote, noModule]) assert.deepEqual([code, stdout], [1, '']);
    } finally {
      await Promise.all([missing.remove(), wrong.remove()]);
    }
  });

  it('refuses wrong usage with a hint, in JSON too, and never prints the token', async () => {
    const outcomes = await Promise.all([
      cli.run('strat'),
      cli.run('start', '--now', '--json'),
      cli.run('prim', 'halfsync', '-m', 'x'),
      cli.run('log', '-m', 'x', '-s', '-1'),
    ]);
    assert.match(outcomes[0].stderr, /unknown command 'strat'.*Did you mean .*start/s);
    assert.equal(errorOf(outcomes[1].stdout).code, 'HF_CLI_USAGE');
    for (const { code, stdout, stderr } of outcomes) {
      assert.equal(code, 1);
      assert.ok(!`${stdout}${stderr}`.includes(first.token));
    }
  });

  it('has help for every command: description, options, exit codes, files, environment and examples', async () => {
    const commands = ['', 'state', 'swap', 'module install', 'cluster config', 'agent'];
    const outcomes = await Promise.all(commands.map((command) => cli.run(...command.split(' ').filter((word) => word !== ''), '--help')));
    for (const { code, stdout } of outcomes) {
      assert.equal(code, 0);
      for (const section of ['Usage: holdfast', 'Options:', '--config-dir', 'Examples:', 'Exit codes:', 'Files:', 'Environment:'])
        assert.ok(stdout.includes(section), section);
      assert.ok(stdout.split('\n').every((line) => line.length <= 125));
    }
  });
});

describe('holdfast cluster config', function () {
  this.timeout(30_000);
  let cli: CommandLine;
  let source: string;
  const XML = (secondAddress: string): string =>
    `<cluster><lans><lan name="default"><node name="node1" addr="127.0.0.1"/>` +
    `<node name="node2" addr="${secondAddress}"/></lan></lans></cluster>`;

  beforeEach(async () => {
    cli = await CommandLine.create('http://127.0.0.1:1');
    source = join(cli.folder, 'source.xml');
    await writeFile(source, XML('203.0.113.213'));
  });
  afterEach(() => cli.remove());

  const config = (...words: string[]) => cli.run('--config-dir', join(cli.folder, 'etc dir'), 'cluster', ...words);
  const inFolder = (name: string): string => join(cli.folder, 'etc dir', name);

  it('makes this machine the node whose address it has, without an agent', async () => {
    const { code, stdout, stderr } = await config('config', source);
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual((await readdir(inFolder('.'))).sort(), ['cluster.key', 'cluster.xml', 'node.json']);
    assert.equal(await readFile(inFolder('cluster.xml'), 'utf8'), XML('203.0.113.213'));
    assert.deepEqual(JSON.parse(await readFile(inFolder('node.json'), 'utf8')), { node: 'node1' });
    const key = await readFile(inFolder('cluster.key'), 'utf8');
    assert.match(key, /^[0-9a-f]{64}\n$/);
    assert.equal((await stat(inFolder('cluster.key'))).mode & 0o777, 0o600);
    assert.ok(!stdout.includes(key.trim()));
    assert.match(stdout, /scp -p '.*\/etc dir\/cluster\.key' '.*\/etc dir\/cluster\.xml' root@203\.0\.113\.213:'.*\/etc dir\/'/);
    assert.match(stdout, /ssh root@203\.0\.113\.213 holdfast --config-dir '.*\/etc dir' cluster config '.*cluster\.xml' --node node2/);
  });

  it('keeps the key and the name, and changes nothing when nothing changed', async () => {
    await config('config', source, '--node', 'node2');
    const key = await readFile(inFolder('cluster.key'), 'utf8');
    await chmod(inFolder('cluster.key'), 0o644);
    const again = await config('config', source, '--json');
    assert.deepEqual(JSON.parse(again.stdout), {
      ...(JSON.parse(again.stdout) as object),
      node: 'node2',
      changed: [inFolder('cluster.key')],
      restartNeeded: false,
      otherNodes: [{ name: 'node1', address: '127.0.0.1' }],
    });
    assert.equal(await readFile(inFolder('cluster.key'), 'utf8'), key);
    assert.equal((await stat(inFolder('cluster.key'))).mode & 0o777, 0o600, 'rights of others are taken away');
    assert.match((await config('config', inFolder('cluster.xml'))).stdout, /this machine is node2 already, nothing changed/);
  });

  it('asks for the name when it cannot know it, and installs nothing then', async () => {
    await writeFile(source, XML('127.0.0.2'));
    const [two, wrong] = await Promise.all([config('config', source), config('config', source, '--node', 'node9')]);
    assert.match(
      two.stderr,
      /node1 and node2 all have addresses of this machine; say which one it is with --node \[HF_CLUSTER_NODE_AMBIGUOUS\]/,
    );
    assert.match(wrong.stderr, /has no node "node9"; it has node1, node2 \[HF_CLUSTER_NODE_UNKNOWN\]/);
    await assert.rejects(readdir(inFolder('.')), { code: 'ENOENT' });
  });

  it('shows every problem of the file with its line and leaves what is installed', async () => {
    await config('config', source);
    await writeFile(
      source,
      '<cluster><lans><lan name="default">\n<node name="node1" addr="example.org"/>\n' +
        '<node nam="x" addr="203.0.113.213"/></lan></lans></cluster>',
    );
    const { code, stderr } = await config('config', source);
    assert.equal(code, 1);
    assert.match(stderr, /HF_CONFIG_/);
    assert.match(stderr, /line 3/);
    assert.equal(await readFile(inFolder('cluster.xml'), 'utf8'), XML('203.0.113.213'));
  });

  it('refuses a key that is damaged, and a new one over an old one unless told', async () => {
    await mkdir(inFolder('.'), { recursive: true });
    await writeFile(inFolder('cluster.key'), 'short');
    assert.match((await config('config', source)).stderr, /HF_CLUSTER_KEY_INVALID/);
    assert.match((await config('genkey')).stderr, /HF_CLUSTER_KEY_EXISTS/);
    assert.equal((await config('genkey', '--replace')).code, 0);
    assert.match(await readFile(inFolder('cluster.key'), 'utf8'), /^[0-9a-f]{64}\n$/);
  });

  it('says that a running agent must be restarted', async () => {
    const agent = await (await loadMemoryAgents()).startMemoryAgent('node1');
    try {
      const { stdout } = await cli.run('--api', agent.baseUrl, '--config-dir', inFolder('.'), 'cluster', 'config', source);
      assert.match(stdout, /an agent runs here with the configuration from before: restart it/);
    } finally {
      await agent.close();
    }
  });

  it('says in one line what to do when it was never built', async () => {
    await mkdir(join(cli.folder, 'bin'));
    await copyFile(new URL('../../bin/holdfast.js', import.meta.url), join(cli.folder, 'bin', 'holdfast.mjs'));
    const unbuilt = promisify(execFile)(process.execPath, [join(cli.folder, 'bin', 'holdfast.mjs')]);
    await assert.rejects(unbuilt, {
      code: 1,
      stderr: 'holdfast: this copy is not built yet: run "npm install && npm run build" in its folder\n',
    });
  });

  it('does not start an agent without a cluster', async () => {
    const agent = cli.start(['--config-dir', inFolder('.'), '--state-dir', join(cli.folder, 'var'), 'agent', '--listen', '127.0.0.1:0']);
    const { code, stderr } = await agent.outcome;
    assert.equal(code, 1);
    assert.match(stderr, /run "holdfast cluster config cluster\.xml" on this node first \[HF_CLUSTER_NOT_CONFIGURED\]/);
  });
});
