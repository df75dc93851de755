/** Verification of a connected pair: what it proves while the application works, what it finds, and what it repairs. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { VerifyFailure, VerifyResult } from '@holdfast/sdk';
import { assertIdentical, Lab, until, type LabNode } from './lab.js';

const WORKLOAD = fileURLToPath(new URL('./workload-process.js', import.meta.url));
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));

function resultOf(outcome: VerifyResult | VerifyFailure): VerifyResult {
  assert.ok('outcome' in outcome, JSON.stringify(outcome));
  return outcome;
}

describe(`verification of a replicated pair (SEED=${SEED})`, function () {
  this.timeout(120_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  const TREE = [
    'mkdir -p d/e/f many empty',
    'echo one > d/one && ln d/one d/e/hard && ln -s ../one d/e/soft && mkfifo d/pipe && mknod d/device c 1 3',
    'head -c 3000000 /dev/urandom > large && truncate -s 100000000 sparse && echo end | dd of=sparse bs=1 seek=99999000 conv=notrunc',
    'for i in $(seq 700); do echo $i > many/$i; done',
    'echo odd > "$(printf \'a\\nb\\377 c\')" && fallocate -l 300000 filled && head -c 200000 /dev/zero > zeros',
  ].join(' && ');

  /** A command in the tree of a node as it is on its disk. */
  const under = (node: LabNode, command: string): void => {
    execFileSync('sh', ['-ec', command], { cwd: node.tree, stdio: ['ignore', 'ignore', 'inherit'] });
  };

  it('finds two identical trees identical, counts them, and both nodes remember it', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must(TREE);
    const result = resultOf(await a.verify());
    assert.deepEqual(result.listed, []);
    assert.equal(result.outcome, 'identical');
    assert.equal(result.node, 'a');
    assert.equal(result.objects, Number(await a.must('find . -mindepth 1 -printf x | wc -c')));
    await until(
      () => b.status.verification?.last?.id === result.id,
      () => 'the secondary to know the result',
    );
    await a.stop();
    await a.kill();
    await a.start();
    await until(
      () => a.status.verification?.last?.id === result.id,
      () => `the result to be there after a restart: ${JSON.stringify(a.status)}`,
    );
  });

  for (const async of ['second', 'none'] as const) {
    it(`gives no false alarm under heavy random work (async ${async})`, async () => {
      const { a, b } = await lab.connectedPair({ async });
      await a.must(TREE);
      let isOver = false;
      const working = Promise.all([0, 1, 2].map((n) => a.run(`${process.execPath} ${WORKLOAD} ${SEED + n} 6`))).then(() => (isOver = true));
      let count = 0;
      while (!isOver) {
        const result = resultOf(await a.verify());
        assert.deepEqual(result.listed, [], `verification ${count}`);
        count += 1;
      }
      await working;
      assert.ok(count > 1, `${count} verifications`);
      assert.equal(a.status.link, 'connected', a.log.join('\n'));
      await assertIdentical(a, b);
      assert.equal(resultOf(await a.verify()).outcome, 'identical');
    });
  }

  /** Both were stopped in good order, and the secondary's tree was changed behind our back: nothing is copied when they meet again. */
  async function changedWhileStopped(change: string): Promise<{ a: LabNode; b: LabNode }> {
    const { a, b } = await lab.connectedPair();
    await a.must(TREE);
    await a.stop();
    await b.reach('none');
    await b.stop();
    under(b, change);
    await a.becomePrimary(2, { base: 1 });
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    assert.ok((a.status.lastResync?.bytesSent ?? 1e9) < 100_000);
    return { a, b };
  }

  const FOREIGN: readonly { what: string; change: string; found: readonly (readonly [path: string, ...differs: string[]])[] }[] = [
    {
      what: 'a file whose content was changed and whose times were forged',
      change: 'cp -p d/one ref; printf X | dd of=d/one conv=notrunc status=none; touch -r ref d/one; rm ref; touch -r "$ROOT" .',
      found: [['d/one', 'content']],
    },
    {
      what: 'one byte of a large file',
      change:
        'cp -p large ref; printf "\\001" | dd of=large bs=1 seek=2100000 conv=notrunc status=none; touch -r ref large; rm ref; touch -r "$ROOT" .',
      found: [['large', 'content']],
    },
    {
      what: 'a range in the hole of a sparse file',
      change:
        'touch -r sparse ref; head -c 5000 /dev/urandom | dd of=sparse bs=1 seek=50000000 conv=notrunc status=none; touch -r ref sparse; rm ref; ' +
        'touch -r "$ROOT" .',
      found: [['sparse', 'content']],
    },
    {
      what: 'a file that is missing',
      change: 'touch -r many ref; rm many/77; touch -r ref many; rm ref; touch -r "$ROOT" .',
      found: [['many/77', 'missing there']],
    },
    {
      what: 'a file that is too much, in a large and in a small directory',
      change:
        'touch -r many r1; touch -r d/e r2; echo x > many/extra; echo y > d/e/extra; touch -r r1 many; touch -r r2 d/e; rm r1 r2; touch -r "$ROOT" .',
      found: [
        ['d/e/extra', 'only there'],
        ['many/extra', 'only there'],
      ],
    },
    {
      what: 'mode, owner, time and size',
      change:
        'chmod 600 many/1; chown 12:34 many/2; printf X | dd of=many/3 conv=notrunc status=none; touch -d 2001-01-01 many/3; touch -r many/4 ref; echo more >> many/4; touch -r ref many/4; rm ref; touch -r "$ROOT" .',
      found: [
        ['many/1', 'mode'],
        ['many/2', 'owner'],
        ['many/3', 'time', 'content'],
        ['many/4', 'size'],
      ],
    },
    {
      what: 'hard links that were exchanged',
      change:
        'touch -r d ref; touch -r d/e ref2; cp -a d/one copy; ln -f copy d/e/hard; rm copy; touch -r ref d; touch -r ref2 d/e; rm ref ref2; touch -r "$ROOT" .',
      found: [['d/e/hard', 'links']],
    },
    {
      what: 'a file in place of a directory, a directory in place of a file, another link',
      change:
        'touch -r d/e ref; touch -r many ref2; rmdir d/e/f; echo f > d/e/f; rm many/5; mkdir many/5; ln -sfn elsewhere d/e/soft; touch -h -d 2001-01-01 d/e/soft; ' +
        'touch -r ref d/e; touch -r ref2 many; rm ref ref2; touch -r "$ROOT" .',
      found: [
        ['d/e/f', 'type'],
        ['d/e/soft', 'target', 'time'],
        ['many/5', 'type'],
      ],
    },
    {
      what: 'a whole directory that is missing, and one that was renamed',
      change: 'touch -r d ref; mv d/e d/other; rmdir empty; touch -r ref d; rm ref; touch -r "$ROOT" .',
      found: [
        ['d/e', 'missing there'],
        ['d/other', 'only there'],
        ['empty', 'missing there'],
      ],
    },
  ];

  for (const { what, change, found } of FOREIGN) {
    it(`finds, names and repairs ${what}`, async () => {
      const { a, b } = await changedWhileStopped(change.replaceAll('"$ROOT"', `'${lab.base}/a/tree'`));
      const result = resultOf(await a.verify());
      const named = result.listed.map(({ path, differs }) => [path, ...differs]).sort((x, y) => (String(x[0]) < String(y[0]) ? -1 : 1));
      assert.deepEqual(named, found, JSON.stringify(result.listed));
      assert.equal(result.outcome, 'different');
      assert.equal(result.differences, found.length);
      const repaired = resultOf(await a.verify({ repair: true }));
      assert.deepEqual(repaired.listed, []);
      assert.equal(repaired.outcome, 'identical');
      assert.equal(repaired.repaired, found.length);
      await assertIdentical(a, b);
    });
  }
});
