/** rtnetlink on the wire: the kernel's messages about addresses, links and routes. Pure; netlink-messages says by which rules. */
import { type IpAddress, fromBytes } from './ip-address.js';
import { attribute, decodeAttributes } from './netlink-messages.js';

export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_GETROUTE = 26;

const ADDRESS_BODY_BYTES = 8;
const LINK_BODY_BYTES = 16;
const ROUTE_BODY_BYTES = 12;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_TABLE = 15;

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
const RT_TABLE_MAIN = 254;
const RTN_UNICAST = 1;
/** Who made a route, for people who list them: a number that no routing daemon has registered. */
const ROUTE_PROTOCOL = 72;
const ROUTE_PROTOCOL_AT = 5;
const ROUTE_FLAGS_AT = 8;
const RTNH_F_ONLINK = 4;

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

/** A route of the main table over one interface, IPv4. */
export interface KernelRoute {
  readonly interfaceIndex: number;
  /** `default` has none, and prefix length 0. */
  readonly destination: string | undefined;
  readonly prefixLength: number;
  readonly gateway: string | undefined;
  readonly priority: number;
  /** What packets without a source of their own get. */
  readonly source: string | undefined;
  /** As the kernel listed it. */
  readonly body: Buffer;
}

/** How a virtual address is there. */
export interface AddressUse {
  readonly lifetimeSeconds: number;
  /** The node's own connections may leave from it. */
  readonly isSource: boolean;
  /** With a route to its subnet, which the interface lacks otherwise. */
  readonly isAloneInSubnet: boolean;
}

/**
 * The body that adds or prolongs an address. IPv6: no duplicate address detection (it would keep the address unusable for a second) and
 * unless it is to be a source, deprecated from the start: the node's own connections do not leave from an address that may move.
 */
export function encodeAddressWithLifetime(change: AddressChange, { lifetimeSeconds, isSource, isAloneInSubnet }: AddressUse): Buffer {
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE((isAloneInSubnet ? 0 : IFA_F_NOPREFIXROUTE) | (change.address.family === 6 ? IFA_F_NODAD : 0));
  const cacheInfo = Buffer.alloc(16);
  cacheInfo.writeUInt32LE(change.address.family === 6 && !isSource ? 0 : lifetimeSeconds, 0);
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

/** The body that asks for all IPv4 routes. */
export function encodeRouteQuery(): Buffer {
  const body = Buffer.alloc(ROUTE_BODY_BYTES);
  body[0] = 2;
  return body;
}

/** The body of an RTM_NEWROUTE. @returns undefined for other tables, for routes over several interfaces and for what is no plain route. */
export function decodeRoute(body: Buffer): KernelRoute | undefined {
  if (body.length < ROUTE_BODY_BYTES || body[0] !== 2) return undefined;
  const [, prefixLength = 0, sourceLength, tos, , , , type] = body;
  const attributes = decodeAttributes(body.subarray(ROUTE_BODY_BYTES));
  const number = (name: number): number | undefined =>
    attributes.get(name)?.length === 4 ? attributes.get(name)?.readUInt32LE(0) : undefined;
  const address = (name: number): string | undefined => {
    const bytes = attributes.get(name);
    return bytes?.length === 4 ? fromBytes(Buffer.from(bytes)).text : undefined;
  };
  const interfaceIndex = number(RTA_OIF);
  const table = number(RTA_TABLE) ?? body[4];
  if (interfaceIndex === undefined || table !== RT_TABLE_MAIN || type !== RTN_UNICAST || sourceLength !== 0 || tos !== 0) return undefined;
  return {
    interfaceIndex,
    destination: address(RTA_DST),
    prefixLength,
    gateway: address(RTA_GATEWAY),
    priority: number(RTA_PRIORITY) ?? 0,
    source: address(RTA_PREFSRC),
    body: Buffer.from(body),
  };
}

/** The body that adds the same route with another source. */
export function encodeRouteWithSource(route: KernelRoute, source: IpAddress): Buffer {
  const head = Buffer.from(route.body.subarray(0, ROUTE_BODY_BYTES));
  head[ROUTE_PROTOCOL_AT] = ROUTE_PROTOCOL;
  head.writeUInt32LE(head.readUInt32LE(ROUTE_FLAGS_AT) & RTNH_F_ONLINK, ROUTE_FLAGS_AT);
  const attributes = decodeAttributes(route.body.subarray(ROUTE_BODY_BYTES));
  const kept = [RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_METRICS, RTA_TABLE].flatMap((type) => {
    const data = attributes.get(type);
    return data === undefined ? [] : [attribute(type, data)];
  });
  return Buffer.concat([head, ...kept, attribute(RTA_PREFSRC, source.bytes)]);
}
