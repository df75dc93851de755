/**
 * What a replicator gives into the keeping of its holder, so that its successor can go on: the descriptors of /dev/fuse, the memory in
 * which the successor reads what the kernel knows, and open objects whose last name is gone, or that have none yet. Messages are not
 * answered: what was sent is kept, also when the sender is killed at once. Only LIST is answered, by every descriptor in turn and an END.
 */
import { PassingSocket } from '../system/passing.js';
import { close } from '../system/calls.js';

export const VERB = { keep: 1, drop: 2, dropAll: 3, list: 4, item: 5, end: 6 } as const;
export const KIND = { memory: 1, device: 2, orphan: 3, unnamed: 4 } as const;
/** verb, kind, number, generation, token: u32 each. */
export const CUSTODY_MESSAGE_BYTES = 20;

export interface Kept {
  readonly kind: number;
  /** Index of the replicated directory, or number of the node. */
  readonly number: number;
  readonly generation: number;
  /** A descriptor of this process. */
  readonly fd: number;
}

/** The replicator's end. Every failure means the same: a successor could not go on. */
export class Custody {
  readonly #socket: PassingSocket;

  /** @param fd connected to the holder */
  constructor(fd: number) {
    this.#socket = new PassingSocket(fd, CUSTODY_MESSAGE_BYTES);
  }

  /** @returns false: it is not kept */
  keep(kind: number, number: number, generation: number, fd: number): boolean {
    return this.#send(VERB.keep, kind, number, generation, fd);
  }

  drop(kind: number, number: number, generation: number): boolean {
    return this.#send(VERB.drop, kind, number, generation, -1);
  }

  dropAll(): boolean {
    return this.#send(VERB.dropAll, 0, 0, 0, -1);
  }

  /** Everything that a predecessor left. @returns undefined when the holder does not answer, or could not keep something */
  list(): Kept[] | undefined {
    const token = process.pid;
    this.#socket.message.writeUInt32LE(token, 16);
    if (!this.#send(VERB.list, 0, 0, 0, -1)) return undefined;
    const kept: Kept[] = [];
    for (;;) {
      if (this.#socket.receive() !== CUSTODY_MESSAGE_BYTES) break;
      const { message, receivedFd } = this.#socket;
      const isOwn = message.readUInt32LE(16) === token;
      if (!isOwn) {
        // A predecessor asked, and died before it heard all of this.
        if (receivedFd >= 0) close(receivedFd);
        continue;
      }
      const verb = message.readUInt32LE(0);
      if (verb === VERB.end) {
        const isComplete = message.readUInt32LE(4) === 1 && message.readUInt32LE(8) === kept.length;
        if (isComplete) return kept;
        break;
      }
      if (receivedFd < 0) break;
      kept.push({ kind: message.readUInt32LE(4), number: message.readUInt32LE(8), generation: message.readUInt32LE(12), fd: receivedFd });
    }
    for (const { fd } of kept) close(fd);
    return undefined;
  }

  #send(verb: number, kind: number, number: number, generation: number, fd: number): boolean {
    const { message } = this.#socket;
    message.writeUInt32LE(verb, 0);
    message.writeUInt32LE(kind, 4);
    message.writeUInt32LE(number, 8);
    message.writeUInt32LE(generation, 12);
    return this.#socket.send(fd) === 0;
  }
}
