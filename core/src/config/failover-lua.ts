/**
 * Rules that were written in Lua, where they have the one shape that is documented for them; no Lua is ever run. Two statements are
 * understood, `Rules = Rules + { label = if_then("class.id", "state", Action.x), _group = "…" }` and `Rules.disable("label")`; anything
 * else is refused where it stands.
 */
import { RuleProblem, RULES_MAX, type WrittenDisable, type WrittenRule } from './failover-limits.js';
import { type Lexicon, type Token, TokenReader, tokensOf } from './failover-tokens.js';
import { type Position, quoted } from './problems.js';
import type { TextPiece } from './xml-text.js';

const MARK = /^\s*--\s*Lua Rules\b/;
const INSTEAD = 'write the rule as <rule label="…" if="…" action="…"/> inside <failover>';

const LEXICON: Lexicon = {
  skipped: /\s+|--\[\[(?:[^\]]|\](?!\]))*\]\]|--[^\n]*/y,
  word: /[A-Za-z_]\w*/y,
  string: /(["'])([^"'\\\n]*)\1/y,
  signs: ['=', '+', '{', '}', '(', ')', ',', ';', '.', '[', ']'],
  hint: `of Lua, only rules of the documented shape are converted; ${INSTEAD}`,
};

export function isLua({ text }: TextPiece): boolean {
  return MARK.test(text);
}

export interface LuaRules {
  readonly rules: readonly WrittenRule[];
  readonly disabled: readonly WrittenDisable[];
}

/** @throws RuleProblem at the first thing that is not of the documented shape. */
export function parseLua(piece: TextPiece): LuaRules {
  const reader = new TokenReader(tokensOf(piece, LEXICON));
  const rules: WrittenRule[] = [];
  const disabled: WrittenDisable[] = [];
  while (!reader.isAtEnd) {
    if (reader.accepts(';')) continue;
    const start = reader.next;
    if (start.kind !== 'word' || start.text !== 'Rules') refuse(start, start.text);
    reader.take();
    if (reader.accepts('.')) disabled.push(readDisable(reader));
    else rules.push(...readTable(reader));
    if (rules.length > RULES_MAX) throw new RuleProblem('HF_CONFIG_RULE_LIMIT', start, `more than ${RULES_MAX} rules`);
  }
  return { rules, disabled };
}

function refuse(at: Position, what: string): never {
  throw new RuleProblem('HF_CONFIG_RULE_NOT_SUPPORTED', at, `${quoted(what)} is not of the shape that is converted from Lua; ${INSTEAD}`);
}

function readDisable(reader: TokenReader): WrittenDisable {
  const method = reader.word('disable');
  if (method.text !== 'disable') refuse(method, `Rules.${method.text}`);
  reader.sign('(', 'after Rules.disable');
  const { text, line, column } = reader.string('the label of a rule');
  reader.sign(')', 'after the label');
  return { label: text, line, column };
}

/** `= Rules + { … }` */
function readTable(reader: TokenReader): readonly WrittenRule[] {
  reader.sign('=', 'after Rules (or .disable("label"))');
  reader.keyword('Rules', 'after =');
  reader.sign('+', 'after Rules');
  reader.sign('{', 'after +');
  const rules: Omit<WrittenRule, 'group'>[] = [];
  let group: string | undefined;
  while (!reader.accepts('}')) {
    const name = readKey(reader);
    reader.sign('=', `after ${quoted(name.text)}`);
    if (name.text === '_group') group = reader.string('the name of a group').text;
    else rules.push(readRule(reader, name));
    if (!reader.accepts(',') && !reader.accepts(';') && reader.next.text !== '}') reader.fail('a comma or } is expected');
  }
  return rules.map((rule) => (group === undefined ? rule : { ...rule, group }));
}

/** `label` or `["label"]` */
function readKey(reader: TokenReader): Token {
  if (!reader.accepts('[')) return reader.word('the label of a rule');
  const label = reader.string('the label of a rule');
  reader.sign(']', 'after the label');
  return label;
}

/** `if_then("class.id", "state", Action.x)` */
function readRule(reader: TokenReader, { text: label, line, column }: Token): WrittenRule {
  const call = reader.word('if_then');
  if (call.text !== 'if_then') refuse(call, call.text);
  reader.sign('(', 'after if_then');
  const resource = reader.string('a resource');
  reader.sign(',', 'after the resource');
  const state = reader.string('a state');
  reader.sign(',', 'after the state');
  const table = reader.word('Action');
  if (table.text !== 'Action') refuse(table, table.text);
  reader.sign('.', 'after Action');
  const action = reader.word('an action');
  reader.sign(')', 'after the action');
  const place = { line: resource.line, column: resource.column };
  const when = { kind: 'compare', resource: resource.text, negated: false, is: state.text, isAt: state, ...place } as const;
  return { label, when, action: action.text, actionAt: action, line, column };
}
