/**
 * What the application moved or linked while a verification runs: it could have left a directory that is not compared yet for one that is.
 * Objects that were created during the verification have no past that could differ, and what was compared after a move need not be again.
 */
import type { Node } from '../primary/node.js';
import type { MovedObject } from './verification.js';

const WAITING_MAX = 50_000;
const COMPARED_MAX = 100_000;
const PATH_PARTS_MAX = 4096;

export class Moves {
  readonly #created = new WeakSet<Node>();
  readonly #waiting = new Map<bigint, Node>();
  readonly #compared = new Set<bigint>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  created(node: Node): void {
    this.#created.add(node);
  }

  /** @returns false: too many wait */
  moved(node: Node): boolean {
    if (node.id === 0n || node.orphan || this.#created.has(node) || this.#compared.has(node.id)) return true;
    this.#waiting.set(node.id, node);
    return this.#waiting.size <= WAITING_MAX;
  }

  /** The next to compare; undefined: nothing waits. */
  next(): MovedObject | undefined {
    for (const [id, node] of this.#waiting) {
      this.#waiting.delete(id);
      if (node.orphan) continue;
      if (this.#compared.size >= COMPARED_MAX) this.#compared.clear();
      this.#compared.add(id);
      const place = node.lastName;
      return { handle: node.handle, id, path: pathOf(node), directory: place?.parent.handle, name: place?.name };
    }
    return undefined;
  }
}

function pathOf(node: Node): Buffer {
  const parts: Buffer[] = [];
  for (let place = node.lastName; place !== undefined && parts.length < PATH_PARTS_MAX; place = place.parent.lastName) {
    parts.unshift(place.name, Buffer.from('/'));
  }
  return Buffer.concat(parts).subarray(0, -1);
}
