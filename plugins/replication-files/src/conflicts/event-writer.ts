/** Writes one event: what is said of an object is durable only together with what was kept of it. */
import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ConflictEvent } from '@holdfast/sdk';
import { syncDirectory } from '../journal/journal.js';
import { CONFLICTS, EVENT_FILE, eventFolder, INDEX_FILE, indexLine, OBJECTS, readEvents, readIndex, type KeptObject } from './format.js';

const LEFT_FILE = 'left';

export class EventWriter {
  readonly folder: string;
  /** What an interrupted resync kept already. */
  readonly kept: readonly KeptObject[];
  readonly #event: ConflictEvent;
  readonly #index: number;
  #next: number;
  #lines: string[] = [];
  #at: number;

  /** @throws the disk's error */
  private constructor(folder: string, event: ConflictEvent) {
    this.folder = folder;
    this.#event = event;
    const { objects, bytes } = readIndex(folder);
    this.kept = objects;
    this.#next = Math.max(0, ...objects.map(({ number }) => number)) + 1;
    this.#at = bytes;
    this.#index = openSync(join(folder, INDEX_FILE), 'r+');
    // A torn line is no line: the next one must not be read with it.
    ftruncateSync(this.#index, bytes);
  }

  /** The event that has not ended, or a new one. Without a generation only the former. */
  static open(stateDirectory: string, node: string, generation: string | undefined): EventWriter | undefined {
    const events = readEvents(stateDirectory);
    const present = events.find(({ endedAt }) => endedAt === undefined);
    if (present !== undefined) return new EventWriter(eventFolder(stateDirectory, present.id), present);
    if (generation === undefined) return undefined;
    const at = new Date().toISOString();
    const name = `${at.replace(/[-:]|\.\d+/g, '')}-${node}-${generation.slice(0, 8)}`;
    const taken = events.filter(({ id }) => id.startsWith(name)).length;
    const id = taken === 0 ? name : `${name}-${taken + 1}`;
    const folder = eventFolder(stateDirectory, id);
    mkdirSync(join(folder, OBJECTS), { recursive: true, mode: 0o700 });
    closeSync(openSync(join(folder, INDEX_FILE), 'w', 0o600));
    const event = { id, node, generation, at };
    writeEvent(folder, event);
    syncDirectory(join(stateDirectory, CONFLICTS));
    syncDirectory(stateDirectory);
    return new EventWriter(folder, event);
  }

  get id(): string {
    return this.#event.id;
  }

  nextNumber(): number {
    this.#next += 1;
    return this.#next - 1;
  }

  contentPath(number: number): string {
    return join(this.folder, OBJECTS, String(number));
  }

  /** Said with the next `commit`. */
  add(object: KeptObject): void {
    this.#lines.push(indexLine(object));
  }

  /** Where an object was before the resync put it aside: for the next one, if this is interrupted. Best effort. */
  noteLeft(handle: string, path: Buffer): void {
    appendFileSync(join(this.folder, LEFT_FILE), `${Buffer.from(handle, 'latin1').toString('base64')} ${path.toString('base64')}\n`);
  }

  /** What `noteLeft` has noted, in order. */
  left(): { readonly handle: string; readonly path: Buffer }[] {
    const file = join(this.folder, LEFT_FILE);
    const lines = existsSync(file) ? readFileSync(file, 'latin1').split('\n') : [];
    return lines.slice(0, -1).map((line) => {
      const [handle = '', path = ''] = line.split(' ');
      return { handle: Buffer.from(handle, 'base64').toString('latin1'), path: Buffer.from(path, 'base64') };
    });
  }

  get waiting(): number {
    return this.#lines.length;
  }

  /** Durable when it returns, with all content that was written and synced before. @throws the disk's error */
  commit(): void {
    if (this.#lines.length === 0) return;
    syncDirectory(join(this.folder, OBJECTS));
    const text = Buffer.from(this.#lines.join(''));
    for (let done = 0; done < text.length; ) done += writeSync(this.#index, text, done, text.length - done, this.#at + done);
    fsyncSync(this.#index);
    this.#at += text.length;
    this.#lines = [];
  }

  /** The resync has finished: the event is whole. One in which nothing was kept is none. */
  end(): void {
    const isEmpty = this.#at === 0;
    this.close();
    if (isEmpty) rmSync(this.folder, { recursive: true, force: true });
    else writeEvent(this.folder, { ...this.#event, endedAt: new Date().toISOString() });
  }

  close(): void {
    closeSync(this.#index);
  }
}

function writeEvent(folder: string, event: ConflictEvent): void {
  const file = join(folder, EVENT_FILE);
  const fd = openSync(`${file}.new`, 'w', 0o600);
  try {
    writeSync(fd, `${JSON.stringify(event, null, 1)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${file}.new`, file);
  syncDirectory(folder);
}
