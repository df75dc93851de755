/** A pair whose disks are full: errors that are true on both nodes, and room as soon as something was removed. On ext4 in loop devices. */
import assert from 'node:assert/strict';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { assertIdentical, generation, Lab, run, term, type LabNode } from './lab.js';

const DISK_MIB = 320;
/** Of one write that the kernel hands over in one request. */
const WRITE_BYTES = 1 << 20;

describe('a pair with small disks', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  async function nodeWithDisk(name: 'a' | 'b', async: 'second' | 'none'): Promise<LabNode> {
    const image = join(lab.base, `${name}.img`);
    const made = await run(`truncate -s ${DISK_MIB}M '${image}' && mkfs.ext4 -q -F -m 0 -O ^has_journal '${image}'`);
    assert.equal(made.code, 0, made.output);
    return lab.node({ name, async, replicated: { notreplicated: [{ path: 'own' }] }, prepare: `mount -o loop '${image}' "$DIR"` });
  }

  async function pairWithDisks(async: 'second' | 'none'): Promise<{ a: LabNode; b: LabNode }> {
    const [a, b] = [await nodeWithDisk('a', async), await nodeWithDisk('b', async)];
    await Promise.all([a.becomePrimary(1, { base: 1, fresh: true }), b.becomeSecondary(1)]);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    await b.reach('connected');
    return { a, b };
  }

  const isOwn = (label: string): boolean => label === '/own';
  const freeBytes = (node: LabNode): number => {
    const { bavail, bsize } = statfsSync(node.treeOutside);
    return bavail * bsize;
  };
  const fill = (node: LabNode, name: string, bytes: number): Promise<string> =>
    node.must(`dd if=/dev/zero of=${name} bs=1M count=${bytes}B status=none`);

  it('has room as soon as files were removed that a resync put into the trash', async () => {
    const { a, b } = await pairWithDisks('second');
    await a.must('mkdir many && for i in $(seq 2500); do echo >many/$i; done && dd if=/dev/zero of=many/large bs=1M count=190 status=none');
    await b.call({ call: 'close' });
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
    await a.must('rm -r many');
    await b.reopen();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    await a.must('fallocate -l 200000000 new');
    assert.equal(a.status.link, 'connected');
    assert.deepEqual(
      a.log.filter((line) => line.includes('differ')),
      [],
    );
    assert.equal(b.status.inconsistent, false, b.log.join('\n'));
    await assertIdentical(a, b, isOwn);
  });

  for (const async of ['second', 'none'] as const) {
    it(`gives the application the error when both disks end in the middle of a write, and stays the same (async ${async})`, async () => {
      const { a, b } = await pairWithDisks(async);
      await fill(a, 'before', Math.min(freeBytes(a), freeBytes(b)) - WRITE_BYTES / 2 - (WRITE_BYTES >> 3));
      // What one of them has more: then the two would stop at different places.
      assert.equal((await run(`head -c ${WRITE_BYTES / 4} /dev/zero > '${b.treeOutside}/own'`)).code, 0);
      const { code, output } = await a.run(`dd if=/dev/urandom of=part bs=${WRITE_BYTES} count=1`);
      assert.notEqual(code, 0);
      assert.match(output, /No space left/);
      await a.reach('connected');
      await assertIdentical(a, b, isOwn);
      assert.equal(b.status.inconsistent, false);
      assert.equal(b.log.filter((line) => line.includes('acknowledged')).length, 0, b.log.join('\n'));
      await a.must('rm before part');
      await fill(a, 'after', 150_000_000);
      assert.equal(a.status.link, 'connected', a.log.join('\n'));
      await assertIdentical(a, b, isOwn);
    });
  }
});
