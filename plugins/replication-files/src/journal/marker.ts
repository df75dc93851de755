/**
 * The durable mark "inconsistent": this tree received a part of a resync, or an acknowledged operation failed to apply. A node with the
 * mark is never promoted. It is on the disk before anything happens that needs it, and removed only when the tree is whole and flushed.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { syncDirectory } from './journal.js';

const FILE = 'inconsistent';

export class InconsistentMarker {
  readonly #directory: string;
  #isSet: boolean;

  constructor(stateDirectory: string) {
    this.#directory = stateDirectory;
    this.#isSet = existsSync(join(stateDirectory, FILE));
  }

  get isSet(): boolean {
    return this.#isSet;
  }

  /** Why, for people; undefined when the mark is not set. */
  get reason(): string | undefined {
    return this.#isSet ? readFileSync(join(this.#directory, FILE), 'utf8').trim() : undefined;
  }

  /** Durable when it returns. The first reason stays. */
  set(reason: string): void {
    if (this.#isSet) return;
    const path = join(this.#directory, FILE);
    const fd = openSync(`${path}.new`, 'w', 0o600);
    try {
      writeSync(fd, `${reason}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${path}.new`, path);
    syncDirectory(this.#directory);
    this.#isSet = true;
  }

  /** Durable when it returns. */
  clear(): void {
    if (!this.#isSet) return;
    rmSync(join(this.#directory, FILE), { force: true });
    syncDirectory(this.#directory);
    this.#isSet = false;
  }
}
