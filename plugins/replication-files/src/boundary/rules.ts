/**
 * Which part of a replicated directory is replicated: `notreplicated` paths and expressions, over paths relative to the directory. Paths
 * are read from the root down, one name at a time. What is known after a directory's name (its place) says everything about what is below
 * it, so that a lookup costs the length of one name, and two places with the same key exclude the same names below, whatever their paths
 * are: a rename between them changes nothing.
 *
 * - A path excludes the object there and everything below it.
 * - An expression is searched in the path ("a/b.tmp"); a directory that matches is excluded with everything below it.
 * - After `!` an expression says what is replicated: files that match none of these are excluded, directories are not.
 */
import { ExtendedRegex, type RegexPosition } from '@holdfast/sdk';

/** One `notreplicated` element. */
export type Exclusion = { readonly path: string } | { readonly expression: string };

interface PathNode {
  isExcluded: boolean;
  readonly key: number;
  readonly below: Map<string, PathNode>;
}

/** What is known of a directory by its path. */
export interface Place {
  /** Nothing in it is replicated, and neither is the directory. */
  readonly isExcluded: boolean;
  /** Equal keys: the same names are excluded below. */
  readonly key: string;
}

interface KnownPlace extends Place {
  readonly path: PathNode | undefined;
  readonly excluding: RegexPosition | undefined;
  readonly replicating: RegexPosition | undefined;
}

const SLASH = 0x2f;
const EXCLUDED: KnownPlace = { isExcluded: true, key: 'excluded', path: undefined, excluding: undefined, replicating: undefined };

export class Rules {
  readonly root: Place;
  readonly #excluding: ExtendedRegex | undefined;
  readonly #replicating: ExtendedRegex | undefined;
  #pathNodes = 0;

  /** @throws Error when an expression cannot be understood */
  constructor(exclusions: readonly Exclusion[]) {
    const expressions = exclusions.flatMap((exclusion) => ('expression' in exclusion ? [exclusion.expression] : []));
    const paths = exclusions.flatMap((exclusion) => ('path' in exclusion ? [exclusion.path] : []));
    this.#excluding = anyOf(expressions.filter((expression) => !expression.startsWith('!')));
    this.#replicating = anyOf(expressions.filter((expression) => expression.startsWith('!')).map((expression) => expression.slice(1)));
    const top = paths.length > 0 ? this.#newPathNode() : undefined;
    for (const path of paths) if (top !== undefined) this.#addPath(top, path);
    this.root = placeOf(top, this.#excluding?.begin(), this.#replicating?.begin());
  }

  /** @param isDirectory of the object that is there */
  isExcluded(parent: Place, name: Uint8Array, isDirectory: boolean): boolean {
    const place = parent as KnownPlace;
    if (place.isExcluded || place.path?.below.get(latin1(name))?.isExcluded === true) return true;
    const points = place.excluding === undefined && place.replicating === undefined ? [] : codePoints(name);
    if (matches(this.#excluding, place.excluding, points)) return true;
    return !isDirectory && place.replicating !== undefined && !matches(this.#replicating, place.replicating, points);
  }

  /** The place of a directory that is not a root. */
  enter(parent: Place, name: Uint8Array): Place {
    if (this.isExcluded(parent, name, true)) return EXCLUDED;
    const { path, excluding, replicating } = parent as KnownPlace;
    const points = [...codePoints(name), SLASH];
    return placeOf(path?.below.get(latin1(name)), read(this.#excluding, excluding, points), read(this.#replicating, replicating, points));
  }

  #addPath(top: PathNode, path: string): void {
    let node = top;
    for (const part of path.split('/').filter((text) => text !== '')) {
      const name = Buffer.from(part, 'utf8').toString('latin1');
      const next = node.below.get(name) ?? this.#newPathNode();
      node.below.set(name, next);
      node = next;
    }
    if (node !== top) node.isExcluded = true;
  }

  #newPathNode(): PathNode {
    this.#pathNodes += 1;
    return { isExcluded: false, key: this.#pathNodes, below: new Map() };
  }
}

function anyOf([first, ...others]: readonly string[]): ExtendedRegex | undefined {
  return first === undefined ? undefined : new ExtendedRegex(first, ...others);
}

function placeOf(path: PathNode | undefined, excluding: RegexPosition | undefined, replicating: RegexPosition | undefined): KnownPlace {
  const key = `${path?.key ?? ''}|${excluding?.key ?? ''}|${replicating?.key ?? ''}`;
  return { isExcluded: false, key, path, excluding, replicating };
}

function matches(regex: ExtendedRegex | undefined, from: RegexPosition | undefined, points: readonly number[]): boolean {
  const after = read(regex, from, points);
  return after !== undefined && regex?.matches(after) === true;
}

function read(regex: ExtendedRegex | undefined, from: RegexPosition | undefined, points: readonly number[]): RegexPosition | undefined {
  if (regex === undefined || from === undefined) return undefined;
  return points.reduce((position, point) => regex.read(position, point), from);
}

function latin1(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
}

/** Names are bytes, expressions are characters: UTF-8, and a byte that is none is a character of its own, beyond all others. */
function codePoints(name: Uint8Array): number[] {
  if (name.every((byte) => byte < 0x80)) return [...name];
  const points: number[] = [];
  for (let at = 0; at < name.length; ) {
    const length = utf8Length(name, at);
    if (length === 0) points.push(0x110000 + (name[at] as number));
    else points.push(new TextDecoder().decode(name.subarray(at, at + length)).codePointAt(0) as number);
    at += Math.max(1, length);
  }
  return points;
}

/** @returns bytes of the character at `at`, 0 when there is none */
function utf8Length(name: Uint8Array, at: number): number {
  const first = name[at] as number;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  try {
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(name.subarray(at, at + length));
    return at + length <= name.length ? length : 0;
  } catch {
    return 0;
  }
}
