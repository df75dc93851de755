/**
 * <failover>: rules in any of their three forms (text, the documented shape of Lua, <rule> elements) to what decide/rules evaluates. What a
 * rule names must exist: a class that nobody serves is an error with the nearest one, a resource that no check of this file has is a
 * warning, because a rule about it never acts.
 */
import { RESOURCE_VALUES, RULE_ACTIONS, type FailoverConfiguration, type FailoverRule, type RuleExpression } from '../model/rules.js';
import { ABSENT_RULES, AUTOMATON_RULES, CLASS_RULES, IMPLICIT_WAKEUP } from '../decide/rules/built-in.js';
import { selectorsOf, writeExpression } from '../decide/rules/expression.js';
import { type ReadElement, readElement } from './element-reader.js';
import { parseExpression, parseRules } from './failover-expressions.js';
import {
  NAME_CHARS_MAX,
  REMOTE_RESOURCES_MAX,
  RuleProblem,
  RULES_CHARS_MAX,
  RULES_MAX,
  type WrittenDisable,
  type WrittenExpression,
  type WrittenRule,
} from './failover-limits.js';
import { isLua, parseLua } from './failover-lua.js';
import type { RuleNames } from './failover-names.js';
import { FAILOVER_SCHEMA } from './failover-schema.js';
import { suggestion } from './nearest.js';
import { type Position, type ProblemList, quoted } from './problems.js';
import type { XmlElement } from './xml.js';

export { type RuleNames, ruleNames } from './failover-names.js';

interface FailoverValue {
  readonly extends: boolean;
  readonly period: number;
  readonly handle_time: number;
  readonly rule?: readonly {
    readonly label: string;
    readonly group?: string;
    readonly if?: string;
    readonly resource?: string;
    readonly state?: string;
    readonly action: string;
  }[];
  readonly disable?: readonly { readonly label: string }[];
}

const LABEL = /^[A-Za-z_][\w.-]{0,127}$/;

export function readFailover(element: XmlElement, names: RuleNames, problems: ProblemList): FailoverConfiguration | undefined {
  const { text, pieces, ...bare } = element;
  const before = problems.count;
  if (text !== undefined && element.children.length > 0) {
    problems.add('HF_CONFIG_TEXT', element, '<failover> has rules as text and elements beside them: write all of them in one form');
  }
  const read = readElement(bare, FAILOVER_SCHEMA, problems);
  const fromText = readText(pieces ?? [], problems);
  if (!read.valid || fromText === undefined) return undefined;
  const value = read.value as unknown as FailoverValue;
  if (value.handle_time < value.period) {
    const message = `handle_time (${value.handle_time}ms) must be at least period (${value.period}ms): rules are looked at once per period`;
    problems.add('HF_CONFIG_CONSTRAINT', read.at('', 'handle_time'), message);
  }
  const written = [...fromText.rules, ...(value.rule ?? []).flatMap((rule, index) => readRule(rule, index, read, problems))];
  const disabled = [
    ...fromText.disabled,
    ...(value.disable ?? []).map(({ label }, index) => ({ label, ...read.at(`/disable/${index}`, 'label') })),
  ];
  if (written.length > RULES_MAX)
    problems.add('HF_CONFIG_RULE_LIMIT', element, `${written.length} rules; at most ${RULES_MAX} are allowed`);
  if (problems.count > before) return undefined;
  const reader = new RuleReader(names, problems);
  const rules = reader.rules(written);
  const replaced = reader.replaced(written);
  const off = reader.disabled(disabled, written);
  if (!value.extends) {
    problems.warn(
      read.at('', 'extends'),
      'extends="no": no check acts by itself any more; only these rules do, and what keeps the data safe, which has no switch',
    );
  }
  const [local, remote] = (['local', 'remote'] as const).map((scope) => named(rules, scope));
  if ((remote?.length ?? 0) > REMOTE_RESOURCES_MAX) {
    const message = `the rules name ${remote?.length} resources of the other node; at most ${REMOTE_RESOURCES_MAX} travel in a heartbeat`;
    problems.add('HF_CONFIG_RULE_LIMIT', element, message);
  }
  if (problems.count > before) return undefined;
  return {
    extends: value.extends,
    periodMs: value.period,
    handleTimeMs: value.handle_time,
    rules,
    disabled: [...new Set([...replaced, ...off])],
    // What the other node asks for, this one counts.
    local: [...new Set([...(local ?? []), ...(remote ?? [])])].sort(),
    remote: remote ?? [],
  };
}

function named(rules: readonly FailoverRule[], scope: 'local' | 'remote'): readonly string[] {
  const found = rules.flatMap(({ when }) => selectorsOf(when)).filter((selector) => selector.scope === scope);
  return [...new Set(found.map(({ selector }) => selector))].sort();
}

