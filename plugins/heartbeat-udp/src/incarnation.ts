/**
 * The identity of one opened session: 8 bytes that only grow on this node, then 8 random ones. The growing part lets the peer refuse
 * recordings of earlier sessions; the random part makes the session's key unique even if the file below is lost or cloned.
 * The number is on disk before it is used. After the loss of the file (a replaced disk) counting again from 1 would make the peer refuse
 * this node as outdated, so the wall clock gives a floor; it decides nothing as long as the file is there.
 */
import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, type Log, messageOf } from '@holdfast/sdk';
import { INCARNATION_BYTES } from './wire/frame.js';

const FILE = 'incarnation';

export class Incarnations {
  readonly #directory: string;
  readonly #log: Log;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(directory: string, log: Log) {
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * A new incarnation, durable.
   * @throws HoldfastError HF_HEARTBEAT_STATE when the state directory cannot be written
   */
  next(): Promise<Buffer> {
    const result = this.#queue.then(() => this.#take());
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #take(): Promise<Buffer> {
    const number = Math.max((await this.#read()) + 1, Date.now());
    try {
      await this.#write(number);
    } catch (error) {
      const file = join(this.#directory, FILE);
      throw new HoldfastError(
        'HF_HEARTBEAT_STATE',
        `cannot write ${file} (${messageOf(error)}): disk full or read-only?`,
        { file },
        { cause: error },
      );
    }
    const incarnation = Buffer.alloc(INCARNATION_BYTES);
    incarnation.writeBigUInt64BE(BigInt(number), 0);
    randomBytes(8).copy(incarnation, 8);
    return incarnation;
  }

  async #read(): Promise<number> {
    const file = join(this.#directory, FILE);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
      throw new HoldfastError('HF_HEARTBEAT_STATE', `cannot read ${file}: ${messageOf(error)}`, { file }, { cause: error });
    }
    const number = /^\d{1,16}\n$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(number)) return number;
    this.#log.warn('heartbeat incarnation file is damaged, going on from the clock', { file });
    return 0;
  }

  async #write(number: number): Promise<void> {
    const file = join(this.#directory, FILE);
    const temporary = `${file}.new`;
    try {
      await write(temporary, 'w', number);
      await rename(temporary, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      // A node with a full disk must be able to come back, and make room. In the block that the file has; torn, it is damaged, see above.
      await rm(temporary, { force: true });
      await write(file, 'r+', number);
      return;
    }
    const directory = await open(this.#directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** Numbers have the same length until the year 2286: what is written over has an end in the right place. */
async function write(file: string, flags: 'w' | 'r+', number: number): Promise<void> {
  const handle = await open(file, flags, 0o600);
  try {
    await handle.write(`${number}\n`, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
