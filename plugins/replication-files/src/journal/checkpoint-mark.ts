/**
 * How far the checkpoints of this node's last connected session had come: the session's name, the last checkpoint whose content is on this
 * node's disk, and the last one that the peer is known to have too. It shows a copy that was restored from a backup or from a snapshot of
 * its machine: within one generation nothing else does, and a journal does not name what such a copy lacks.
 *
 * A node writes down a checkpoint before it tells the other that it has it; so whoever is behind what the other knows of it is older than
 * it was. A file that is missing or damaged says nothing.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, existsSync, fdatasyncSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { syncDirectory } from './journal.js';

const FILE = 'checkpoint';
/** In place: a full disk does not matter. */
const FILE_BYTES = 512;

export interface Mark {
  readonly generation: string;
  /** Of the connected session. */
  readonly session: string;
  /** On this node's disk. */
  readonly number: number;
  /** On both disks. */
  readonly confirmed: number;
}

export function readMark(stateDirectory: string): Mark | undefined {
  const file = join(stateDirectory, FILE);
  if (!existsSync(file)) return undefined;
  const [text = '', digest] = readFileSync(file, 'utf8').split('\n');
  return digest === digestOf(text) ? (JSON.parse(text) as Mark) : undefined;
}

/** Whether this copy is older than the peer knows it to have been. */
export function isRestored(mine: Mark | undefined, theirs: Mark | undefined): boolean {
  if (mine === undefined || theirs === undefined) return false;
  return mine.generation !== theirs.generation || mine.session !== theirs.session || mine.number < theirs.confirmed;
}

export class CheckpointMark {
  readonly #path: string;
  readonly #stateDirectory: string;
  #mark: Mark | undefined;
  /** Checkpoints of this session that were begun: both nodes count the same ones. */
  #begun = 0;

  constructor(stateDirectory: string) {
    this.#stateDirectory = stateDirectory;
    this.#path = join(stateDirectory, FILE);
    this.#mark = readMark(stateDirectory);
  }

  /** Both trees are the same and on the disk. A repair within a session does not begin another. Durable when it returns. */
  connected(generation: string, session: string): void {
    if (this.#mark?.session === session && this.#mark.generation === generation) return;
    this.#begun = 0;
    this.#write({ generation, session, number: 0, confirmed: 0 });
  }

  /** @returns its number */
  begin(): number {
    this.#begun += 1;
    return this.#begun;
  }

  /** This node has flushed. @param isOnBoth the peer had before. Durable when it returns */
  flushed(number: number, isOnBoth: boolean): void {
    if (this.#mark !== undefined) this.#write({ ...this.#mark, number, confirmed: isOnBoth ? number : this.#mark.confirmed });
  }

  /** The peer has flushed too. Durable with what is written next. */
  confirmed(): void {
    if (this.#mark !== undefined) this.#mark = { ...this.#mark, confirmed: this.#mark.number };
  }

  /** Writes down what was only known. */
  settle(): void {
    if (this.#mark !== undefined) this.#write(this.#mark);
  }

  #write(mark: Mark): void {
    const text = JSON.stringify(mark);
    const content = Buffer.alloc(FILE_BYTES, ' ');
    content.write(`${text}\n${digestOf(text)}\n`);
    const isNew = !existsSync(this.#path);
    const fd = openSync(this.#path, constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      writeSync(fd, content, 0, content.length, 0);
      if (isNew) fsyncSync(fd);
      else fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (isNew) syncDirectory(this.#stateDirectory);
    this.#mark = mark;
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
