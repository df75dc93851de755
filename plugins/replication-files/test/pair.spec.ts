/** Two replicators, real mounts, real connections: what an operator relies on. */
import assert from 'node:assert/strict';
import { addressOf, assertIdentical, generation, Lab, type LabNode, signal, until } from './lab.js';
import { RecordProxy } from './record-proxy.js';

/** As the nodes of the lab have it. */
const PORT = 5600;
const PROXY_PORT = 5700;

describe('a replicated pair', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  const BUSY = [
    'mkdir -p d/e',
    'echo one > d/f',
    'ln d/f d/e/hard',
    'ln -s ../f d/e/soft',
    'mkfifo d/pipe',
    'mv d/f d/e/g',
    'chmod 4711 d/e/g',
    'chown 12:34 d/e/g',
    "touch -d '2001-02-03 04:05:06.789' d/e",
    'truncate -s 3000000 sparse',
    'printf x | dd of=sparse bs=1 seek=2000000 conv=notrunc',
    'echo gone > gone',
    'rm gone',
    'echo odd > "$(printf \'a\\nb\\377 c\')"',
    'mkdir empty',
    'rmdir empty',
    'fallocate -l 100000 filled',
    'fallocate -p -o 4096 -l 8192 filled',
  ].join(' && ');

  it('compares what both have and makes the secondary the same', async () => {
    const a = await lab.node({ name: 'a' });
    const b = await lab.node({ name: 'b' });
    await a.must('mkdir -p x/y && echo keep > x/y/same && echo left > x/left && head -c 3000000 /dev/urandom > x/large');
    await b.must('mkdir -p x/y && echo keep > x/y/same && echo right > x/left && mkdir extra && echo e > extra/e && echo file > other');
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    await assertIdentical(a, b);
  });

  for (const async of ['second', 'none'] as const) {
    it(`does every kind of modification on both nodes (async ${async})`, async () => {
      const { a, b } = await lab.connectedPair({ async });
      await a.must(BUSY);
      await assertIdentical(a, b);
      assert.equal(a.status.link, 'connected', a.log.join('\n'));
      assert.equal(b.status.inconsistent, false);
    });
  }

  it('shows the data read-only on the secondary', async () => {
    const { a, b } = await lab.connectedPair();
    // A new file is acknowledged before it is made there; what was synced is there.
    await a.must('echo text | dd of=file conv=fsync status=none');
    assert.equal(await b.must('cat file'), 'text\n');
    assert.notEqual((await b.run('echo no > file')).code, 0);
  });

  it('loses nothing that was acknowledged when the primary is killed, and copies only what changed when it returns', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('head -c 15000000 /dev/urandom > large && mkdir m && for i in $(seq 200); do echo $i > m/$i; done');
    await a.must('sync');
    await settle(a, b);
    // Written in a loop until the node dies: each acknowledged line is reported.
    const writing = a.run('i=0; while :; do i=$((i+1)); echo $i >> acknowledged || exit; echo $i; done');
    await new Promise((resolve) => setTimeout(resolve, 300));
    await a.kill();
    const lines = (await writing).output
      .trim()
      .split('\n')
      .filter((line) => /^\d+$/.test(line));
    await b.reach('none');
    await b.becomePrimary(2, { base: 1 });
    assert.equal(b.status.journalSince, generation(1));
    const kept = (await b.must('tail -n 1 acknowledged')).trim();
    assert.ok(Number(kept) >= Number(lines.at(-1)), `line ${lines.at(-1)} was acknowledged, the survivor has ${kept}`);
    await b.must('printf new | dd of=large bs=1 seek=10000000 conv=notrunc && rm m/7 && echo 2 > m/8 && mv m/9 nine');
    await a.start();
    await a.becomeSecondary(2);
    await b.connectPeer(2, 'journal');
    await b.reach('connected');
    await assertIdentical(a, b);
    const sent = b.status.lastResync?.bytesSent ?? Number.MAX_SAFE_INTEGER;
    assert.ok(sent < 1_500_000, `${sent} bytes were sent for less than 100 KB of changes in 15 MB`);
  });

  it('changes roles cleanly: nothing is left to copy after a stop', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must(BUSY);
    await a.stop();
    await b.reach('none');
    await b.becomePrimary(2, { base: 1 });
    await b.must('echo swapped > swapped');
    await a.becomeSecondary(2);
    await b.connectPeer(2, 'journal');
    await b.reach('connected');
    await assertIdentical(a, b);
    assert.ok((b.status.lastResync?.bytesSent ?? 1e9) < 100_000);
  });

  it('holds writes when the secondary is lost, and goes on when told to', async () => {
    const { a, b } = await lab.connectedPair({ lockTimeoutSeconds: 2 });
    await a.must('echo before > file && echo readable > other');
    await b.kill();
    await a.reach('holding');
    let isDone = false;
    const write = a.run('echo held >> file && sync file').then((result) => {
      isDone = true;
      return result;
    });
    assert.equal(await a.must('cat other'), 'readable\n');
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(isDone, false, 'a write was acknowledged while the primary was holding');
    await a.call({ call: 'continueAlone', term: { generation: generation(2), epoch: 2 }, base: generation(1) });
    assert.equal((await write).code, 0);
    assert.equal(a.status.journalSince, generation(1));
    await a.must('echo alone > second');
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    await assertIdentical(a, b);
    assert.equal(await b.must('cat file second'), 'before\nheld\nalone\n');
  });

  it('tries again at once when the peer is not a secondary yet', async () => {
    const a = await lab.node({ name: 'a' });
    const b = await lab.node({ name: 'b' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.connectPeer(1, 'compare');
    await until(
      () => a.status.failure !== undefined,
      () => 'the first attempt to fail',
    );
    const startMs = performance.now();
    await b.becomeSecondary(1);
    await a.reach('connected');
    const tookMs = performance.now() - startMs;
    assert.ok(tookMs < 900, `connected after ${tookMs.toFixed(0)} ms`);
    assert.equal(a.status.failure, undefined);
  });

  it('tries again when the control connection ends before the pair is connected', async () => {
    const a = await lab.node({ name: 'a', peerPort: PROXY_PORT });
    const b = await lab.node({ name: 'b' });
    const proxy = await RecordProxy.listen(addressOf('b'), PROXY_PORT, PORT);
    try {
      await a.becomePrimary(1, { base: 1, fresh: true });
      await b.becomeSecondary(1);
      const isHeldBack = new Promise<void>((resolve) => {
        proxy.arm({ direction: 'to-secondary', records: 0, reached: resolve });
      });
      await a.connectPeer(1, 'compare');
      await isHeldBack;
      await a.reach('resynchronising');
      proxy.endControl();
      await until(
        () => a.status.link === 'connecting',
        () => `the resync to end: ${JSON.stringify(a.status)}`,
      );
      proxy.reset();
      await a.reach('connected');
    } finally {
      await proxy.close();
    }
  });

  it('notices a peer that stops answering without closing anything', async () => {
    const { a, b } = await lab.connectedPair({ lockTimeoutSeconds: 2 });
    const frozen = b.replicatorPid;
    signal(frozen, 'SIGSTOP');
    try {
      const write = a.run('echo x > file');
      await a.reach('holding');
      await a.call({ call: 'continueAlone', term: { generation: generation(2), epoch: 2 }, base: generation(1) });
      assert.equal((await write).code, 0);
    } finally {
      signal(frozen, 'SIGCONT');
    }
  });

  it('answers held writes with EIO when it must give up, and can be stopped then', async () => {
    const { a, b } = await lab.connectedPair();
    await b.kill();
    await a.reach('holding');
    const write = a.run('echo lost > file');
    await new Promise((resolve) => setTimeout(resolve, 200));
    await a.call({ call: 'refuse' });
    const { code, output } = await write;
    assert.notEqual(code, 0);
    assert.match(output, /Input\/output error/);
    await a.stop();
    assert.equal(a.status.role, 'stopped');
  });

  it('keeps the application going while a resync runs, and ends up identical', async () => {
    const { a, b } = await lab.connectedPair();
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: { generation: generation(2), epoch: 2 }, base: generation(1) });
    await a.must('head -c 30000000 /dev/urandom > large && mkdir t && for i in $(seq 300); do echo $i > t/$i; done');
    let isOver = false;
    const working = a.run(WORK).then((result) => {
      isOver = true;
      return result;
    });
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    assert.equal(isOver, false);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await a.must('touch stop');
    assert.equal((await working).code, 0);
    await assertIdentical(a, b);
  });

  it('starts a resync again when it was interrupted, and does not promote the half-copied node', async () => {
    const { a, b } = await lab.connectedPair();
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: { generation: generation(2), epoch: 2 }, base: generation(1) });
    await a.must('head -c 50000000 /dev/urandom > large');
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await until(
      () => b.status.inconsistent,
      () => 'the secondary to be marked',
    );
    await b.kill();
    await b.start();
    if (b.status.inconsistent) {
      await assert.rejects(b.becomePrimary(3, { base: 2 }), /HF_REPLICATION_INCONSISTENT/);
    }
    await b.becomeSecondary(2);
    await a.reach('connected');
    await assertIdentical(a, b);
    assert.equal(b.status.inconsistent, false);
    assert.equal(a.status.failure, undefined, 'a link that is up has no failure');
  });
});

/** Names and content change until a file `stop` appears. */
const WORK = [
  'i=0; while [ ! -e stop ]; do i=$((i+1)); echo $i > t/$i.new; mv t/$i.new t/$((i % 50)); echo $i >> t/log',
  'printf $i | dd of=large bs=1 seek=$((i*100000 % 30000000)) conv=notrunc 2>/dev/null || exit 1; done',
].join('; ');

/** Until checkpoints have passed on both nodes: one that flushes, and one after which the secondary forgets. */
async function settle(a: LabNode, b: LabNode): Promise<void> {
  await assertIdentical(a, b);
  await new Promise((resolve) => setTimeout(resolve, 5500));
}
