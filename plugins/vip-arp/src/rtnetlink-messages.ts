/**
 * rtnetlink on the wire: the address and link messages of the kernel, as pure encoding and decoding. Lengths that a message claims are
 * checked against what arrived; anything else is skipped, never thrown on. Byte order is the machine's, little-endian on every platform
 * that is supported.
 */
import { type IpAddress, fromBytes } from './ip-address.js';

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;

export const NLM_F_REQUEST = 0x001;
export const NLM_F_ACK = 0x004;
export const NLM_F_DUMP_INTR = 0x010;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;

const HEADER_BYTES = 16;
const ADDRESS_BODY_BYTES = 8;
const LINK_BODY_BYTES = 16;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;

const IFA_F_SECONDARY = 0x01;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_NOPREFIXROUTE = 0x200;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_RUNNING = 0x40;
const ARPHRD_ETHER = 1;
const LIFETIME_FOREVER = 0xffffffff;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Buffer;
}

/** One address as the kernel holds it. */
export interface KernelAddress {
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly interfaceIndex: number;
  /** Seconds until the kernel removes it; undefined when it stays for ever. */
  readonly validSeconds: number | undefined;
  /** IPv4: depends on the primary address of the same subnet, and is removed with it unless the interface promotes secondaries. */
  readonly secondary: boolean;
  /** IPv6: duplicate address detection is running or failed, so the address is not usable. */
  readonly tentative: boolean;
}

export interface KernelLink {
  readonly index: number;
  readonly name: string;
  /** 6 bytes on Ethernet, else whatever the link has. */
  readonly hardwareAddress: Buffer;
  readonly ethernet: boolean;
  readonly loopback: boolean;
  /** Administratively up. */
  readonly up: boolean;
  /** Up and with a carrier. */
  readonly running: boolean;
}

export interface AddressChange {
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly interfaceIndex: number;
}

export function encodeMessage(type: number, flags: number, sequence: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, body]);
}

/** Splits one datagram of the kernel; stops at the first header that does not fit. */
export function decodeMessages(datagram: Buffer): readonly NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset + HEADER_BYTES <= datagram.length) {
    const length = datagram.readUInt32LE(offset);
    if (length < HEADER_BYTES || offset + length > datagram.length) break;
    messages.push({
      type: datagram.readUInt16LE(offset + 4),
      flags: datagram.readUInt16LE(offset + 6),
      sequence: datagram.readUInt32LE(offset + 8),
      body: datagram.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += aligned(length);
  }
  return messages;
}

/**
 * The body that adds or prolongs an address. IPv6: no duplicate address detection (it would keep the address unusable for a second) and
 * deprecated from the start, so that the node's own connections do not leave from an address that may move.
 */
export function encodeAddressWithLifetime(change: AddressChange, lifetimeSeconds: number): Buffer {
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(IFA_F_NOPREFIXROUTE | (change.address.family === 6 ? IFA_F_NODAD : 0));
  const cacheInfo = Buffer.alloc(16);
  cacheInfo.writeUInt32LE(change.address.family === 6 ? 0 : lifetimeSeconds, 0);
  cacheInfo.writeUInt32LE(lifetimeSeconds, 4);
  return Buffer.concat([encodeAddress(change), attribute(IFA_FLAGS, flags), attribute(IFA_CACHEINFO, cacheInfo)]);
}

/** The body that names an address, for its removal. */
export function encodeAddress(change: AddressChange): Buffer {
  const body = Buffer.alloc(ADDRESS_BODY_BYTES);
  body[0] = change.address.family === 6 ? 10 : 2;
  body[1] = change.prefixLength;
  body.writeUInt32LE(change.interfaceIndex, 4);
  return Buffer.concat([body, attribute(IFA_LOCAL, change.address.bytes), attribute(IFA_ADDRESS, change.address.bytes)]);
}

/** The body that asks for all addresses of both families. */
export function encodeAddressQuery(): Buffer {
  return Buffer.alloc(ADDRESS_BODY_BYTES);
}

/** The body that asks for one link by name, or for all. */
export function encodeLinkQuery(name?: string): Buffer {
  const body = Buffer.alloc(LINK_BODY_BYTES);
  return name === undefined ? body : Buffer.concat([body, attribute(IFLA_IFNAME, Buffer.from(`${name}\0`))]);
}

/** The body of an RTM_NEWADDR. @returns undefined for anything that is not an IP address of an interface. */
export function decodeAddress(body: Buffer): KernelAddress | undefined {
  if (body.length < ADDRESS_BODY_BYTES) return undefined;
  const attributes = decodeAttributes(body.subarray(ADDRESS_BODY_BYTES));
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (bytes?.length !== (body[0] === 10 ? 16 : 4)) return undefined;
  const wideFlags = attributes.get(IFA_FLAGS);
  const flags = wideFlags?.length === 4 ? wideFlags.readUInt32LE(0) : body.readUInt8(2);
  const cacheInfo = attributes.get(IFA_CACHEINFO);
  const valid = cacheInfo !== undefined && cacheInfo.length >= 8 ? cacheInfo.readUInt32LE(4) : LIFETIME_FOREVER;
  const address = fromBytes(Buffer.from(bytes));
  return {
    address,
    prefixLength: body.readUInt8(1),
    interfaceIndex: body.readUInt32LE(4),
    validSeconds: valid === LIFETIME_FOREVER ? undefined : valid,
    secondary: address.family === 4 && (flags & IFA_F_SECONDARY) !== 0,
    tentative: address.family === 6 && (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) !== 0,
  };
}

/** The body of an RTM_NEWLINK. */
export function decodeLink(body: Buffer): KernelLink | undefined {
  if (body.length < LINK_BODY_BYTES) return undefined;
  const attributes = decodeAttributes(body.subarray(LINK_BODY_BYTES));
  const name = attributes.get(IFLA_IFNAME);
  if (name === undefined) return undefined;
  const flags = body.readUInt32LE(8);
  const hardwareAddress = Buffer.from(attributes.get(IFLA_ADDRESS) ?? []);
  return {
    index: body.readInt32LE(4),
    name: name.toString('latin1').replace(/\0.*$/s, ''),
    hardwareAddress,
    ethernet: body.readUInt16LE(2) === ARPHRD_ETHER && hardwareAddress.length === 6,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_RUNNING) !== 0,
  };
}

/** @returns the errno of an NLMSG_ERROR (0 = acknowledged), undefined when it is too short to carry one. */
export function decodeErrno(body: Buffer): number | undefined {
  return body.length >= 4 ? -body.readInt32LE(0) : undefined;
}

function attribute(type: number, data: Buffer): Buffer {
  const encoded = Buffer.alloc(aligned(4 + data.length));
  encoded.writeUInt16LE(4 + data.length, 0);
  encoded.writeUInt16LE(type, 2);
  data.copy(encoded, 4);
  return encoded;
}

function decodeAttributes(data: Buffer): ReadonlyMap<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  let offset = 0;
  while (offset + 4 <= data.length) {
    const length = data.readUInt16LE(offset);
    if (length < 4 || offset + length > data.length) break;
    attributes.set(data.readUInt16LE(offset + 2) & 0x3fff, data.subarray(offset + 4, offset + length));
    offset += aligned(length);
  }
  return attributes;
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}
