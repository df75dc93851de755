import assert from 'node:assert/strict';
import type { MemoryAgent } from '../../core/test/api-memory-agent.js';
import { CommandLine, loadMemoryAgents, until } from './command-line.js';

describe('holdfast state, waitstate, log and resources', function () {
  this.timeout(30_000);
  let first: MemoryAgent;
  let second: MemoryAgent;
  let cli: CommandLine;

  beforeEach(async () => {
    ({ first, second } = await (await loadMemoryAgents()).startMemoryPair());
    cli = await CommandLine.create(first.baseUrl, first.token);
    first.service.addModule('ledger');
    second.service.addModule('ledger', { phase: 'SECOND', quality: 'Transient', detail: 'not up-to-date' });
  });
  afterEach(async () => {
    await Promise.all([first.close(), second.close(), cli.remove()]);
  });

  it('exits with the state under -l, and with -q prints nothing', async () => {
    const codes = { STOP: 0, WAIT: 1, ALONE: 2, UP: 2, PRIM: 3, SECOND: 4, 'NOT CONFIGURED': 10 } as const;
    const outcomes = await Promise.all(
      Object.entries(codes).map(async ([phase, code], index) => {
        first.service.addModule(`m${index}`, { phase: phase as keyof typeof codes });
        const [word, quiet] = [await cli.run('state', '-m', `m${index}`, '-l'), await cli.run('state', '-m', `m${index}`, '-lq')];
        return { phase, code, word, quiet };
      }),
    );
    for (const { phase, code, word, quiet } of outcomes) {
      assert.deepEqual(word, { code, stdout: `${phase}\n`, stderr: '' });
      assert.deepEqual(quiet, { code, stdout: '', stderr: '' });
    }
  });

  it('never exits with a state under -l when it does not know the state', async () => {
    const [unknown, gone] = await Promise.all([
      cli.run('state', '-m', 'absent', '-lq'),
      cli.run('-H', 'node3', 'state', '-m', 'ledger', '-lq'),
    ]);
    assert.deepEqual([unknown.code, gone.code], [10, 10]);
    assert.match(unknown.stderr, /HF_MODULE_UNKNOWN/);
  });

  it('shows all modules on all nodes, an unreachable node with its cause, and no colour codes in a pipe', async () => {
    const { code, stdout, stderr } = await cli.run('state');
    assert.equal(code, 1, 'node3 did not answer');
    assert.equal(stderr, '');
    const lines = stdout.split('\n');
    assert.match(lines[0] ?? '', /^MODULE +NODE +STATE +DATA +FOR +PEER +WHY$/);
    assert.match(stdout, /^ledger +node1 +PRIM \(Ready\) +up-to-date /m);
    assert.match(stdout, /^ledger +node2 +SECOND \(Transient\) +not up-to-date /m);
    assert.match(stdout, /^- +node3 +ERROR .*ECONNREFUSED/m);
    assert.match(
      stdout,
      /^ledger on node2: resync \[#{6}-{18}\] {2}25 % {2}50 B of 200 B, 1 of 4 objects \(compare\), 1\.0 MiB\/s, 12 s left$/m,
    );
    assert.doesNotMatch(stdout, /\x1b/);
  });

  it('colours by quality when asked to, and the words stay', async () => {
    const { stdout } = await cli.start(['state', '-m', 'ledger'], { FORCE_COLOR: '1' }).outcome;
    assert.match(stdout, /\x1b\[32mPRIM \(Ready\)\x1b\[39m/);
  });

  it('gives the view itself as JSON for one module, and outcomes per node for several', async () => {
    const [one, several, all] = await Promise.all([
      cli.run('state', '-m', 'ledger', '--json'),
      cli.run('--json', '-H', 'node1,node2', 'state', '-m', 'ledger'),
      cli.run('state', '--json'),
    ]);
    assert.deepEqual(JSON.parse(one.stdout), JSON.parse(JSON.stringify(await first.service.module('ledger'))));
    const nodes = (JSON.parse(several.stdout) as { nodes: { node: string; result: { phase: string } }[] }).nodes;
    assert.deepEqual(
      nodes.map(({ node, result }) => [node, result.phase]),
      [
        ['node1', 'PRIM'],
        ['node2', 'SECOND'],
      ],
    );
    const everything = JSON.parse(all.stdout) as { nodes: { node: string; modules?: object[]; error?: { code: string } }[] };
    assert.deepEqual(
      everything.nodes.map(({ node, modules, error }) => [node, modules?.length ?? error?.code]),
      [
        ['node1', 1],
        ['node2', 1],
        ['node3', 'HF_NODE_UNREACHABLE'],
      ],
    );
    assert.deepEqual([one.code, several.code, all.code], [0, 0, 1]);
  });

  it('shows everything with -v', async () => {
    const { stdout } = await cli.run('state', '-m', 'ledger', '-v');
    for (const expected of [
      /^ledger \(id 1\) on node1$/m,
      /why +the peer is connected/,
      /addresses +192\.0\.2\.10 held/,
      /network cut +weak: ping/,
      /epoch 3/,
    ]) {
      assert.match(stdout, expected);
    }
    const { stdout: other } = await cli.run('-H', 'node2', 'state', '-m', 'ledger', '-v');
    assert.match(other, /resync +\[.*50 B of 200 B, 1 of 4 objects \(compare\).*12 s left; 40 B sent$/m);
    assert.match(other, /resync reason +node2 has never held this data$/m);
    assert.match(other, /last resync +what changed: 10 B in 1 objects sent of 100 B/);
  });

  it('shows who shares the traffic of a farm, and of a light module nothing that belongs to pairs', async () => {
    const shares = [
      { node: 'node1', power: 2, buckets: 171, ranges: '0-170' },
      { node: 'node2', power: 1, buckets: 85, ranges: '171-255' },
    ];
    first.service.addModule('web', {
      mode: 'farm',
      phase: 'UP',
      detail: 'load 171/256, 2 nodes',
      farm: {
        leader: 'node1',
        members: ['node1', 'node2'],
        table: 7,
        groups: [{ name: 'FarmProto', accepts: 171, shares }],
        nodes: [
          { node: 'node2', alive: true, phase: 'UP', quality: 'Ready' },
          { node: 'node3', alive: false },
        ],
      },
    });
    first.service.addModule('lonely', { mode: 'light', phase: 'UP', detail: '' });
    const { stdout } = await cli.run('state', '-m', 'web', '-v');
    for (const expected of [
      /mode +farm/,
      /farm +node1, node2; led by node1, table 7/,
      /load +171\/256 \(67 %\) of group FarmProto\n +node1: 171, power 2: 0-170\n +node2: 85, power 1: 171-255/,
      /node +node2, alive, UP \(Ready\)\n +node +node3, silent/,
    ]) {
      assert.match(stdout, expected);
    }
    assert.doesNotMatch(stdout, /generation/);
    assert.match((await cli.run('state', '-m', 'web')).stdout, /UP \(Ready\) +load 171\/256, 2 nodes .*node3 silent/);
    const light = (await cli.run('state', '-m', 'lonely', '-v')).stdout;
    assert.match(light, /mode +light/);
    assert.doesNotMatch(light, /^ +(generation|network cut|data) /m);
  });

  it('does not pass control characters of other nodes to the terminal', async () => {
    first.service.addModule('ledger', { detail: '\x1b]0;owned\x07', reason: { code: 'x', text: 'a\x1b[2Jb\r\nc' } });
    first.service.write('ledger', 'text \x1b[31m with \x9b codes\nsecond line');
    const [state, verbose, log] = await Promise.all([
      cli.run('state', '-m', 'ledger'),
      cli.run('state', '-m', 'ledger', '-v'),
      cli.run('log', '-m', 'ledger'),
    ]);
    for (const { stdout, code } of [state, verbose, log]) {
      assert.equal(code, 0);
      assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    }
  });

  it('watches: a line of JSON for every change, until it is stopped', async () => {
    const watching = cli.start(['--json', '-H', 'node1,node2', 'state', '-m', 'ledger', '--watch']);
    await until('the first state', () => watching.stdout().includes('PRIM'));
    Object.assign(first.service.views.get('ledger') ?? {}, { phase: 'ALONE' });
    await until('the change', () => watching.stdout().includes('ALONE'));
    watching.kill('SIGINT');
    const { code, stdout } = await watching.outcome;
    assert.equal(code, 0);
    for (const line of stdout.trim().split('\n')) assert.equal((JSON.parse(line) as { nodes: object[] }).nodes.length, 2);
  });

  it('waits for a state and for Ready', async () => {
    const view = second.service.views.get('ledger');
    const waiting = cli.start(['-H', 'node2', 'waitstate', '-m', 'ledger', 'SECOND,PRIM', '--timeout', '15']);
    let polls = 0;
    const original = second.service.module.bind(second.service);
    second.service.module = async (name) => {
      polls += 1;
      if (polls === 3) Object.assign(view ?? {}, { quality: 'Ready' });
      return original(name);
    };
    const { code, stdout } = await waiting.outcome;
    assert.deepEqual([code, stdout], [0, 'node2: ledger is SECOND (Ready)\n']);
    assert.ok(polls >= 3);
  });

  it('says at the timeout where things stand', async () => {
    const [text, json, wrong] = await Promise.all([
      cli.run('waitstate', '-m', 'ledger', 'SECOND', '--timeout', '1'),
      cli.run('waitstate', '-m', 'ledger', 'STOP', '--timeout', '1', '--json'),
      cli.run('waitstate', '-m', 'ledger', 'PRIMARY'),
    ]);
    assert.equal(text.code, 1);
    assert.equal(text.stdout, '');
    assert.equal(
      text.stderr,
      'holdfast: ledger did not become SECOND (Ready) within 1 s; it is PRIM (Ready): the peer is connected [HF_CLI_WAIT_TIMEOUT]\n',
    );
    assert.equal((JSON.parse(json.stdout) as { error: { code: string } }).error.code, 'HF_CLI_WAIT_TIMEOUT');
    assert.deepEqual([json.code, json.stderr], [1, '']);
    assert.match(wrong.stderr, /"PRIMARY" is no state; the states are STOP, WAIT,/);
  });

  it('prints the log, filtered and in the order of the clocks', async () => {
    first.service.write('ledger', 'takes over', 'E');
    first.service.write('ledger', 'detail', 'D');
    second.service.write('ledger', 'gives way', 'E');
    const [some, all, json] = await Promise.all([
      cli.run('log', '-m', 'ledger', '--levels', 'ce'),
      cli.run('-H', 'node1,node2', 'log', '-m', 'ledger', '-s', '1'),
      cli.run('log', '-m', 'ledger', '--json', '-s', '5'),
    ]);
    assert.equal(some.stdout, '2026-11-20T10:00:00.000Z | node1 | E | engine | takes over\n');
    assert.match(all.stdout, /node1 \| D \| engine \| detail\n.*node2 \| E \| engine \| gives way\n$/);
    assert.equal((JSON.parse(json.stdout) as object[]).length, 2);
  });

  it('follows the log from what is there, without a gap or a double, through a break', async () => {
    for (let entry = 1; entry <= 3; entry += 1) first.service.write('ledger', `entry ${entry}`);
    const following = cli.start(['log', '-m', 'ledger', '-f', '-s', '2', '--json']);
    await until('the recent entries', () => following.stdout().split('\n').length > 2);
    first.service.write('ledger', 'entry 4');
    await until('entry 4', () => following.stdout().includes('entry 4'));
    await first.restart();
    first.service.write('ledger', 'entry 5');
    await until('entry 5', () => following.stdout().includes('entry 5'));
    following.kill('SIGINT');
    const { code, stdout } = await following.outcome;
    const texts = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text);
    assert.deepEqual(texts, ['entry 2', 'entry 3', 'entry 4', 'entry 5']);
    assert.equal(code, 0);
    await until('the subscription is gone', () => first.service.listeners.size === 0);
  });

  it('survives a reader that goes away', async () => {
    for (let entry = 0; entry < 300; entry += 1) first.service.write('ledger', 'x'.repeat(2_000));
    const { execFile } = await import('node:child_process');
    const { promisify } = await import('node:util');
    const { fileURLToPath } = await import('node:url');
    const command = fileURLToPath(new URL('../../bin/holdfast.js', import.meta.url));
    const { stdout, stderr } = await promisify(execFile)('sh', [
      '-c',
      '"$0" "$1" --api "$2" --config-dir "$3" log -m ledger | head -n 1',
      process.execPath,
      command,
      first.baseUrl,
      cli.folder,
    ]);
    assert.match(stdout, /^2026-.* x+\n$/);
    assert.equal(stderr, '');
  });

  it('lists resources and prints one', async () => {
    const [list, one, none, history] = await Promise.all([
      cli.run('resources', '-m', 'ledger'),
      cli.run('get', '-m', 'ledger', '-r', 'tcp.ledger'),
      cli.run('get', '-m', 'ledger', '-r', 'tcp.other'),
      cli.run('get', '-m', 'ledger', '-r', 'tcp.ledger', '--history'),
    ]);
    assert.match(history.stdout, /^up\n {2}2026-.* down: refused/);
    assert.match(list.stdout, /^tcp\.ledger +up +2026-11-20T10:00:00\.000Z +connected in 1 ms$/m);
    assert.equal(one.stdout, 'up\n');
    assert.match(none.stderr, /ledger has no resource "tcp\.other"; it has tcp\.ledger/);
  });
});
