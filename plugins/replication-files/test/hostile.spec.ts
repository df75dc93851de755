/** Pairs in trouble: full disks, strangers on the ports, keys and epochs that do not fit. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { addressOf, assertIdentical, generation, Lab, term, until, type LabNode } from './lab.js';

const SMALL = 'mount -t tmpfs -o size=24m,mode=755 none "$DIR"';
/** Data and state of a node on one small disk, as in most installations. */
const ALL_SMALL = 'mount -t tmpfs -o size=24m,mode=755 none "$DIR/.." && mkdir "$DIR" "$DIR/../state"';
const DIGESTS =
  'find . -path ./.holdfast -prune -o -print | sort; find . -path ./.holdfast -prune -o -type f -print | sort | xargs sha1sum';

describe('a replicated pair in trouble', function () {
  this.timeout(60_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  async function connect2(a: LabNode, b: LabNode): Promise<void> {
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
  }

  it('gives the application the error when the primary’s disk is full, and repairs the secondary', async () => {
    const a = await lab.node({ name: 'a', prepare: SMALL });
    const b = await lab.node({ name: 'b' });
    await connect2(a, b);
    const { code, output } = await a.run('echo first > small && head -c 40000000 /dev/zero | tr "\\0" x > large');
    assert.notEqual(code, 0);
    assert.match(output, /No space left/);
    await a.must('rm large && echo second >> small');
    await a.reach('connected');
    await until(
      () => a.status.link === 'connected',
      () => 'the repair',
    );
    assert.equal(await b.must('cat small'), 'first\nsecond\n');
    assert.equal(b.status.inconsistent, false);
    assert.equal(await a.must(DIGESTS), await b.must(DIGESTS));
  });

  it('removes files when both disks are full and hold the state too, alone and then with the secondary', async () => {
    const a = await lab.node({ name: 'a', prepare: ALL_SMALL });
    const b = await lab.node({ name: 'b', prepare: ALL_SMALL });
    await connect2(a, b);
    const writing = a.run('echo first > small; dd if=/dev/urandom of=large bs=1M; dd if=/dev/urandom of=rest bs=1k; sync');
    let isWritten = false;
    void writing.then(() => (isWritten = true));
    // What the core does: a link that is lost is given up, and wanted again with what the journal knows.
    let term2 = 2;
    const goOn = async (): Promise<void> => {
      if (a.status.link === 'holding') {
        await a.call({ call: 'continueAlone', term: term(term2), base: generation(1) });
        term2 += 1;
      }
    };
    while (!isWritten) {
      await goOn();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.match((await writing).output, /No space left/);
    await b.kill();
    await until(
      () => a.status.link === 'holding' || a.status.link === 'none',
      () => 'the link to be lost',
    );
    const removing = a.run('rm large rest && echo second >> small');
    await until(
      () => a.status.link === 'holding' || a.status.link === 'none',
      () => 'the link to be lost',
    );
    await goOn();
    assert.equal((await removing).code, 0);
    assert.match(a.log.join('\n'), /the journal cannot be written and is kept in memory/);
    assert.equal(a.status.journalSince, generation(1));
    await b.start();
    await b.becomeSecondary(term2);
    await a.connectPeer(term2, 'compare');
    await a.reach('connected');
    assert.equal(a.status.failure, undefined);
    assert.equal(await a.must(DIGESTS), await b.must(DIGESTS));
  });

  it('starts, connects and stops on a disk that is full, and knows nothing afterwards', async () => {
    const a = await lab.node({ name: 'a', prepare: ALL_SMALL });
    const b = await lab.node({ name: 'b' });
    await connect2(a, b);
    await a.must('echo kept > small');
    await a.stop();
    await fillUp(a);
    await a.becomePrimary(2, { base: 1 });
    assert.equal(a.status.journalSince, generation(1));
    await a.must('rm small');
    await a.connectPeer(2, 'compare');
    await a.reach('connected');
    await a.stop();
    await fillUp(a);
    assert.equal(await b.must('ls'), '');
    await a.becomeSecondary(3);
    await a.stop();
  });

  for (const async of ['second', 'none'] as const) {
    it(`marks the secondary when its disk is full, and the application goes on (async ${async})`, async () => {
      const a = await lab.node({ name: 'a', async });
      const b = await lab.node({ name: 'b', async, prepare: SMALL });
      await connect2(a, b);
      const writing = a.run('head -c 40000000 /dev/urandom > large && sync large && echo written');
      await until(
        () => b.status.inconsistent,
        () => 'the mark of the secondary',
      );
      // The failed write is an answer, because there was little room before, and the secondary is marked by the attempt to repair it: no
      // reason to hold.
      await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
      assert.equal((await writing).output, 'written\n');
      await assert.rejects(b.becomePrimary(3, { base: 1 }), /HF_REPLICATION_INCONSISTENT/);
      await a.must('rm large && echo small > small');
      await a.connectPeer(2, 'journal');
      await a.reach('connected');
      assert.equal(b.status.inconsistent, false);
      assert.equal(await a.must(DIGESTS), await b.must(DIGESTS));
    });
  }

  it('survives strangers on both ports while connected and while waiting', async () => {
    const a = await lab.node({ name: 'a' });
    const b = await lab.node({ name: 'b' });
    await b.becomeSecondary(1);
    for (let round = 0; round < 10; round += 1) await bother(addressOf('b'));
    await a.becomePrimary(1, { base: 1, fresh: true });
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    for (let round = 0; round < 10; round += 1) await bother(addressOf('b'));
    await a.must('echo still > here');
    await assertIdentical(a, b);
    assert.equal(a.status.link, 'connected');
  });

  it('refuses a node with another cluster key', async () => {
    const a = await lab.node({ name: 'a', key: Buffer.alloc(32, 1) });
    const b = await lab.node({ name: 'b', key: Buffer.alloc(32, 2) });
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await until(
      () => a.status.failure !== undefined,
      () => 'a failure',
    );
    assert.equal(a.status.failure?.code, 'HF_REPLICATION_CONNECT');
    assert.equal(b.status.link, 'none');
    await a.must('echo works > alone');
  });

  it('refuses a primary whose epoch is over', async () => {
    const a = await lab.node({ name: 'a' });
    const b = await lab.node({ name: 'b' });
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(5);
    await a.connectPeer(4, 'compare');
    await until(
      () => a.status.failure !== undefined,
      () => 'a failure',
    );
    assert.equal(a.status.failure?.code, 'HF_REPLICATION_DEPOSED');
    await a.connectPeer(5, 'compare');
    await a.reach('connected');
  });
});

/** Every block of the node's own file system, that of its state directory. */
async function fillUp(node: LabNode): Promise<void> {
  const { output } = await node.run(`dd if=/dev/zero of=${node.stateDirectory}/../filler bs=4k oflag=append conv=notrunc 2>&1`);
  assert.match(output, /No space left/);
}

/** One connection to each port with random bytes, one that says nothing and goes. */
async function bother(address: string): Promise<void> {
  await Promise.all([5600, 5601].flatMap((port) => [0, 40, 5000].map((bytes) => stranger(address, port, bytes))));
}

function stranger(address: string, port: number, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    socket.on('connect', () => {
      if (bytes > 0) socket.write(randomBytes(bytes));
      setTimeout(() => socket.destroy(), 20);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve();
    });
  });
}
