/** Entries of a crontab that are switched off while the application is elsewhere, and on again: a prefix that says who did it. Pure. */

const MARK = '#holdfast-off';

export interface CrontabSelection {
  /** Every one of these must be in the entry; none: all entries. */
  readonly words: readonly string[];
  /** Written before a switched-off entry, so that only the same caller's entries are switched on again. */
  readonly comment: string;
}

/** @returns the new text, and how many entries changed */
export function switchCrontab(
  text: string,
  on: boolean,
  { words, comment }: CrontabSelection,
): { readonly text: string; readonly changed: number } {
  const prefix = comment === '' ? `${MARK}: ` : `${MARK}(${comment}): `;
  let changed = 0;
  const lines = text.split('\n').map((line) => {
    const off = line.startsWith(prefix);
    const entry = off ? line.slice(prefix.length) : line;
    if (off !== on || !isEntry(entry) || !words.every((word) => entry.includes(word))) return line;
    changed += 1;
    return on ? entry : `${prefix}${entry}`;
  });
  return { text: lines.join('\n'), changed };
}

/** Not a comment, an empty line or a variable. */
function isEntry(line: string): boolean {
  return /^\s*[^#\s]/.test(line) && !/^\s*[A-Za-z_"'][\w"']*\s*=/.test(line);
}
