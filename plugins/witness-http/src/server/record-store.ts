/**
 * The records of one cluster: one writer, one question after the other. What is asked while a write is on its way waits and goes into the
 * next write together, so that a hundred claims cost two syncs, not two hundred. A question is answered when what its answer rests on
 * is on the disk.
 */
import { constants } from 'node:fs';
import { HoldfastError, type ArmAnswer, type ClaimAnswer, type Log, type WitnessClaim, type WitnessRecord, messageOf } from '@holdfast/sdk';
import { judgeArm, judgeClaim, sameWitnessRecord } from '@holdfast/sdk';
import { type Snapshot, type StoredRecord, loadCopies, writeCopies } from './copies.js';

/** More than any node runs. */
export const MODULES_MAX = 256;

interface Question {
  /** Judges on a working copy; must not wait. */
  readonly judge: (records: Map<string, StoredRecord>) => void;
  readonly settle: (error?: HoldfastError) => void;
}

export class RecordStore {
  #snapshot: Snapshot;
  /** Also counts writes that failed: what a failed write left on the disk must never look newer than what follows. */
  #sequence: number;
  #waiting: Question[] = [];
  #writing: Promise<void> | undefined;

  private constructor(
    private readonly directory: string,
    private readonly log: Log,
    snapshot: Snapshot,
  ) {
    this.#snapshot = snapshot;
    this.#sequence = snapshot.sequence;
  }

  /** Brings both copies to the same state before anything rests on it. @throws HoldfastError HF_WITNESS_STATE */
  static async open(directory: string, log: Log): Promise<RecordStore> {
    const { snapshot, behind } = await loadCopies(directory);
    if (behind.length > 0) {
      log.warn(`records in ${directory}: ${behind.join(', ')}; restored from the other copy`, { directory });
      await writeCopies(directory, snapshot, constants.O_WRONLY | constants.O_CREAT).catch((error: unknown) => {
        throw new HoldfastError('HF_WITNESS_STATE', `the records in ${directory} cannot be restored: ${messageOf(error)}`, { directory });
      });
    }
    return new RecordStore(directory, log, snapshot);
  }

  /** What is on the disk now. */
  read(module: string): WitnessRecord | undefined {
    return this.#snapshot.records.get(module)?.record;
  }

  arm(module: string, record: WitnessRecord): Promise<ArmAnswer> {
    return this.#ask((records) => {
      const answer = judgeArm(records.get(module)?.record, record);
      if (answer.outcome === 'armed') this.#set(records, module, record);
      return answer;
    });
  }

  claim(module: string, claim: WitnessClaim): Promise<ClaimAnswer> {
    return this.#ask((records) => {
      const answer = judgeClaim(records.get(module)?.record, claim);
      if (answer.outcome === 'granted') this.#set(records, module, claim.record);
      return answer;
    });
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  #set(records: Map<string, StoredRecord>, module: string, record: WitnessRecord): void {
    if (sameWitnessRecord(records.get(module)?.record, record)) return;
    if (!records.has(module) && records.size >= MODULES_MAX) {
      throw new HoldfastError('HF_WITNESS_STATE', `the witness keeps at most ${MODULES_MAX} modules of one cluster`, { module });
    }
    records.set(module, { record, changedAt: new Date().toISOString() });
  }

  #ask<T>(judge: (records: Map<string, StoredRecord>) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let answer: { readonly value: T } | undefined;
      let refusal: HoldfastError | undefined;
      this.#waiting.push({
        judge: (records) => {
          try {
            answer = { value: judge(records) };
          } catch (error) {
            refusal =
              error instanceof HoldfastError ? error : new HoldfastError('HF_WITNESS_STATE', messageOf(error), {}, { cause: error });
          }
        },
        settle: (error) => {
          if (error !== undefined) reject(error);
          else if (answer !== undefined) resolve(answer.value);
          else reject(refusal ?? new HoldfastError('HF_WITNESS_STATE', 'the question was not judged'));
        },
      });
      this.#writing ??= this.#work();
    });
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    // Questions of the same turn of the event loop share the first write already.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const questions = this.#waiting;
      this.#waiting = [];
      const records = new Map(this.#snapshot.records);
      for (const { judge } of questions) judge(records);
      const error = differs(records, this.#snapshot.records) ? await this.#write(records) : undefined;
      for (const { settle } of questions) settle(error);
    }
    // In the same turn as the last look at the queue: what is asked from now on begins a new round.
    this.#writing = undefined;
  }

  async #write(records: ReadonlyMap<string, StoredRecord>): Promise<HoldfastError | undefined> {
    this.#sequence += 1;
    const snapshot: Snapshot = { sequence: this.#sequence, records };
    try {
      await writeCopies(this.directory, snapshot);
      this.#snapshot = snapshot;
      return undefined;
    } catch (error) {
      const message = `the records in ${this.directory} cannot be written: ${messageOf(error)}`;
      this.log.error(message, { directory: this.directory });
      return new HoldfastError('HF_WITNESS_STATE', 'the witness cannot write its records; its log says why', {}, { cause: error });
    }
  }
}

function differs(first: ReadonlyMap<string, StoredRecord>, second: ReadonlyMap<string, StoredRecord>): boolean {
  return first.size !== second.size || [...first].some(([module, stored]) => second.get(module) !== stored);
}
