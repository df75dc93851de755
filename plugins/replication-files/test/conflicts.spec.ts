/** A copy whose changes are given up: everything that the resync overwrites or removes is kept first, or nothing is overwritten. */
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ConflictObject, ConflictSummary } from '@holdfast/sdk';
import { ConflictArchive } from '../src/conflicts/archive.js';
import { describeTree } from './tree.js';
import { Lab, until, type LabNode, type NodeSettings } from './lab.js';

const GIVEN_UP = 'f'.repeat(32);
/** Both trees begin with this; the times are older than anything that the test does. */
const COMMON = `
  mkdir -p dir/deep moved && echo same >same && echo first >both && echo attributes >attributes && chmod 640 attributes
  head -c 300000 /dev/zero | tr '\\0' a >large && echo linked >one && ln one two && ln -s nowhere link && mkfifo pipe
  echo deep >dir/deep/file && echo moves >moved/file && truncate -s 5M holes
  printf x | dd of=holes bs=1 seek=3000000 conv=notrunc status=none
  find . -exec touch -h -d '2020-01-01' {} +`;
/** What the copy did on its own. */
const OWN = `
  echo other >both && chmod 600 attributes && chown 1234:1234 attributes && setfattr -n user.own -v value attributes
  printf b | dd of=large bs=1 seek=200000 conv=notrunc status=none && echo more >>one && echo own >own && ln own own-too
  mkdir -p tree/below && echo below >tree/below/file && ln -s ../own tree/link && mknod tree/device c 1 3 && mkfifo tree/pipe
  setfattr -n user.kept -v yes tree/below/file && truncate -s 4M tree/sparse && printf s >>tree/sparse && printf odd >tree/$'odd\\xff'
  printf y | dd of=holes bs=1 seek=100 conv=notrunc status=none && rm link && ln -s elsewhere link
  touch -d '2021-02-03 04:05:06.789' own both tree/below/file`;

