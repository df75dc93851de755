/** One server, 300 clusters, two modules each: all lose their peer in the same second. */
import assert from 'node:assert/strict';
import { type ClaimAnswer, HoldfastError, type StrongWitness, type WitnessClaim } from '@holdfast/sdk';
import { at, Yard } from './harness.js';

const CLUSTERS = 300;
const MODULES = ['database', 'video'];
/** Far below what a small machine does; a regression to one sync per second would be seen. */
const CLAIMS_PER_SECOND_MIN = 10;

describe('a witness server of 300 clusters', () => {
  let yard: Yard;

  before(async function () {
    this.timeout(120_000);
    yard = await Yard.create(...Array.from({ length: CLUSTERS }, (_, index) => `site-${index}`));
  });

  after(() => yard.remove());

  it('grants one of two claims for each of 600 modules that all ask at once', async function () {
    this.timeout(120_000);
    const server = await yard.spawn();
    const modules = Array.from({ length: CLUSTERS }, (_, index) => `site-${index}`).flatMap((cluster) =>
      MODULES.map((module) => ({ cluster, module })),
    );
    const pairs = modules.map(({ cluster, module }) => ({
      north: yard.node(server.port, cluster, module, { timeout: 60_000 }),
      south: yard.node(server.port, cluster, module, { timeout: 60_000 }),
    }));
    const timed = async (what: string, count: number, work: () => Promise<void>): Promise<number> => {
      const beganMs = performance.now();
      await work();
      const perSecond = count / ((performance.now() - beganMs) / 1_000);
      console.log(`      ${count} ${what}: ${Math.round(perSecond)} per second`);
      return perSecond;
    };
    await timed('records armed', pairs.length, async () => {
      await Promise.all(pairs.map(({ north }) => north.arm(at('g1', 'north', 1)).catch(() => north.arm(at('g1', 'north', 1)))));
    });
    await timed('questions over connections that are there', pairs.length, async () => {
      await Promise.all(pairs.map(({ north }) => north.read()));
    });
    const perSecond = await timed('claims', pairs.length * 2, async () => {
      const outcomes = await Promise.all(
        pairs.map(({ north, south }) =>
          Promise.all([
            claimed(north, { from: 'g1', record: at('g2', 'north', 2) }),
            claimed(south, { from: 'g1', record: at('g3', 'south', 2) }),
          ]),
        ),
      );
      for (const both of outcomes) assert.equal(both.filter(({ outcome }) => outcome === 'granted').length, 1);
    });
    assert.ok(perSecond >= CLAIMS_PER_SECOND_MIN, `${perSecond} claims per second`);
  });
});

/** Again until there is an answer, as a node does: a busy server may let a connection wait for too long. */
async function claimed(witness: StrongWitness, claim: WitnessClaim): Promise<ClaimAnswer> {
  for (;;) {
    try {
      return await witness.claim(claim);
    } catch (error) {
      assert.ok(error instanceof HoldfastError && error.code === 'HF_WITNESS_UNREACHABLE', String(error));
    }
  }
}
