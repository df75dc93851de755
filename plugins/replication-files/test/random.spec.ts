/** Random work and crashes: whatever happens, both nodes end up the same. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { assertIdentical, generation, Lab, term, type LabNode, type NodeSettings } from './lab.js';

const WORKLOAD = fileURLToPath(new URL('./workload-process.js', import.meta.url));
/** More of them find more: `ROUNDS=20`. */
const ROUNDS = Number(process.env['ROUNDS'] ?? 1);
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));

const EXCLUSIONS = { notreplicated: [{ regexpath: 'n[0-7]$' }, { path: 'd1/f' }] };

interface Case {
  readonly title: string;
  readonly settings: Omit<NodeSettings, 'name'>;
  readonly isOwn?: (label: string) => boolean;
}

describe(`a replicated pair under random work (SEED=${SEED})`, function () {
  this.timeout(60_000 * (ROUNDS + 1));
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  let seed = SEED;
  const work = async (node: LabNode, seconds: number): Promise<number> => {
    const done = await Promise.all([0, 1].map(() => node.run(`${process.execPath} ${WORKLOAD} ${(seed += 1)} ${seconds}`)));
    return done.reduce((sum, { output }) => sum + Number(output.trim()), 0);
  };
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  const cases: readonly Case[] = [
    { title: 'async second', settings: { async: 'second' } },
    { title: 'async none', settings: { async: 'none' } },
    { title: 'a part excluded', settings: { replicated: EXCLUSIONS }, isOwn: (label) => /\/n[0-7]$|^\/d1\/f(\/|$)/.test(label) },
  ];
  for (const { title, settings, isOwn } of cases) {
    it(`survives the loss of either node, again and again (${title})`, async () => {
      let { a: primary, b: secondary } = await lab.connectedPair(settings);
      let n = 1;
      for (let round = 0; round < ROUNDS; round += 1) {
        assert.ok((await work(primary, 1)) > 50);
        // A directory that crosses the boundary is repaired on the other node.
        if (isOwn === undefined) assert.equal(primary.status.link, 'connected', primary.log.join('\n'));
        else await primary.reach('connected');
        await assertIdentical(primary, secondary, isOwn);

        let working = work(primary, 1.5);
        await pause(500);
        await secondary.kill();
        await primary.reach('holding');
        await primary.call({ call: 'continueAlone', term: term(n + 1), base: generation(n) });
        n += 1;
        await pause(300);
        await secondary.start();
        await secondary.becomeSecondary(n);
        await primary.connectPeer(n, 'journal');
        await primary.reach('connected');
        await working;
        await assertIdentical(primary, secondary, isOwn);

        working = work(primary, 1.5);
        await pause(700);
        await primary.kill();
        await working;
        await secondary.reach('none');
        await secondary.becomePrimary(n + 1, { base: n });
        n += 1;
        working = work(secondary, 1);
        await primary.start();
        await primary.becomeSecondary(n);
        await secondary.connectPeer(n, 'journal');
        await secondary.reach('connected');
        await working;
        await assertIdentical(primary, secondary, isOwn);
        [primary, secondary] = [secondary, primary];
      }
    });
  }
});
