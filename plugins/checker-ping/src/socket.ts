/**
 * A raw ICMP socket for one host, through koffi: no program is started. It is connected, so the kernel drops what comes from others and
 * tells of a host or network that cannot be reached; a filter in the kernel lets only echo replies through.
 */
import { isIP } from 'node:net';
import { constants as systemConstants } from 'node:os';
import koffi from 'koffi';
import type { Version } from './icmp.js';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
const ICMP6_FILTER = 1;
const ICMPV6_ECHO_REPLY = 129;
const PACKET_BYTES_MAX = 1500;

const library = koffi.load(null);
const openSocket = library.func('int socket(int, int, int)') as (domain: number, type: number, protocol: number) => number;
const setOption = library.func('int setsockopt(int, int, int, const void *, uint32_t)') as (
  fd: number,
  level: number,
  name: number,
  value: Buffer,
  length: number,
) => number;
const connect = library.func('int connect(int, const void *, uint32_t)') as (fd: number, address: Buffer, length: number) => number;
const send = library.func('int64_t send(int, const void *, size_t, int)') as (
  fd: number,
  from: Buffer,
  length: number,
  flags: number,
) => number;
const receive = library.func('int64_t recv(int, void *, size_t, int)') as (
  fd: number,
  into: Buffer,
  length: number,
  flags: number,
) => number;
const close = library.func('int close(int)') as (fd: number) => number;
const indexOfInterface = library.func('uint32_t if_nametoindex(const char *)') as (name: string) => number;
const parseAddress = library.func('int inet_pton(int, const char *, void *)') as (family: number, text: string, into: Buffer) => number;

export class SocketError extends Error {
  /** For example EHOSTUNREACH. */
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = Object.entries(systemConstants.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.code = code;
  }
}

export class EchoSocket {
  readonly version: Version;
  readonly #fd: number;
  readonly #packet = Buffer.alloc(PACKET_BYTES_MAX);

  /** @param address an IP address. @throws SocketError */
  constructor(address: string) {
    this.version = isIP(address) === 6 ? 6 : 4;
    const [family, protocol] = this.version === 4 ? [AF_INET, IPPROTO_ICMP] : [AF_INET6, IPPROTO_ICMPV6];
    this.#fd = openSocket(family, SOCK_RAW_NONBLOCK_CLOEXEC, protocol);
    if (this.#fd < 0) throw new SocketError('socket', koffi.errno());
    try {
      this.#onlyReplies();
      const remote = socketAddress(address, this.version);
      checked('connect', connect(this.#fd, remote, remote.length));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @throws SocketError, also for what an earlier packet met on its way */
  send(packet: Buffer): void {
    checked('send', send(this.#fd, packet, packet.length, 0));
  }

  /** @returns undefined when nothing has come. @throws SocketError */
  receive(): Buffer | undefined {
    const length = receive(this.#fd, this.#packet, this.#packet.length, 0);
    if (length >= 0) return this.#packet.subarray(0, length);
    const errno = koffi.errno();
    if (errno === systemConstants.errno.EAGAIN || errno === systemConstants.errno.EINTR) return undefined;
    throw new SocketError('recv', errno);
  }

  close(): void {
    close(this.#fd);
  }

  /** A set bit keeps a type of message out. */
  #onlyReplies(): void {
    if (this.version === 4) {
      const filter = Buffer.alloc(4);
      filter.writeUInt32LE(0xfffffffe);
      checked('setsockopt', setOption(this.#fd, SOL_RAW, ICMP_FILTER, filter, filter.length));
      return;
    }
    const filter = Buffer.alloc(32, 0xff);
    const word = Math.floor(ICMPV6_ECHO_REPLY / 32) * 4;
    filter.writeUInt32LE((0xffffffff & ~(1 << (ICMPV6_ECHO_REPLY % 32))) >>> 0, word);
    checked('setsockopt', setOption(this.#fd, IPPROTO_ICMPV6, ICMP6_FILTER, filter, filter.length));
  }
}

/** sockaddr_in or sockaddr_in6; `fe80::1%eth0` names its interface. @throws SocketError */
function socketAddress(address: string, version: Version): Buffer {
  if (version === 4) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    checked('inet_pton', parseAddress(AF_INET, address, bytes.subarray(4)) - 1);
    return bytes;
  }
  const [plain = '', zone] = address.split('%');
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  checked('inet_pton', parseAddress(AF_INET6, plain, bytes.subarray(8)) - 1);
  if (zone !== undefined) bytes.writeUInt32LE(Number(zone) || indexOfInterface(zone), 24);
  return bytes;
}

function checked(call: string, result: number): void {
  if (result < 0) throw new SocketError(call, koffi.errno());
}
