/**
 * IP addresses as bytes: what the kernel and the wire carry. Only literals; a virtual address that depended on a name server would fail
 * when it is needed most.
 */
import { isIPv4, isIPv6 } from 'node:net';

export interface IpAddress {
  /** As an operator writes it; for IPv6 in the canonical short form. */
  readonly text: string;
  readonly family: 4 | 6;
  /** 4 or 16 bytes, network order. */
  readonly bytes: Buffer;
}

/** @returns undefined when `text` is not an IP literal. A zone (`fe80::1%eth0`) is not part of an address here: the interface is. */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (isIPv4(text)) return fromBytes(Buffer.from(text.split('.').map(Number)));
  if (isIPv6(text) && !text.includes('%')) return fromBytes(ipv6Bytes(text));
  return undefined;
}

/** @throws RangeError unless there are 4 or 16 bytes. */
export function fromBytes(bytes: Buffer): IpAddress {
  if (bytes.length === 4) return { text: bytes.join('.'), family: 4, bytes };
  if (bytes.length === 16) return { text: ipv6Text(bytes), family: 6, bytes };
  throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
}

/** Whether the first `prefixLength` bits are the same; addresses of different families never are in one subnet. */
export function inSameSubnet(a: IpAddress, b: IpAddress, prefixLength: number): boolean {
  if (a.family !== b.family) return false;
  const wholeBytes = prefixLength >> 3;
  if (!a.bytes.subarray(0, wholeBytes).equals(b.bytes.subarray(0, wholeBytes))) return false;
  const rest = prefixLength & 7;
  if (rest === 0) return true;
  const shift = 8 - rest;
  return a.bytes.readUInt8(wholeBytes) >> shift === b.bytes.readUInt8(wholeBytes) >> shift;
}

/** `255.255.255.0`, `24` or `64`. @returns undefined when it is not a contiguous mask or a prefix length of that family. */
export function prefixLengthOf(netmask: string, family: 4 | 6): number | undefined {
  if (/^[0-9]{1,3}$/.test(netmask)) {
    const length = Number(netmask);
    return length >= 1 && length <= (family === 4 ? 32 : 128) ? length : undefined;
  }
  if (family !== 4 || !isIPv4(netmask)) return undefined;
  const mask = fromBytes(Buffer.from(netmask.split('.').map(Number))).bytes.readUInt32BE(0);
  const length = Math.clz32(~mask);
  const contiguous = length > 0 && mask === (0xffffffff << (32 - length)) >>> 0;
  return contiguous ? length : undefined;
}

/** Addresses that cannot be a virtual one, with the reason; undefined when `address` can. */
export function unusableReason(address: IpAddress, prefixLength: number): string | undefined {
  const first = address.bytes.readUInt8(0);
  if (address.bytes.every((byte) => byte === 0)) return 'it is the unspecified address';
  if (address.family === 6) {
    if (first === 0xff) return 'it is a multicast address';
    return address.text === '::1' ? 'it is the loopback address' : undefined;
  }
  if (first === 127) return 'it is a loopback address';
  if (first >= 224) return 'it is a multicast or reserved address';
  if (prefixLength < 31) {
    const hostMask = 0xffffffff >>> prefixLength;
    const host = (address.bytes.readUInt32BE(0) & hostMask) >>> 0;
    if (host === 0) return `it is the network address of its /${prefixLength}`;
    if (host === hostMask) return `it is the broadcast address of its /${prefixLength}`;
  }
  return undefined;
}

/** fe80::/10 exists on every interface: the address alone does not say which one is meant. */
export function isLinkLocal(address: IpAddress): boolean {
  return address.family === 6 && address.bytes.readUInt8(0) === 0xfe && (address.bytes.readUInt8(1) & 0xc0) === 0x80;
}

function ipv6Bytes(text: string): Buffer {
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').flatMap(groupWords));
  const [head = '', tail] = text.split('::');
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const words = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  const bytes = Buffer.alloc(16);
  words.forEach((word, index) => bytes.writeUInt16BE(word, index * 2));
  return bytes;
}

/** One hexadecimal group, or a dotted IPv4 tail which stands for two. */
function groupWords(group: string): number[] {
  if (!group.includes('.')) return [parseInt(group, 16)];
  const bytes = Buffer.from(group.split('.').map(Number));
  return [bytes.readUInt16BE(0), bytes.readUInt16BE(2)];
}

/** RFC 5952: lower case, no leading zeros, the longest run of at least two zero groups shortened. */
function ipv6Text(bytes: Buffer): string {
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let end = start;
    while (end < 8 && words[end] === 0) end += 1;
    if (end - start > best.length) best = { start, length: end - start };
  }
  const hexadecimal = (part: number[]): string => part.map((word) => word.toString(16)).join(':');
  if (best.length < 2) return hexadecimal(words);
  return `${hexadecimal(words.slice(0, best.start))}::${hexadecimal(words.slice(best.start + best.length))}`;
}
