/** A replicator that is killed under its application: the application waits a moment, and nothing else. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertIdentical, generation, Lab, type LabNode, run, signal, SYNC_MODES, until } from './lab.js';

/** Far above what is measured (the tests print it), because others may be testing on the same machine. */
const PAUSE_MAX_MS = 20_000;

const TWIN = fileURLToPath(new URL('./twin-process.js', import.meta.url));
const REQUESTS = fileURLToPath(new URL('./requests-process.js', import.meta.url));
/** More of them find more: `KILLS=200`. */
const KILLS = Number(process.env['KILLS'] ?? 20);
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));

describe('a replicator that is killed', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  /** Kills the replicator and measures how long one append of the application then takes, in ms. */
  async function killUnder(node: LabNode): Promise<number> {
    const pid = node.replicatorPid;
    signal(pid, 'SIGKILL');
    const startMs = performance.now();
    await node.must('echo after >> line');
    const tookMs = performance.now() - startMs;
    assert.notEqual(node.replicatorPid, pid);
    return tookMs;
  }

  it('is replaced under a primary that is alone', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.must('mkdir -p d/e && echo one > d/e/one && echo first > line');
    const tookMs = await killUnder(a);
    process.stdout.write(`      pause ${tookMs.toFixed(0)} ms\n`);
    assert.ok(tookMs < PAUSE_MAX_MS);
    assert.equal(await a.must('cat line d/e/one && mv d/e/one d/two && cat d/two && ls -A'), 'first\nafter\none\none\nd\nline\n');
    assert.equal(a.status.failure, undefined);
    await a.stop();
    assert.equal(await a.must('cat d/two'), 'one\n');
  });

  it('is replaced under a connected primary, which is connected again without a new generation', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('mkdir -p d/e && echo one > d/e/one && echo first > line');
    const tookMs = await killUnder(a);
    process.stdout.write(`      pause ${tookMs.toFixed(0)} ms\n`);
    assert.ok(tookMs < PAUSE_MAX_MS);
    await a.reach('connected');
    assert.equal(a.status.lastResync?.mode, 'journal');
    await a.must('echo more >> line && mv d/e/one d/two');
    await assertIdentical(a, b);
    assert.equal(b.status.inconsistent, false);
  });

  it('leaves no file with other times on the peer that had no name when they were set', async () => {
    const { a, b } = await lab.connectedPair();
    // Enough of them that the clock, which goes in ticks, shows different times on the nodes.
    assert.equal(await a.must(`${process.execPath} ${REQUESTS} named 300`), '');
    await killUnder(a);
    await a.reach('connected');
    assert.equal(a.status.lastResync?.mode, 'journal');
    await assertIdentical(a, b);
  });

  it('is replaced under a secondary, which cannot be promoted before it has what it may lack', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('echo first > line');
    signal(b.replicatorPid, 'SIGKILL');
    await a.reach('holding');
    await until(
      () => b.status.inconsistent,
      () => `the mark of b; ${JSON.stringify(b.status)}; ${b.log.join('\n')}`,
    );
    await assert.rejects(b.becomePrimary(2, { base: 1 }), /HF_REPLICATION_INCONSISTENT/);
    await a.call({ call: 'continueAlone', term: { generation: generation(2), epoch: 2 }, base: generation(1) });
    await a.must('echo second >> line');
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    assert.equal(a.status.lastResync?.mode, 'journal');
    await assertIdentical(a, b);
    assert.equal(b.status.inconsistent, false);
  });
});

