/** A strong witness at the end of a network: requests may be carried out late, twice, or without an answer. */
import type { ClaimAnswer, WitnessRecord } from '@holdfast/core/decide';
import { judgeArm, judgeClaim } from '@holdfast/sdk';
import type { Network, Schedule } from '@holdfast/sdk/testkit';

const ANSWER_LIMIT_MS = 1500;

export class SimulatedWitness {
  record: WitnessRecord | undefined;
  isUp = true;
  backup: WitnessRecord | undefined;
  /** Nothing gets lost of what it granted; a test may break that. */
  grants = 0;

  constructor(
    private readonly schedule: Schedule,
    private readonly network: Network,
  ) {}

  read(from: string, answered: (answer: { readonly record: WitnessRecord | undefined } | undefined) => void): void {
    this.#ask(from, () => ({ record: this.record }), answered);
  }

  arm(from: string, record: WitnessRecord, answered: () => void): void {
    const judge = (): object => {
      if (judgeArm(this.record, record).outcome === 'armed') this.record = record;
      return {};
    };
    this.#ask(from, judge, answered);
  }

  claim(
    from: string,
    last: string,
    record: WitnessRecord,
    answered: (answer: { answer: ClaimAnswer; owner?: string } | undefined) => void,
  ): void {
    const judge = (): { answer: ClaimAnswer; owner?: string } => {
      const verdict = judgeClaim(this.record, { from: last, record });
      if (verdict.outcome === 'refused')
        return { answer: 'refused', ...(verdict.found === undefined ? {} : { owner: verdict.found.owner }) };
      this.record = record;
      this.grants += 1;
      return { answer: 'granted', owner: record.owner };
    };
    this.#ask(from, judge, answered);
  }

  /** A weak one only says that it was reached. */
  probe(from: string, answered: (answer: { readonly answer: ClaimAnswer } | undefined) => void): void {
    this.#ask(from, () => ({ answer: 'granted' as const }), answered);
  }

  /** `answered` is called once: with the answer, or with undefined when it does not come in time. */
  #ask<T>(from: string, judge: () => T, answered: (answer: T | undefined) => void): void {
    let isOver = false;
    const end = (answer: T | undefined): void => {
      if (isOver) return;
      isOver = true;
      answered(answer);
    };
    this.network.send(from, 'witness', () => {
      if (!this.isUp) return;
      const answer = judge();
      this.network.send('witness', from, () => end(answer));
    });
    this.schedule.after(ANSWER_LIMIT_MS, () => end(undefined));
  }
}
