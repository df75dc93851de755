/**
 * TCP connections of this host, listed and reset through sock_diag (what `ss -K` uses): the kernel sends the reset to the other end itself,
 * at once and also on a connection that is idle, and the application here gets ECONNABORTED. Needs CONFIG_INET_DIAG_DESTROY, which the
 * kernels of the distributions have. A packet filter that answers with a reset would not do: it answers only what a client sends, and a
 * client that waits for an answer sends nothing.
 */
import type { IpAddress } from './ip-address.js';
import { ERRNO, SystemCallFailed } from './libc.js';
import { attribute } from './netlink-messages.js';
import { NetlinkSocket } from './netlink-socket.js';

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const INET_DIAG_REQ_BYTECODE = 1;
const IPPROTO_TCP = 6;
const AF_INET = 2;
const AF_INET6 = 10;

/** Of the kernel's tcp_states.h: where the other end can be told something. Listening sockets and what is over already stay. */
const STATES = { established: 1, synReceived: 3, finWait1: 4, finWait2: 5, closeWait: 8 } as const;
const STATES_MASK = Object.values(STATES).reduce((mask, state) => mask | (1 << state), 0);

/** Lengths of inet_diag_req_v2, of the part of it and of inet_diag_msg that names a connection, and where that part is. */
const REQUEST_BYTES = 56;
const ID_BYTES = 48;
const ID_OFFSET_IN_REQUEST = 8;
const ID_OFFSET_IN_ANSWER = 4;
const ANSWER_BYTES = 72;

/** Bytecode of inet_diag: accept when the source address is the one that follows. */
const CONDITION_SOURCE = 7;
const CONDITION_BYTES = 4;
const HOST_BYTES = 8;

export interface TcpConnection {
  /** Of the socket: an IPv4 address may be served by an IPv6 socket. */
  readonly family: number;
  readonly state: number;
  /** Ports, addresses and the kernel's own cookie, as it listed them. */
  readonly id: Buffer;
}

export class TcpConnections {
  private readonly socket: NetlinkSocket;

  /** @throws SystemCallFailed, EPROTONOSUPPORT on a kernel without sock_diag */
  constructor() {
    this.socket = new NetlinkSocket('sock_diag', NETLINK_SOCK_DIAG);
  }

  /** Those whose local end is `address`. @throws SystemCallFailed, ENOENT on a kernel that lists no TCP connections */
  of(address: IpAddress): readonly TcpConnection[] {
    // A server that listens on [::] has IPv4 connections on IPv6 sockets.
    const families = address.family === 4 ? [AF_INET, AF_INET6] : [AF_INET6];
    return families.flatMap((family) =>
      this.socket.dump(SOCK_DIAG_BY_FAMILY, SOCK_DIAG_BY_FAMILY, encodeListing(family, address), decodeConnection),
    );
  }

  /**
   * Ends the connection here and tells the other end.
   * @returns false when there was nothing to reset any more
   * @throws SystemCallFailed, EOPNOTSUPP on a kernel without CONFIG_INET_DIAG_DESTROY
   */
  reset(connection: TcpConnection): boolean {
    const errno = this.socket.change(SOCK_DESTROY, 0, encodeRequest(connection.family, 0xffffffff, connection.id));
    // What is left of a connection that the application closed may not be a socket any more.
    const isRemainder = errno === ERRNO.EOPNOTSUPP && connection.state === STATES.finWait2;
    if (errno === ERRNO.ENOENT || isRemainder) return false;
    if (errno !== 0) throw new SystemCallFailed('SOCK_DESTROY', errno);
    return true;
  }

  async close(): Promise<void> {
    await this.socket.close();
  }
}

function encodeListing(family: number, address: IpAddress): Buffer {
  const length = CONDITION_BYTES + HOST_BYTES + address.bytes.length;
  const program = Buffer.alloc(length);
  program[0] = CONDITION_SOURCE;
  program[1] = length;
  // Beyond the end: refused.
  program.writeUInt16LE(length + 4, 2);
  program[CONDITION_BYTES] = address.family === 6 ? AF_INET6 : AF_INET;
  program[CONDITION_BYTES + 1] = address.bytes.length * 8;
  program.writeInt32LE(-1, CONDITION_BYTES + 4);
  address.bytes.copy(program, CONDITION_BYTES + HOST_BYTES);
  return Buffer.concat([encodeRequest(family, STATES_MASK, Buffer.alloc(ID_BYTES)), attribute(INET_DIAG_REQ_BYTECODE, program)]);
}

function encodeRequest(family: number, states: number, id: Buffer): Buffer {
  const request = Buffer.alloc(REQUEST_BYTES);
  request[0] = family;
  request[1] = IPPROTO_TCP;
  request.writeUInt32LE(states >>> 0, 4);
  id.copy(request, ID_OFFSET_IN_REQUEST);
  return request;
}

/** @returns undefined for what is too short to be a connection */
export function decodeConnection(body: Buffer): TcpConnection | undefined {
  if (body.length < ANSWER_BYTES) return undefined;
  const id = Buffer.from(body.subarray(ID_OFFSET_IN_ANSWER, ID_OFFSET_IN_ANSWER + ID_BYTES));
  return { family: body.readUInt8(0), state: body.readUInt8(1), id };
}
