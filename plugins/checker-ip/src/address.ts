/**
 * Whether an address is there and can be used: on an interface that is up and running, and, for IPv6, not still being examined for
 * duplicates and not found to be one. Two looks, one of which the kernel offers as text only: /proc/net/if_inet6.
 */
import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { CheckResult } from '@holdfast/sdk';

const FLAG_DUPLICATE = 0x08;
const FLAG_TENTATIVE = 0x40;

/** Never an address of one node: the unspecified addresses, broadcast and multicast. */
const IMPOSSIBLE = new BlockList();
IMPOSSIBLE.addSubnet('0.0.0.0', 8, 'ipv4');
IMPOSSIBLE.addSubnet('224.0.0.0', 3, 'ipv4');
IMPOSSIBLE.addAddress('::', 'ipv6');
IMPOSSIBLE.addSubnet('ff00::', 8, 'ipv6');

/** The 4 or 16 bytes in hexadecimal, so that two spellings of one address are the same; undefined: no address of a node. */
export function readAddressBytes(address: string): string | undefined {
  const family = isIP(address);
  if (family === 0 || IMPOSSIBLE.check(address, family === 4 ? 'ipv4' : 'ipv6')) return undefined;
  if (family === 4)
    return address
      .split('.')
      .map((part) => Number(part).toString(16).padStart(2, '0'))
      .join('');
  return sixteenBytes(address);
}

export function judgeAddress(address: string): CheckResult {
  const wanted = readAddressBytes(address);
  for (const [name, found] of Object.entries(networkInterfaces())) {
    for (const { address: present } of found ?? []) {
      if (readAddressBytes(present) !== wanted) continue;
      const state = isIP(address) === 6 ? duplicateDetection(wanted ?? '') : undefined;
      if (state === 'duplicate') return { verdict: 'down', detail: `${address} on ${name} is a duplicate: another host has it` };
      if (state === 'tentative') return { verdict: 'unknown', detail: `${address} on ${name} is still examined for duplicates` };
      return { verdict: 'up', detail: `${address} is on ${name}` };
    }
  }
  return { verdict: 'down', detail: `${address} is on no interface that is up` };
}

/** `address index prefix scope flags name`, all in hexadecimal but the name. */
function duplicateDetection(bytes: string): 'duplicate' | 'tentative' | undefined {
  const line = readFileSync('/proc/net/if_inet6', 'latin1')
    .split('\n')
    .find((candidate) => candidate.startsWith(bytes));
  const flags = Number.parseInt(line?.split(/\s+/)[4] ?? '0', 16);
  if ((flags & FLAG_DUPLICATE) !== 0) return 'duplicate';
  return (flags & FLAG_TENTATIVE) === 0 ? undefined : 'tentative';
}

function sixteenBytes(address: string): string {
  // The last four bytes may be written as an IPv4 address.
  const text = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_match, a: string, b: string, c: string, d: string) => {
    const pair = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);
    return `${pair(a, b)}:${pair(c, d)}`;
  });
  const [before = '', after] = text.split('%')[0]?.split('::') ?? [];
  const groups = (part: string | undefined): string[] => (part ?? '').split(':').filter((group) => group !== '');
  const head = groups(before);
  const tail = groups(after);
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return [...head, ...zeros, ...tail]
    .map((group) => group.padStart(4, '0'))
    .join('')
    .toLowerCase();
}
