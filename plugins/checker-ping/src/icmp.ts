/** Echo requests and replies of ICMP (RFC 792) and ICMPv6 (RFC 4443): the same eight bytes, with other numbers. Pure. */

export type Version = 4 | 6;

const REQUEST: Readonly<Record<Version, number>> = { 4: 8, 6: 128 };
const REPLY: Readonly<Record<Version, number>> = { 4: 0, 6: 129 };
const HEADER_BYTES = 8;

/** For IPv6 the kernel fills in the checksum, which covers its addresses. */
export function echoRequest(version: Version, identifier: number, sequence: number, token: Buffer): Buffer {
  const packet = Buffer.alloc(HEADER_BYTES + token.length);
  packet.writeUInt8(REQUEST[version], 0);
  packet.writeUInt16BE(identifier, 4);
  packet.writeUInt16BE(sequence & 0xffff, 6);
  token.copy(packet, HEADER_BYTES);
  if (version === 4) packet.writeUInt16BE(checksum(packet), 2);
  return packet;
}

/**
 * @param packet as a raw socket gives it: of IPv4 with the IP header in front
 * @returns the sequence number when it answers a request with this identifier and token
 */
export function isEchoReply(version: Version, packet: Buffer, identifier: number, token: Buffer): number | undefined {
  const message = version === 4 ? withoutHeader(packet) : packet;
  if (message.length < HEADER_BYTES + token.length) return undefined;
  const fits = message.readUInt8(0) === REPLY[version] && message.readUInt8(1) === 0 && message.readUInt16BE(4) === identifier;
  if (!fits || !message.subarray(HEADER_BYTES, HEADER_BYTES + token.length).equals(token)) return undefined;
  return message.readUInt16BE(6);
}

function withoutHeader(packet: Buffer): Buffer {
  const words = packet.length === 0 ? 0 : packet.readUInt8(0) & 0x0f;
  return packet.subarray(words * 4);
}

/** One's complement of the one's complement sum of all 16-bit words (RFC 1071). */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let offset = 0; offset + 1 < bytes.length; offset += 2) sum += bytes.readUInt16BE(offset);
  if (bytes.length % 2 === 1) sum += bytes.readUInt8(bytes.length - 1) * 256;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}
