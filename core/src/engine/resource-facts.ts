/**
 * What the failover rules need to know of the resources: how many of each selector have which value. Counted as values change, so that
 * `tcp.*` over ten thousand resources costs nothing per decision, and handed over once per tick, so that a flood of changes is one event.
 */
import { isBuiltInOn } from '../decide/rules/built-in.js';
import type { CheckAction, ResourceValue } from '../model/resource.js';
import type { FailoverConfiguration, RuleFacts, Tally } from '../model/rules.js';

/** A check as far as the rules are concerned. */
export interface WatchedResource {
  readonly resource: string;
  readonly action: CheckAction;
  /** `pre`: it is watched while the module waits. */
  readonly phase: string;
}

type Counts = { -readonly [Key in keyof Tally]: number };

const NAMES_MAX = 5;

export class ResourceFacts {
  private readonly values = new Map<string, ResourceValue>();
  private readonly counts = new Map<string, Counts>();
  /** Watched while the module waits. */
  private early: ReadonlySet<string> = new Set();
  /** Those of them whose own action is to wait. */
  private waiting: ReadonlySet<string> = new Set();
  private readonly pending = new Set<string>();
  private readonly down = new Set<string>();
  private changed = true;

  constructor(
    private failover: FailoverConfiguration | undefined,
    private watched: readonly WatchedResource[],
  ) {
    this.watch(watched);
  }

  /** Counts anew with another list of checks. */
  watch(watched: readonly WatchedResource[]): void {
    this.watched = watched;
    const early = watched.filter(({ phase }) => phase === 'pre');
    this.early = new Set(early.map(({ resource }) => resource));
    const waiting = early.filter(({ resource, action }) => action === 'wait' && isBuiltInOn(this.failover, resource));
    this.waiting = new Set(waiting.map(({ resource }) => resource));
    this.counts.clear();
    for (const selector of this.failover?.local ?? []) this.counts.set(selector, { init: 0, up: 0, down: 0, unknown: 0, pending: 0 });
    this.pending.clear();
    this.down.clear();
    const values = [...this.values];
    this.values.clear();
    for (const [name, value] of values) this.set(name, value);
    this.changed = true;
  }

  /** Counts anew what other rules name. */
  govern(failover: FailoverConfiguration | undefined): void {
    if (JSON.stringify(failover) === JSON.stringify(this.failover)) return;
    this.failover = failover;
    this.watch(this.watched);
  }

  remove(name: string): void {
    const value = this.values.get(name);
    if (value === undefined) return;
    for (const counts of this.countsOf(name)) this.count(counts, name, value, -1);
    this.values.delete(name);
    this.pending.delete(name);
    this.down.delete(name);
    this.changed = true;
  }

  set(name: string, value: ResourceValue): void {
    const before = this.values.get(name);
    if (before === value) return;
    this.values.set(name, value);
    for (const counts of this.countsOf(name)) {
      if (before !== undefined) this.count(counts, name, before, -1);
      this.count(counts, name, value, 1);
      this.changed = true;
    }
    if (!this.waiting.has(name)) return;
    this.changed = true;
    if (value === 'init') this.pending.add(name);
    else this.pending.delete(name);
    if (value === 'down') this.down.add(name);
    else this.down.delete(name);
  }

  /** The selectors that mean this resource. */
  private countsOf(name: string): readonly Counts[] {
    const of = name.slice(0, name.indexOf('.'));
    return [name, `${of}.*`, `${of}.?`].flatMap((selector) => this.counts.get(selector) ?? []);
  }

  private count(counts: Counts, name: string, value: ResourceValue, by: 1 | -1): void {
    counts[value] += by;
    if (value === 'init' && this.early.has(name)) counts.pending += by;
  }

  isWatchedInWait(name: string): boolean {
    return this.early.has(name);
  }

  /** Undefined when nothing has changed since the last call. */
  take(): RuleFacts | undefined {
    if (!this.changed) return undefined;
    this.changed = false;
    const tallies = Object.fromEntries([...this.counts].map(([selector, counts]) => [selector, { ...counts }]));
    return { tallies, waiting: { pending: first(this.pending), down: first(this.down) } };
  }
}

function first(names: ReadonlySet<string>): readonly string[] {
  const found: string[] = [];
  for (const name of names) {
    if (found.push(name) === NAMES_MAX) break;
  }
  return found;
}
