/** What a module claims of its node for itself. Two modules that claim the same would undo each other's work. */
import { HoldfastError } from '@holdfast/sdk';
import { findOverlaps, type ReplicatedDirectories } from '../config/index.js';

export interface ModuleClaims extends ReplicatedDirectories {
  /** Virtual addresses, in canonical form. */
  readonly addresses: readonly string[];
}

/** @throws HoldfastError HF_CONFIG_OVERLAP, HF_CONFIG_ADDRESS_SHARED */
export function refuseSharedClaims(candidate: ModuleClaims, others: readonly ModuleClaims[]): void {
  const [overlap] = findOverlaps([candidate, ...others]);
  if (overlap !== undefined) {
    throw new HoldfastError('HF_CONFIG_OVERLAP', `replicated directories of two modules overlap: ${JSON.stringify(overlap)}`, { overlap });
  }
  for (const { name, addresses } of others) {
    const address = candidate.addresses.find((own) => addresses.includes(own));
    if (address === undefined) continue;
    const relation = `virtual address ${address} of module ${candidate.name} is that of module ${name} too`;
    const cure = 'each takes it away from the other: give one of them another address';
    throw new HoldfastError('HF_CONFIG_ADDRESS_SHARED', `${relation}; ${cure}`, { address, modules: [candidate.name, name] });
  }
}
