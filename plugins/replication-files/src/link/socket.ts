/** TCP sockets as plain descriptors, for the data thread: what it needs must be in one epoll set with /dev/fuse. */
import { isIPv4, isIPv6 } from 'node:net';
import { HoldfastError } from '@holdfast/sdk';
import * as sys from '../system/calls.js';
import * as c from '../system/constants.js';
import { errnoName } from '../system/errno.js';
import type { Endpoint } from './session.js';

const SOCKET_BUFFER_BYTES = 4 << 20;
const BACKLOG = 16;

/** `struct sockaddr_in` or `sockaddr_in6`. */
function socketAddress({ address, port }: Endpoint): Buffer {
  if (isIPv4(address)) {
    const out = Buffer.alloc(16);
    out.writeUInt16LE(c.AF_INET, 0);
    out.writeUInt16BE(port, 2);
    out.set(address.split('.').map(Number), 4);
    return out;
  }
  if (!isIPv6(address)) throw new HoldfastError('HF_REPLICATION_ADDRESS', `"${address}" is no IP address`, { address });
  const out = Buffer.alloc(28);
  out.writeUInt16LE(c.AF_INET6, 0);
  out.writeUInt16BE(port, 2);
  ipv6Words(address).forEach((word, index) => out.writeUInt16BE(word, 8 + index * 2));
  return out;
}

function ipv6Words(address: string): number[] {
  const plain = address.replace(/%.*$/, '').replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts: string[]) => {
    const [a = 0, b = 0, d = 0, e = 0] = parts.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((d << 8) | e).toString(16)}`;
  });
  const [head = '', tail] = plain.split('::');
  const words = (part: string): number[] => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)));
  const first = words(head);
  const last = tail === undefined ? [] : words(tail);
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
}

/** Best effort: a smaller buffer or a longer time-out costs speed, not correctness. */
function option(fd: number, level: number, name: number, value: number): number {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return sys.setsockopt(fd, level, name, bytes);
}

/** Several full writes fit. Common systems bound what a process may ask for to a part of one, unless it may administer the network. */
function bufferSize(fd: number, forced: number, plain: number): void {
  if (option(fd, c.SOL_SOCKET, forced, SOCKET_BUFFER_BYTES) < 0) option(fd, c.SOL_SOCKET, plain, SOCKET_BUFFER_BYTES);
}

function open(endpoint: Endpoint): number {
  const fd = sys.socket(isIPv4(endpoint.address) ? c.AF_INET : c.AF_INET6, c.SOCK_STREAM | c.SOCK_NONBLOCK | c.SOCK_CLOEXEC);
  if (fd < 0) throw new HoldfastError('HF_REPLICATION_SYSTEM', `socket: ${errnoName(fd)}`);
  bufferSize(fd, c.SO_SNDBUFFORCE, c.SO_SNDBUF);
  bufferSize(fd, c.SO_RCVBUFFORCE, c.SO_RCVBUF);
  return fd;
}

/** @throws HoldfastError HF_REPLICATION_LISTEN */
export function listenSocket(endpoint: Endpoint): number {
  const fd = open(endpoint);
  option(fd, c.SOL_SOCKET, c.SO_REUSEADDR, 1);
  let outcome = sys.bindSocket(fd, socketAddress(endpoint));
  if (outcome >= 0) outcome = sys.listen(fd, BACKLOG);
  if (outcome >= 0) return fd;
  sys.close(fd);
  const { address, port } = endpoint;
  const message = `cannot listen on ${address} port ${port}: ${errnoName(outcome)}; is another module or process using the port?`;
  throw new HoldfastError('HF_REPLICATION_LISTEN', message, { address, port });
}

/** @returns a connected descriptor, or -errno (EAGAIN: nobody is waiting) */
export function acceptSocket(listener: number): number {
  return sys.accept(listener, c.SOCK_NONBLOCK | c.SOCK_CLOEXEC);
}

/** Starts to connect: writable when it is decided, see `socketError`. */
export function connectSocket(endpoint: Endpoint, localAddress?: string): number {
  const fd = open(endpoint);
  if (localAddress !== undefined) sys.bindSocket(fd, socketAddress({ address: localAddress, port: 0 }));
  // EINPROGRESS is the normal outcome; a failure is found again by socketError.
  sys.connect(fd, socketAddress(endpoint));
  return fd;
}

/** What became of a connection attempt: 0, or an errno. */
export function socketError(fd: number): number {
  const value = Buffer.alloc(4);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(4);
  const outcome = sys.getsockopt(fd, c.SOL_SOCKET, c.SO_ERROR, value, length);
  return outcome < 0 ? -outcome : value.readInt32LE(0);
}

/** Small messages go out at once, and data that nobody confirms ends the connection. */
export function tuneSocket(fd: number, timeoutMs: number): void {
  option(fd, c.IPPROTO_TCP, c.TCP_NODELAY, 1);
  option(fd, c.IPPROTO_TCP, c.TCP_USER_TIMEOUT, timeoutMs);
  option(fd, c.SOL_SOCKET, c.SO_KEEPALIVE, 1);
}
