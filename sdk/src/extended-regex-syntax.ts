/**
 * The syntax of POSIX extended regular expressions (XBD 9.4), strictly: what POSIX leaves undefined (a repeated repetition, an empty
 * alternative, an escaped letter) is refused with its position, because what the operator meant there is a guess.
 */
export type CharacterTest = (codePoint: number) => boolean;

export type Node =
  | { readonly kind: 'character'; readonly test: CharacterTest }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly min: number; readonly max: number | undefined };

export class ExtendedRegexError extends Error {
  /** 1-based, 0 when the whole expression is meant. */
  readonly position: number;

  constructor(message: string, position: number) {
    super(position === 0 ? message : `${message} (character ${position})`);
    this.name = 'ExtendedRegexError';
    this.position = position;
  }
}

export const EXTENDED_REGEX_LENGTH_MAX = 256;
const REPETITIONS_MAX = 255;
const ESCAPABLE = '.[]\\()*+?{}|^$/-';

const ASCII_CLASSES: Readonly<Record<string, CharacterTest>> = {
  upper: between(0x41, 0x5a),
  lower: between(0x61, 0x7a),
  digit: between(0x30, 0x39),
  alpha: (c) => between(0x41, 0x5a)(c) || between(0x61, 0x7a)(c),
  alnum: (c) => between(0x30, 0x39)(c) || between(0x41, 0x5a)(c) || between(0x61, 0x7a)(c),
  xdigit: (c) => between(0x30, 0x39)(c) || between(0x41, 0x46)(c) || between(0x61, 0x66)(c),
  blank: (c) => c === 0x20 || c === 0x09,
  space: (c) => c === 0x20 || between(0x09, 0x0d)(c),
  cntrl: (c) => c < 0x20 || c === 0x7f,
  graph: between(0x21, 0x7e),
  print: between(0x20, 0x7e),
  punct: (c) => between(0x21, 0x2f)(c) || between(0x3a, 0x40)(c) || between(0x5b, 0x60)(c) || between(0x7b, 0x7e)(c),
};

/** @throws ExtendedRegexError */
export function parseExtendedRegex(source: string): Node {
  if (source.length > EXTENDED_REGEX_LENGTH_MAX) {
    throw new ExtendedRegexError(`it is ${source.length} characters long, at most ${EXTENDED_REGEX_LENGTH_MAX} are allowed`, 0);
  }
  return new Parser(source).parse();
}

class Parser {
  private readonly characters: readonly string[];
  private at = 0;

  constructor(source: string) {
    this.characters = Array.from(source);
  }

  parse(): Node {
    const node = this.choice();
    if (this.at < this.characters.length) throw this.refused('a ) that closes nothing');
    return node;
  }

