/**
 * One netlink socket, for requests that the kernel answers while they are being sent: nothing here waits, and an answer that is not there
 * at once is an error.
 */
import { AF_NETLINK, bindSocket, closeSocket, ERRNO, openRawSocket, receiveOn, sendOn, SystemCallFailed } from './libc.js';
import * as message from './netlink-messages.js';

const RECEIVE_BYTES = 65536;
/** A table that changes while it is listed is listed again, at most so often. */
const DUMP_ATTEMPTS_MAX = 4;

export class NetlinkSocket {
  private readonly name: string;
  private readonly fd: number;
  private readonly buffer = Buffer.alloc(RECEIVE_BYTES);
  private sequence = 0;
  private closed = false;

  /**
   * @param name for messages about it
   * @param protocol for example NETLINK_ROUTE
   * @throws SystemCallFailed
   */
  constructor(name: string, protocol: number) {
    this.name = name;
    this.fd = openRawSocket(AF_NETLINK, protocol);
    const address = Buffer.alloc(12);
    address.writeUInt16LE(AF_NETLINK, 0);
    bindSocket(this.fd, address);
  }

  /** @returns the errno of the acknowledgement, 0 when it was done. @throws SystemCallFailed */
  change(type: number, flags: number, body: Buffer): number {
    const sequence = this.request(type, flags | message.NLM_F_ACK, body);
    for (const answer of this.receive(sequence)) {
      if (answer.type === message.NLMSG_ERROR) return message.decodeErrno(answer.body) ?? ERRNO.EINVAL;
    }
    throw this.noAnswer();
  }

  /** The one answer to a question about one thing, which may be an NLMSG_ERROR. @throws SystemCallFailed */
  ask(type: number, body: Buffer): message.NetlinkMessage {
    const [answer] = this.receive(this.request(type, 0, body));
    if (answer === undefined) throw this.noAnswer();
    return answer;
  }

  /** A whole table, listed without a change meanwhile. @throws SystemCallFailed */
  dump<Entry>(type: number, answerType: number, body: Buffer, decode: (body: Buffer) => Entry | undefined): readonly Entry[] {
    for (let attempt = 1; attempt <= DUMP_ATTEMPTS_MAX; attempt += 1) {
      const entries: Entry[] = [];
      const sequence = this.request(type, message.NLM_F_DUMP, body);
      const complete = this.collect(sequence, answerType, (answer) => {
        const entry = decode(answer);
        if (entry !== undefined) entries.push(entry);
      });
      if (complete) return entries;
    }
    throw new SystemCallFailed(`${this.name} dump`, ERRNO.EAGAIN);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await closeSocket(this.fd);
  }

  /** @returns whether the listing is consistent: false when the table changed meanwhile. */
  private collect(sequence: number, answerType: number, take: (body: Buffer) => void): boolean {
    let consistent = true;
    for (;;) {
      const answers = this.receive(sequence);
      if (answers.length === 0) throw this.noAnswer();
      for (const answer of answers) {
        if ((answer.flags & message.NLM_F_DUMP_INTR) !== 0) consistent = false;
        if (answer.type === message.NLMSG_ERROR || answer.type === message.NLMSG_DONE) {
          const errno = message.decodeErrno(answer.body) ?? 0;
          if (errno > 0) throw new SystemCallFailed(`${this.name} dump`, errno);
          return consistent;
        }
        if (answer.type === answerType) take(answer.body);
      }
    }
  }

  private request(type: number, flags: number, body: Buffer): number {
    if (this.closed) throw new SystemCallFailed(this.name, ERRNO.EBADF);
    this.sequence = (this.sequence + 1) >>> 0;
    sendOn(this.fd, message.encodeMessage(type, flags | message.NLM_F_REQUEST, this.sequence, body));
    return this.sequence;
  }

  /** The next datagram's messages that belong to this request; answers of an earlier, abandoned request are skipped. */
  private receive(sequence: number): readonly message.NetlinkMessage[] {
    for (;;) {
      const length = receiveOn(this.fd, this.buffer);
      if (length === undefined) return [];
      const messages = message.decodeMessages(this.buffer.subarray(0, length)).filter((candidate) => candidate.sequence === sequence);
      if (messages.length > 0) return messages;
    }
  }

  private noAnswer(): SystemCallFailed {
    return new SystemCallFailed(this.name, ERRNO.EAGAIN);
  }
}
