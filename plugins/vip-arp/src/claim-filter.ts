/**
 * Classic BPF programs that the kernel runs on every frame before it is queued for us: only frames that may claim one of these addresses
 * pass. Without them a burst of other hosts' ARP fills the socket's buffer between two visits (some 250 frames) and the one claim that
 * matters is dropped; and all IPv6 traffic of the machine would be copied. What passes is still decoded with all checks.
 */
import type { IpAddress } from './ip-address.js';

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, operand: number];

const LOAD_WORD = 0x20;
const LOAD_BYTE = 0x30;
const JUMP = 0x05;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const WHOLE_FRAME = 0xffff;

const ARP_SENDER_OFFSET = 28;
const NEXT_HEADER_OFFSET = 20;
const NEXT_HEADER_ICMPV6 = 58;
const ICMP_TYPE_OFFSET = 54;
const SOLICITATION = 135;
const ADVERTISEMENT = 136;
/** The last four bytes of the IPv6 source, which a solicitation claims, and of the target, which an advertisement claims. */
const SOURCE_TAIL_OFFSET = 34;
const TARGET_TAIL_OFFSET = 74;

/** For a socket of ARP frames: the sender address is one of `addresses`. */
export function arpClaimFilter(addresses: readonly IpAddress[]): Buffer {
  return encode([[LOAD_WORD, 0, 0, ARP_SENDER_OFFSET], ...isOneOf(addresses.filter(({ family }) => family === 4))]);
}

/** For a socket of IPv6 frames: neighbour discovery about an address that ends like one of `addresses`. */
export function neighbourClaimFilter(addresses: readonly IpAddress[]): Buffer {
  return encode([
    [LOAD_BYTE, 0, 0, NEXT_HEADER_OFFSET],
    [JUMP_IF_EQUAL, 1, 0, NEXT_HEADER_ICMPV6],
    [RETURN, 0, 0, 0],
    [LOAD_BYTE, 0, 0, ICMP_TYPE_OFFSET],
    [JUMP_IF_EQUAL, 4, 0, ADVERTISEMENT],
    [JUMP_IF_EQUAL, 1, 0, SOLICITATION],
    [RETURN, 0, 0, 0],
    [LOAD_WORD, 0, 0, SOURCE_TAIL_OFFSET],
    [JUMP, 0, 0, 1],
    [LOAD_WORD, 0, 0, TARGET_TAIL_OFFSET],
    ...isOneOf(addresses.filter(({ family }) => family === 6)),
  ]);
}

/** Accepts when the loaded word is the last four bytes of an address, else refuses. A load beyond a short frame refuses it by itself. */
function isOneOf(addresses: readonly IpAddress[]): readonly Instruction[] {
  const tails = new Set(addresses.map(({ bytes }) => bytes.readUInt32BE(bytes.length - 4)));
  const comparisons = [...tails].flatMap((tail): Instruction[] => [
    [JUMP_IF_EQUAL, 0, 1, tail],
    [RETURN, 0, 0, WHOLE_FRAME],
  ]);
  return [...comparisons, [RETURN, 0, 0, 0]];
}

function encode(instructions: readonly Instruction[]): Buffer {
  const program = Buffer.alloc(instructions.length * 8);
  instructions.forEach(([code, jumpTrue, jumpFalse, operand], index) => {
    program.writeUInt16LE(code, index * 8);
    program[index * 8 + 2] = jumpTrue;
    program[index * 8 + 3] = jumpFalse;
    program.writeUInt32LE(operand, index * 8 + 4);
  });
  return program;
}
