/**
 * What a verification has found: a bounded list for people, a count of everything, and, for a repair, what must be copied again. A repair
 * that does not know enough (links that lead to other objects, more differences than are remembered) compares everything.
 */
import { DirtySet, latin1 } from '../journal/dirty-set.js';
import type { GranuleRanges } from '../journal/ranges.js';
import type { Handle } from '../store/handle.js';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from '../system/constants.js';
import { GRANULE_BYTES } from '../wire/limits.js';
import type { Observed, TimeSpec } from '../wire/messages.js';

export type Aspect =
  | 'missing there'
  | 'only there'
  | 'type'
  | 'identity'
  | 'mode'
  | 'owner'
  | 'size'
  | 'time'
  | 'target'
  | 'device'
  | 'attributes'
  | 'links'
  | 'content'
  | 'unreadable here'
  | 'unreadable there';

export interface Difference {
  /** Index of the replicated directory. */
  readonly root: number;
  /** Relative to it, any bytes; empty: the directory itself. */
  readonly path: Buffer;
  readonly aspects: readonly Aspect[];
  /** For people. */
  readonly detail: string;
}

interface Listed extends Difference {
  readonly aspects: Aspect[];
  detail: string;
}

/** Where an object is, for the repair: its handle here if it is here, and a name. */
export interface Where {
  readonly root: number;
  readonly path: Buffer;
  readonly handle: Handle | undefined;
  readonly directory: Handle | undefined;
  /** 0: the directory has no id. */
  readonly directoryId: bigint;
  readonly name: Buffer | undefined;
}

export const LISTED_DIFFERENCES_MAX = 100;
/** Remembered for the repair and to count each object once; beyond, a repair compares everything. */
const REMEMBERED_MAX = 50_000;
const SHOWN_RANGES_MAX = 4;

export class Differences {
  /** What a repair by names and ranges must look at. */
  readonly touched = new DirtySet();
  /** Only a comparison of everything repairs. */
  needsCompare = false;
  /** This node cannot read everything: a resync from it could not end. */
  isUnreadableHere = false;
  total = 0;
  readonly #seen = new Set<string>();
  readonly #listed = new Map<string, Listed>();

