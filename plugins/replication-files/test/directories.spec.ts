/** Several replicated directories in one module, and what must be in them before a node takes a role. */
import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { assertIdentical, generation, Lab, term } from './lab.js';

describe('replicated directories', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  for (const directories of [2, 3]) {
    it(`go together: ${directories} of them, live and by the journal`, async () => {
      const { a, b } = await lab.connectedPair({ directories });
      const others = a.directories.slice(1);
      const inEach = (command: string): string => others.map((path) => `cd '${path}' && ${command}`).join(' && ');
      await a.must(`echo first > f && mkdir d && ${inEach('mkdir -p d/e && echo other > d/e/f && ln d/e/f hard')}`);
      // One file system for each of them, as for the kernel: mv copies.
      assert.match((await a.run(`${process.execPath} -e "fs.renameSync('f','${others[0] ?? ''}/f')"`)).output, /EXDEV/);
      await a.must(`mv f d '${others[0] ?? ''}/d/'`);
      await assertIdentical(a, b);
      await b.kill();
      await a.reach('holding');
      await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
      await a.must(inEach('echo alone > alone && mv d/e e && rm hard'));
      await b.start();
      await b.becomeSecondary(2);
      await a.connectPeer(2, 'journal');
      await a.reach('connected');
      await assertIdentical(a, b);
      assert.equal(a.status.lastResync?.mode, 'journal');
      // Not with an access time of its own.
      const fd = openSync(join(b.trees[1] ?? '', 'd/f'), constants.O_RDONLY | constants.O_NOATIME);
      assert.equal(readFileSync(fd, 'utf8'), 'first\n');
      closeSync(fd);
      await a.stop();
      await b.reach('none');
      await b.becomePrimary(3, { base: 2 });
      await b.must(inEach('cat e/f && rmdir d/d; echo back > back'));
      await a.becomeSecondary(3);
      await b.connectPeer(3, 'journal');
      await b.reach('connected');
      await assertIdentical(b, a);
    });
  }

  it('are named when one of them is missing on one node', async () => {
    const node = await lab.node({ name: 'a', directories: 3 });
    const gone = node.directories[1] ?? '';
    await node.must(`umount '${gone}' && rmdir '${gone}'`);
    await assert.rejects(
      node.becomePrimary(1, { base: 1, fresh: true }),
      new RegExp(`HF_REPLICATION_DIRECTORY_MISSING: ${gone} is not a directory; create it on this node`),
    );
    assert.equal(node.status.role, 'stopped');
    await node.must(`mkdir '${gone}'`);
    await node.becomePrimary(1, { base: 1, fresh: true });
  });

  it('with a mount below are refused, and say which', async () => {
    const node = await lab.node({ name: 'a', directories: 2 });
    const below = join(node.directories[1] ?? '', 'sub');
    await node.must(`mkdir '${below}' && mount -t tmpfs none '${below}'`);
    await assert.rejects(node.becomeSecondary(1), new RegExp(`HF_REPLICATION_SUBMOUNT: ${below} is mounted below`));
    await node.must(`umount '${below}'`);
    await node.becomeSecondary(1);
  });

  it('must hold what <tocheck> names before a node becomes primary or secondary', async () => {
    const replicated = { tocheck: [{ path: 'db/version' }] };
    const a = await lab.node({ name: 'a', replicated });
    const b = await lab.node({ name: 'b', replicated });
    const missing = new RegExp(`HF_REPLICATION_CONTENT_MISSING: ${a.directory}/db/version is not there.*is the file system of .* mounted`);
    await assert.rejects(a.becomePrimary(1, { base: 1, fresh: true }), missing);
    await assert.rejects(b.becomeSecondary(1), missing);
    for (const node of [a, b]) await node.must('mkdir db && touch db/version');
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    // Whoever serves the data goes on: the file system was there when it began.
    await a.must('rm -r db');
    await assertIdentical(a, b);
    await a.stop();
    await b.reach('none');
    await b.becomePrimary(2, { base: 1 });
    await assert.rejects(a.becomeSecondary(2), missing);
    rmSync(join(a.tree, 'db'), { recursive: true, force: true });
  });
});
