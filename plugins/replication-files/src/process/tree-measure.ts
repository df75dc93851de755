/**
 * Completes the summary of a resync that read its journal: such a one does not know how large the tree is, so that is found out
 * afterwards, in the background.
 */
import type { ResyncSummary } from '@holdfast/sdk';
import type { Exclusion } from '../boundary/rules.js';
import { treeBytes } from './tree-size.js';

type Trees = () => { readonly roots: readonly string[]; readonly exclusions: readonly (readonly Exclusion[])[] };

export class TreeMeasure {
  readonly #trees: Trees;
  readonly #onMeasured: () => void;
  /** Size of the tree when the last journal resync had finished, once it is known. */
  #measured: { readonly resync: ResyncSummary; readonly bytes: number } | undefined;
  #measuring: AbortController | undefined;

  constructor(trees: Trees, onMeasured: () => void) {
    this.#trees = trees;
    this.#onMeasured = onMeasured;
  }

  /** @param last the resync after which both nodes are connected */
  begin(last: ResyncSummary | undefined): void {
    if (last?.mode !== 'journal' || this.#measuring !== undefined) return;
    if (this.#measured !== undefined && isSame(this.#measured.resync, last)) return;
    const measuring = new AbortController();
    this.#measuring = measuring;
    const { roots, exclusions } = this.#trees();
    void treeBytes(roots, exclusions, measuring.signal).then((bytes) => {
      if (this.#measuring === measuring) this.#measuring = undefined;
      if (bytes === undefined) return;
      this.#measured = { resync: last, bytes };
      this.#onMeasured();
    });
  }

  complete(last: ResyncSummary | undefined): ResyncSummary | undefined {
    const measured = this.#measured;
    return last !== undefined && measured !== undefined && isSame(measured.resync, last) ? { ...last, bytesInTree: measured.bytes } : last;
  }

  abort(): void {
    this.#measuring?.abort();
  }
}

function isSame(left: ResyncSummary, right: ResyncSummary): boolean {
  return (
    left.mode === right.mode &&
    left.bytesSent === right.bytesSent &&
    left.objectsSent === right.objectsSent &&
    left.durationMs === right.durationMs
  );
}