interface Written {
  readonly rules: readonly WrittenRule[];
  readonly disabled: readonly WrittenDisable[];
}

/** undefined after a problem was reported: what follows a mistake in a rule is not read. */
function readText(pieces: NonNullable<XmlElement['pieces']>, problems: ProblemList): Written | undefined {
  const [first] = pieces;
  const chars = pieces.reduce((sum, { text }) => sum + text.length, 0);
  if (first !== undefined && chars > RULES_CHARS_MAX) {
    problems.add('HF_CONFIG_RULE_LIMIT', first, `${chars} characters of rules; at most ${RULES_CHARS_MAX} are read`);
    return undefined;
  }
  const rules: WrittenRule[] = [];
  const disabled: WrittenDisable[] = [];
  for (const piece of pieces) {
    const read = attempt(problems, () => (isLua(piece) ? parseLua(piece) : { rules: parseRules(piece), disabled: [] }));
    if (read === undefined) return undefined;
    rules.push(...read.rules);
    disabled.push(...read.disabled);
  }
  return { rules, disabled };
}

function attempt<T>(problems: ProblemList, read: () => T, place?: (problem: RuleProblem) => Position): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RuleProblem)) throw error;
    // Inside an attribute, references such as &amp; are one character: only the attribute has a place in the file.
    const inside = place === undefined ? '' : ` (character ${error.at.column} of the expression)`;
    problems.add(error.code, place?.(error) ?? error.at, `${error.message}${inside}`);
    return undefined;
  }
}

/** One <rule>, with an expression or with a resource and its state. */
function readRule(
  rule: NonNullable<FailoverValue['rule']>[number],
  index: number,
  read: ReadElement,
  problems: ProblemList,
): readonly WrittenRule[] {
  const pointer = `/rule/${index}`;
  const place = (attribute: string): Position => {
    const { line, column } = read.at(pointer, attribute);
    return { line, column };
  };
  const { label, group, resource, state, action } = rule;
  const text = rule.if;
  const when: WrittenExpression | undefined =
    text === undefined
      ? { kind: 'compare', resource: resource ?? '', negated: false, is: state ?? '', isAt: place('state'), ...place('resource') }
      : attempt(
          problems,
          () => placed(parseExpression({ text, line: 1, column: 1 }), place('if')),
          () => place('if'),
        );
  if (when === undefined) return [];
  return [{ label, when, action, actionAt: place('action'), ...place('label'), ...(group === undefined ? {} : { group }) }];
}

function placed(expression: WrittenExpression, at: Position): WrittenExpression {
  switch (expression.kind) {
    case 'cluster':
      return expression;
    case 'not':
      return { kind: 'not', of: placed(expression.of, at) };
    case 'and':
    case 'or':
      return { kind: expression.kind, of: expression.of.map((part) => placed(part, at)) };
    case 'compare':
      return { ...expression, ...at, isAt: at };
  }
}

/** Looks up what rules name. */
class RuleReader {
  constructor(
    private readonly names: RuleNames,
    private readonly problems: ProblemList,
  ) {}

  rules(written: readonly WrittenRule[]): readonly FailoverRule[] {
    const labels = new Map<string, Position>();
    const conditions = new Map<string, FailoverRule & Position>();
    const rules: FailoverRule[] = [];
    for (const { label, group, when: expression, action: word, actionAt, line, column } of written) {
      this.checkLabel(label, { line, column }, labels);
      const action = RULE_ACTIONS.find((known) => known === word);
      if (action === undefined) this.unknown(actionAt, 'action', word, RULE_ACTIONS);
      const when = this.expression(expression);
      if (when === undefined || action === undefined) continue;
      const condition = JSON.stringify(when);
      const other = conditions.get(condition);
      if (other !== undefined && other.action !== action) {
        const both = `${quoted(other.label)} in line ${other.line} wants ${other.action}, ${quoted(label)} ${action}`;
        this.problems.add('HF_CONFIG_RULE_CONTRADICTION', { line, column }, `under the same condition (${writeExpression(when)}) ${both}`);
      }
      const rule = { label, when, action, ...(group === undefined ? {} : { group }) };
      conditions.set(condition, { ...rule, line, column });
      rules.push(rule);
    }
    return rules;
  }

  /** Built-in rules of checks that rules of the same name stand for. */
  replaced(written: readonly WrittenRule[]): readonly string[] {
    const known = this.builtIn();
    return written.flatMap(({ label, line, column }) => {
      if (!known.includes(label)) return [];
      this.problems.warn({ line, column }, `the rule ${quoted(label)} stands for the built-in rule of that name, which acts no more`);
      return [label];
    });
  }

