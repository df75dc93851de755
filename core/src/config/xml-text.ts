/** The text inside one element, each piece with its place in the file: what is written in <failover> is read from here. */
import type { Position } from './problems.js';

export interface TextPiece extends Position {
  readonly text: string;
}

/**
 * Text and CDATA from `at`, just behind the start tag, up to the first child or the end tag. Comments and processing instructions are left
 * out. The file is known to be well-formed.
 */
export function textPieces(xml: string, at: number, position: (offset: number) => Position): readonly TextPiece[] {
  const pieces: TextPiece[] = [];
  const add = (from: number, to: number): void => {
    const text = xml.slice(from, to);
    if (text.trim() !== '') pieces.push({ text, ...position(from) });
  };
  const skipped = [
    { opens: '<!--', closes: '-->', isText: false },
    { opens: '<?', closes: '?>', isText: false },
    { opens: '<![CDATA[', closes: ']]>', isText: true },
  ];
  for (;;) {
    const next = xml.indexOf('<', at);
    if (next < 0) return pieces;
    add(at, next);
    const section = skipped.find(({ opens }) => xml.startsWith(opens, next));
    if (section === undefined) return pieces;
    const from = next + section.opens.length;
    const to = xml.indexOf(section.closes, from);
    if (to < 0) return pieces;
    if (section.isText) add(from, to);
    at = to + section.closes.length;
  }
}
