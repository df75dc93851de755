/**
 * What every strong witness must do, as cases for any test runner:
 *
 *     for (const { title, run } of strongWitnessCases(subject)) it(title, run);
 *
 * The cases use a module of their own each and leave nothing open. They look at a witness from outside; what happens to it when it
 * loses its power is for the tests of each implementation.
 */
import { HoldfastError } from '../errors.js';
import { sameWitnessRecord } from '../witness-rules.js';
import type { ClaimAnswer, StrongWitness, WitnessClaim, WitnessRecord } from '../witness.js';

export interface WitnessSubject {
  /** A witness of its own for one node and one module. A module of a new name has no record. */
  open(module: string, node: string): StrongWitness | Promise<StrongWitness>;
  /** Claims that run at once in the races; 100 when absent. */
  readonly raceWidth?: number;
  /** Races one after the other; 10 when absent. */
  readonly races?: number;
}

export interface ConformanceCase {
  /** A sentence about behaviour. */
  readonly title: string;
  /** @throws Error that says what was expected and what came */
  readonly run: () => Promise<void>;
}

const NORTH = 'north';
const SOUTH = 'south';
/** Long enough for a slow witness, short enough for a test. */
const PROMPT_MS = 2_000;

type Pair = readonly [north: StrongWitness, south: StrongWitness];

export function strongWitnessCases(subject: WitnessSubject): readonly ConformanceCase[] {
  const suite = `conformance-${Math.random().toString(36).slice(2, 10)}`;
  let cases = 0;
  const withPair = (title: string, run: (pair: Pair, module: string) => Promise<void>): ConformanceCase => ({
    title,
    run: async () => {
      cases += 1;
      const module = `${suite}-${cases}`;
      const north = await subject.open(module, NORTH);
      const south = await subject.open(module, SOUTH);
      try {
        await run([north, south], module);
      } finally {
        await Promise.all([north.close(), south.close()]);
      }
    },
  });
  return [
    withPair('is strong and has a name', async ([north]) => {
      expect(north.grade === 'strong' && north.name !== '', 'a strong witness with a name', { grade: north.grade, name: north.name });
    }),
    ...arming(withPair),
    ...claiming(withPair),
    ...racing(withPair, subject.raceWidth ?? 100, subject.races ?? 10),
    ...ending(withPair),
    withPair('keeps the records of modules apart', async ([north], module) => {
      const other = await subject.open(`${module}-other`, NORTH);
      try {
        await armed(north, at('g1', NORTH, 1));
        expect((await other.read()) === undefined, 'no record of the other module', await other.read());
        await refused(other, move('g1', at('g2', NORTH, 2)), undefined);
        await armed(other, at('h1', SOUTH, 7));
        await reads(north, at('g1', NORTH, 1));
      } finally {
        await other.close();
      }
    }),
  ];
}

type WithPair = (title: string, run: (pair: Pair, module: string) => Promise<void>) => ConformanceCase;

function arming(withPair: WithPair): readonly ConformanceCase[] {
  return [
    withPair('has no record before it is armed', async ([north, south]) => {
      await reads(north, undefined);
      await reads(south, undefined);
    }),
    withPair('shows to every node what one of them armed', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 3));
      await reads(north, at('g1', NORTH, 3));
      await reads(south, at('g1', NORTH, 3));
    }),
    withPair('may be armed again with the same record, or with a newer one of any owner', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 1));
      await armed(north, at('g1', NORTH, 1));
      await armed(south, at('g2', SOUTH, 2));
      await armed(north, at('g3', NORTH, 2));
      await reads(south, at('g3', NORTH, 2));
    }),
    withPair('refuses to be armed by a node that was deposed, and shows by whom', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 4));
      await granted(south, move('g1', at('g2', SOUTH, 5)));
      const answer = await north.arm(at('g1', NORTH, 4));
      const found = answer.outcome === 'refused' ? answer.found : undefined;
      expect(sameWitnessRecord(found, at('g2', SOUTH, 5)), 'refused, found g2 of south', answer);
      await reads(north, at('g2', SOUTH, 5));
    }),
    withPair('keeps every character and the whole range of epochs', async ([north, south]) => {
      const record = at('é"\\/ \n\u2028<&>%00 ' + 'x'.repeat(100), 'n-1.example_ü', Number.MAX_SAFE_INTEGER);
      await armed(north, record);
      await reads(south, record);
      await armed(south, { ...record, owner: SOUTH });
      await granted(south, move(record.generation, at('g2', SOUTH, 0)));
      await reads(north, at('g2', SOUTH, 0));
    }),
  ];
}

