/** How much <failover> may contain: more is a mistake, or an attack on the agent's time. */
import type { Position } from './problems.js';

export const RULES_MAX = 200;
export const RULES_CHARS_MAX = 64 * 1024;
/** Of one expression. */
export const COMPARISONS_MAX = 64;
export const NESTING_MAX = 32;
/** Different resources that all rules name of the peer: they travel in every heartbeat. */
export const REMOTE_RESOURCES_MAX = 256;
export const NAME_CHARS_MAX = 128;

/** A rule as written, before what it names is looked up. `when` has the place of each comparison. */
export interface WrittenRule extends Position {
  readonly label: string;
  readonly group?: string;
  readonly when: WrittenExpression;
  readonly action: string;
  readonly actionAt: Position;
}

export type WrittenExpression =
  | (Position & {
      readonly kind: 'compare';
      readonly resource: string;
      readonly negated: boolean;
      readonly is: string;
      readonly isAt: Position;
    })
  | { readonly kind: 'cluster' }
  | { readonly kind: 'not'; readonly of: WrittenExpression }
  | { readonly kind: 'and' | 'or'; readonly of: readonly WrittenExpression[] };

export interface WrittenDisable extends Position {
  readonly label: string;
}

/** Thrown by the parsers and made a problem of the file; never leaves config/. */
export class RuleProblem extends Error {
  constructor(
    readonly code: 'HF_CONFIG_RULE_SYNTAX' | 'HF_CONFIG_RULE_LIMIT' | 'HF_CONFIG_RULE_NOT_SUPPORTED',
    readonly at: Position,
    message: string,
  ) {
    super(message);
  }
}
