/** Verification of a connected pair: what it proves while the application works, what it finds, and what it repairs. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { VerifyFailure, VerifyResult } from '@holdfast/sdk';
import { cString, setxattr } from '../src/system/calls.js';
import { assertIdentical, Lab, until, type LabNode } from './lab.js';

const WORKLOAD = fileURLToPath(new URL('./workload-process.js', import.meta.url));
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));

function resultOf(outcome: VerifyResult | VerifyFailure): VerifyResult {
  assert.ok('outcome' in outcome, JSON.stringify(outcome));
  return outcome;
}

/** By path. */
function inOrder(differences: readonly (readonly string[])[]): (readonly string[])[] {
  return [...differences].sort(([one = ''], [other = '']) => (one < other ? -1 : 1));
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

  /** A command in the tree of a node as it is on its disk; times that show it are set back. */
  const under = (node: LabNode, command: string): void => {
    const script = [
      'before=$(mktemp -d)',
      'trap "rm -rf $before" EXIT',
      'cp -a --attributes-only . $before/tree',
      'sleep 0.02; touch $before/now; sleep 0.02',
      command,
      'find . -depth -newer $before/now -print0 | while IFS= read -r -d "" path; do',
      '  if [ -e "$before/tree/$path" ]; then touch -h -r "$before/tree/$path" "$path"; fi; done',
    ].join('\n');
    execFileSync('bash', ['-ec', script], { cwd: node.tree, stdio: ['ignore', 'ignore', 'inherit'] });
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
      const working = Promise.all([0, 1, 2].map((n) => a.run(`${process.execPath} ${WORKLOAD} ${SEED + n} 4`))).then(() => (isOver = true));
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

  /** What is changed, how, and what must be found. Those of one group do not touch each other's objects. */
  type Foreign = readonly [what: string, change: string, ...found: (readonly [path: string, ...differs: string[]])[]];
  const FOREIGN: Readonly<Record<string, readonly Foreign[]>> = {
    'content, attributes and names that were changed': [
      [
        'a file whose content was changed and whose times were forged',
        'printf X | dd of=d/one conv=notrunc status=none',
        ['d/one', 'content'],
      ],
      ['one byte of a large file', 'printf "\\001\\002" | dd of=large bs=1 seek=2100000 conv=notrunc status=none', ['large', 'content']],
      [
        'a range in the hole of a sparse file',
        'head -c 5000 /dev/urandom | dd of=sparse bs=1 seek=50000000 conv=notrunc status=none',
        ['sparse', 'content'],
      ],
      ['a file that is missing', 'rm many/77', ['many/77', 'missing there']],
      [
        'a file that is too much, in a large and in a small directory',
        'echo x > many/extra; echo y > d/e/extra',
        ['d/e/extra', 'only there'],
        ['many/extra', 'only there'],
      ],
      [
        'mode, owner, time, size and several at once',
        'chmod 600 many/1; chown 12:34 many/2; printf X | dd of=many/3 conv=notrunc status=none; ' +
          'touch -d 2001-01-01 many/3; echo more >> many/4',
        ['many/1', 'mode'],
        ['many/2', 'owner'],
        ['many/3', 'time', 'content'],
        ['many/4', 'size'],
      ],
      [
        'two files that were exchanged',
        'mv many/10 x; mv many/20 many/10; mv x many/20',
        ['many/10', 'identity', 'time', 'content'],
        ['many/20', 'identity', 'time', 'content'],
      ],
    ],
    'objects of another kind, and other links': [
      [
        'hard links that lead to another object with the same content and id',
        'cp -a d/one copy; ln -f copy d/e/hard; rm copy',
        ['d/e/hard', 'links'],
      ],
      [
        'a file in place of a directory, a directory in place of a file, another link',
        'rmdir d/e/f; echo f > d/e/f; rm many/5; mkdir many/5; ln -sfn elsewhere d/e/soft; touch -h -d 2001-01-01 d/e/soft',
        ['d/e/f', 'type'],
        ['d/e/soft', 'target', 'time'],
        ['many/5', 'type'],
      ],
    ],
    'whole directories that are missing or were renamed': [
      [
        'a whole directory that is missing, and one that was renamed',
        'mv d/e d/other; rmdir empty',
        ['d/e', 'missing there'],
        ['d/other', 'only there'],
        ['empty', 'missing there'],
      ],
    ],
  };

  for (const [title, group] of Object.entries(FOREIGN)) {
    it(`finds, names and repairs ${title}`, async () => {
      const { a, b } = await changedWhileStopped(group.map(([, change]) => change).join('\n'));
      const found = inOrder(group.flatMap(([, , ...differences]) => differences));
      const result = resultOf(await a.verify());
      assert.deepEqual(inOrder(result.listed.map(({ path, differs }) => [path, ...differs])), found, JSON.stringify(result.listed));
      assert.equal(result.outcome, 'different');
      assert.equal(result.differences, found.length);
      const repaired = resultOf(await a.verify({ repair: true }));
      assert.deepEqual(repaired.listed, []);
      assert.equal(repaired.outcome, 'identical');
      assert.equal(repaired.repaired, found.length);
      await assertIdentical(a, b);
    });
  }

  it('finds an extended attribute that only one node has', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must(TREE);
    assert.equal(setxattr(cString(join(b.tree, 'many/9')), cString('user.foreign'), Buffer.from('value'), 5, 0), 0);
    const { listed } = resultOf(await a.verify());
    assert.deepEqual(
      listed.map(({ path, differs }) => [path, ...differs]),
      [['many/9', 'attributes']],
    );
  });

  it('finds what was corrupted while both are connected, and misses nothing that the application moves meanwhile', async () => {
    const { a, b } = await lab.connectedPair();
    const each = (command: string): string => `for d in one two; do for i in 1 2 3 4 5; do ${command}; done; done`;
    // One of both is compared first, and takes a while; what comes into it from the other must not slip through.
    await a.must('mkdir one two && for d in one two; do for i in $(seq 300); do head -c 20000 /dev/urandom > $d/f$i; done; done');
    await a.must(each('mkdir -p $d/below$i/deep && echo right > $d/below$i/deep/in-$d-$i && echo right > $d/single-$d-$i'));
    under(b, each('echo wrong > $d/below$i/deep/in-$d-$i; echo wrong > $d/single-$d-$i'));
    await a.call({ call: 'verify', options: { repair: false, bytesPerSecondMax: 4_000_000 } });
    await until(
      () => (a.status.verification?.progress?.bytesDone ?? 0) > 100_000,
      () => `the verification to run: ${JSON.stringify(a.status)}`,
    );
    await a.must('for i in 1 2 3 4 5; do mv one/below$i two/was$i; mv two/below$i one/was$i; mv one/single-one-$i two; done');
    await a.must('for i in 1 2 3 4 5; do ln two/single-two-$i one/linked-two-$i && rm two/single-two-$i; done');
    assert.ok(a.status.verification?.progress !== undefined, 'it was still running');
    await until(
      () => a.status.verification?.last !== undefined && a.status.verification.progress === undefined,
      () => `the result: ${JSON.stringify(a.status)}`,
    );
    const found = a.status.verification?.last?.listed.filter(({ differs }) => differs.includes('content')).map(({ path }) => path) ?? [];
    for (const d of ['one', 'two']) {
      for (const i of [1, 2, 3, 4, 5]) {
        assert.ok(
          found.some((path) => path.endsWith(`/deep/in-${d}-${i}`)),
          `deep ${d} ${i} is not in ${found.join(' ')}`,
        );
        assert.ok(
          found.some((path) => path.endsWith(`-${d}-${i}`) && !path.includes('deep')),
          `single ${d} ${i} is not in ${found.join(' ')}`,
        );
      }
    }
  });

  it('keeps to its bandwidth, is refused a second time, and ends at once when it is cancelled or the link is lost', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('head -c 30000000 /dev/urandom > large');
    const startMs = performance.now();
    await a.call({ call: 'verify', options: { repair: false, bytesPerSecondMax: 5_000_000 } });
    await assert.rejects(a.call({ call: 'verify', options: { repair: false } }), /HF_REPLICATION_VERIFY: .*running already/);
    await until(
      () => (a.status.verification?.progress?.bytesDone ?? 0) > 2_000_000,
      () => 'the verification to run',
    );
    const { bytesDone } = a.status.verification?.progress ?? { bytesDone: 0 };
    const seconds = (performance.now() - startMs) / 1000;
    assert.ok(bytesDone < 5_000_000 * seconds + 2_000_000, `${bytesDone} bytes in ${seconds} s`);
    await a.call({ call: 'cancelVerify' });
    await until(
      () => a.status.verification?.failure?.code === 'HF_REPLICATION_VERIFY_CANCELLED' && a.status.verification.progress === undefined,
      () => JSON.stringify(a.status),
    );
    await a.call({ call: 'verify', options: { repair: false, bytesPerSecondMax: 5_000_000 } });
    await b.kill();
    await until(
      () => a.status.verification?.failure?.code === 'HF_REPLICATION_LINK_LOST',
      () => JSON.stringify(a.status),
    );
    await assert.rejects(a.call({ call: 'verify', options: { repair: false } }), /HF_REPLICATION_VERIFY: .*holding/);
  });
});
