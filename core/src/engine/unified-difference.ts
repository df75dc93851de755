/** The difference of two texts as people read it: lines with three around each change, like `diff -u`. */

const CONTEXT = 3;
/** Of the table of the longest common part; beyond it the middle is shown as replaced as a whole. */
const CELLS_MAX = 4_000_000;

interface Line {
  readonly mark: ' ' | '-' | '+';
  readonly text: string;
}

/** Empty when both are the same. */
export function unifiedDifference(from: string, to: string, names: readonly [from: string, to: string]): string {
  if (from === to) return '';
  const lines = compare(from.split('\n'), to.split('\n'));
  return [`--- ${names[0]}`, `+++ ${names[1]}`, ...hunks(lines)].join('\n');
}

function compare(from: readonly string[], to: readonly string[]): readonly Line[] {
  let head = 0;
  while (head < from.length && head < to.length && from[head] === to[head]) head += 1;
  let tail = 0;
  while (tail < from.length - head && tail < to.length - head && from.at(-1 - tail) === to.at(-1 - tail)) tail += 1;
  const same = (lines: readonly string[]): Line[] => lines.map((text) => ({ mark: ' ', text }));
  return [
    ...same(from.slice(0, head)),
    ...middle(from.slice(head, from.length - tail), to.slice(head, to.length - tail)),
    ...same(from.slice(from.length - tail)),
  ];
}

/** By the longest common subsequence. */
function middle(from: readonly string[], to: readonly string[]): readonly Line[] {
  const width = to.length + 1;
  const removed = from.map((text): Line => ({ mark: '-', text }));
  const added = to.map((text): Line => ({ mark: '+', text }));
  if (from.length * to.length > CELLS_MAX) return [...removed, ...added];
  const common = new Uint32Array((from.length + 1) * width);
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  for (let i = from.length - 1; i >= 0; i -= 1) {
    for (let j = to.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = from[i] === to[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < from.length && j < to.length) {
    if (from[i] === to[j]) {
      lines.push({ mark: ' ', text: from[i] ?? '' });
      i += 1;
      j += 1;
    } else if (at(i + 1, j) >= at(i, j + 1)) lines.push(removed[i++] as Line);
    else lines.push(added[j++] as Line);
  }
  return [...lines, ...removed.slice(i), ...added.slice(j)];
}

function hunks(lines: readonly Line[]): readonly string[] {
  const shown = lines.map((_, position) =>
    lines.slice(Math.max(0, position - CONTEXT), position + CONTEXT + 1).some(({ mark }) => mark !== ' '),
  );
  const text: string[] = [];
  let [fromLine, toLine] = [1, 1];
  for (let position = 0; position < lines.length; ) {
    let end = position;
    while (end < lines.length && shown[end] === shown[position]) end += 1;
    const part = lines.slice(position, end);
    const fromCount = part.filter(({ mark }) => mark !== '+').length;
    const toCount = part.filter(({ mark }) => mark !== '-').length;
    if (shown[position] === true) {
      text.push(`@@ -${fromLine},${fromCount} +${toLine},${toCount} @@`, ...part.map(({ mark, text: line }) => `${mark}${line}`));
    }
    fromLine += fromCount;
    toLine += toCount;
    position = end;
  }
  return text;
}
