/**
 * The durable mark "inconsistent": this tree received a part of a resync, or an acknowledged operation failed to apply. A node with the
 * mark is never promoted. It is on the disk before anything happens that needs it, and removed only when the tree is whole and flushed.
 *
 * The mark also says which repair is enough. While everything is being compared, objects get the ids of the source before their content is
 * known to be the same: after an interruption a journal, which trusts ids, must not be used.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { syncDirectory } from './journal.js';

const FILE = 'inconsistent';

export type Repair = 'journal' | 'compare';

export class InconsistentMarker {
  readonly #path: string;
  readonly #directory: string;
  #text: string | undefined;

  constructor(stateDirectory: string) {
    this.#directory = stateDirectory;
    this.#path = join(stateDirectory, FILE);
    this.#text = existsSync(this.#path) ? readFileSync(this.#path, 'utf8') : undefined;
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
    const text = `${repair}\n${reason}\n`;
    const fd = openSync(`${this.#path}.new`, 'w', 0o600);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${this.#path}.new`, this.#path);
    syncDirectory(this.#directory);
    this.#text = text;
  }

  /** Durable when it returns. */
  clear(): void {
    if (this.#text === undefined) return;
    rmSync(this.#path, { force: true });
    syncDirectory(this.#directory);
    this.#text = undefined;
  }
}
