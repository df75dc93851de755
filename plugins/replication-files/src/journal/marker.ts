/**
 * The durable mark "inconsistent": this tree received a part of a resync, or an acknowledged operation failed to apply. A node with the
 * mark is never promoted. It is on the disk before anything happens that needs it, and removed only when the tree is whole and flushed.
 *
 * The mark also says which repair is enough. While everything is being compared, objects get the ids of the source before their content is
 * known to be the same: after an interruption a journal, which trusts ids, must not be used.
 *
 * The file has its full size from the start and is written in place: a full disk is one of the reasons for the mark. All blank at full
 * size means not set; whatever else is found there, also a torn write or an empty file, means set.
 */
import { closeSync, constants, existsSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { syncDirectory } from './journal.js';

const FILE = 'inconsistent';
const FILE_BYTES = 4096;
/** Characters; at most three bytes each. */
const REASON_LENGTH_MAX = 1000;

export type Repair = 'journal' | 'compare';

export class InconsistentMarker {
  readonly #path: string;
  #text: string | undefined;

  /** @throws HoldfastError HF_REPLICATION_STATE_DIRECTORY when there is no room for the file at the very first start */
  constructor(stateDirectory: string) {
    this.#path = join(stateDirectory, FILE);
    if (!existsSync(this.#path)) this.#prepare(stateDirectory);
    const text = readFileSync(this.#path, 'utf8');
    this.#text = text === ' '.repeat(FILE_BYTES) ? undefined : text;
  }

  get isSet(): boolean {
    return this.#text !== undefined;
  }

  /** Why, for people; undefined when the mark is not set. */
  get reason(): string | undefined {
    return this.#text?.slice(this.#text.indexOf('\n') + 1).trim();
  }

  /** True when only a comparison of everything repairs this tree. */
  get needsCompare(): boolean {
    return this.#text !== undefined && !this.#text.startsWith('journal\n');
  }

  /** Durable when it returns. The first reason stays, unless this one needs more of a repair. */
  set(reason: string, repair: Repair): void {
    if (this.#text !== undefined && (this.needsCompare || repair === 'journal')) return;
    const text = `${repair}\n${reason.slice(0, REASON_LENGTH_MAX)}\n`;
    this.#overwrite(text);
    this.#text = text;
  }

  /** Durable when it returns. */
  clear(): void {
    if (this.#text === undefined) return;
    this.#overwrite('');
    this.#text = undefined;
  }

  #prepare(stateDirectory: string): void {
    try {
      this.#overwrite('');
      syncDirectory(stateDirectory);
    } catch (error) {
      // Half a file would count as set.
      rmSync(this.#path, { force: true });
      const message = `cannot make ${this.#path}: ${messageOf(error)}; free some space on its file system`;
      throw new HoldfastError('HF_REPLICATION_STATE_DIRECTORY', message, { stateDirectory }, { cause: error });
    }
  }

  #overwrite(text: string): void {
    const content = Buffer.alloc(FILE_BYTES, ' ');
    content.write(text);
    const fd = openSync(this.#path, constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      writeSync(fd, content, 0, content.length, 0);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}
