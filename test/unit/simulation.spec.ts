/** The decisions under simulated faults. The whole proof runs longer: `npm run simulate -- --seeds 5000000` and `-- --mutants`. */
import assert from 'node:assert/strict';
import * as decisions from '@holdfast/core/decide';
import { explore } from '../simulation/explore/explorer.js';
import { interruptAll } from '../simulation/interruptions.js';
import { loadMutant, MUTANTS } from '../simulation/mutants.js';
import { runSeed } from '../simulation/run.js';
import { STORIES, tellStory } from '../simulation/stories.js';

const SEEDS = 20_000;
/** The same stories for everybody: a change of the decisions is what is tested here, `npm run simulate` looks for new ones. */
const FIRST_SEED = 906_734;
/** Each showed a fault of the decisions once, and no other seed of the above does. */
const TELLING_SEEDS = [30_194_046, 41_784_961, 42_077_238];
const STORY_SEEDS = 20;
/** More is explored by hand: `npm run simulate -- --explore`. */
const EXPLORED = [
  { faults: 0, commands: 1, states: 8000 },
  { faults: 1, commands: 0, states: 12_000 },
  { faults: 2, commands: 1, states: 8000 },
] as const;
/** All that there is within these bounds. What takes minutes is exhausted by hand: the power cut of either node. */
const EXHAUSTED = [
  { faults: 2, commands: 0, kinds: ['witness'] },
  { faults: 1, commands: 0, kinds: ['order'], writes: false },
] as const;
/** Caught soon: they show that the simulation still looks. */
const QUICK = ['the primary goes on without asking', 'a partial copy may take over', 'the secondary does not wait for the witness'];
const QUICK_SEEDS = 2000;

describe('a simulated pair', function () {
  this.timeout(600_000);

  it(`never has two primaries, never loses what it acknowledged, and is whole again after every story (${SEEDS} seeds)`, () => {
    const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST_SEED + index);
    for (const seed of [...TELLING_SEEDS, ...seeds]) {
      const { violation } = runSeed(decisions, seed);
      assert.equal(violation, undefined, `npm run simulate -- --seeds 1 --seed ${seed}`);
    }
  });

  for (const name of Object.keys(STORIES)) {
    it(name, () => {
      for (let seed = 1; seed <= STORY_SEEDS; seed += 1)
        assert.equal(tellStory(decisions, name, seed).violation, undefined, `seed ${seed}`);
    });
  }

  it("becomes whole again when an operator's sequence is interrupted, wherever that is", () => {
    let count = 0;
    for (const { sequence, interruption, at, violation } of interruptAll(decisions, 1)) {
      count += 1;
      assert.equal(violation, undefined, `${sequence}: ${interruption} after ${at} effects`);
    }
    assert.ok(count > 1000, `${count} interruptions`);
  });

  for (const { faults, commands, states } of EXPLORED) {
    it(`does what it must in every order of ${faults} faults and ${commands} commands (${states} states)`, () => {
      const { violation, path } = explore(decisions, { faults, commands, states, depth: 200 }, () => undefined);
      assert.equal(violation, undefined, path?.join('\n'));
    });
  }

  for (const bound of EXHAUSTED) {
    it(`does what it must in every state within a bound of ${bound.faults} (${bound.kinds.join()}), of which none is left`, () => {
      const { violation, path, exhausted, frontier, states } = explore(
        decisions,
        { ...bound, states: 20_000, depth: 200 },
        () => undefined,
      );
      assert.equal(violation, undefined, path?.join('\n'));
      assert.ok(exhausted && frontier === 0, `${frontier} of ${states} states have not been looked at`);
      assert.ok(states > 300, `${states} states`);
    });
  }

  it('says that states are left when the limit ends an exploration', () => {
    const { exhausted, frontier } = explore(
      decisions,
      { faults: 2, commands: 0, kinds: ['witness'], states: 500, depth: 200 },
      () => undefined,
    );
    assert.equal(exhausted, false);
    assert.ok(frontier > 0);
  });

  it('tells one story the same way every time', () => {
    const [once, again] = [runSeed(decisions, 4711, true), runSeed(decisions, 4711, true)];
    assert.ok((once.transcript?.length ?? 0) > 20);
    assert.deepEqual(once, again);
  });

  it('notices deliberate bugs, and every bug of the list is still one of the code', async () => {
    for (const mutant of MUTANTS) {
      const automaton = await loadMutant(mutant);
      if (!QUICK.includes(mutant.name)) continue;
      const isCaught = Array.from({ length: QUICK_SEEDS }, (_, index) => index + 1).some(
        (seed) => runSeed(automaton, seed).violation !== undefined,
      );
      assert.ok(isCaught, mutant.name);
    }
  });
});
