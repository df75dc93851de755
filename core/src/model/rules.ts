/**
 * Failover rules: what is to be done when resources are in certain states. Written in userconfig.xml (config/failover.ts), decided in
 * decide/rules. An expression never names more resources than it has comparisons; what it needs of them are counts (`Tally`), so that
 * `tcp.*` costs the same for one resource and for ten thousand.
 */
import type { ResourceValue } from './resource.js';
import type { MonotonicMs } from './state.js';

export const RULE_ACTIONS = ['restart', 'stopstart', 'stop', 'wait', 'swap', 'noaction'] as const;
export type RuleAction = (typeof RULE_ACTIONS)[number];

export const RESOURCE_VALUES: readonly ResourceValue[] = ['init', 'up', 'down', 'unknown'];

/** Gravest last: of all that could be done, that is done. */
export const RULE_SEVERITY: Readonly<Record<RuleAction, number>> = { noaction: 0, restart: 1, swap: 2, stopstart: 3, wait: 4, stop: 5 };

export type RuleExpression =
  /** `selector`: `class.id`; the id `*` stands for all resources of the class, `?` for any of them. */
  | {
      readonly kind: 'compare';
      readonly scope: 'local' | 'remote';
      readonly selector: string;
      readonly is: ResourceValue;
      readonly negated: boolean;
    }
  /** `cluster()`: the other node is heard. */
  | { readonly kind: 'cluster' }
  | { readonly kind: 'not'; readonly of: RuleExpression }
  | { readonly kind: 'and' | 'or'; readonly of: readonly RuleExpression[] };

export interface FailoverRule {
  readonly label: string;
  readonly group?: string;
  readonly when: RuleExpression;
  readonly action: RuleAction;
}

export interface FailoverConfiguration {
  /** The checks' own actions hold beside these rules. */
  readonly extends: boolean;
  readonly periodMs: number;
  /** A rule must hold this long before it acts. */
  readonly handleTimeMs: number;
  readonly rules: readonly FailoverRule[];
  /** Labels of built-in rules that are switched off. */
  readonly disabled: readonly string[];
  /** What the rules name of a node's own resources and of the peer's, each sorted: the order in which a report carries the latter. */
  readonly local: readonly string[];
  readonly remote: readonly string[];
}

/** How many resources of a selector have which value. `pending`: in `init` although they are watched while the module waits. */
export interface Tally {
  readonly init: number;
  readonly up: number;
  readonly down: number;
  readonly unknown: number;
  readonly pending: number;
}

/** What the rules need to know of one node's resources. Bounded by the rules, not by the resources. */
export interface RuleFacts {
  readonly tallies: Readonly<Record<string, Tally>>;
  /** Checks whose own action is `wait`, holds, and that are watched while the module waits: the first of those in init, and down. */
  readonly waiting: { readonly pending: readonly string[]; readonly down: readonly string[] };
}

export const RULE_FACTS_EMPTY: RuleFacts = { tallies: {}, waiting: { pending: [], down: [] } };

export interface RuleProgress {
  readonly evaluatedMs: MonotonicMs;
  /** The rules that hold, and since when. */
  readonly sinceMs: Readonly<Record<string, MonotonicMs>>;
  /** Rules whose action was said to be impossible; said once as long as they hold. */
  readonly refused: readonly string[];
}

/** A tally as a heartbeat carries it: init, up, down, unknown. */
export type TallyCounts = readonly [number, number, number, number];