describe('conflicts', function () {
  this.timeout(60_000);
  let lab: Lab;
  let primary: LabNode;
  let copy: LabNode;
  let to: string;

  beforeEach(async () => {
    await begin({});
  });
  afterEach(() => lab.close());

  async function begin(settings: Omit<NodeSettings, 'name'>): Promise<void> {
    lab = new Lab();
    primary = await lab.node({ name: 'a' });
    copy = await lab.node({ name: 'b', ...settings });
    to = join(lab.base, 'extracted');
    for (const node of [primary, copy]) await play(node, COMMON);
  }

  /** Runs lines of bash in the replicated directory. */
  async function play(node: LabNode, lines: string): Promise<void> {
    const file = join(lab.base, 'lines');
    writeFileSync(file, lines);
    await node.must(`bash -e '${file}'`);
  }

  const archive = (): ConflictArchive => new ConflictArchive(copy.stateDirectory, copy.directories, () => undefined);

  async function only(): Promise<ConflictSummary> {
    const kept = await archive().list();
    assert.equal(kept.length, 1, JSON.stringify(kept));
    return kept[0] as ConflictSummary;
  }

  async function objectsOf(id: string): Promise<Map<string, ConflictObject>> {
    const objects = await archive().objects(id, { limit: 10_000 });
    return new Map(objects.map((object) => [object.path.replace(copy.directory, ''), object]));
  }

  async function resync(): Promise<void> {
    await primary.becomePrimary(2, { base: 1, fresh: true });
    await copy.becomeSecondary(2, GIVEN_UP);
    await primary.connectPeer(2, 'compare');
    await primary.reach('connected');
  }

  it('keeps content, attributes, links, holes and special files of what is overwritten and removed, and gives them back', async () => {
    await play(copy, OWN);
    await primary.must('mkdir elsewhere && mv moved/file elsewhere/file');
    const before = describeTree(copy.tree);
    await resync();
    const event = await only();
    assert.equal(event.generation, GIVEN_UP);
    assert.equal(event.node, 'b');
    assert.notEqual(event.endedAt, undefined);
    const objects = await objectsOf(event.id);
    const causes = Object.fromEntries([...objects].map(([path, { cause, linkTo }]) => [path, linkTo === undefined ? cause : 'name']));
    assert.equal(causes['/both'], 'content');
    assert.equal(causes['/attributes'], 'attributes');
    assert.equal(causes['/large'], 'content');
    assert.equal(causes['/holes'], 'content');
    assert.deepEqual([causes['/one'], causes['/two']].sort(), ['content', 'name']);
    assert.deepEqual([causes['/own'], causes['/own-too']].sort(), ['name', 'removed']);
    assert.equal(causes['/link'], 'removed');
    assert.equal(causes['/tree/below/file'], 'removed');
    assert.equal(causes['/same'], undefined, 'what is the same is not kept');
    assert.equal(causes['/dir/deep/file'], undefined);

    const reader = archive();
    await reader.extract(event.id, { paths: [], to });
    let extraction: ConflictSummary['extraction'];
    const end = performance.now() + 20_000;
    while (extraction?.state !== 'done') {
      await delay(20);
      [extraction] = (await reader.list()).map((kept) => kept.extraction);
      assert.ok(extraction?.state !== 'failed' && performance.now() < end, JSON.stringify(extraction));
    }
    const after = describeTree(join(to, copy.directory));
    for (const path of [
      '/both',
      '/large',
      '/holes',
      '/own',
      '/link',
      '/tree',
      '/tree/below/file',
      '/tree/link',
      '/tree/device',
      '/tree/pipe',
    ]) {
      assert.equal(after.get(path), before.get(path), path);
    }
    assert.equal(after.get('/tree/sparse'), before.get('/tree/sparse'));
    assert.equal([...after.keys()].filter((path) => path.startsWith('/tree/odd')).length, 1, 'a name that is no text');
    const held = await copy.must(`stat -c '%b %h' ${join(to, copy.directory)}/tree/sparse ${join(to, copy.directory)}/own`);
    const [[blocks], [, links]] = held
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number)) as [number[], number[]];
    assert.ok((blocks ?? 0) * 512 < 1 << 20, 'holes are kept');
    assert.equal(links, 2, 'hard links are kept');
    await assert.rejects(async () => {
      await reader.extract(event.id, { paths: [], to: `${copy.directory}/inside` });
    }, /HF_CONFLICT_TARGET/);
    await reader.delete(event.id);
    assert.deepEqual(await reader.list(), []);
  });

  it('keeps nothing, and leaves nothing, when both copies are the same', async () => {
    await resync();
    assert.deepEqual(await archive().list(), []);
  });

  it('goes on with the same event when the node dies in the middle, and keeps what was there before, not what came since', async () => {
    await play(copy, OWN);
    await copy.must('for i in $(seq 300); do head -c 20000 /dev/urandom >file$i; done');
    await primary.must('for i in $(seq 300); do head -c 20000 /dev/urandom >file$i; done');
    const before = new Map(Array.from({ length: 300 }, (_, i) => [i + 1, digestOf(join(copy.tree, `file${i + 1}`))]));
    await primary.becomePrimary(2, { base: 1, fresh: true });
    await copy.becomeSecondary(2, GIVEN_UP);
    await primary.connectPeer(2, 'compare');
    const folder = join(copy.stateDirectory, 'conflicts');
    await until(
      () => existsSync(folder) && readdirSync(folder).some((id) => readdirSync(join(folder, id, 'objects')).length > 20),
      () => 'some objects to be kept',
    );
    await copy.kill();
    assert.equal((await only()).endedAt, undefined);
    await copy.start();
    // Whoever decides does not have to know of it any more.
    await copy.becomeSecondary(2);
    await primary.reach('connected');
    const event = await only();
    assert.notEqual(event.endedAt, undefined);
    const objects = await objectsOf(event.id);
    for (let i = 1; i <= 300; i += 1) {
      assert.equal(objects.get(`/file${i}`)?.digest, before.get(i), `file${i}`);
    }
    assert.ok(objects.has('/tree/below/file'));
  });

  it('overwrites nothing when there is no room to keep it, and goes on when there is', async () => {
    await lab.close();
    const folder = '"$DIR/../state/conflicts"';
    await begin({ prepare: `mkdir -p ${folder} && mount -t tmpfs -o size=80M tmpfs ${folder}` });
    await copy.must(`head -c 20000000 /dev/zero >'${copy.stateDirectory}/conflicts/filler'`);
    await copy.must('echo mine >file && echo own >own');
    await primary.must('echo yours >file');
    await primary.becomePrimary(2, { base: 1, fresh: true });
    await copy.becomeSecondary(2, GIVEN_UP);
    await primary.connectPeer(2, 'compare');
    await until(
      () => primary.status.failure?.code === 'HF_REPLICATION_CONFLICT_ROOM',
      () => `the sentence: ${JSON.stringify(primary.status)}`,
    );
    assert.equal((await copy.must('cat file own')).trim(), 'mine\nown');
    await copy.must(`rm '${copy.stateDirectory}/conflicts/filler'`);
    await primary.reach('connected');
    assert.equal((await copy.must('cat file')).trim(), 'yours');
  });
});

function digestOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
