/**
 * Neighbour discovery over Ethernet (RFC 4861, RFC 4862): the unsolicited advertisement that moves an IPv6 address, the solicitation of
 * duplicate address detection, and what others claim. Frames with a wrong checksum, hop limit or option length are garbage: nobody
 * beyond this link can forge a hop limit of 255, and nothing damaged may look like a second owner.
 */
import type { Claim } from './claim.js';
import { fromBytes } from './ip-address.js';

export const ETHERTYPE_IPV6 = 0x86dd;
const ETHERNET_BYTES = 14;
const IPV6_BYTES = 40;
const ICMP_OFFSET = ETHERNET_BYTES + IPV6_BYTES;
const ICMP_BYTES_MIN = 24;
const NEXT_HEADER_ICMPV6 = 58;
const HOP_LIMIT = 255;
const SOLICITATION = 135;
const ADVERTISEMENT = 136;
const OPTION_SOURCE_LINK_ADDRESS = 1;
const OPTION_TARGET_LINK_ADDRESS = 2;
const FLAG_OVERRIDE = 0x20000000;
const UNSPECIFIED = Buffer.alloc(16);
const ALL_NODES = Buffer.from('ff020000000000000000000000000001', 'hex');
const SOLICITED_NODE_PREFIX = Buffer.from('ff0200000000000000000001ff', 'hex');

/** "`address` is at `mac`, forget what you knew", to all nodes. @param address 16 bytes */
export function encodeUnsolicitedAdvertisement(mac: Buffer, address: Buffer): Buffer {
  const icmp = Buffer.alloc(32);
  icmp[0] = ADVERTISEMENT;
  icmp.writeUInt32BE(FLAG_OVERRIDE, 4);
  address.copy(icmp, 8);
  icmp[24] = OPTION_TARGET_LINK_ADDRESS;
  icmp[25] = 1;
  mac.copy(icmp, 26);
  return encodeFrame(mac, address, ALL_NODES, icmp);
}

/** "Does anybody have `address`?" from the unspecified address: an owner answers to all nodes, no cache learns from the question. */
export function encodeDuplicateAddressSolicitation(mac: Buffer, address: Buffer): Buffer {
  const icmp = Buffer.alloc(ICMP_BYTES_MIN);
  icmp[0] = SOLICITATION;
  address.copy(icmp, 8);
  return encodeFrame(mac, UNSPECIFIED, solicitedNode(address), icmp);
}

/** "Who has `address`? Tell `source`, at `mac`": an owner answers the asker alone. */
export function encodeSolicitation(mac: Buffer, source: Buffer, address: Buffer): Buffer {
  const icmp = Buffer.alloc(32);
  icmp[0] = SOLICITATION;
  address.copy(icmp, 8);
  icmp[24] = OPTION_SOURCE_LINK_ADDRESS;
  icmp[25] = 1;
  mac.copy(icmp, 26);
  return encodeFrame(mac, source, solicitedNode(address), icmp);
}

function solicitedNode(address: Buffer): Buffer {
  return Buffer.concat([SOLICITED_NODE_PREFIX, address.subarray(13)]);
}

/**
 * An advertisement claims its target, a solicitation claims its source unless that is unspecified.
 * @returns undefined for anything else, garbage included
 */
export function decodeNeighbourClaim(frame: Buffer): Claim | undefined {
  if (frame.length < ICMP_OFFSET + ICMP_BYTES_MIN || frame.readUInt16BE(12) !== ETHERTYPE_IPV6) return undefined;
  const icmp = frame.subarray(ICMP_OFFSET, ICMP_OFFSET + frame.readUInt16BE(18));
  const genuine =
    frame.readUInt8(14) >> 4 === 6 &&
    frame[20] === NEXT_HEADER_ICMPV6 &&
    frame[21] === HOP_LIMIT &&
    icmp.length >= ICMP_BYTES_MIN &&
    icmp.length === frame.readUInt16BE(18) &&
    icmp[1] === 0;
  if (!genuine) return undefined;
  const source = frame.subarray(22, 38);
  if (checksum(source, frame.subarray(38, 54), icmp) !== 0) return undefined;

  const advertisement = icmp[0] === ADVERTISEMENT;
  if (!advertisement && (icmp[0] !== SOLICITATION || source.equals(UNSPECIFIED))) return undefined;
  const options = icmp.subarray(ICMP_BYTES_MIN);
  const linkAddress = findLinkAddress(options, advertisement ? OPTION_TARGET_LINK_ADDRESS : OPTION_SOURCE_LINK_ADDRESS);
  if (linkAddress === 'malformed') return undefined;
  return {
    address: fromBytes(Buffer.from(advertisement ? icmp.subarray(8, 24) : source)).text,
    mac: Buffer.from(linkAddress ?? frame.subarray(6, 12)),
  };
}

function findLinkAddress(options: Buffer, wanted: number): Buffer | undefined | 'malformed' {
  let offset = 0;
  while (offset < options.length) {
    const length = (options[offset + 1] ?? 0) * 8;
    if (length === 0 || offset + length > options.length) return 'malformed';
    if (options[offset] === wanted) return options.subarray(offset + 2, offset + 8);
    offset += length;
  }
  return undefined;
}

function encodeFrame(mac: Buffer, source: Buffer, destination: Buffer, icmp: Buffer): Buffer {
  icmp.writeUInt16BE(checksum(source, destination, icmp), 2);
  const header = Buffer.alloc(ICMP_OFFSET);
  header.writeUInt16BE(0x3333, 0);
  destination.copy(header, 2, 12);
  mac.copy(header, 6);
  header.writeUInt16BE(ETHERTYPE_IPV6, 12);
  header[14] = 0x60;
  header.writeUInt16BE(icmp.length, 18);
  header[20] = NEXT_HEADER_ICMPV6;
  header[21] = HOP_LIMIT;
  source.copy(header, 22);
  destination.copy(header, 38);
  return Buffer.concat([header, icmp]);
}

/** RFC 4443 checksum over the pseudo header and the message; 0 when the message carries a right one already. */
function checksum(source: Buffer, destination: Buffer, icmp: Buffer): number {
  let sum = NEXT_HEADER_ICMPV6 + icmp.length;
  for (const part of [source, destination, icmp]) {
    for (let offset = 0; offset < part.length; offset += 2) sum += ((part[offset] ?? 0) << 8) | (part[offset + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