describe('a replicator that must go', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  const failure = (node: LabNode): Promise<void> =>
    until(
      () => node.status.failure?.code === 'HF_REPLICATION_PROCESS',
      () => `the failure; ${JSON.stringify(node.status)}`,
    );
  const replaced = (node: LabNode, pid: number): Promise<void> =>
    until(
      () => node.replicatorPid > 0 && node.replicatorPid !== pid,
      () => `a new replicator; ${node.log.join('\n')}`,
    );

  it('keeps what was open: files without a name, directories, mappings of names', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('echo start > gone && mkdir empty && ln gone second');
    const application = a.run(
      'exec 3<>gone && rm gone second && cd empty && rmdir ../empty && echo ready > ../ready && ' +
        'while [ -e ../ready ]; do sleep 0.02; done && read -r line <&3 && echo "$line" && echo more >&3 && cat /proc/self/fd/3',
    );
    await a.must('while [ ! -e ready ]; do sleep 0.02; done');
    const pid = a.replicatorPid;
    signal(pid, 'SIGKILL');
    await a.must('rm ready');
    assert.notEqual(a.replicatorPid, pid);
    const { code, output } = await application;
    assert.equal(output, 'start\nstart\nmore\n');
    assert.equal(code, 0);
    await a.reach('connected');
    await assertIdentical(a, b);
  });

  it('is killed when it is stuck, and replaced', async () => {
    const { a, b } = await lab.connectedPair();
    const pid = a.replicatorPid;
    signal(pid, 'SIGSTOP');
    await a.must('echo waited > file');
    assert.notEqual(a.replicatorPid, pid);
    await a.reach('connected');
    await assertIdentical(a, b);
  });

  it('is replaced on demand, as often as wanted', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    for (let times = 0; times < 4; times += 1) {
      const pid = a.replicatorPid;
      signal(pid, 'SIGHUP');
      await replaced(a, pid);
      await a.must('echo more >> file');
    }
    assert.equal(await a.must('wc -l < file'), '4\n');
    assert.equal(a.status.failure, undefined);
  });

  it('is not replaced for ever: the third end within a minute is the last, and leaves nothing', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    for (let times = 0; times < 2; times += 1) {
      const pid = a.replicatorPid;
      signal(pid, 'SIGKILL');
      await replaced(a, pid);
      await a.must('echo more >> file');
    }
    signal(a.replicatorPid, 'SIGKILL');
    await failure(a);
    assert.notEqual((await a.run('cat file')).code, 0);
    await until(
      () => a.holderPid < 0,
      () => 'the holder to end',
    );
    await a.reopen();
    assert.equal(await a.must('cat file'), 'more\nmore\n');
  });

  it('is not replaced when its mount is not there any more', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    assert.equal((await run(`umount -l '${a.directory}'`, ['nsenter', '-t', String(a.agentPid), '-m'])).code, 0);
    const pid = a.replicatorPid;
    // It may have noticed already, and ended for the same reason.
    if (pid > 0) signal(pid, 'SIGKILL');
    await failure(a);
  });

  it('leaves no process when the agent is killed, not even when it is stopped itself', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    const pids = [a.replicatorPid, a.holderPid];
    signal(a.replicatorPid, 'SIGSTOP');
    signal(a.agentPid, 'SIGKILL');
    await until(
      () => !pids.some((pid) => existsSync(`/proc/${pid}`)),
      () => `processes ${pids.join(', ')} to end`,
    );
  });
});

describe(`an application above a replicator that is killed again and again (SEED=${SEED})`, function () {
  this.timeout(60_000 + KILLS * 5000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  /** Two applications that compare each result with what a bare directory says, and `KILLS` kills at random moments. */
  async function killUnderTwins(node: LabNode, ready: () => boolean): Promise<void> {
    const twin = join(lab.base, 'twin');
    mkdirSync(twin);
    let isOver = false;
    const results = ['v', 'w'].map(async (own, index) => {
      const lines: string[] = [];
      for (let round = 0; !isOver; round += 1) {
        const { code, output } = await node.run(`${process.execPath} ${TWIN} ${own} ${SEED + index + 1000 * round} ${twin} 3`);
        lines.push(...output.trim().split('\n'));
        if (code !== 0 || !/^done \d+ \d+$/m.test(output)) break;
      }
      return lines;
    });
    try {
      for (let kill = 0; kill < KILLS; kill += 1) {
        await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 300));
        signal(node.replicatorPid, 'SIGKILL');
        await until(
          () => (node.replicatorPid > 0 && ready()) || node.status.failure !== undefined,
          () => `a new replicator; ${JSON.stringify(node.status)}; ${node.log.join('\n')}`,
        );
        assert.equal(node.status.failure, undefined, node.log.join('\n'));
      }
    } finally {
      isOver = true;
      await Promise.allSettled(results);
    }
    const lines = (await Promise.all(results)).flat();
    const ends = lines.filter((line) => line.startsWith('done '));
    const wrong = lines.filter((line) => !line.startsWith('done '));
    assert.equal(wrong.length, 0, [...wrong.slice(0, 20), ...node.log].join('\n'));
    const longestMs = Math.max(...ends.map((line) => Number(line.split(' ')[2])));
    const requests = ends.reduce((sum, line) => sum + Number(line.split(' ')[1]), 0);
    process.stdout.write(`      ${KILLS} kills under ${requests} requests, longest pause ${longestMs} ms\n`);
    assert.ok(requests > 10 * KILLS);
    assert.ok(longestMs < PAUSE_MAX_MS);
    const { code, output } = await node.run(`diff -r --no-dereference . ${twin}`);
    assert.equal(code, 0, output.slice(0, 2000));
  }

  const served = (node: LabNode, before: { count: number }) => (): boolean => {
    const count = node.log.filter((line) => line.includes('a new replicator serves')).length;
    const isNew = count > before.count;
    if (isNew) before.count = count;
    return isNew;
  };

  it('sees no error, no lost and no doubled request when alone', async () => {
    const a = await lab.node({ name: 'a', deathsMax: KILLS + 3 });
    await a.becomePrimary(1, { base: 1, fresh: true });
    await killUnderTwins(a, served(a, { count: 0 }));
    await a.stop();
  });

  for (const sync of SYNC_MODES) {
    it(`sees none when connected either, and both nodes are the same afterwards (sync ${sync})`, async () => {
      const { a, b } = await lab.connectedPair({ sync, deathsMax: KILLS + 3 });
      await killUnderTwins(a, served(a, { count: 0 }));
      await a.reach('connected');
      await assertIdentical(a, b);
      assert.equal(b.status.inconsistent, false);
    });
  }
});