  add(where: Where, aspects: readonly Aspect[], detail: string, ranges?: GranuleRanges): void {
    this.#remember(where, aspects, ranges);
    this.isUnreadableHere ||= aspects.includes('unreadable here');
    const { root, path } = where;
    const key = `${root}/${latin1(path)}`;
    if (this.#seen.has(key)) {
      this.#addTo(this.#listed.get(key), aspects, detail);
      return;
    }
    if (this.#seen.size < REMEMBERED_MAX) this.#seen.add(key);
    this.total += 1;
    if (this.#listed.size < LISTED_DIFFERENCES_MAX) this.#listed.set(key, { root, path, aspects: [...aspects], detail });
  }

  get listed(): readonly Difference[] {
    return [...this.#listed.values()];
  }

  /** The same object, met again: its content after its attributes, or under the place to which it was moved. */
  #addTo(known: Listed | undefined, aspects: readonly Aspect[], detail: string): void {
    const news = known === undefined ? [] : aspects.filter((aspect) => !known.aspects.includes(aspect));
    if (known === undefined || news.length === 0) return;
    known.aspects.push(...news);
    known.detail = `${known.detail}; ${detail}`;
  }

  #remember({ handle, directory, directoryId, name }: Where, aspects: readonly Aspect[], ranges: GranuleRanges | undefined): void {
    // The set grows until this decides; from then on it is not needed.
    if (this.touched.nameCount + this.touched.objects.size > REMEMBERED_MAX || aspects.includes('links')) this.needsCompare = true;
    if (this.needsCompare) return;
    if (directory !== undefined && name !== undefined) {
      if (directoryId === 0n) {
        this.needsCompare = true;
        return;
      }
      this.touched.touchName(directory, directoryId, name);
    }
    if (handle === undefined) return;
    if (aspects.includes('size')) this.touched.touchWhole(handle, directory, name);
    else this.touched.touchAttributes(handle, directory, name);
    for (const { start, end } of ranges ?? []) {
      this.touched.touchData(handle, start * GRANULE_BYTES, (end - start) * GRANULE_BYTES, directory, name);
    }
  }
}

/** Everything but content in which two objects under one name differ. */
export function compareObjects(here: Observed, there: Observed, comparesTime: boolean): { aspects: Aspect[]; details: string[] } {
  const aspects: Aspect[] = [];
  const details: string[] = [];
  const differ = (aspect: Aspect, detail: string): void => {
    aspects.push(aspect);
    details.push(detail);
  };
  if (there.mode === 0) {
    differ('unreadable there', 'it cannot be read there; is the disk broken?');
    return { aspects, details };
  }
  const type = here.mode & S_IFMT;
  if (type !== (there.mode & S_IFMT)) {
    differ('type', `${typeName(here.mode)} here, ${typeName(there.mode)} there`);
    return { aspects, details };
  }
  // An object of the secondary without an id gets the primary's when it is modified next.
  if (there.object !== 0n && there.object !== here.object) differ('identity', 'another object there');
  if (here.mode !== there.mode && type !== S_IFLNK) differ('mode', `mode ${octal(here.mode)} here, ${octal(there.mode)} there`);
  if (here.uid !== there.uid || here.gid !== there.gid) {
    differ('owner', `owner ${here.uid}:${here.gid} here, ${there.uid}:${there.gid} there`);
  }
  if (here.size !== there.size) differ('size', `${here.size} bytes here, ${there.size} there`);
  if (!here.target.equals(there.target)) differ('target', `link to "${shown(here.target)}" here, "${shown(there.target)}" there`);
  if ((type === S_IFBLK || type === S_IFCHR) && here.rdev !== there.rdev) differ('device', `device ${here.rdev} here, ${there.rdev} there`);
  if (!here.attributes.equals(there.attributes)) differ('attributes', 'extended attributes');
  if (comparesTime && !isTime(here.mtime, there.mtime)) {
    differ('time', `modified ${timeText(here.mtime)} here, ${timeText(there.mtime)} there`);
  }
  return { aspects, details };
}

/** `content bytes 65536-131071 and 2 more ranges`. */
export function contentDetail(ranges: GranuleRanges, size: number): string {
  const all = [...ranges];
  const shownRanges = all
    .slice(0, SHOWN_RANGES_MAX)
    .map(({ start, end }) => `${start * GRANULE_BYTES}-${Math.max(start * GRANULE_BYTES, Math.min(end * GRANULE_BYTES, size) - 1)}`);
  const more = all.length > SHOWN_RANGES_MAX ? ` and ${all.length - SHOWN_RANGES_MAX} more ranges` : '';
  return `content within bytes ${shownRanges.join(', ')}${more}`;
}

/** Any bytes as text: UTF-8 where it is, what is not or would command a terminal by its code. */
export function shown(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  const readable = Buffer.from(text).equals(bytes) ? text : bytes.toString('latin1').replace(/[\x80-\xff]/g, escaped);
  return readable.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, escaped);
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
}

function isTime(a: TimeSpec, b: TimeSpec): boolean {
  return a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;
}

function timeText({ seconds, nanoseconds }: TimeSpec): string {
  const date = new Date(seconds * 1000);
  const fraction = nanoseconds.toString().padStart(9, '0');
  return Number.isNaN(date.getTime()) ? `${seconds}.${fraction}` : date.toISOString().replace('.000Z', `.${fraction}Z`);
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

export function typeName(mode: number): string {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 'a file';
    case S_IFDIR:
      return 'a directory';
    case S_IFLNK:
      return 'a symbolic link';
    case S_IFBLK:
    case S_IFCHR:
      return 'a device';
    case S_IFIFO:
      return 'a fifo';
    default:
      return 'a socket';
  }
}
