/**
 * The witnesses of one module as one. Strong ones decide by majority: what most of them granted to one node they cannot grant to the
 * other. A weak one counts only where there is no strong one. Read now and then, so that both nodes know beforehand whether they can
 * count on them.
 */
import type { Log, StrongWitness, Witness, WitnessRecord } from '@holdfast/sdk';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { ClaimAnswer, WitnessFacts, WitnessGrade } from '../model/arbitration.js';

const READ_MS = 2000;
const READ_LIMIT_MS = 3000;
const CLAIM_LIMIT_MS = 5000;

interface Source {
  readonly name: string;
  readonly ident: string;
  readonly witness: Witness;
}

export interface WitnessState {
  readonly name: string;
  readonly ident: string;
  readonly reachable: boolean;
  readonly detail: string;
}

export interface Claim {
  readonly answer: ClaimAnswer;
  readonly owner?: string;
}

export class WitnessSet {
  readonly grade: WitnessGrade;
  #states: readonly WitnessState[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isReading = false;
  #isClosed = false;

  constructor(
    private readonly sources: readonly Source[],
    private readonly log: Log,
  ) {
    this.grade = this.#strong.length > 0 ? 'strong' : sources.length > 0 ? 'weak' : 'none';
  }

  get #strong(): readonly (Source & { readonly witness: StrongWitness })[] {
    return this.sources.filter((source): source is Source & { readonly witness: StrongWitness } => source.witness.grade === 'strong');
  }

  /** As last read. */
  get states(): readonly WitnessState[] {
    return this.#states;
  }

  start(tell: (facts: WitnessFacts, states: readonly WitnessState[]) => void): void {
    if (this.grade === 'none') return;
    const read = (): void => {
      if (this.#isReading || this.#isClosed) return;
      this.#isReading = true;
      void this.#read(tell).finally(() => {
        this.#isReading = false;
      });
    };
    read();
    this.#timer = setInterval(read, READ_MS);
  }

  async #read(tell: (facts: WitnessFacts, states: readonly WitnessState[]) => void): Promise<void> {
    const found = await Promise.all(this.sources.map((source) => readOne(source)));
    if (this.#isClosed) return;
    this.#states = found.map(({ state }) => state);
    const strong = found.filter(({ grade }) => grade === 'strong');
    const isReached = found.some(({ state }) => state.reachable);
    if (strong.length === 0) return void tell({ reachable: isReached }, this.#states);
    const answered = strong.filter(({ state }) => state.reachable);
    const needed = majority(strong.length);
    tell({ reachable: answered.length >= needed, ...newest(answered, needed) }, this.#states);
  }

  /** @throws what the last witness threw, when fewer than a majority have the record now */
  async arm(record: WitnessRecord): Promise<void> {
    const outcomes = await Promise.allSettled(this.#strong.map(({ witness }) => witness.arm(record, AbortSignal.timeout(CLAIM_LIMIT_MS))));
    const armed = outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value.outcome === 'armed').length;
    if (armed >= majority(outcomes.length)) return;
    throw rejectionOf(outcomes) ?? new HoldfastError('HF_WITNESS_REFUSED', 'the witness knows a newer generation', { record });
  }

  /** @throws HoldfastError when too few witnesses gave an answer */
  async claim(from: string, record: WitnessRecord): Promise<Claim> {
    if (this.grade === 'weak') return this.#reach();
    const claim = { from, record };
    const outcomes = await Promise.allSettled(this.#strong.map(({ witness }) => witness.claim(claim, AbortSignal.timeout(CLAIM_LIMIT_MS))));
    const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const needed = majority(outcomes.length);
    const refusals = answers.flatMap((answer) => (answer.outcome === 'refused' ? [answer] : []));
    if (answers.length - refusals.length >= needed) return { answer: 'granted', owner: record.owner };
    if (outcomes.length - refusals.length < needed) {
      const owner = refusals.find(({ found }) => found !== undefined)?.found?.owner;
      return { answer: 'refused', ...(owner === undefined ? {} : { owner }) };
    }
    throw rejectionOf(outcomes) ?? new HoldfastError('HF_WITNESS_UNDECIDED', 'no majority of the witnesses granted it', { answers });
  }

  async #reach(): Promise<Claim> {
    const signal = AbortSignal.timeout(CLAIM_LIMIT_MS);
    const probes = this.sources.map(async ({ witness }) => (witness.grade === 'weak' ? witness.reaches(signal) : undefined));
    const answers = (await Promise.all(probes)).filter((answer) => answer !== undefined);
    if (answers.some(({ reached }) => reached)) return { answer: 'granted' };
    throw new HoldfastError('HF_WITNESS_UNREACHABLE', answers.map(({ detail }) => detail).join('; '));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const { name, witness } of this.sources) {
      await witness.close().catch((error: unknown) => this.log.warn('a witness could not be closed', { name, error: messageOf(error) }));
    }
  }
}

interface Reading {
  readonly grade: 'strong' | 'weak';
  readonly state: WitnessState;
  readonly record: WitnessRecord | undefined;
}

async function readOne({ name, ident, witness }: Source): Promise<Reading> {
  const signal = AbortSignal.timeout(READ_LIMIT_MS);
  const { grade } = witness;
  try {
    if (witness.grade === 'weak') {
      const { reached, detail } = await witness.reaches(signal);
      return { grade, state: { name, ident, reachable: reached, detail }, record: undefined };
    }
    const record = await witness.read(signal);
    const detail = record === undefined ? 'has no record yet' : `generation ${record.generation.slice(0, 12)} of ${record.owner}`;
    return { grade, state: { name, ident, reachable: true, detail }, record };
  } catch (error) {
    return { grade, state: { name, ident, reachable: false, detail: messageOf(error) }, record: undefined };
  }
}

function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** The newest record, and whether most witnesses have it. Its epoch is the largest of all: the next one must supersede every record. */
function newest(readings: readonly Reading[], needed: number): Pick<WitnessFacts, 'record' | 'partial'> {
  const records = readings.flatMap(({ record }) => (record === undefined ? [] : [record]));
  const [record] = records.sort((one, other) => other.epoch - one.epoch);
  if (record === undefined) return {};
  const isCommon = records.filter(({ generation }) => generation === record.generation).length >= needed;
  return { record, ...(isCommon ? {} : { partial: true as const }) };
}

function rejectionOf(outcomes: readonly PromiseSettledResult<unknown>[]): Error | undefined {
  const rejected = outcomes.find((outcome) => outcome.status === 'rejected');
  return rejected === undefined ? undefined : rejected.reason instanceof Error ? rejected.reason : new Error(messageOf(rejected.reason));
}
