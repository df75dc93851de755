/** One node on its own: mounting, unmounting, and what is left behind. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { assertIdentical, generation, Lab, SYNC_MODES, until } from './lab.js';

describe('a primary alone', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  it('shows and changes what was in the directory before', async () => {
    const a = await lab.node({ name: 'a' });
    await a.must('echo old > file');
    await a.becomePrimary(1, { base: 1, fresh: true });
    assert.equal(await a.must('cat file && echo new >> file && cat file'), 'old\nold\nnew\n');
    await a.stop();
    assert.equal(await a.must('cat file; mount | grep -c "$PWD" || true'), 'old\nnew\n1\n');
  });

  it('keeps its own directory hidden and untouchable', async () => {
    const a = await lab.node({ name: 'a' });
    await a.must('mkdir .holdfast && echo stash > .holdfast/x');
    await a.becomePrimary(1, { base: 1, fresh: true });
    assert.equal(await a.must('ls -A'), '');
    assert.notEqual((await a.run('cat .holdfast/x')).code, 0);
    assert.notEqual((await a.run('mkdir .holdfast')).code, 0);
    assert.notEqual((await a.run('mkdir d && mv d .holdfast')).code, 0);
  });

  it('names who keeps it busy, and goes on serving', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    const holder = a.run('exec 3> held; echo ready > ready; while [ -e ready ]; do sleep 0.05; done; echo end >&3');
    await a.must('while [ ! -e ready ]; do sleep 0.02; done');
    await assert.rejects(a.stop(), /HF_REPLICATION_BUSY.*sh \(pid \d+\)/);
    assert.equal(a.status.role, 'primary');
    await a.must('rm ready');
    assert.equal((await holder).code, 0);
    await a.stop();
    assert.equal(await a.must('cat held'), 'end\n');
  });

  it('unmounts lazily with force', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    const holder = a.run('exec 3> held; echo ready > ready; while sleep 0.05 && echo x >&3; do :; done');
    await a.must('while [ ! -e ready ]; do sleep 0.02; done');
    await a.stop(true);
    assert.equal(a.status.role, 'stopped');
    assert.notEqual((await holder).output, '');
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.must('echo again > again');
  });

  it('refuses a directory that does not exist or has mounts below it', async () => {
    const a = await lab.node({ name: 'a' });
    await a.must('mkdir sub && mount -t tmpfs none sub');
    await assert.rejects(a.becomePrimary(1, { base: 1, fresh: true }), /HF_REPLICATION_SUBMOUNT.*sub/);
    await a.must('umount sub');
    await a.becomePrimary(1, { base: 1, fresh: true });
  });

  it('clears what a killed replicator left mounted, and its journal counts', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.stop();
    assert.equal(a.status.journalSince, undefined);
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.must('echo x > y');
    a.killReplicatorForGood();
    await until(
      () => a.status.failure?.code === 'HF_REPLICATION_PROCESS',
      () => 'the failure',
    );
    assert.match((await a.run('pwd')).output, /can't cd/);
    await a.reopen();
    assert.equal(await a.must('cat y'), 'x\n');
    await a.becomePrimary(1, { base: 1, fresh: true });
    assert.equal(await a.must('cat y'), 'x\n');
  });

  it('writes a journal that a crash of the process does not lose', async () => {
    const { a, b } = await lab.connectedPair();
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: { generation: generation(2), epoch: 2 }, base: generation(1) });
    await a.must('echo 1 > one && sync one && echo 2 > two');
    a.killReplicatorForGood();
    await until(
      () => a.status.failure?.code === 'HF_REPLICATION_PROCESS',
      () => 'the failure',
    );
    await a.reopen();
    await until(
      () => a.status.journalSince === generation(1),
      () => `the journal; ${JSON.stringify(a.status)}`,
    );
    await a.becomePrimary(3, { base: 1 });
    await a.must('echo 3 > three');
    await b.start();
    await b.becomeSecondary(3);
    await a.connectPeer(3, 'journal');
    await a.reach('connected');
    assert.equal(await b.must('cat one two three'), '1\n2\n3\n');
  });

  it('serves trees that are larger than its table of descriptors', async () => {
    const a = await lab.node({ name: 'a' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.must('for d in $(seq 45); do mkdir $d && (cd $d && seq -f f%g 100 | xargs touch) || exit 1; done');
    assert.equal((await a.must('find . -type f | wc -l')).trim(), '4500');
    await a.must('find . -type f | xargs sh -c \'for f; do echo "$f" > "$f" || exit 1; done\' sh');
    assert.equal((await a.must('cat */* | sort -u | wc -l')).trim(), '4500');
    await a.must('rm -r [0-9]*');
  });

  const SQL = 'select count(*), sum(abalance) from pgbench_accounts';
  it('runs PostgreSQL', async () => {
    const a = await lab.node({ name: 'a' });
    const bin = (await a.run('ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1')).output.trim();
    const isInstalled = (await a.run(`test -x ${bin}/initdb && command -v pgbench psql su`)).code === 0;
    assert.ok(isInstalled, 'this test runs a PostgreSQL server: apt-get install postgresql');
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.must('mkdir pg && chown postgres pg && chmod 700 pg');
    const pg = (command: string): Promise<string> => a.must(`su postgres -s /bin/sh -c "cd pg && ${command}"`);
    await pg(`${bin}/initdb -D . -N > /dev/null`);
    const start = `${bin}/pg_ctl -D . -w -l log -o '-p 5599 -k . -c listen_addresses=' start > /dev/null`;
    await pg(start);
    try {
      await pg(
        'pgbench -h \\$PWD -p 5599 -i -q postgres 2> /dev/null && pgbench -h \\$PWD -p 5599 -c 4 -t 50 -n postgres > /dev/null 2>&1',
      );
      const before = await pg(`psql -h \\$PWD -p 5599 -Atc '${SQL}' postgres`);
      await pg(`${bin}/pg_ctl -D . -m immediate stop > /dev/null`);
      await pg(start);
      assert.equal(await pg(`psql -h \\$PWD -p 5599 -Atc '${SQL}' postgres`), before);
    } finally {
      await pg(`${bin}/pg_ctl -D . -m fast stop > /dev/null`);
    }
  });
});

describe('the mounted file system', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  const semantics = fileURLToPath(new URL('./semantics-process.js', import.meta.url));

  for (const sync of SYNC_MODES) {
    it(`behaves like a local one when alone (sync ${sync})`, async () => {
      const a = await lab.node({ name: 'a', sync });
      await a.becomePrimary(1, { base: 1, fresh: true });
      assert.equal(await a.must(`${process.execPath} ${semantics} ${sync}`), '');
    });

    it(`behaves like a local one when replicated, and the secondary is the same (sync ${sync})`, async () => {
      const { a, b } = await lab.connectedPair({ sync });
      assert.equal(await a.must(`${process.execPath} ${semantics} ${sync}`), '');
      await assertIdentical(a, b);
      assert.equal(a.status.link, 'connected');
    });
  }
});
