/**
 * What the tree of a secondary was before a resync, written down before anything of it is changed: a file of lines, each with its own
 * checksum, that only grows. For every name that is changed, what had it; for every object, its attributes; and where its content is kept.
 * A torn last line is of a change that was not made yet. The first record of a name or an object counts.
 */
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { syncDirectory } from '../journal/journal.js';
import type { Handle } from '../store/handle.js';

const FILE = 'image';
const VERSION = 1;
const CHECK_CHARACTERS = 8;

/** Seconds, nanoseconds. */
type Time = readonly [number, number];

export interface NameRecord {
  readonly kind: 'name';
  readonly directory: Handle;
  /** Latin1. */
  readonly name: string;
  /** Absent: nothing had the name. */
  readonly object?: Handle;
}

export interface ObjectRecord {
  readonly kind: 'object';
  readonly object: Handle;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atime: Time;
  readonly mtime: Time;
  /** Hexadecimal; absent for a replicated directory itself. */
  readonly id?: string;
  readonly era: number;
  /** Values in base64. */
  readonly xattrs: readonly (readonly [string, string])[];
}

/** The content is in the clone of this name, which no other image uses: a power cut may bring clones of an earlier one back. */
export interface ContentRecord {
  readonly kind: 'content';
  readonly object: Handle;
  readonly clone: string;
}

export type ImageRecord = NameRecord | ObjectRecord | ContentRecord;

export interface ImageHeader {
  readonly kind: 'image';
  readonly version: number;
  /** ISO 8601, wall clock of this node: when the resync began. */
  readonly at: string;
  /** The trees that it is of. */
  readonly roots: readonly Handle[];
}

export interface ImageContent {
  readonly header: ImageHeader;
  readonly records: readonly ImageRecord[];
  readonly bytes: number;
}

export class ImageLog {
  readonly #fd: number;
  readonly #path: string;
  #end: number;

  private constructor(path: string, fd: number, end: number) {
    this.#path = path;
    this.#fd = fd;
    this.#end = end;
  }

  /** Durable when it returns. */
  static create(stateDirectory: string, roots: readonly Handle[], at: string): ImageLog {
    const path = join(stateDirectory, FILE);
    const log = new ImageLog(path, openSync(path, 'w', 0o600), 0);
    log.append([{ kind: 'image', version: VERSION, at, roots } satisfies ImageHeader]);
    syncDirectory(stateDirectory);
    return log;
  }

  /** Goes on behind what was read. */
  static resume(stateDirectory: string, { bytes }: ImageContent): ImageLog {
    const path = join(stateDirectory, FILE);
    return new ImageLog(path, openSync(path, 'r+'), bytes);
  }

  /** Durable when it returns. */
  append(records: readonly (ImageRecord | ImageHeader)[]): void {
    const bytes = Buffer.from(records.map(lineOf).join(''), 'utf8');
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#end + done);
    fdatasyncSync(this.#fd);
    this.#end += bytes.length;
  }

  close(): void {
    closeSync(this.#fd);
  }

  get path(): string {
    return this.#path;
  }
}

/** Undefined when there is none, or its first line is damaged. */
export function readImage(stateDirectory: string): ImageContent | undefined {
  let file: Buffer;
  try {
    file = readFileSync(join(stateDirectory, FILE));
  } catch {
    return undefined;
  }
  const lines: (ImageRecord | ImageHeader)[] = [];
  let bytes = 0;
  for (let end = file.indexOf(0x0a); end >= 0; end = file.indexOf(0x0a, bytes)) {
    const line = parsed(file.subarray(bytes, end));
    if (line === undefined) break;
    lines.push(line);
    bytes = end + 1;
  }
  const [header, ...records] = lines;
  if (header?.kind !== 'image' || header.version !== VERSION) return undefined;
  return { header, records: records as ImageRecord[], bytes };
}

/** Durable when it returns: what its clones hold is nothing any more. */
export function eraseImage(stateDirectory: string): void {
  rmSync(join(stateDirectory, FILE), { force: true });
  syncDirectory(stateDirectory);
}

function lineOf(record: ImageRecord | ImageHeader): string {
  const text = JSON.stringify(record);
  return `${checkOf(Buffer.from(text))}${text}\n`;
}

function parsed(line: Buffer): ImageRecord | ImageHeader | undefined {
  const text = line.subarray(CHECK_CHARACTERS);
  if (line.toString('latin1', 0, CHECK_CHARACTERS) !== checkOf(text)) return undefined;
  return JSON.parse(text.toString()) as ImageRecord | ImageHeader;
}

function checkOf(text: Buffer): string {
  return crc32(text).toString(16).padStart(CHECK_CHARACTERS, '0');
}
