/**
 * Disks that fail under a running pair: from one moment on every write gets EIO, as from a disk that is gone (the file system is shut down
 * below the replication). The state directory is on another disk.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { assertIdentical, generation, Lab, run, term, until, type LabNode } from './lab.js';

/** EXT4_IOC_SHUTDOWN without flushing the journal. */
const SHUT_DOWN = `perl -e 'open(my $root, "<", $ARGV[0]) or die $!; my $flag = pack("L", 2); ioctl($root, 0x8004587d, $flag) or die $!;'`;

describe('a replicated pair whose disk fails', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  const onDisk = async (name: 'a' | 'b', async: 'second' | 'none' = 'second'): Promise<LabNode> => {
    const image = join(lab.base, `${name}.img`);
    // With little room a secondary would write before it acknowledges.
    const { code, output } = await run(`truncate -s 1G ${image} && mkfs.ext4 -q -F -m 0 ${image}`);
    assert.equal(code, 0, output);
    return lab.node({ name, async, prepare: `mount -o loop '${image}' "$DIR"` });
  };

  async function connect(a: LabNode, b: LabNode): Promise<void> {
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
  }

  const breakDisk = async (node: LabNode): Promise<void> => {
    const { code, output } = await run(`${SHUT_DOWN} '${node.tree}'`, ['nsenter', '-t', String(node.agentPid), '-m']);
    assert.equal(code, 0, output);
  };

  for (const async of ['second', 'none'] as const) {
    it(`goes on without the secondary when its disk fails, and with it when it has a good one again (async ${async})`, async () => {
      const a = await lab.node({ name: 'a', async });
      const b = await onDisk('b', async);
      await connect(a, b);
      await a.must('mkdir d && echo before > d/file && sync d/file');
      await breakDisk(b);
      const writing = a.run('for i in 1 2 3 4 5; do echo $i >> d/file && sync d/file || exit 1; done; mv d e && echo new > e/new');
      // With `none` the failed write is an answer, and the secondary is marked by the attempt to repair it: no reason to hold.
      if (async === 'second') await a.reach('holding');
      await until(
        () => b.status.inconsistent || b.status.link === 'none',
        () => `the secondary to say that it failed: ${JSON.stringify(b.status)}`,
      );
      await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
      const { code, output } = await writing;
      assert.equal(code, 0, output);
      assert.equal(await a.must('cat e/file'), 'before\n1\n2\n3\n4\n5\n');
      // A new start finds the disk again, as it was before it failed.
      await b.kill();
      await b.start();
      await b.becomeSecondary(2);
      await a.connectPeer(2, 'journal');
      await a.reach('connected');
      await assertIdentical(a, b);
      await until(
        () => !b.status.inconsistent,
        () => `the secondary to count as whole: ${JSON.stringify(b.status)}`,
      );
    });
  }

  it('leaves the field to the other node when the primary’s disk fails: what was acknowledged is there', async () => {
    const a = await onDisk('a');
    const b = await lab.node({ name: 'b' });
    await connect(a, b);
    await a.must('mkdir d && for i in $(seq 50); do echo $i > d/$i; done && sync d/1');
    await assertIdentical(a, b);
    await breakDisk(a);
    const working = a.run('echo more >> d/1 || echo refused; rm d/2 || echo refused');
    await until(
      () => a.status.failure?.code === 'HF_REPLICATION_PROCESS',
      () => `the replicator to end: ${a.log.join(' | ')}`,
    );
    assert.equal((await working).output.match(/refused/g)?.length, 2, 'nothing is acknowledged any more');
    assert.match(a.log.join('\n'), /HF_REPLICATION_DISK: the disk of this node fails \(EIO\): the other node has everything/);
    await b.reach('none');
    assert.equal(b.status.inconsistent, false);
    await b.becomePrimary(2, { base: 1 });
    assert.equal(await b.must('cat d/1 && cat $(ls d/* | sort) | wc -l'), '1\nmore\n51\n');
  });

  it('does not answer a read that the disk of the primary fails', async () => {
    const a = await onDisk('a');
    const b = await lab.node({ name: 'b' });
    await connect(a, b);
    await a.must('head -c 3000000 /dev/urandom > large && sync large');
    await assertIdentical(a, b);
    await breakDisk(a);
    await run('echo 3 > /proc/sys/vm/drop_caches');
    const reading = a.run('cat large > /dev/null || echo failed');
    await until(
      () => a.status.failure?.code === 'HF_REPLICATION_PROCESS',
      () => `the replicator to end: ${a.log.join(' | ')}`,
    );
    await reading;
    await b.reach('none');
    assert.equal(b.status.inconsistent, false);
  });

  it('gives the application the error when the primary is alone', async () => {
    const a = await onDisk('a');
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.must('echo 1 > file && sync file');
    await breakDisk(a);
    const { code, output } = await a.run('echo 2 >> file');
    assert.notEqual(code, 0);
    assert.match(output, /I\/O error/);
    assert.equal(a.status.role, 'primary');
  });
});
