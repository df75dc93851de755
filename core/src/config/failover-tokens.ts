/** Words and signs of rule texts, each with its place. Both languages share the reader; what is a word or a comment differs. */
import { RuleProblem } from './failover-limits.js';
import { type Position, quoted } from './problems.js';
import type { TextPiece } from './xml-text.js';

export interface Token extends Position {
  readonly kind: 'word' | 'string' | 'sign' | 'end';
  /** Of a string, what is between its quotes. */
  readonly text: string;
}

export interface Lexicon {
  /** Sticky. Matches are left out: blanks, comments. */
  readonly skipped: RegExp;
  /** Sticky. */
  readonly word: RegExp;
  /** Sticky; the first group is the content. */
  readonly string?: RegExp;
  readonly signs: readonly string[];
  /** A sentence for what fits nothing, for the end of the message. */
  readonly hint: string;
}

/** @throws RuleProblem at the first character that begins nothing. */
export function tokensOf({ text, line, column }: TextPiece, lexicon: Lexicon): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const place = { line, column };
  const move = (length: number): void => {
    for (const character of text.slice(at, at + length)) {
      if (character === '\n') Object.assign(place, { line: place.line + 1, column: 1 });
      else place.column += character.length;
    }
    at += length;
  };
  const match = (expression: RegExp | undefined): RegExpExecArray | null => {
    if (expression === undefined) return null;
    expression.lastIndex = at;
    const found = expression.exec(text);
    return found === null || found[0] === '' ? null : found;
  };
  while (at < text.length) {
    const blank = match(lexicon.skipped);
    if (blank !== null) {
      move(blank[0].length);
      continue;
    }
    const string = match(lexicon.string);
    const word = string ?? match(lexicon.word);
    const sign = word ?? lexicon.signs.find((candidate) => text.startsWith(candidate, at));
    if (sign === undefined) {
      const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
      throw new RuleProblem(
        'HF_CONFIG_RULE_SYNTAX',
        { ...place },
        `${quoted(character)} begins nothing that a rule is made of; ${lexicon.hint}`,
      );
    }
    const whole = typeof sign === 'string' ? sign : sign[0];
    const kind = string !== null ? 'string' : word !== null ? 'word' : 'sign';
    tokens.push({ kind, text: string === null ? whole : (string[2] ?? ''), ...place });
    move(whole.length);
  }
  return [...tokens, { kind: 'end', text: '', ...place }];
}

/** Reads tokens one after the other; every expectation that fails says where and what was found. */
export class TokenReader {
  private at = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  get next(): Token {
    return this.tokens[this.at] ?? { kind: 'end', text: '', line: 1, column: 1 };
  }

  get isAtEnd(): boolean {
    return this.next.kind === 'end';
  }

  take(): Token {
    const token = this.next;
    this.at += 1;
    return token;
  }

  /** Takes the sign when it is next. */
  accepts(text: string): boolean {
    if (this.next.kind !== 'sign' || this.next.text !== text) return false;
    this.at += 1;
    return true;
  }

  sign(text: string, after: string): Token {
    return this.next.kind === 'sign' && this.next.text === text ? this.take() : this.fail(`${quoted(text)} is expected ${after}`);
  }

  word(what: string): Token {
    return this.next.kind === 'word' ? this.take() : this.fail(`${what} is expected`);
  }

  keyword(text: string, after: string): Token {
    return this.next.kind === 'word' && this.next.text === text ? this.take() : this.fail(`${quoted(text)} is expected ${after}`);
  }

  string(what: string): Token {
    return this.next.kind === 'string' ? this.take() : this.fail(`${what} is expected, in quotes`);
  }

  fail(expectation: string): never {
    const { kind, text } = this.next;
    throw new RuleProblem(
      'HF_CONFIG_RULE_SYNTAX',
      this.next,
      `${expectation}, but ${kind === 'end' ? 'the text ends' : `${quoted(text)} was found`}`,
    );
  }
}
