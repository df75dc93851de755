/** A secondary whose primary is lost in the middle of a resync goes on with its last consistent image: real processes and file systems. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generation, Lab, until, type LabNode } from './lab.js';
import { describeTree, differences } from './tree.js';

const TYPES = ['xfs', 'btrfs', 'ext4'].filter((type) => readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(type));
const DISK_BYTES = 500 << 20;
const MAKE: Readonly<Record<string, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q'],
};

describe('a secondary whose primary is lost in the middle of a resync', function () {
  this.timeout(120_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  async function pairOn(type: string): Promise<{ a: LabNode; b: LabNode }> {
    const nodes: LabNode[] = [];
    for (const name of ['a', 'b'] as const) {
      const image = join(lab.base, `${name}.img`);
      writeFileSync(image, '');
      truncateSync(image, DISK_BYTES);
      const [command, ...options] = MAKE[type] as readonly [string, ...string[]];
      execFileSync(command, [...options, image]);
      // The state stays outside: the mount is gone with the process.
      nodes.push(await lab.node({ name, prepare: `mount -t ${type} -o loop '${image}' "$DIR/.." && mkdir -p "$DIR" "$DIR/../state"` }));
    }
    const [a, b] = nodes as [LabNode, LabNode];
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    return { a, b };
  }

  const tree = (node: LabNode): Map<string, string> => describeTree(node.treeOutside);

  /** The secondary is gone and back, and has a part of what was written meanwhile. @returns its tree before it came back */
  async function interruptedResync(a: LabNode, b: LabNode): Promise<Map<string, string>> {
    await a.must('mkdir d e && for i in $(seq 200); do echo $i > d/$i; done && head -c 3000000 /dev/urandom > d/large && ln d/1 e/link');
    await b.stop();
    await a.call({ call: 'continueAlone', term: { generation: generation(2), epoch: 2 }, base: generation(1) });
    const before = tree(b);
    const names = 'mv d/2 e/2; rm d/3; mkdir e/f; mv d/4 e/f/4; chmod 600 d/5; echo more >> d/6';
    const content = 'head -c 9 /dev/urandom | dd of=d/large seek=70000 bs=1 conv=notrunc 2>/dev/null';
    await a.must(`${names}; ${content}; mv e g; for i in $(seq 8); do head -c 20000000 /dev/urandom > new$i; done`);
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await until(
      () => b.status.inconsistent,
      () => 'the resync to begin',
    );
    return before;
  }

  for (const type of TYPES.filter((each) => each !== 'ext4')) {
    it(`puts its last image back on ${type}, serves it, and follows it with the other node afterwards`, async () => {
      const { a, b } = await pairOn(type);
      const before = await interruptedResync(a, b);
      await a.kill();
      assert.equal(b.status.inconsistent, true, 'the resync was over before the primary was killed');
      assert.ok(b.status.image !== undefined && b.status.image.changes > 0);
      await b.stop();
      assert.ok(b.status.image !== undefined, 'it is known while the replica is stopped');
      await assert.rejects(b.becomePrimary(3, { base: 1, fresh: true }), /HF_REPLICATION_INCONSISTENT/);
      await b.becomePrimary(3, { base: 1, fresh: true, image: true });
      assert.equal(b.status.inconsistent, false);
      assert.equal(b.status.image, undefined);
      assert.equal(differences(before, tree(b)), '');
      await b.must('test $(cat d/2) = 2 && test ! -e new1 && echo on > on');
      await a.start();
      await a.becomeSecondary(3);
      await b.connectPeer(3, 'compare');
      await b.reach('connected', 60_000);
      await until(
        () => differences(tree(b), tree(a)) === '',
        () => differences(tree(b), tree(a)),
      );
    });
  }

  it('says that there is no image on ext4, and does not promote one', async () => {
    const { a, b } = await pairOn('ext4');
    assert.match(b.status.note ?? '', /no image is kept during a resync: .*XFS and btrfs/);
    await interruptedResync(a, b);
    await a.kill();
    assert.equal(b.status.image, undefined);
    await b.stop();
    await assert.rejects(b.becomePrimary(3, { base: 1, fresh: true, image: true }), /HF_REPLICATION_IMAGE.*no image/);
    assert.equal(b.status.inconsistent, true);
  });
});
