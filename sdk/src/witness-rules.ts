/**
 * What a strong witness answers, as pure functions of the record it has: the one place where the rules of arming and claiming are written.
 * Whoever implements a witness has to make two things certain: that between reading the record and writing the new one nobody else
 * writes, and that the answer leaves after the record is durable.
 */
import { HoldfastError } from './errors.js';
import { WITNESS_TEXT_CHARS_MAX, type ArmAnswer, type ClaimAnswer, type WitnessClaim, type WitnessRecord } from './witness.js';

/** `armed`: the record becomes `record`. `refused`: it stays. */
export function judgeArm(found: WitnessRecord | undefined, record: WitnessRecord): ArmAnswer {
  return found !== undefined && found.epoch > record.epoch ? { outcome: 'refused', found } : { outcome: 'armed' };
}

/** `granted`: the record becomes `claim.record`, which it may be already. `refused`: it stays. */
export function judgeClaim(found: WitnessRecord | undefined, claim: WitnessClaim): ClaimAnswer {
  if (found === undefined) return { outcome: 'refused' };
  if (found.generation === claim.from || sameWitnessRecord(found, claim.record)) return { outcome: 'granted' };
  return { outcome: 'refused', found };
}

export function sameWitnessRecord(first: WitnessRecord | undefined, second: WitnessRecord): boolean {
  return first?.generation === second.generation && first.owner === second.owner && first.epoch === second.epoch;
}

/** A copy with the three fields and nothing else; undefined when the value is no record. For what comes from a disk or a network. */
export function witnessRecordOf(value: unknown): WitnessRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { generation, owner, epoch } = value as Readonly<Record<string, unknown>>;
  if (!isText(generation) || !isText(owner) || typeof epoch !== 'number') return undefined;
  return Number.isSafeInteger(epoch) && epoch >= 0 ? { generation, owner, epoch } : undefined;
}

/** @throws HoldfastError HF_WITNESS_INVALID */
export function checkWitnessRecord(record: WitnessRecord): void {
  if (witnessRecordOf(record) !== undefined) return;
  const rule = `generation and owner of 1 to ${WITNESS_TEXT_CHARS_MAX} characters, and a whole epoch from 0`;
  throw new HoldfastError('HF_WITNESS_INVALID', `${JSON.stringify(record)} is no record of a witness: it has ${rule}`, { record });
}

/** @throws HoldfastError HF_WITNESS_INVALID, also for a claim that leads nowhere: it could be granted to one node after the other */
export function checkWitnessClaim(claim: WitnessClaim): void {
  checkWitnessRecord(claim.record);
  if (isText(claim.from) && claim.from !== claim.record.generation) return;
  const rule = 'a claim leads from the common generation to a new one';
  throw new HoldfastError('HF_WITNESS_INVALID', `the claim from ${JSON.stringify(claim.from)} to itself is refused: ${rule}`, { claim });
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= WITNESS_TEXT_CHARS_MAX;
}
