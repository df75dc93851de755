/**
 * One inode that the kernel has looked up and not forgotten. There can be millions, so a name is kept as a string of its bytes, and the
 * first one, which is the only one of most objects, without anything around it.
 */
import { latin1 } from '../journal/dirty-set.js';
import type { Handle } from '../store/handle.js';

export interface NodeName {
  readonly parent: Node;
  readonly name: Buffer;
}

interface Place {
  readonly parent: Node;
  /** latin1. */
  readonly name: string;
}

const ORPHAN = 1;
const EXCLUDED = 2;
const UNNAMED = 4;

export class Node {
  readonly nodeId: number;
  readonly generation: number;
  readonly handle: Handle;
  /** Replication id; 0n: not known yet. */
  id = 0n;
  /** Session in which the peer learned the id. */
  introducedIn = 0;
  /** Lookups that the kernel has not forgotten. */
  lookups = 0;
  /** Names in the table below this directory. */
  children = 0;
  #flags = 0;
  #parent: Node | undefined;
  #name = '';
  /** Names after the first. */
  #more: Place[] | undefined;

  constructor(nodeId: number, generation: number, handle: Handle) {
    this.nodeId = nodeId;
    this.generation = generation;
    this.handle = handle;
  }

  /** The last name is gone, or going: kept alive by a pinned descriptor, modified locally only. */
  get orphan(): boolean {
    return (this.#flags & ORPHAN) !== 0;
  }

  set orphan(is: boolean) {
    this.#setFlag(ORPHAN, is);
  }

  /** Every known name is outside of what is replicated: modified locally only. */
  get isExcluded(): boolean {
    return (this.#flags & EXCLUDED) !== 0;
  }

  set isExcluded(is: boolean) {
    this.#setFlag(EXCLUDED, is);
  }

  /** Has no name yet (O_TMPFILE): kept alive by a pinned descriptor. */
  get unnamed(): boolean {
    return (this.#flags & UNNAMED) !== 0;
  }

  set unnamed(is: boolean) {
    this.#setFlag(UNNAMED, is);
  }

  #setFlag(flag: number, is: boolean): void {
    this.#flags = is ? this.#flags | flag : this.#flags & ~flag;
  }

  /** Modified without the peer, which does not have it. */
  get isLocal(): boolean {
    return this.orphan || this.isExcluded || (this.unnamed && this.introducedIn === 0);
  }

  get nameCount(): number {
    return this.#parent === undefined ? 0 : 1 + (this.#more?.length ?? 0);
  }

  /** In the order in which they were met; a copy. */
  get names(): readonly NodeName[] {
    return Array.from({ length: this.nameCount }, (_, index) => this.nameAt(index));
  }

  /** The name that was met last; undefined: there is none. */
  get lastName(): NodeName | undefined {
    return this.#parent === undefined ? undefined : this.nameAt(this.nameCount - 1);
  }

  nameAt(index: number): NodeName {
    const { parent, name } = this.#placeAt(index);
    return { parent, name: Buffer.from(name, 'latin1') };
  }

  /** @returns its place in the order, or -1 */
  indexOfName(parent: Node, name: Uint8Array): number {
    for (let index = this.nameCount - 1; index >= 0; index -= 1) {
      const known = this.#placeAt(index);
      if (known.parent === parent && isSameName(known.name, name)) return index;
    }
    return -1;
  }

  addName(parent: Node, name: Uint8Array): void {
    parent.children += 1;
    if (this.#parent === undefined) {
      this.#parent = parent;
      this.#name = latin1(name);
    } else (this.#more ??= []).push({ parent, name: latin1(name) });
  }

  /** @returns the directory in which it was */
  dropName(index: number): Node {
    const { parent } = this.#placeAt(index);
    if (index > 0) this.#more?.splice(index - 1, 1);
    else {
      const next = this.#more?.shift();
      this.#parent = next?.parent;
      this.#name = next?.name ?? '';
    }
    if (this.#more?.length === 0) this.#more = undefined;
    parent.children -= 1;
    return parent;
  }

  #placeAt(index: number): Place {
    const place = index === 0 && this.#parent !== undefined ? { parent: this.#parent, name: this.#name } : this.#more?.[index - 1];
    if (place === undefined) throw new RangeError(`name ${index} of a node that has ${this.nameCount}`);
    return place;
  }
}

function isSameName(known: string, name: Uint8Array): boolean {
  if (known.length !== name.length) return false;
  for (let index = 0; index < name.length; index += 1) if (known.charCodeAt(index) !== name[index]) return false;
  return true;
}