  disabled(disabled: readonly WrittenDisable[], written: readonly WrittenRule[]): readonly string[] {
    const known = this.builtIn();
    return disabled.flatMap(({ label, line, column }) => {
      const at = { line, column };
      if (Object.hasOwn(AUTOMATON_RULES, label) || label === IMPLICIT_WAKEUP) {
        const message = `the rule ${quoted(label)} cannot be switched off: it keeps two copies of the data from becoming two truths`;
        this.problems.add(
          'HF_CONFIG_RULE_NOT_SUPPORTED',
          at,
          label === IMPLICIT_WAKEUP ? `${quoted(label)} cannot be switched off: without it a module would wait for ever` : message,
        );
        return [];
      }
      if (Object.hasOwn(ABSENT_RULES, label)) {
        this.problems.warn(at, `there is no rule ${quoted(label)} to switch off: ${ABSENT_RULES[label]}`);
        return [];
      }
      if (written.some((rule) => rule.label === label)) {
        this.problems.add(
          'HF_CONFIG_RULE_CONTRADICTION',
          at,
          `the rule ${quoted(label)} is written here and switched off here: remove one`,
        );
        return [];
      }
      if (!known.includes(label)) this.unknown(at, 'built-in rule', label, known);
      return [label];
    });
  }

  private builtIn(): readonly string[] {
    return [...new Set([...CLASS_RULES, ...this.names.labels])];
  }

  private checkLabel(label: string, at: Position, labels: Map<string, Position>): void {
    if (!LABEL.test(label)) {
      const rule = `letters, digits, _, - and ., not starting with a digit, at most ${NAME_CHARS_MAX}`;
      this.problems.add('HF_CONFIG_RULE_SYNTAX', at, `the label ${quoted(label)} must be ${rule}`);
    }
    if (Object.hasOwn(AUTOMATON_RULES, label) || label === IMPLICIT_WAKEUP) {
      const message = `the rule ${quoted(label)} is built in and cannot be replaced; choose another label`;
      this.problems.add('HF_CONFIG_RULE_NOT_SUPPORTED', at, message);
    }
    const first = labels.get(label);
    if (first === undefined) labels.set(label, at);
    else this.problems.add('HF_CONFIG_NAME_DUPLICATE', at, `the label ${quoted(label)} is given twice; first in line ${first.line}`);
  }

  private unknown(at: Position, kind: string, word: string, known: readonly string[]): void {
    this.problems.add('HF_CONFIG_RULE_UNKNOWN', at, `${kind} ${quoted(word)} is unknown${suggestion(word, known)}`);
  }

  private expression(written: WrittenExpression): RuleExpression | undefined {
    switch (written.kind) {
      case 'cluster':
        return written;
      case 'not': {
        const of = this.expression(written.of);
        return of === undefined ? undefined : { kind: 'not', of };
      }
      case 'and':
      case 'or': {
        const parts = written.of.map((part) => this.expression(part));
        const of = parts.filter((part) => part !== undefined);
        return of.length < parts.length ? undefined : { kind: written.kind, of };
      }
      case 'compare':
        return this.comparison(written);
    }
  }

  private comparison({
    resource,
    negated,
    is: word,
    isAt,
    line,
    column,
  }: WrittenExpression & { kind: 'compare' }): RuleExpression | undefined {
    const at = { line, column };
    const is = RESOURCE_VALUES.find((value) => value === word);
    if (is === undefined) this.unknown(isAt, 'state', word, RESOURCE_VALUES);
    const scope = resource.startsWith('remote.') ? 'remote' : 'local';
    const selector = resource.replace(/^(?:local|remote)\./, '');
    const [, of = '', id = ''] = /^([A-Za-z_]\w*)\.([^\p{Cc}]+)$/u.exec(selector) ?? [];
    if (of === '' || selector.length > NAME_CHARS_MAX) {
      const message = `${quoted(resource)} is no resource: write [local.|remote.]class.id, at most ${NAME_CHARS_MAX} characters`;
      this.problems.add('HF_CONFIG_RULE_SYNTAX', at, message);
      return undefined;
    }
    if (!this.names.classes.includes(of)) {
      this.problems.add(
        'HF_CONFIG_RULE_UNKNOWN',
        at,
        `nobody serves the class ${quoted(of)} of ${quoted(resource)}${suggestion(of, this.names.classes)}`,
      );
      return undefined;
    }
    if (!this.names.has(of, id)) {
      const known = this.names.resources.filter((name) => name.startsWith(`${of}.`));
      const what = id === '*' || id === '?' ? 'no resource of this class is configured' : 'no such resource is configured';
      this.problems.warn(at, `${quoted(resource)}: ${what}, so that the comparison never holds${suggestion(selector, known)}`);
    }
    return is === undefined ? undefined : { kind: 'compare', scope, selector, is, negated };
  }
}
