/**
 * Whether an expression of a failover rule holds. A comparison with a resource that nobody has is false both ways, `==` and `!=`: what is
 * not there says nothing, and a peer that is not heard must not look like one whose resources are down.
 */
import type { RuleExpression, RuleFacts, Tally, TallyCounts } from '../../model/rules.js';

export interface RuleView {
  readonly local: RuleFacts['tallies'];
  /** Absent: the peer is not heard, or runs another configuration. */
  readonly remote: RuleFacts['tallies'] | undefined;
  readonly clustered: boolean;
}

export function holds(expression: RuleExpression, view: RuleView): boolean {
  switch (expression.kind) {
    case 'cluster':
      return view.clustered;
    case 'not':
      return !holds(expression.of, view);
    case 'and':
      return expression.of.every((part) => holds(part, view));
    case 'or':
      return expression.of.some((part) => holds(part, view));
    case 'compare': {
      const { scope, selector, is, negated } = expression;
      const tally = (scope === 'local' ? view.local : view.remote)?.[selector];
      if (tally === undefined) return false;
      const total = tally.init + tally.up + tally.down + tally.unknown;
      const matching = negated ? total - tally[is] : tally[is];
      return total > 0 && (selector.endsWith('.*') ? matching === total : matching > 0);
    }
  }
}

/** Selectors of the comparisons that make an expression what it is, for people and for what must be known first. */
export function selectorsOf(expression: RuleExpression): readonly { readonly scope: 'local' | 'remote'; readonly selector: string }[] {
  switch (expression.kind) {
    case 'cluster':
      return [];
    case 'not':
      return selectorsOf(expression.of);
    case 'and':
    case 'or':
      return expression.of.flatMap(selectorsOf);
    case 'compare':
      return [expression];
  }
}

/** The expression as it is written, with only the parentheses that it needs. */
export function writeExpression(expression: RuleExpression, inside: 'or' | 'and' | 'not' = 'or'): string {
  const written = ((): string => {
    switch (expression.kind) {
      case 'cluster':
        return 'cluster()';
      case 'not':
        return `!${writeExpression(expression.of, 'not')}`;
      case 'and':
      case 'or': {
        const { kind } = expression;
        return expression.of.map((part) => writeExpression(part, kind)).join(kind === 'and' ? ' && ' : ' || ');
      }
      case 'compare': {
        const { scope, selector, is, negated } = expression;
        return `${scope === 'remote' ? 'remote.' : ''}${selector} ${negated ? '!=' : '=='} ${is}`;
      }
    }
  })();
  const isLoose =
    expression.kind === 'or' ? inside !== 'or' : (expression.kind === 'and' || expression.kind === 'compare') && inside === 'not';
  return isLoose ? `(${written})` : written;
}

/** What a heartbeat carries for the peer's `remote.` comparisons, in the order of `remote`. */
export function countsOf(remote: readonly string[], facts: RuleFacts): readonly TallyCounts[] {
  return remote.map((selector) => {
    const { init = 0, up = 0, down = 0, unknown = 0 } = facts.tallies[selector] ?? {};
    return [init, up, down, unknown];
  });
}

/** The other way round. Undefined when the peer counts other things than this node asks for. */
export function talliesOf(remote: readonly string[], counts: readonly TallyCounts[] | undefined): RuleFacts['tallies'] | undefined {
  if (counts?.length !== remote.length) return undefined;
  const entries = remote.map((selector, index): readonly [string, Tally] => {
    const [init, up, down, unknown] = counts[index] ?? [0, 0, 0, 0];
    return [selector, { init, up, down, unknown, pending: 0 }];
  });
  return Object.fromEntries(entries);
}
