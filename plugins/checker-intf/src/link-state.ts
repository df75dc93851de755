/**
 * The state of the link that has an address. Node lists the addresses of interfaces that are up and running; an address that is not among
 * them is on a link that is down, or gone. Which link that was is remembered, so that the detail can say what happened to it.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { BlockList, isIP } from 'node:net';
import type { CheckResult } from '@holdfast/sdk';

const FLAG_UP = 0x1;

export class LinkState {
  private known: string | undefined;
  /** Compares addresses by value: one address has many spellings. */
  private readonly wanted = new BlockList();

  constructor(private readonly address: string) {
    this.wanted.addAddress(address, familyOf(address));
  }

  read(): CheckResult {
    const holder = Object.entries(networkInterfaces()).find(([, found]) => found?.some(({ address }) => this.isWanted(address)));
    if (holder !== undefined) {
      const [name] = holder;
      this.known = name;
      return { verdict: 'up', detail: `${name} (${this.address}) is up${speedOf(name)}` };
    }
    if (this.known === undefined) return { verdict: 'down', detail: `no interface that is up has ${this.address}` };
    return judgeKnown(this.known, this.address);
  }

  private isWanted(address: string): boolean {
    const plain = address.split('%')[0] ?? '';
    return isIP(plain) !== 0 && this.wanted.check(plain, familyOf(plain));
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

/** The address has left its interface, or the interface does not run: only the second is this checker's business. */
function judgeKnown(name: string, address: string): CheckResult {
  const flags = readAttribute(name, 'flags');
  if (flags === undefined) return { verdict: 'down', detail: `${name} (${address}) is gone` };
  if ((Number.parseInt(flags, 16) & FLAG_UP) === 0) return { verdict: 'down', detail: `${name} (${address}) was set down` };
  const state = readAttribute(name, 'operstate');
  const carrier = readAttribute(name, 'carrier');
  if (carrier !== '1')
    return { verdict: 'down', detail: `${name} (${address}) has no carrier: cable, switch port or peer (${state ?? '?'})` };
  if (state !== 'up' && state !== 'unknown') return { verdict: 'down', detail: `${name} (${address}) is ${state ?? '?'}` };
  return { verdict: 'up', detail: `${name} is up, but does not have ${address} any more` };
}

function speedOf(name: string): string {
  const speed = Number(readAttribute(name, 'speed') ?? 0);
  return speed > 0 ? `, ${speed} Mbit/s` : '';
}

/** @returns undefined when the interface is gone or the attribute makes no sense in its state */
function readAttribute(name: string, attribute: string): string | undefined {
  try {
    return readFileSync(`/sys/class/net/${name}/${attribute}`, 'latin1').trim();
  } catch {
    return undefined;
  }
}