function claiming(withPair: WithPair): readonly ConformanceCase[] {
  return [
    withPair('grants a claim from the generation that it has', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 1));
      await granted(south, move('g1', at('g2', SOUTH, 2)));
      await reads(north, at('g2', SOUTH, 2));
    }),
    withPair('grants nothing when it has no record', async ([north, south]) => {
      await refused(north, move('g1', at('g2', NORTH, 2)), undefined);
      await refused(south, move('g1', at('g3', SOUTH, 2)), undefined);
      await reads(north, undefined);
    }),
    withPair('refuses a claim from any other generation, shows the record and keeps it', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 1));
      await granted(north, move('g1', at('g2', NORTH, 2)));
      await refused(south, move('g1', at('g3', SOUTH, 2)), at('g2', NORTH, 2));
      await refused(south, move('g0', at('g3', SOUTH, 9)), at('g2', NORTH, 2));
      await reads(south, at('g2', NORTH, 2));
    }),
    withPair('grants a claim again whose answer was lost', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 1));
      const claim = move('g1', at('g2', SOUTH, 2));
      for (let repeated = 0; repeated < 3; repeated += 1) await granted(south, claim);
      await reads(north, at('g2', SOUTH, 2));
    }),
    withPair('refuses the generation of somebody else, even when it is the wanted one', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 1));
      await granted(north, move('g1', at('g2', NORTH, 2)));
      await refused(south, move('g1', at('g2', SOUTH, 2)), at('g2', NORTH, 2));
    }),
    withPair('does not grant a claim again after the record moved on', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 1));
      const claim = move('g1', at('g2', SOUTH, 2));
      await granted(south, claim);
      await armed(south, at('g3', SOUTH, 3));
      await refused(south, claim, at('g3', SOUTH, 3));
    }),
    withPair('refuses to be asked for nonsense', async ([north]) => {
      await armed(north, at('g1', NORTH, 1));
      await rejects(() => north.arm(at('', NORTH, 1)), 'HF_WITNESS_INVALID');
      await rejects(() => north.arm(at('g2', NORTH, -1)), 'HF_WITNESS_INVALID');
      await rejects(() => north.arm(at('g2', NORTH, 1.5)), 'HF_WITNESS_INVALID');
      await rejects(() => north.arm(at('g'.repeat(129), NORTH, 1)), 'HF_WITNESS_INVALID');
      await rejects(() => north.claim(move('g1', at('g1', NORTH, 2))), 'HF_WITNESS_INVALID');
      await reads(north, at('g1', NORTH, 1));
    }),
  ];
}

function racing(withPair: WithPair, width: number, races: number): readonly ConformanceCase[] {
  return [
    withPair(`grants one of ${width} claims at once, in ${races} races`, async ([north, south]) => {
      for (let race = 1; race <= races; race += 1) {
        const common = `race${race}`;
        await armed(north, at(common, NORTH, race * 10));
        const claims = Array.from({ length: width }, (_, index): readonly [StrongWitness, WitnessClaim] => {
          const [witness, owner] = index % 2 === 0 ? ([north, NORTH] as const) : ([south, SOUTH] as const);
          return [witness, move(common, at(`${common}-${index}`, owner, race * 10 + 1))];
        });
        const answers = await Promise.all(claims.map(([witness, claim]) => witness.claim(claim)));
        const winners = claims.filter((_, index) => answers[index]?.outcome === 'granted');
        const [winner] = winners;
        expect(winners.length === 1 && winner !== undefined, 'one granted claim', { race, granted: winners.map(([, claim]) => claim) });
        if (winner === undefined) return;
        await reads(south, winner[1].record);
        await granted(...winner);
        const loser = claims.find(([, claim]) => claim !== winner[1]);
        if (loser !== undefined) await refused(...loser, winner[1].record);
      }
    }),
    withPair('never arms and grants past each other', async ([north, south]) => {
      for (let race = 1; race <= races; race += 1) {
        await armed(north, at(`base${race}`, NORTH, race * 10));
        const [, answer] = await Promise.all([
          north.arm(at(`base${race}`, NORTH, race * 10)),
          south.claim(move(`base${race}`, at(`taken${race}`, SOUTH, race * 10 + 1))),
          north.arm(at(`base${race}`, NORTH, race * 10)),
        ]);
        expect(answer.outcome === 'granted', 'a granted claim', answer);
        await reads(north, at(`taken${race}`, SOUTH, race * 10 + 1));
      }
    }),
  ];
}

