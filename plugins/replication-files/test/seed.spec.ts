/** A second node that was filled from a backup: only what differs travels, whatever the backup kept of extended attributes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { assertIdentical, generation, Lab, term, type LabNode } from './lab.js';

const TREE = [
  'head -c 20000000 /dev/urandom > large',
  'mkdir -p d/e && for i in $(seq 300); do head -c 20000 /dev/urandom > d/e/$i; done',
  'ln d/e/1 d/hard && ln -s e d/soft && mkfifo d/pipe && chown 5:6 d/e/2 && chmod 4750 d/e/3',
  'truncate -s 50000000 sparse && printf x | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none',
].join(' && ');
/** What happened on the first node since the backup, in a few files. */
const SINCE = 'printf changed | dd of=large bs=1 seek=10000000 conv=notrunc status=none && rm d/e/4 && echo new > d/e/5 && rm d/hard';
/** Is found again by the ids alone. */
const MOVED = 'mv d/e moved && mkdir d/e && echo other > d/e/6 && mv moved/20 . && mv moved/21 d/e/20';
const COPIED = 'mkdir moved && cp d/e/7 d/e/8 d/e/9 d/e/10 d/e/11 d/e/12 moved/';
/** Content that may be sent for it: granules around what changed. */
const SENT_BYTES_MAX = 500_000;

describe('a second node that was seeded from a backup', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  const copy = (from: LabNode, to: LabNode, ...options: string[]): void => {
    execFileSync('cp', ['-a', '--sparse=auto', ...options, `${from.tree}/.`, to.tree]);
  };

  /** Compares and connects. @returns content that was sent */
  async function attach(a: LabNode, b: LabNode, n: number): Promise<number> {
    await b.becomeSecondary(n);
    await a.connectPeer(n, 'compare');
    await a.reach('connected');
    await assertIdentical(a, b);
    const summary = a.status.lastResync;
    assert.equal(summary?.mode, 'compare');
    assert.ok(summary.bytesInTree > 26_000_000, `the tree has ${summary.bytesInTree} bytes`);
    return summary.bytesSent;
  }

  for (const [what, option, later] of [
    ['without extended attributes', '--no-preserve=xattr', COPIED],
    ['with extended attributes', '--preserve=xattr', MOVED],
  ] as const) {
    it(`gets only what changed since, from a copy ${what}`, async () => {
      const a = await lab.node({ name: 'a' });
      const b = await lab.node({ name: 'b' });
      await a.becomePrimary(1, { base: 1, fresh: true });
      await a.must(TREE);
      copy(a, b, option);
      await a.must(`${SINCE} && ${later}`);
      const sent = await attach(a, b, 1);
      assert.ok(sent < SENT_BYTES_MAX, `${sent} bytes were sent`);
      // Live operations find every object by the id that it has now.
      await a.must('echo more >> moved/7 && mv moved/8 d/ && chmod 600 d/8 && ln d/8 d/link');
      await assertIdentical(a, b);
      assert.equal(a.status.link, 'connected');
    });
  }

  it('that belonged to another pair gets the ids of this one', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must(TREE);
    await assertIdentical(a, b);
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
    // Every object gets another id on the first node; a backup of the second one still has the old ids, and some of them twice.
    await a.must('mkdir re && cp -a d large sparse re/ && rm -r d large sparse && mv re/* . && rmdir re');
    execFileSync('sh', ['-c', 'cp -a --preserve=xattr d/e/9 d/e/10 && cp -a --preserve=xattr d/e/11 d/twin && mv d/e/12 d/e/13'], {
      cwd: b.tree,
    });
    await a.must(`${SINCE} && ${COPIED}`);
    await b.start();
    const sent = await attach(a, b, 2);
    assert.ok(sent < SENT_BYTES_MAX, `${sent} bytes were sent`);
    await a.must('echo more >> moved/9 && echo more >> moved/10 && echo more >> moved/11 && rm moved/12');
    await assertIdentical(a, b);
    assert.equal(a.status.link, 'connected');
  });
});
