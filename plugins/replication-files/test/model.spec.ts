/** The mounted file system against a bare directory, operation by operation; and both nodes the same afterwards. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertIdentical, generation, Lab, SYNC_MODES, term, type LabNode } from './lab.js';

const MODEL = fileURLToPath(new URL('./model-process.js', import.meta.url));
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
const OPERATIONS = Number(process.env['OPERATIONS'] ?? 1500);

for (const sync of SYNC_MODES) {
  describe(`the mounted file system against a bare directory (sync ${sync}, SEED=${SEED})`, function () {
    this.timeout(180_000);
    compared(sync);
  });
}

function compared(sync: (typeof SYNC_MODES)[number]): void {
  let lab: Lab;
  let bare: string;
  let seed = SEED;
  beforeEach(() => {
    lab = new Lab({ sync });
    bare = join(lab.base, 'bare');
    mkdirSync(bare);
  });
  afterEach(() => lab.close());

  const model = (node: LabNode): Promise<string> => node.must(`${process.execPath} ${MODEL} ${(seed += 1)} ${OPERATIONS} ${bare}`);

  it('answers the same while replicated, and the secondary is the same', async () => {
    const { a, b } = await lab.connectedPair();
    assert.equal(await model(a), '');
    await assertIdentical(a, b);
    assert.equal(a.status.link, 'connected', a.log.join('\n'));
    assert.equal(
      a.log.some((line) => line.includes('repaired')),
      false,
      a.log.join('\n'),
    );
  });

  it('answers the same alone, and the journal names all of it', async () => {
    const { a, b } = await lab.connectedPair();
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
    assert.equal(await model(a), '');
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    await assertIdentical(a, b);
    assert.equal(a.status.lastResync?.mode, 'journal');
  });
}
