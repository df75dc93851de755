/** Every file system that is supported below the replication; and those that are not say so. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generation, Lab, term, type LabNode } from './lab.js';

const script = (url: URL): string => `${process.execPath} ${fileURLToPath(url)}`;
const SEMANTICS = script(new URL('./semantics-process.js', import.meta.url));
const MODEL = script(new URL('./model-process.js', import.meta.url));
const TREE = script(new URL('./tree-process.js', import.meta.url));
/** Those that this kernel has. */
const TYPES = ['ext4', 'xfs', 'btrfs', 'tmpfs'].filter((type) => readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(type));
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
const IMAGE_BYTES = 400 << 20;
const MAKE: Readonly<Record<string, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q'],
  btrfs: ['mkfs.btrfs', '-q'],
};

describe(`on a file system of its own (SEED=${SEED})`, function () {
  this.timeout(180_000);
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  /** Data and state of both nodes, and a bare directory for the model, on file systems of one kind. */
  async function pairOn(type: string): Promise<{ a: LabNode; b: LabNode }> {
    const prepare = (name: string): string => {
      const options = type === 'tmpfs' ? 'size=400m none' : `loop '${join(lab.base, `${name}.img`)}'`;
      return `mount -t ${type} -o ${options} "$DIR/.." && mkdir -p "$DIR" "$DIR/../state" "$DIR/../bare" && chmod 755 "$DIR/.."`;
    };
    for (const name of type === 'tmpfs' ? [] : ['a', 'b']) {
      const image = join(lab.base, `${name}.img`);
      writeFileSync(image, '');
      truncateSync(image, IMAGE_BYTES);
      const [command, ...options] = MAKE[type] as readonly [string, ...string[]];
      execFileSync(command, [...options, image]);
    }
    const a = await lab.node({ name: 'a', prepare: prepare('a') });
    const b = await lab.node({ name: 'b', prepare: prepare('b') });
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    return { a, b };
  }

  async function assertSame(a: LabNode, b: LabNode): Promise<void> {
    const deadline = performance.now() + 15_000;
    for (;;) {
      const [left, right] = await Promise.all([a, b].map((node) => node.must(`${TREE} '${node.tree}'`)));
      if (left === right) return;
      if (performance.now() > deadline) assert.equal(right, left);
    }
  }

  for (const type of TYPES) {
    it(`behaves like ${type} alone, and is the same on both nodes`, async () => {
      const { a, b } = await pairOn(type);
      assert.equal(await a.must(SEMANTICS), '');
      const bare = join(a.tree, '..', 'bare');
      assert.equal(await a.must(`mkdir model && cd model && ${MODEL} ${SEED} 1000 ${bare}`), '');
      await assertSame(a, b);
      assert.equal(a.status.link, 'connected');
      assert.doesNotMatch(a.log.join('\n'), /repaired/);
      await b.kill();
      await a.reach('holding');
      await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
      await a.must(`cd model && rm -rf * && rm -rf '${bare}'/* && ${MODEL} ${SEED + 1} 600 ${bare}`);
      if (type === 'tmpfs') return;
      await b.start();
      await b.becomeSecondary(2);
      await a.connectPeer(2, 'journal');
      await a.reach('connected');
      await assertSame(a, b);
    });
  }

  it('refuses a file system without extended attributes, and one without file handles', async () => {
    const a = await lab.node({ name: 'a', prepare: 'mount -t ramfs none "$DIR"' });
    await assert.rejects(a.becomePrimary(1, { base: 1, fresh: true }), /HF_REPLICATION_FILE_SYSTEM.*use ext4, XFS, btrfs or tmpfs/);
    const layers = '"$DIR/../low" "$DIR/../up" "$DIR/../work"';
    const overlay = 'lowerdir=$DIR/../low,upperdir=$DIR/../up,workdir=$DIR/../work';
    const b = await lab.node({ name: 'b', prepare: `mkdir ${layers} && mount -t overlay none -o "${overlay}" "$DIR"` });
    await assert.rejects(b.becomePrimary(1, { base: 1, fresh: true }), /HF_REPLICATION_FILE_SYSTEM.*no file handles/);
  });
});
