/** What is excluded from the replication, with real mounts on two nodes. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ElementValue } from '@holdfast/sdk';
import { assertIdentical, generation, Lab, term, until, type LabNode } from './lab.js';

const EXCLUSIONS = { notreplicated: [{ path: 'cache' }, { path: 'app/spool' }, { regexpath: '\\.tmp$' }] };
const isOwn = (label: string): boolean => /^\/cache(\/|$)|^\/app\/spool(\/|$)|\.tmp(\/|$)/.test(label);

describe('exclusions', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  const pair = (replicated: ElementValue = EXCLUSIONS): Promise<{ a: LabNode; b: LabNode }> => lab.connectedPair({ replicated });
  const identical = (a: LabNode, b: LabNode): Promise<void> => assertIdentical(a, b, isOwn);
  /** What a node has on its disk. */
  const has = (node: LabNode, name: string): boolean => existsSync(join(node.tree, name));
  const content = (node: LabNode, name: string): string => readFileSync(join(node.tree, name), 'utf8');
  /** Nothing was repaired: everything went as one operation on both nodes. */
  const assertSmooth = (a: LabNode): void => {
    assert.deepEqual(
      a.log.filter((line) => line.includes('repaired')),
      [],
    );
    assert.equal(a.status.link, 'connected');
  };

  it('are served to the application and never reach the other node', async () => {
    const { a, b } = await pair();
    await a.must('mkdir -p cache/deep app/spool d && echo c > cache/deep/c && echo t > d/x.tmp && echo w > app/spool/w && echo r > d/r');
    await a.must(
      'echo more >> d/x.tmp && sync d/x.tmp && truncate -s 100 cache/deep/c && ln cache/deep/c cache/hard && mv cache/hard cache/h2',
    );
    await a.must('mkdir d/dir.tmp && echo in > d/dir.tmp/in && rm -r d/dir.tmp && chmod 600 d/x.tmp && rm app/spool/w');
    await identical(a, b);
    assert.equal(await a.must('cat d/x.tmp'), 't\nmore\n');
    for (const name of ['cache', 'app/spool', 'd/x.tmp']) assert.equal(has(b, name), false, name);
    assertSmooth(a);
  });

  it('are each node’s own when everything is compared, and are left out of what is copied', async () => {
    const a = await lab.node({ name: 'a', replicated: EXCLUSIONS });
    const b = await lab.node({ name: 'b', replicated: EXCLUSIONS });
    await a.must('mkdir -p cache x/y new && echo a > cache/f && echo a > x/y/a.tmp && echo both > x/y/same');
    await a.must('echo n > new/n.tmp && echo r > new/r');
    await b.must('mkdir -p cache x/y && echo b > cache/f && echo b > x/y/b.tmp && echo old > x/y/old && echo b > x/y/a.tmp');
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    await identical(a, b);
    assert.equal(content(b, 'cache/f'), 'b\n');
    assert.equal(content(b, 'x/y/b.tmp'), 'b\n');
    assert.equal(content(b, 'x/y/a.tmp'), 'b\n');
    assert.equal(has(b, 'x/y/old'), false);
    assert.equal(has(b, 'new/n.tmp'), false);
    assert.equal(content(b, 'new/r'), 'r\n');
  });

  it('let a file that was written aside take its name on both nodes in one step', async () => {
    const { a, b } = await pair();
    await a.must('echo old > config && head -c 3000000 /dev/urandom > big.tmp && truncate -s 9000000 big.tmp');
    await a.must('chown 3:4 big.tmp && chmod 640 big.tmp');
    await a.must('sync big.tmp && mv big.tmp config && ln -s there link.tmp && mv -T link.tmp link && mkfifo p.tmp && mv p.tmp pipe');
    // At once: when rename(2) has returned, the other node has everything.
    assert.equal((await a.must('sha1sum < config')).trim(), (await b.must('sha1sum < config')).trim());
    await identical(a, b);
    await a.must('echo more >> config && mv config config.tmp && echo again > config');
    await identical(a, b);
    assert.equal(has(b, 'config.tmp'), false);
    assert.equal(existsSync(join(b.tree, '.holdfast/incoming/x')), false);
    await a.must('mv -n config.tmp other && mv other config');
    await identical(a, b);
    assertSmooth(a);
  });

  it('follow a file that is open while it crosses', async () => {
    const { a, b } = await pair();
    await a.must('exec 3>f.tmp; echo one >&3; mv f.tmp f; echo two >&3; mv f g.tmp; echo three >&3; mv g.tmp h; echo four >&3');
    assert.equal(await b.must('cat h'), 'one\ntwo\nthree\nfour\n');
    await identical(a, b);
    assertSmooth(a);
  });

  it('lose nothing that is written to a file while it crosses', async () => {
    const { a, b } = await pair();
    const write = '(i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i >&3 || exit 1; done)';
    for (const name of ['one', 'two', 'three', 'four']) {
      const cross = `mv ${name}.tmp ${name} && mv ${name} again.tmp && mv again.tmp ${name}`;
      await a.must(`head -c 3000000 /dev/urandom > ${name}.tmp; exec 3>>${name}.tmp; ${write} & ${cross} && wait $! && echo end >&3`);
      assert.equal(await b.must(`tail -n 2 ${name}`), '400\nend\n');
    }
    await identical(a, b);
    assertSmooth(a);
  });

  it('keep what was there until the new content is complete, when the primary dies half-way', async () => {
    const { a, b } = await pair();
    await a.must('echo old > config && head -c 30000000 /dev/urandom > big.tmp && sync config');
    const moving = a.run('mv big.tmp config');
    await new Promise((resolve) => setTimeout(resolve, 15));
    await a.kill();
    await moving;
    await b.reach('none');
    await b.becomePrimary(2, { base: 1 });
    const size = Number(await b.must('stat -c %s config'));
    assert.ok(size === 4 || size === 30_000_000, `the survivor has ${size} bytes`);
    assert.equal(has(b, '.holdfast/incoming'), false);
    await a.start();
    await a.becomeSecondary(2);
    await b.connectPeer(2, 'journal');
    await b.reach('connected');
    await identical(b, a);
  });

  it('refuse what would be on both sides: hard links and exchanges', async () => {
    const { a, b } = await pair();
    await a.must('echo f > f && echo t > t.tmp && ln f f2 && ln t.tmp t2.tmp');
    for (const command of ['ln f f.tmp', 'ln t.tmp t']) assert.match((await a.run(command)).output, /cross-device/, command);
    // mv(1) copies then, as between file systems.
    await a.must('mv f f.tmp && mv t.tmp t && test "$(cat f2)" = f && test "$(cat t2.tmp)" = t && test ! -e f');
    await identical(a, b);
    assertSmooth(a);
  });

  it('let a directory cross, with everything in it', async () => {
    const { a, b } = await pair();
    await a.must('mkdir -p cache/build/sub && echo 1 > cache/build/one && echo 2 > cache/build/sub/two && echo x > cache/build/x.tmp');
    await a.must('mv cache/build release && echo 3 > release/three');
    await a.reach('connected');
    await identical(a, b);
    assert.equal(content(b, 'release/sub/two'), '2\n');
    assert.equal(has(b, 'release/x.tmp'), false);
    await a.must('mv release cache/back && echo 4 > cache/back/four && echo 1b > cache/back/one');
    await a.reach('connected');
    await identical(a, b);
    assert.equal(has(b, 'release'), false);
    await a.must('mv cache/back release && cat release/four');
    await a.reach('connected');
    await identical(a, b);
    assert.equal(content(b, 'release/one'), '1b\n');
    assert.equal(a.status.lastResync?.mode, 'journal');
  });

  it('are looked at anew when a directory gets a name in which something is excluded by its path', async () => {
    const { a, b } = await pair();
    await a.must('mkdir -p other/spool && echo w > other/spool/w && echo r > other/r && mv other app');
    await a.reach('connected');
    await identical(a, b);
    assert.equal(has(b, 'app/spool'), false);
    await a.must('echo w2 > app/spool/w2 && mv app other && echo w3 >> other/spool/w2');
    await a.reach('connected');
    await identical(a, b);
    assert.equal(content(b, 'other/spool/w2'), 'w2\nw3\n');
    assert.equal(a.status.lastResync?.mode, 'journal');
  });

  it('go with the directory that the primary removes or replaces', async () => {
    const { a, b } = await pair();
    await a.must('mkdir d e kept && echo k > kept/k');
    await identical(a, b);
    for (const name of ['d', 'e']) {
      mkdirSync(join(b.tree, name, 'own.tmp'));
      writeFileSync(join(b.tree, name, 'own.tmp', 'f'), 'own');
    }
    await a.must('rmdir d && mv -T kept e && mkdir d');
    await identical(a, b);
    assert.equal(has(b, 'd/own.tmp'), false);
    assertSmooth(a);
    // On the primary they are in the way, as any file.
    await a.must('touch d/x.tmp');
    assert.match((await a.run('rmdir d')).output, /not empty/);
    await identical(a, b);
    assertSmooth(a);
  });

  it('hold for a journal too: what crossed while the peer was away', async () => {
    const { a, b } = await pair();
    await a.must(
      'echo 1 > one && echo 2 > two && mkdir -p dir/sub && echo s > dir/sub/s && echo t > t.tmp && mkdir cache && echo c > cache/c',
    );
    await identical(a, b);
    writeFileSync(join(b.tree, 'own.tmp'), 'own');
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
    await a.must(
      'echo 1b >> one && mv one one.tmp && echo 1c >> one.tmp && mv one.tmp one && mv two two.tmp && echo new > new && mv new new.tmp',
    );
    await a.must(
      'mv t.tmp t && echo x >> dir/sub/s && mv dir cache/dir && mv cache/c c && mkdir fresh && echo n > fresh/n && mv fresh cache/fresh',
    );
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    await identical(a, b);
    assert.equal(a.status.lastResync?.mode, 'journal');
    assert.equal(content(b, 'own.tmp'), 'own');
    assert.equal(content(b, 'one'), '1\n1b\n1c\n');
    assert.equal(has(b, 'dir'), false);
  });

  it('can be all but what an expression names', async () => {
    const only = { notreplicated: [{ regexpath: '!\\.mdf$' }, { regexpath: '!\\.ldf$' }] };
    const { a, b } = await pair(only);
    await a.must(
      'mkdir -p db/x && echo d > db/x/d.mdf && echo l > db/l.ldf && echo o > db/other && mv db/other db/o.mdf && mv db/l.ldf db/gone',
    );
    await assertIdentical(a, b, (label) => /\/(other|gone)$/.test(label));
    assert.equal(content(b, 'db/o.mdf'), 'o\n');
    assert.equal(has(b, 'db/gone'), false);
    assertSmooth(a);
  });

  it('that changed make the trees be compared, and both nodes must have the same', async () => {
    const { a, b } = await pair({});
    await a.must('echo t > x.tmp && echo r > r');
    await identical(a, b);
    await a.stop();
    await b.stop();
    await a.call({ call: 'close' });
    await a.configure({ replicated: EXCLUSIONS });
    await a.becomePrimary(2, { base: 1 });
    assert.equal(a.status.journalSince, undefined);
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'compare');
    await a.reach('connecting');
    await until(
      () => a.status.failure?.message.includes('excluded') === true,
      () => `the refusal; ${JSON.stringify(a.status)}`,
    );
  });
});
