/**
 * Names and sizes at the ends of what a file system takes: live, and brought to a peer by a journal or by a comparison. `LIMITS=full` goes
 * to the ends of numbers too: as many hard links as ext4 takes, a hundred thousand names in a directory.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { generation, Lab, run, term, type LabNode } from './lab.js';

const LIMITS = fileURLToPath(new URL('./limits-process.js', import.meta.url));
const LIMITS_MS = 120_000;
const SETTLE_MS = 10_000;
/** Content, attributes, times and links, read relative to descriptors: paths may be longer than the kernel takes. */
const DIGEST =
  'tar -c --sort=name --exclude=./.holdfast --exclude=./*/sparse --format=posix ' +
  '--pax-option=exthdr.name=%d/h/%f,delete=atime,delete=ctime . 2>/dev/null | sha256sum;' +
  // Nobody reads terabytes of nothing: size and times, and the places that were written.
  `for file in */sparse; do [ -e $file ] || continue; stat -c '%n %s %a %y' $file
  for at in 0 ${2 ** 18} ${1.5 * 2 ** 18} ${2 ** 27 - 1}; do
  dd if=$file bs=4096 skip=$at count=1 status=none | sha256sum; done; done`;

async function assertIdentical(a: LabNode, b: LabNode): Promise<void> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const [left, right] = await Promise.all([a, b].map((node) => run(`cd '${node.tree}' && ${DIGEST}`)));
    if (left?.output === right?.output) return;
    // Times are the same after the next checkpoint.
    if (performance.now() > deadline) assert.equal(right?.output, left?.output, 'the trees are not identical');
  }
}

describe('names and sizes at their limits', function () {
  this.timeout(2 * LIMITS_MS);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(async () => {
    // Deeper than Node can remove.
    await run(`rm -rf '${lab.base}'/?/tree/*`);
    await lab.close();
  });

  const work = (node: LabNode, what: string): Promise<string> => node.must(`${process.execPath} ${LIMITS} ${what}`);

  /** Loses the secondary and brings it back. */
  async function away(a: LabNode, b: LabNode, n: number, mode: 'journal' | 'compare', meanwhile: () => Promise<unknown>): Promise<void> {
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: term(n), base: generation(n - 1) });
    await meanwhile();
    await b.start();
    await b.becomeSecondary(n);
    await a.connectPeer(n, mode);
    await a.reach('connected', LIMITS_MS);
    assert.equal(a.status.lastResync?.mode, mode, a.log.join('\n'));
    await assertIdentical(a, b);
  }

  const kinds = ['names', 'deep', 'links', 'many', 'large'];
  for (const whats of process.env['LIMITS'] === 'full' ? kinds.map((kind) => [kind]) : [kinds]) {
    it(`are the same on both nodes, live, by the journal and by comparison: ${whats.join(', ')}`, async () => {
      const { a, b } = await lab.connectedPair();
      const all = async (action: string, where: string): Promise<void> => {
        for (const what of whats) await work(a, `${action} ${what} ${what}-${where}`);
      };
      await all('make', 'one');
      await all('change', 'one');
      assert.equal(a.status.link, 'connected', a.log.join('\n'));
      await assertIdentical(a, b);
      await away(a, b, 2, 'journal', async () => {
        await all('change', 'one');
        await all('make', 'two');
      });
      await away(a, b, 3, 'compare', async () => {
        await all('change', 'two');
        await all('make', 'three');
      });
      await all('change', 'three');
      await all('remove', 'two');
      await assertIdentical(a, b);
      assert.equal(a.status.link, 'connected', a.log.join('\n'));
      assert.equal(b.status.inconsistent, false);
    });
  }

  it('refuse what no disk takes, as a disk does, and the link lives', async () => {
    const { a, b } = await lab.connectedPair();
    assert.equal(await work(a, 'refuse sizes one'), '');
    assert.equal(a.status.link, 'connected', a.log.concat(b.log).join('\n'));
    await assertIdentical(a, b);
  });
});
