/**
 * Whether nobody else answers for the virtual addresses: asked before a start that takes over from nobody. An address that another host
 * had a moment ago is not free because it is silent once: where that is a cluster of its own, it may just be moving from one of its nodes
 * to the other.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { AddressStatus, VirtualIp } from '@holdfast/sdk';
import { HoldfastError } from '@holdfast/sdk';

const PROBE_MS_MAX = 5000;
/** Longer than a takeover with the default timeout, the start of an application included. */
const FREE_MS = 10_000;
const AGAIN_MS = 500;

export interface AddressProbeParts {
  readonly addresses: readonly VirtualIp[];
  readonly monotonicMs: () => number;
  /** Nobody waits for the answer any more. */
  readonly isNeedless: () => boolean;
  readonly freeMs?: number;
}

export class AddressProbe {
  private wasTaken = false;

  constructor(private readonly parts: AddressProbeParts) {}

  /** @throws HoldfastError HF_VIP_TAKEN with the other host's hardware address */
  async assertFree(): Promise<void> {
    const { monotonicMs, isNeedless, freeMs = FREE_MS } = this.parts;
    for (let freeSinceMs: number | undefined; !isNeedless(); ) {
      const taken = await this.taken();
      if (taken !== undefined) {
        this.wasTaken = true;
        throw takenBy(taken);
      }
      freeSinceMs ??= monotonicMs();
      if (!this.wasTaken || monotonicMs() - freeSinceMs >= freeMs) {
        this.wasTaken = false;
        return;
      }
      await delay(Math.min(AGAIN_MS, freeMs));
    }
  }

  private async taken(): Promise<AddressStatus | undefined> {
    const found = await Promise.all(this.parts.addresses.map((address) => address.probe(AbortSignal.timeout(PROBE_MS_MAX))));
    return found.flat().find(({ state }) => state === 'conflict');
  }
}

function takenBy(taken: AddressStatus): HoldfastError {
  const owner = taken.otherOwner ?? 'unknown hardware address';
  const message = `${taken.address} is answered by another host (${owner}); free it or change the address`;
  return new HoldfastError('HF_VIP_TAKEN', message, { ...taken });
}
