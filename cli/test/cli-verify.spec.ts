import assert from 'node:assert/strict';
import type { MemoryAgent } from '../../core/test/api-memory-agent.js';
import type { VerificationView } from '../src/core.js';
import { CommandLine, loadMemoryAgents, until } from './command-line.js';

type Result = NonNullable<VerificationView['last']>;

const IDENTICAL: Result = {
  id: 'verification-1',
  outcome: 'identical',
  node: 'node1',
  at: '2026-11-20T14:02:00.000Z',
  durationMs: 2_000,
  objects: 1200,
  bytes: 3 << 20,
  differences: 0,
  listed: [],
  repaired: 0,
};
const DIFFERENT: Result = {
  ...IDENTICAL,
  outcome: 'different',
  differences: 2,
  listed: [{ directory: '/data', path: 'a\\x0ab', differs: ['content'], detail: 'content within bytes 0-65535' }],
};

describe('holdfast verify', function () {
  this.timeout(30_000);
  let first: MemoryAgent;
  let second: MemoryAgent;
  let cli: CommandLine;

  beforeEach(async () => {
    ({ first, second } = await (await loadMemoryAgents()).startMemoryPair());
    cli = await CommandLine.create(first.baseUrl, first.token);
    for (const { service } of [first, second]) service.addModule('ledger');
    play(first, { last: IDENTICAL });
  });
  afterEach(async () => {
    await Promise.all([first.close(), second.close(), cli.remove()]);
  });

  function show(agent: MemoryAgent, verification: VerificationView): void {
    const view = agent.service.views.get('ledger');
    assert.ok(view?.replication);
    agent.service.views.set('ledger', { ...view, replication: { ...view.replication, verification } });
  }

  /** A verification that is seen running at least twice before its end. */
  function play(agent: MemoryAgent, end: VerificationView): void {
    const original = agent.service.module.bind(agent.service);
    let looks = -1;
    agent.service.onVerify = () => {
      looks = 0;
      const progress = {
        id: 'verification-1',
        phase: 'comparing',
        objectsDone: 1,
        bytesDone: 1,
        bytesPerSecond: 1,
        differences: 0,
      } as const;
      show(agent, { progress, last: { ...IDENTICAL, id: 'an earlier one' } });
    };
    agent.service.module = async (name) => {
      if (looks >= 0) looks += 1;
      if (looks === 3) show(agent, end);
      return original(name);
    };
  }

  it('exits with 0 when both copies are identical, and says when and how much was compared', async () => {
    const { code, stdout, stderr } = await cli.run('verify', '-m', 'ledger', '--repair', '--bandwidth', '50');
    assert.deepEqual(
      [code, stdout, stderr],
      [0, 'ledger: identical at 2026-11-20T14:02:00.000Z on node1 (1200 objects, 3.0 MiB, in 2 s)\n', ''],
    );
    assert.deepEqual(first.service.verifications, [{ repair: true, bytesPerSecondMax: 50_000_000 }]);
  });

  it('exits with 1 when they differ, and lists what differs', async () => {
    play(first, { last: DIFFERENT });
    const { code, stdout } = await cli.run('verify', '-m', 'ledger');
    assert.equal(code, 1);
    assert.match(stdout, /^ledger: 2 objects differ at .*\n {2}\/data\/a\\x0ab: content within bytes 0-65535\n {2}and 1 more\n$/);
  });

  it('prints the result as JSON', async () => {
    play(first, { last: DIFFERENT });
    const { code, stdout } = await cli.run('verify', '-m', 'ledger', '--json');
    assert.equal(code, 1);
    assert.deepEqual(JSON.parse(stdout), { module: 'ledger', ...DIFFERENT });
  });

  it('exits with 2 and the reason when it cannot begin, or ends without a result', async () => {
    const failure = { id: 'verification-1', at: '2026-11-20T14:02:00.000Z', code: 'HF_REPLICATION_LINK_LOST', message: 'the link ended' };
    play(first, { last: IDENTICAL, failure });
    const lost = await cli.run('verify', '-m', 'ledger');
    assert.deepEqual([lost.code, lost.stderr], [2, 'holdfast: the link ended [HF_REPLICATION_LINK_LOST]\n']);
    const unknown = await cli.run('verify', '-m', 'nothing');
    assert.equal(unknown.code, 2);
    const view = first.service.views.get('ledger');
    assert.ok(view?.replication);
    first.service.views.set('ledger', { ...view, replication: { ...view.replication, role: 'stopped' } });
    const refused = await cli.run('verify', '-m', 'ledger', '--json');
    assert.equal(refused.code, 2);
    assert.match(refused.stdout, /HF_COMMAND_REFUSED/);
  });

  it('is sent to the primary when it is run on the secondary', async () => {
    const view = first.service.views.get('ledger');
    assert.ok(view?.replication);
    const peer = { node: 'node2', alive: true };
    first.service.views.set('ledger', { ...view, peer, replication: { ...view.replication, role: 'secondary' } });
    const { code, stdout } = await cli.run('verify', '-m', 'ledger', '--no-wait');
    assert.deepEqual([code, stdout], [0, 'verification of ledger is under way on node2\n']);
    assert.deepEqual([first.service.verifications, second.service.verifications], [[], [{}]]);
  });

  it('cancels the verification on Ctrl-C and says so, and cancels one that runs by itself', async () => {
    play(first, {
      progress: { id: 'verification-1', phase: 'comparing', objectsDone: 1, bytesDone: 1, bytesPerSecond: 1, differences: 0 },
    });
    const running = cli.start(['verify', '-m', 'ledger']);
    await until('the verification to run', () => first.service.verifications.length === 1);
    running.kill('SIGINT');
    const { code, stderr } = await running.outcome;
    assert.equal(code, 2);
    assert.match(stderr, /was cancelled; with --no-wait it runs on by itself \[HF_CLI_CANCELLED\]/);
    assert.deepEqual(first.service.cancelled, ['ledger']);
    assert.equal((await cli.run('verify', '-m', 'ledger', '--cancel')).code, 0);
    assert.equal(first.service.cancelled.length, 2);
  });
});
