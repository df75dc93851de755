/** The suite for strong witnesses, proved on one that is right and on ones that are each wrong in one way. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { ArmAnswer, ClaimAnswer, StrongWitness, WitnessClaim, WitnessRecord } from '../src/index.js';
import { MemoryRecords, strongWitnessCases } from '../src/testkit/index.js';

describe('the conformance suite of witnesses', () => {
  describe('over a witness in memory', () => {
    const records = new MemoryRecords();
    for (const { title, run } of strongWitnessCases({ open: (module) => records.open(module) })) it(title, run);
  });

  type Broken = (witness: StrongWitness, records: MemoryRecords, module: string) => Partial<StrongWitness>;
  /** What is wrong / words of the case that must notice. */
  const wrongs: Readonly<Record<string, Broken>> = {
    'is weak / is strong': () => ({ grade: 'weak' as never }),
    'grants when it has no record / grants nothing when it has no record': (witness) => ({
      claim: async (claim, signal): Promise<ClaimAnswer> => {
        if ((await witness.read(signal)) === undefined) await witness.arm(claim.record);
        return witness.claim(claim, signal);
      },
    }),
    'reads, waits and then writes / claims at once': (witness) => ({
      claim: async (claim, signal): Promise<ClaimAnswer> => {
        const found = await witness.read(signal);
        if (found?.generation !== claim.from) return witness.claim(claim, signal);
        await turn();
        return overwrite(witness, claim.record);
      },
    }),
    'refuses a repeated claim / whose answer was lost': (witness) => ({
      claim: async (claim, signal): Promise<ClaimAnswer> => {
        const found = await witness.read(signal);
        return found?.generation === claim.record.generation ? { outcome: 'refused', found } : witness.claim(claim, signal);
      },
    }),
    'grants to both when they want the same generation / somebody else': (witness) => ({
      claim: async (claim, signal): Promise<ClaimAnswer> => {
        const found = await witness.read(signal);
        return found?.generation === claim.record.generation ? { outcome: 'granted' } : witness.claim(claim, signal);
      },
    }),
    'grants by epoch instead of generation / from any other generation': (witness) => ({
      claim: async (claim, signal): Promise<ClaimAnswer> => {
        const found = await witness.read(signal);
        return found !== undefined && found.epoch < claim.record.epoch ? overwrite(witness, claim.record) : witness.claim(claim, signal);
      },
    }),
    'lets a deposed primary arm / that was deposed': (witness) => ({
      arm: async (record): Promise<ArmAnswer> => (await overwrite(witness, record), { outcome: 'armed' }),
    }),
    'refuses without the record / shows the record': (witness) => ({
      claim: async (claim: WitnessClaim, signal): Promise<ClaimAnswer> => {
        const { outcome } = await witness.claim(claim, signal);
        return { outcome };
      },
    }),
    'grants and keeps the old record / grants a claim from the generation': (witness) => ({
      claim: async (claim, signal): Promise<ClaimAnswer> => {
        const found = await witness.read(signal);
        return found?.generation === claim.from ? { outcome: 'granted' } : witness.claim(claim, signal);
      },
    }),
    'keeps one record for all modules / modules apart': (_witness, records) => records.open('all'),
    'shows to each node only its own / shows to every node': (_witness, records, module) => records.open(`${module}-${Math.random()}`),
    'forgets owners / grants a claim from the generation': (witness) => ({
      read: async (signal): Promise<WitnessRecord | undefined> => {
        const found = await witness.read(signal);
        return found === undefined ? undefined : { ...found, owner: 'north' };
      },
    }),
    'takes nonsense / nonsense': (witness) => ({
      arm: async (record, signal): Promise<ArmAnswer> =>
        Number.isInteger(record.epoch) && record.epoch >= 0 ? witness.arm(record, signal) : { outcome: 'armed' },
    }),
    'takes an aborted claim / once the signal is aborted': (witness) => ({ claim: (claim) => witness.claim(claim) }),
    'hangs when aborted / aborted on the way': (witness) => ({
      read: (signal) =>
        new Promise((resolve, reject) => {
          if (signal === undefined || signal.aborted) witness.read(signal).then(resolve, reject);
        }),
    }),
    'answers after close / once it is closed': (witness) => ({ close: async () => undefined, read: (signal) => witness.read(signal) }),
  };

  for (const [key, broken] of Object.entries(wrongs)) {
    const [wrong, noticing = ''] = key.split(' / ');
    it(`rejects a witness that ${wrong}`, async () => {
      const records = new MemoryRecords();
      const open = (module: string): StrongWitness => {
        const witness = records.open(module);
        return Object.assign(bound(witness), bound(broken(witness, records, module)));
      };
      const cases = strongWitnessCases({ open, raceWidth: 10, races: 2 });
      const outcomes = await Promise.allSettled(cases.map(({ run }) => run()));
      const noticed = cases.filter((_, index) => outcomes[index]?.status === 'rejected').map(({ title }) => title);
      assert.ok(
        noticed.some((title) => title.includes(noticing)),
        `noticed by: ${noticed.join('; ')}`,
      );
    });
  }
});

/** Sets the record, whatever it is. */
async function overwrite(witness: StrongWitness, record: WitnessRecord): Promise<ClaimAnswer> {
  const found = await witness.read();
  const free = await witness.arm({ ...record, epoch: Math.max(record.epoch, found?.epoch ?? 0) });
  assert.equal(free.outcome, 'armed');
  return { outcome: 'granted' };
}

/** The members of a class as own properties, so that some can be exchanged. */
function bound<T extends Partial<StrongWitness>>(witness: T): T {
  const names = ['grade', 'name', 'arm', 'claim', 'read', 'close'] as const;
  const members = names.flatMap((name) => {
    const member: unknown = Reflect.get(witness, name);
    return member === undefined ? [] : [[name, typeof member === 'function' ? (member.bind(witness) as unknown) : member] as const];
  });
  return Object.fromEntries(members) as T;
}
