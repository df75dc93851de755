/**
 * Whole Ethernet frames, as they pass an interface of the lab's switch: to look at them, or to hand them on later than they came. For
 * processes that do nothing else: waiting blocks the process. The calls of the C library are made through koffi.
 */
import { readFileSync } from 'node:fs';
import { HoldfastError } from '@holdfast/sdk';
import koffi from 'koffi';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_PROMISC = 1;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const SIOCGSTAMP = 0x8906;
const POLLIN = 1;
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** A frame that the kernel has not yet cut into packets, with its header. */
const FRAME_BYTES_MAX = 70_000;

const library = koffi.load(null);
const program = koffi.struct({ len: 'uint16', filter: 'void *' });
const libc = {
  socket: library.func('int socket(int, int, int)') as (family: number, type: number, protocol: number) => number,
  bind: library.func('int bind(int, const void *, uint32_t)') as (fd: number, address: Buffer, length: number) => number,
  send: library.func('int64_t send(int, const void *, size_t, int)') as (fd: number, data: Buffer, length: number, flags: number) => number,
  recv: library.func('int64_t recv(int, void *, size_t, int)') as (fd: number, data: Buffer, length: number, flags: number) => number,
  setsockopt: library.func('int setsockopt(int, int, int, const void *, uint32_t)') as (...words: unknown[]) => number,
  attachFilter: library.func('setsockopt', 'int', ['int', 'int', 'int', koffi.pointer(program), 'uint32_t']) as (
    ...words: unknown[]
  ) => number,
  ioctl: library.func('int ioctl(int, unsigned long, void *)') as (fd: number, request: number, data: Buffer) => number,
  poll: library.func('int poll(void *, unsigned long, int)') as (entries: Buffer, count: number, timeoutMs: number) => number,
};

export const ETHERTYPE = { all: 0x0003, ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

/** An instruction of a classic BPF program: code, jumps, operand. */
export type FilterInstruction = readonly [code: number, jumpTrue: number, jumpFalse: number, operand: number];

export interface PacketSocketOptions {
  readonly filter?: readonly FilterInstruction[];
  /** Frames begin with a header of the kernel about checksums that are still to be made, in both directions. */
  readonly offloadHeader?: boolean;
}

export class PacketSocket {
  readonly fd: number;
  readonly #buffer = Buffer.alloc(FRAME_BYTES_MAX);
  readonly #stamp = Buffer.alloc(16);

  /** @throws HF_LAB_PACKETS */
  constructor(interfaceName: string, etherType: number, { filter, offloadHeader = false }: PacketSocketOptions = {}) {
    const index = Number(readFileSync(`/sys/class/net/${interfaceName}/ifindex`, 'utf8'));
    this.fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (filter !== undefined) this.#filter(filter);
    this.#set(SOL_PACKET, PACKET_IGNORE_OUTGOING, int(1));
    if (offloadHeader) this.#set(SOL_PACKET, PACKET_VNET_HDR, int(1));
    this.#set(SOL_SOCKET, SO_RCVBUFFORCE, int(RECEIVE_BUFFER_BYTES));
    const membership = Buffer.alloc(16);
    membership.writeInt32LE(index, 0);
    membership.writeUInt16LE(PACKET_MR_PROMISC, 4);
    this.#set(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership);
    const address = Buffer.alloc(20);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(etherType, 2);
    address.writeInt32LE(index, 4);
    if (this.fd < 0 || libc.bind(this.fd, address, address.length) < 0) {
      throw new HoldfastError('HF_LAB_PACKETS', `no packet socket on ${interfaceName}: errno ${koffi.errno()}`);
    }
  }

  /** The next frame, valid until the next call; undefined when none waits. */
  receive(): Buffer | undefined {
    const length = libc.recv(this.fd, this.#buffer, this.#buffer.length, 0);
    return length < 0 ? undefined : this.#buffer.subarray(0, length);
  }

  /** When the kernel got the frame that was received last: milliseconds of the wall clock. */
  receivedAtMs(): number {
    libc.ioctl(this.fd, SIOCGSTAMP, this.#stamp);
    return Number(this.#stamp.readBigInt64LE(0)) * 1000 + Number(this.#stamp.readBigInt64LE(8)) / 1000;
  }

  /** Best-effort. */
  send(frame: Buffer): void {
    libc.send(this.fd, frame, frame.length, 0);
  }

  #set(level: number, option: number, value: Buffer): void {
    libc.setsockopt(this.fd, level, option, value, value.length);
  }

  #filter(instructions: readonly FilterInstruction[]): void {
    const filter = Buffer.alloc(instructions.length * 8);
    for (const [position, [code, jumpTrue, jumpFalse, operand]] of instructions.entries()) {
      filter.writeUInt16LE(code, position * 8);
      filter[position * 8 + 2] = jumpTrue;
      filter[position * 8 + 3] = jumpFalse;
      filter.writeUInt32LE(operand, position * 8 + 4);
    }
    libc.attachFilter(this.fd, SOL_SOCKET, SO_ATTACH_FILTER, { len: instructions.length, filter }, 16);
  }
}

/** Blocks the process until a frame waits on one of the sockets, or the time is over. */
export function waitForFrames(sockets: readonly PacketSocket[], timeoutMs: number): void {
  const entries = Buffer.alloc(sockets.length * 8);
  for (const [position, { fd }] of sockets.entries()) {
    entries.writeInt32LE(fd, position * 8);
    entries.writeInt16LE(POLLIN, position * 8 + 4);
  }
  libc.poll(entries, sockets.length, timeoutMs);
}

function int(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return buffer;
}