  private choice(): Node {
    const parts = [this.sequence()];
    while (this.take('|')) parts.push(this.sequence());
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: 'choice', parts };
  }

  private sequence(): Node {
    const parts: Node[] = [];
    while (this.at < this.characters.length && !this.peek('|') && !this.peek(')')) parts.push(this.repeated());
    if (parts.length === 0) throw this.refused('an empty alternative matches everything');
    return { kind: 'sequence', parts };
  }

  private repeated(): Node {
    const part = this.atom();
    const bounds = this.bounds();
    if (bounds === undefined) return part;
    if (part.kind === 'start' || part.kind === 'end') throw this.refused('a repeated anchor has no meaning');
    if (this.bounds() !== undefined) throw this.refused('two repetitions in a row (*? and ++ are not part of POSIX expressions)');
    return { kind: 'repeat', part, ...bounds };
  }

  private bounds(): { readonly min: number; readonly max: number | undefined } | undefined {
    if (this.take('*')) return { min: 0, max: undefined };
    if (this.take('+')) return { min: 1, max: undefined };
    if (this.take('?')) return { min: 0, max: 1 };
    if (!this.take('{')) return undefined;
    const min = this.number();
    let max: number | undefined = min;
    if (this.take(',')) max = this.peek('}') ? undefined : this.number();
    if (!this.take('}')) throw this.refused('a { that is not {n}, {n,} or {n,m}; write \\{ for the character itself');
    if (max !== undefined && max < min) throw this.refused(`{${min},${max}} ends before it begins`);
    return { min, max };
  }

  private number(): number {
    let digits = '';
    for (let next = this.characters[this.at]; next !== undefined && next >= '0' && next <= '9'; next = this.characters[this.at]) {
      digits += next;
      this.at += 1;
    }
    if (digits === '') throw this.refused('a { that is not {n}, {n,} or {n,m}; write \\{ for the character itself');
    if (Number(digits) > REPETITIONS_MAX) throw this.refused(`more than ${REPETITIONS_MAX} repetitions`);
    return Number(digits);
  }

  private atom(): Node {
    const character = this.characters[this.at] ?? '';
    this.at += 1;
    switch (character) {
      case '^':
        return { kind: 'start' };
      case '$':
        return { kind: 'end' };
      case '.':
        return { kind: 'character', test: () => true };
      case '(':
        return this.group();
      case '[':
        return { kind: 'character', test: this.bracket() };
      case '\\':
        return this.escaped();
      case '*':
      case '+':
      case '?':
      case '{':
        this.at -= 1;
        throw this.refused(`${character} has nothing to repeat`);
      default:
        return literal(character);
    }
  }

  private group(): Node {
    const inside = this.choice();
    if (!this.take(')')) throw this.refused('a ( that is not closed');
    return inside;
  }

  private escaped(): Node {
    const character = this.characters[this.at];
    if (character === undefined || !ESCAPABLE.includes(character)) {
      throw this.refused(`\\${character ?? ''} is not part of POSIX extended expressions`);
    }
    this.at += 1;
    return literal(character);
  }

  /** After the opening bracket. A backslash is an ordinary character in here. */
  private bracket(): CharacterTest {
    const negated = this.take('^');
    const tests: CharacterTest[] = [];
    do {
      tests.push(this.bracketItem());
      if (this.at >= this.characters.length) throw this.refused('a [ that is not closed');
    } while (!this.take(']'));
    return (codePoint) => tests.some((test) => test(codePoint)) !== negated;
  }

  private bracketItem(): CharacterTest {
    if (this.peek('[') && [':', '.', '='].includes(this.characters[this.at + 1] ?? '')) return this.characterClass();
    const from = this.bracketCharacter();
    const isRange = this.peek('-') && this.characters[this.at + 1] !== undefined && this.characters[this.at + 1] !== ']';
    if (!isRange) return (codePoint) => codePoint === from;
    this.at += 1;
    if (this.peek('[') && [':', '.', '='].includes(this.characters[this.at + 1] ?? '')) throw this.refused('a range that ends in a class');
    const to = this.bracketCharacter();
    if (to < from) throw this.refused('a range that ends before it begins');
    return between(from, to);
  }

  private bracketCharacter(): number {
    const codePoint = this.characters[this.at]?.codePointAt(0);
    if (codePoint === undefined) throw this.refused('a [ that is not closed');
    this.at += 1;
    return codePoint;
  }

  private characterClass(): CharacterTest {
    const rest = this.characters.slice(this.at).join('');
    const name = /^\[:([a-z]{1,8}):\]/.exec(rest)?.[1];
    const test = name === undefined ? undefined : ASCII_CLASSES[name];
    if (name === undefined || test === undefined) throw this.refused('only the classes [:alpha:], [:digit:] and the like are known here');
    this.at += name.length + 4;
    return test;
  }

  private peek(character: string): boolean {
    return this.characters[this.at] === character;
  }

  private take(character: string): boolean {
    if (!this.peek(character)) return false;
    this.at += 1;
    return true;
  }

  private refused(message: string): ExtendedRegexError {
    return new ExtendedRegexError(message, Math.min(this.at + 1, this.characters.length));
  }
}

function literal(character: string): Node {
  const wanted = character.codePointAt(0);
  return { kind: 'character', test: (codePoint) => codePoint === wanted };
}

function between(from: number, to: number): CharacterTest {
  return (codePoint) => codePoint >= from && codePoint <= to;
}
