/**
 * Asks who answers for the virtual addresses, before a start that takes over from nobody, until it is decided whether they are free
 * (decide/mirror/address-silence.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { AddressStatus, VirtualIp } from '@holdfast/sdk';
import { HoldfastError } from '@holdfast/sdk';
import { type AddressSilence, isFree, noteAnswer, SILENCE_MS } from '../decide/mirror/address-silence.js';

const PROBE_MS_MAX = 5000;
const AGAIN_MS = 500;

export interface AddressProbeParts {
  readonly addresses: readonly VirtualIp[];
  readonly monotonicMs: () => number;
  /** Nobody waits for the answer any more. */
  readonly isNeedless: () => boolean;
  /** How long an address that was taken must be silent; the rule's own when absent. */
  readonly silenceMs?: number;
}

export class AddressProbe {
  private silence: AddressSilence = { wasTaken: false };

  constructor(private readonly parts: AddressProbeParts) {}

  /** @throws HoldfastError HF_VIP_TAKEN with the other host's hardware address */
  async assertFree(): Promise<void> {
    const { monotonicMs, isNeedless, silenceMs = SILENCE_MS } = this.parts;
    // Between two starts nobody listened.
    this.silence = { wasTaken: this.silence.wasTaken };
    while (!isNeedless()) {
      const taken = await this.taken();
      this.silence = noteAnswer(this.silence, taken !== undefined, monotonicMs());
      if (taken !== undefined) throw takenBy(taken);
      if (isFree(this.silence, monotonicMs(), silenceMs)) {
        this.silence = { wasTaken: false };
        return;
      }
      await delay(Math.min(AGAIN_MS, silenceMs));
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
