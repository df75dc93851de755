/**
 * Reached when any address answers. Own addresses are not asked: they answer always, so a node that is cut off would take itself for
 * the world; a virtual address may be an own one today and the peer's tomorrow.
 */
import { BlockList, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type WeakWitness, WitnessOperations, type WitnessReach } from '@holdfast/sdk';
import type { PingConfiguration } from './configuration.js';
import { type Echo, echo } from './ping.js';

/** A machine so busy that starting a process takes this long cannot say what it reaches. */
const PROCESS_MS_MAX = 5_000;

export class PingWitness implements WeakWitness {
  readonly grade = 'weak';
  readonly name: string;
  readonly #operations: WitnessOperations;

  constructor(private readonly configuration: PingConfiguration) {
    this.name = `ping ${configuration.addresses.join(', ')}`;
    this.#operations = new WitnessOperations(this.name);
  }

  reaches(signal?: AbortSignal): Promise<WitnessReach> {
    // Each echo has its own limit, after which it says that nobody answered; this one is for a ping that does not end.
    return this.#operations.run(this.configuration.timeoutMs + PROCESS_MS_MAX, signal, (ended) => this.#ask(ended));
  }

  async close(): Promise<void> {
    this.#operations.close();
  }

  async #ask(ended: AbortSignal): Promise<WitnessReach> {
    const { addresses, timeoutMs } = this.configuration;
    const own = ownAddresses();
    const asked = addresses.filter((address) => !own(address));
    const details = addresses.filter(own).map((address) => `${address} is this node itself`);
    if (asked.length === 0) return { reached: false, detail: details.join('; ') };
    // The first answer decides; the others need not be waited for.
    const decided = new AbortController();
    const onEnd = (): void => decided.abort(ended.reason);
    ended.addEventListener('abort', onEnd, { once: true });
    try {
      return await new Promise<WitnessReach>((resolve, reject) => {
        let left = asked.length;
        const count = ({ answered, detail }: Echo): void => {
          details.push(detail);
          left -= 1;
          if (answered) resolve({ reached: true, detail });
          else if (left === 0) resolve({ reached: false, detail: details.join('; ') });
        };
        for (const address of asked) echo(address, timeoutMs, decided.signal).then(count, reject);
      });
    } finally {
      ended.removeEventListener('abort', onEnd);
      decided.abort();
    }
  }
}

/** Also by another spelling of the same address. */
function ownAddresses(): (address: string) => boolean {
  const own = new BlockList();
  own.addSubnet('127.0.0.0', 8, 'ipv4');
  own.addAddress('::1', 'ipv6');
  for (const { address } of Object.values(networkInterfaces()).flatMap((found) => found ?? [])) {
    own.addAddress(withoutScope(address), isIPv6(address) ? 'ipv6' : 'ipv4');
  }
  return (address) => own.check(withoutScope(address), isIPv6(address) ? 'ipv6' : 'ipv4');
}

function withoutScope(address: string): string {
  return address.replace(/%.*$/, '');
}
