/**
 * ARP frames for IPv4 over Ethernet (RFC 826, RFC 5227): gratuitous announcements, probes that claim nothing, and what others claim.
 */
import type { Claim } from './claim.js';
import { fromBytes } from './ip-address.js';

export const ETHERTYPE_ARP = 0x0806;
const ARP_FRAME_BYTES = 42;
const OPERATION_REQUEST = 1;
const OPERATION_REPLY = 2;
const BROADCAST = Buffer.alloc(6, 0xff);
const NO_HARDWARE_ADDRESS = Buffer.alloc(6);
const NO_ADDRESS = Buffer.alloc(4);

/**
 * "`address` is at `mac`", once as a request and once as a reply: equipment differs in which of the two it believes.
 * @param address 4 bytes
 */
export function encodeGratuitousArp(mac: Buffer, address: Buffer): readonly Buffer[] {
  return [
    encodeArp(OPERATION_REQUEST, mac, address, NO_HARDWARE_ADDRESS, address),
    encodeArp(OPERATION_REPLY, mac, address, BROADCAST, address),
  ];
}

/** "Who has `address`?" with an empty sender address, so that no cache learns anything from the question. */
export function encodeArpProbe(mac: Buffer, address: Buffer): Buffer {
  return encodeArp(OPERATION_REQUEST, mac, NO_ADDRESS, NO_HARDWARE_ADDRESS, address);
}

/**
 * The sender of a request or a reply says that it has the sender address; a probe (sender 0.0.0.0) says nothing.
 * @returns undefined for anything else, garbage included
 */
export function decodeArpClaim(frame: Buffer): Claim | undefined {
  if (frame.length < ARP_FRAME_BYTES || frame.readUInt16BE(12) !== ETHERTYPE_ARP) return undefined;
  const ipv4OverEthernet = frame.readUInt16BE(14) === 1 && frame.readUInt16BE(16) === 0x0800 && frame[18] === 6 && frame[19] === 4;
  const operation = frame.readUInt16BE(20);
  if (!ipv4OverEthernet || (operation !== OPERATION_REQUEST && operation !== OPERATION_REPLY)) return undefined;
  const sender = frame.subarray(28, 32);
  if (sender.equals(NO_ADDRESS)) return undefined;
  return { address: fromBytes(Buffer.from(sender)).text, mac: Buffer.from(frame.subarray(22, 28)) };
}

function encodeArp(operation: number, senderMac: Buffer, sender: Buffer, targetMac: Buffer, target: Buffer): Buffer {
  const frame = Buffer.alloc(ARP_FRAME_BYTES);
  BROADCAST.copy(frame, 0);
  senderMac.copy(frame, 6);
  frame.writeUInt16BE(ETHERTYPE_ARP, 12);
  frame.writeUInt16BE(1, 14);
  frame.writeUInt16BE(0x0800, 16);
  frame[18] = 6;
  frame[19] = 4;
  frame.writeUInt16BE(operation, 20);
  senderMac.copy(frame, 22);
  sender.copy(frame, 28);
  targetMac.copy(frame, 32);
  target.copy(frame, 38);
  return frame;
}