function ending(withPair: WithPair): readonly ConformanceCase[] {
  return [
    withPair('asks nothing once the signal is aborted', async ([north]) => {
      await armed(north, at('g1', NORTH, 1));
      await rejects(() => north.read(AbortSignal.abort()), 'HF_WITNESS_UNREACHABLE');
      await rejects(() => north.claim(move('g1', at('g2', NORTH, 2)), AbortSignal.abort()), 'HF_WITNESS_UNREACHABLE');
      await reads(north, at('g1', NORTH, 1));
    }),
    withPair('settles promptly when aborted on the way', async ([north]) => {
      const abort = new AbortController();
      const reading = north.read(abort.signal).then(
        () => 'answered',
        (error: unknown) => (error instanceof HoldfastError ? error.code : String(error)),
      );
      abort.abort();
      const ended = await Promise.race([reading, new Promise<string>((resolve) => setTimeout(resolve, PROMPT_MS, 'hangs').unref())]);
      expect(['answered', 'HF_WITNESS_UNREACHABLE'].includes(ended), 'an answer or HF_WITNESS_UNREACHABLE', ended);
      await reads(north, undefined);
    }),
    withPair('answers nothing once it is closed', async ([north, south]) => {
      await armed(north, at('g1', NORTH, 1));
      await north.close();
      await north.close();
      await rejects(() => north.read(), 'HF_WITNESS_UNREACHABLE');
      await rejects(() => north.claim(move('g1', at('g2', NORTH, 2))), 'HF_WITNESS_UNREACHABLE');
      await reads(south, at('g1', NORTH, 1));
    }),
  ];
}

function at(generation: string, owner: string, epoch: number): WitnessRecord {
  return { generation, owner, epoch };
}

function move(from: string, record: WitnessRecord): WitnessClaim {
  return { from, record };
}

async function armed(witness: StrongWitness, record: WitnessRecord): Promise<void> {
  const answer = await witness.arm(record);
  expect(answer.outcome === 'armed', `armed with ${JSON.stringify(record)}`, answer);
}

async function granted(witness: StrongWitness, claim: WitnessClaim): Promise<void> {
  const answer = await witness.claim(claim);
  expect(answer.outcome === 'granted', `granted: ${JSON.stringify(claim)}`, answer);
}

async function refused(witness: StrongWitness, claim: WitnessClaim, found: WitnessRecord | undefined): Promise<void> {
  const answer: ClaimAnswer = await witness.claim(claim);
  const shown = answer.outcome === 'refused' ? answer.found : undefined;
  const same = found === undefined ? shown === undefined : sameWitnessRecord(shown, found);
  expect(answer.outcome === 'refused' && same, `${JSON.stringify(claim)} refused with ${JSON.stringify(found) ?? 'no record'}`, answer);
}

async function reads(witness: StrongWitness, record: WitnessRecord | undefined): Promise<void> {
  const found = await witness.read();
  const same = record === undefined ? found === undefined : sameWitnessRecord(found, record);
  expect(same, `the record ${JSON.stringify(record) ?? 'absent'}`, found);
}

async function rejects(run: () => Promise<unknown>, code: string): Promise<void> {
  let outcome: unknown;
  try {
    outcome = await run();
  } catch (error) {
    if (error instanceof HoldfastError && error.code === code) return;
    outcome = error;
  }
  expect(false, `a rejection with ${code}`, outcome instanceof Error ? outcome.message : outcome);
}

function expect(holds: boolean, wanted: string, found: unknown): asserts holds {
  if (!holds) throw new Error(`expected ${wanted}, but found ${JSON.stringify(found) ?? 'nothing'}`);
}
