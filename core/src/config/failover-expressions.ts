/**
 * The language of expressions, and of whole rules, as existing files have it: `label: if (expression) then action();`, with ! && || == !=
 * and parentheses, `[local.|remote.]class.id`, and cluster(). Recursive descent with a bound on depth and length.
 */
import { COMPARISONS_MAX, NESTING_MAX, RuleProblem, RULES_MAX, type WrittenExpression, type WrittenRule } from './failover-limits.js';
import { type Lexicon, TokenReader, tokensOf } from './failover-tokens.js';
import { quoted } from './problems.js';
import type { TextPiece } from './xml-text.js';

const LEXICON: Lexicon = {
  skipped: /\s+|\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\//y,
  // A resource may have an address, a path or a wildcard as its id; a lone colon ends a label.
  word: /\w[\w-]*(?:\.(?:[*?]|[\w:/@+-]+))*/y,
  signs: ['&&', '||', '==', '!=', '!', '(', ')', ';', ':', '=', '{', '}', ','],
  hint: 'a rule is written label: if (class.id == down) then action();',
};

/** @throws RuleProblem at the first thing that is no rule. */
export function parseRules(piece: TextPiece): readonly WrittenRule[] {
  const reader = new TokenReader(tokensOf(piece, LEXICON));
  const rules: WrittenRule[] = [];
  while (!reader.isAtEnd) {
    if (rules.length === RULES_MAX) throw new RuleProblem('HF_CONFIG_RULE_LIMIT', reader.next, `more than ${RULES_MAX} rules`);
    rules.push(readRule(reader));
  }
  return rules;
}

/** One expression, as in an attribute. */
export function parseExpression(piece: TextPiece): WrittenExpression {
  const reader = new TokenReader(tokensOf(piece, LEXICON));
  const expression = new ExpressionReader(reader).read();
  return reader.isAtEnd ? expression : reader.fail('&&, || or the end of the expression is expected');
}

function readRule(reader: TokenReader): WrittenRule {
  const label = reader.word('the label of a rule');
  if (reader.next.kind === 'sign' && reader.next.text === '=') {
    const message = `${quoted(label.text)} cannot be assigned: a rule only acts, and resources are set by whoever finds them out`;
    throw new RuleProblem('HF_CONFIG_RULE_NOT_SUPPORTED', label, message);
  }
  reader.sign(':', `after the label ${quoted(label.text)}`);
  reader.keyword('if', 'after the label');
  reader.sign('(', 'after if');
  const when = new ExpressionReader(reader).read();
  reader.sign(')', 'after the expression');
  reader.keyword('then', 'after the expression');
  const action = reader.word('an action');
  if (reader.next.kind === 'sign' && reader.next.text === '=') {
    const message = `${quoted(action.text)} cannot be assigned: only stop, stopstart, wait, restart, swap and noaction can follow`;
    throw new RuleProblem('HF_CONFIG_RULE_NOT_SUPPORTED', action, message);
  }
  reader.sign('(', 'after the action');
  reader.sign(')', 'after the action: an action has no arguments');
  // Many files leave the last one out.
  if (!reader.isAtEnd) reader.sign(';', 'at the end of a rule');
  const { line, column } = label;
  return { label: label.text, when, action: action.text, actionAt: action, line, column };
}

class ExpressionReader {
  private comparisons = 0;
  private depth = 0;

  constructor(private readonly reader: TokenReader) {}

  read(): WrittenExpression {
    return this.list('||', 'or', () => this.list('&&', 'and', () => this.unary()));
  }

  private list(sign: string, kind: 'and' | 'or', part: () => WrittenExpression): WrittenExpression {
    const first = part();
    if (this.reader.next.text !== sign) return first;
    const of = [first];
    while (this.reader.accepts(sign)) of.push(part());
    return { kind, of };
  }

  private unary(): WrittenExpression {
    const start = this.reader.next;
    if (this.reader.accepts('!')) return this.nested(() => ({ kind: 'not', of: this.unary() }));
    if (this.reader.accepts('(')) {
      const inner = this.nested(() => this.read());
      this.reader.sign(')', `to close the one in line ${start.line}, column ${start.column}`);
      return inner;
    }
    return this.primary();
  }

  private nested(read: () => WrittenExpression): WrittenExpression {
    this.depth += 1;
    if (this.depth > NESTING_MAX) {
      throw new RuleProblem('HF_CONFIG_RULE_LIMIT', this.reader.next, `parentheses and ! are nested more than ${NESTING_MAX} deep`);
    }
    const expression = read();
    this.depth -= 1;
    return expression;
  }

  private primary(): WrittenExpression {
    const { reader } = this;
    const word = reader.word('a resource (class.id) or cluster()');
    if (reader.next.kind === 'sign' && reader.next.text === '(') {
      if (word.text !== 'cluster') {
        throw new RuleProblem('HF_CONFIG_RULE_SYNTAX', word, `${quoted(word.text)} is no function; the only one is cluster()`);
      }
      reader.take();
      reader.sign(')', 'after cluster(, which has no arguments');
      return { kind: 'cluster' };
    }
    if (!word.text.includes('.')) {
      throw new RuleProblem('HF_CONFIG_RULE_SYNTAX', word, `${quoted(word.text)} is no resource: write class.id, for example tcp.web`);
    }
    this.comparisons += 1;
    if (this.comparisons > COMPARISONS_MAX) {
      throw new RuleProblem('HF_CONFIG_RULE_LIMIT', word, `more than ${COMPARISONS_MAX} comparisons in one expression`);
    }
    const negated = reader.accepts('!=');
    if (!negated) reader.sign('==', `(or !=) after the resource ${quoted(word.text)}`);
    const state = reader.word('a state (init, up, down, unknown)');
    const { line, column } = word;
    return { kind: 'compare', resource: word.text, negated, is: state.text, isAt: state, line, column };
  }
}
