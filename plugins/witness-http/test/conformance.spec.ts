/** The suite of strong witnesses over a real server. */
import { strongWitnessCases, type ConformanceCase } from '@holdfast/sdk/testkit';
import { Yard } from './harness.js';

describe('the witness server, as every strong witness,', () => {
  let yard: Yard;
  let port: number;

  before(async () => {
    yard = await Yard.create('site');
    ({ port } = await yard.serve());
  });

  after(() => yard.remove());

  const cases: readonly ConformanceCase[] = strongWitnessCases({
    open: (module) => yard.node(port, 'site', module, { timeout: 10_000 }),
    raceWidth: 50,
    races: 4,
  });
  for (const { title, run } of cases) it(title, run);

  const crowd = strongWitnessCases({ open: (module) => yard.node(port, 'site', module, { timeout: 60_000 }), raceWidth: 1_000, races: 1 });
  for (const { title, run } of crowd.filter(({ title }) => title.includes('claims at once'))) it(title, run).timeout(60_000);
});
