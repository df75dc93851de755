/** A strong witness in memory, for tests and simulations: any number of nodes share one set of records. */
import { HoldfastError } from '../errors.js';
import { checkWitnessClaim, checkWitnessRecord, judgeArm, judgeClaim } from '../witness-rules.js';
import type { ArmAnswer, ClaimAnswer, StrongWitness, WitnessClaim, WitnessRecord } from '../witness.js';

export class MemoryRecords {
  readonly #records = new Map<string, WitnessRecord>();

  /** The witness of one module as one node sees it. */
  open(module: string): StrongWitness {
    return new MemoryWitness(module, this.#records);
  }

  /** Forgets everything, as a witness whose disk was replaced. */
  clear(): void {
    this.#records.clear();
  }
}

class MemoryWitness implements StrongWitness {
  readonly grade = 'strong';
  readonly name = 'memory';
  #closed = false;

  constructor(
    private readonly module: string,
    private readonly records: Map<string, WitnessRecord>,
  ) {}

  async arm(record: WitnessRecord, signal?: AbortSignal): Promise<ArmAnswer> {
    checkWitnessRecord(record);
    this.#refuseWhenEnded(signal);
    const answer = judgeArm(this.records.get(this.module), record);
    if (answer.outcome === 'armed') this.records.set(this.module, { ...record });
    return answer;
  }

  async claim(claim: WitnessClaim, signal?: AbortSignal): Promise<ClaimAnswer> {
    checkWitnessClaim(claim);
    this.#refuseWhenEnded(signal);
    const answer = judgeClaim(this.records.get(this.module), claim);
    if (answer.outcome === 'granted') this.records.set(this.module, { ...claim.record });
    return answer;
  }

  async read(signal?: AbortSignal): Promise<WitnessRecord | undefined> {
    this.#refuseWhenEnded(signal);
    return this.records.get(this.module);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #refuseWhenEnded(signal: AbortSignal | undefined): void {
    if (!this.#closed && signal?.aborted !== true) return;
    throw new HoldfastError('HF_WITNESS_UNREACHABLE', `the witness was not asked: ${this.#closed ? 'it is closed' : 'aborted'}`);
  }
}
