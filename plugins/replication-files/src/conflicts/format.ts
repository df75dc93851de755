/**
 * What a node keeps of its own changes when they are given up after a split brain: `conflicts/` beside the journal, outside of every
 * replicated directory, one folder for each event.
 *
 * `event.json` says which generation was given up; it has `endedAt` when the resync that overwrote it has finished. `index` has one line
 * of JSON for each object, followed by its digest; a line is written, and durable, after what it names and before the object is
 * overwritten. A torn last line belongs to an object that is still as it was. `objects/` has the content, a file for each number.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConflictEvent } from '@holdfast/sdk';

export const CONFLICTS = 'conflicts';
export const EVENT_FILE = 'event.json';
export const INDEX_FILE = 'index';
export const OBJECTS = 'objects';
const EVENT_ID = /^[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9_.-]{1,64}-[0-9a-f]{8}(-[0-9]+)?$/;

export type ConflictKind = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character' | 'block';

/** `removed`: it was there only. `content`, `attributes`: what was overwritten. */
export type ConflictCause = 'removed' | 'content' | 'attributes';

/** A line of the index. */
export interface KeptObject {
  /** Grows by one; names the content in `objects/`. */
  readonly number: number;
  /** Absolute, as applications knew it; bytes that are no text as \xNN. */
  readonly path: string;
  /** Base64, when the path is no text. */
  readonly rawPath?: string;
  readonly kind: ConflictKind;
  readonly cause: ConflictCause;
  /** Permissions, owner, times in nanoseconds. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atimeNs: string;
  readonly mtimeNs: string;
  /** Of a file: bytes. */
  readonly size: number;
  /** Of content that was kept: SHA-256, hexadecimal. */
  readonly digest?: string;
  /** Of a symbolic link: base64. */
  readonly target?: string;
  /** Of a device. */
  readonly rdev?: number;
  /** Name (latin1) to value (base64). */
  readonly xattrs?: Readonly<Record<string, string>>;
  /** A further name of an object that was kept under this number: nothing else is said of it here. */
  readonly linkTo?: number;
  /** Handle of the object, base64: whoever goes on after an interruption does not keep it twice. */
  readonly handle: string;
}

export function eventFolder(stateDirectory: string, id: string): string {
  return join(stateDirectory, CONFLICTS, id);
}

export function isEventId(text: string): boolean {
  return EVENT_ID.test(text);
}

/** All events, oldest first. What has no readable `event.json` was being begun or deleted, and is none. */
export function readEvents(stateDirectory: string): ConflictEvent[] {
  const folder = join(stateDirectory, CONFLICTS);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter(isEventId)
    .sort()
    .flatMap((id) => readEvent(join(folder, id)) ?? []);
}

function readEvent(folder: string): ConflictEvent | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, EVENT_FILE), 'utf8')) as ConflictEvent;
  } catch {
    return undefined;
  }
}

export function indexLine(object: KeptObject): string {
  const text = JSON.stringify(object);
  return `${text} ${checksum(text)}\n`;
}

/** Every whole line. What follows the first damaged one is not believed: it was not durable. */
export function readIndex(folder: string): { readonly objects: KeptObject[]; readonly bytes: number } {
  const file = join(folder, INDEX_FILE);
  const content = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  const objects: KeptObject[] = [];
  let bytes = 0;
  for (let end = content.indexOf(0x0a); end >= 0; end = content.indexOf(0x0a, bytes)) {
    const line = content.toString('utf8', bytes, end);
    const split = line.lastIndexOf(' ');
    if (checksum(line.slice(0, split)) !== line.slice(split + 1)) break;
    objects.push(JSON.parse(line.slice(0, split)) as KeptObject);
    bytes = end + 1;
  }
  return { objects, bytes };
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** A path for people, and its bytes where they are no text. */
export function pathFields(path: Buffer): Pick<KeptObject, 'path' | 'rawPath'> {
  const text = path.toString('utf8');
  if (Buffer.from(text).equals(path)) return { path: text };
  const shown = path.toString('latin1').replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
  return { path: shown, rawPath: path.toString('base64') };
}

export function pathBytes({ path, rawPath }: Pick<KeptObject, 'path' | 'rawPath'>): Buffer {
  return rawPath === undefined ? Buffer.from(path) : Buffer.from(rawPath, 'base64');
}
