/** A secondary whose machine was set back to an earlier moment of the same generation, state directory and all. */
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { assertIdentical, generation, Lab, until, type LabNode } from './lab.js';
import { readMark } from '../src/journal/checkpoint-mark.js';

describe('a copy that was restored from a snapshot', function () {
  this.timeout(60_000);
  let lab: Lab;
  let a: LabNode;
  let b: LabNode;
  beforeEach(async () => {
    lab = new Lab();
    ({ a, b } = await lab.connectedPair());
  });
  afterEach(() => lab.close());

  /** What was modified until now is on both disks, and both have forgotten it. */
  async function checkpoint(): Promise<void> {
    await until(
      () => (readMark(b.stateDirectory)?.number ?? -1) > 0,
      () => 'a checkpoint',
    );
    const before = readMark(b.stateDirectory)?.number ?? 0;
    await a.must('date +%N >moving');
    await until(
      () => (readMark(b.stateDirectory)?.number ?? 0) >= before + 2,
      () => `two checkpoints after ${before}: ${JSON.stringify(readMark(b.stateDirectory))}`,
    );
  }

  async function leave(): Promise<void> {
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: { generation: generation(2), epoch: 2 }, base: generation(1) });
    await a.must('echo three >three');
  }

  async function comeBack(): Promise<string | undefined> {
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    await assertIdentical(a, b);
    return a.status.lastResync?.mode;
  }

  it('is compared with the primary, whose journal does not name what it lacks', async () => {
    await a.must('echo one >one');
    await checkpoint();
    execFileSync('sh', ['-c', `cp -a '${b.treeOutside}' '${lab.base}/tree' && cp -a '${b.stateDirectory}' '${lab.base}/state'`]);
    await a.must('echo two >two');
    await checkpoint();
    await leave();
    const [tree, state] = [`'${b.tree}'`, `'${b.stateDirectory}'`];
    execFileSync('sh', [
      '-c',
      `rm -rf ${tree}/* ${state}/* && cp -a '${lab.base}'/tree/. ${tree}/ && cp -a '${lab.base}'/state/. ${state}/`,
    ]);
    assert.equal(await comeBack(), 'compare');
    assert.ok(b.log.some((line) => /restored from a backup or a snapshot/.test(line)));
  });

  it('is not what a copy that merely left is taken for', async () => {
    await a.must('echo one >one');
    await checkpoint();
    await a.must('echo two >two');
    await leave();
    assert.equal(await comeBack(), 'journal');
  });

  it('is not what a former primary is taken for, when its secondary took over', async () => {
    await a.must('echo one >one');
    await checkpoint();
    await a.must('echo two >two');
    await a.kill();
    await b.becomePrimary(2, { base: 1 });
    await b.must('echo three >three');
    await a.start();
    await a.becomeSecondary(2);
    await b.connectPeer(2, 'journal');
    await b.reach('connected');
    assert.equal(b.status.lastResync?.mode, 'journal');
    await assertIdentical(b, a);
  });
});
