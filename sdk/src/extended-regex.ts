/**
 * POSIX extended regular expressions, as the reference product's configurations write them, in a matcher that never backtracks: the text
 * is read once and the time is bounded by text length times expression length, whatever the expression. JavaScript's own engine would
 * accept another language (`\d`, `.*?`) and could be stopped for minutes by `(a+)+$` and a long command line.
 *
 * Expression -> tree (extended-regex-syntax.ts) -> Thompson automaton -> sets of its states, computed when first needed and kept. A text
 * may also be read piece by piece: `begin`, then `read` for each piece; `matches` answers for what was read so far. Two positions with
 * the same `key` have the same future, whatever was read before.
 */
import { ExtendedRegexError, type Node, parseExtendedRegex, type CharacterTest } from './extended-regex-syntax.js';

const AUTOMATON_STATES_MAX = 2000;
/** The kept sets and their transitions are thrown away together beyond this; matching goes on, only slower for a moment. */
const KEPT_TRANSITIONS_MAX = 20_000;

type State =
  | { readonly kind: 'character'; readonly test: CharacterTest; next: number }
  | { readonly kind: 'branch'; readonly next: number[] }
  | { readonly kind: 'start' | 'end'; next: number }
  | { readonly kind: 'match' };

/** A text that has led to so many new sets is read on without keeping any: they would only be looked for and thrown away. */
const UNKNOWN_MAX = 2_000;
/** After so many characters others may have their turn. */
const TURN_CHARACTERS = 2_048;

/** Where the matcher is after some text. */
export interface RegexPosition {
  readonly key: string;
}

/** A set of automaton states: where the matcher may be after some text. */
interface StateSet extends RegexPosition {
  readonly members: readonly number[];
  readonly matches: boolean;
  readonly matchesAtEnd: boolean;
  readonly transitions: Map<number, StateSet>;
}

export class ExtendedRegex {
  private readonly states: State[] = [];
  private readonly entry: number;
  private readonly statesMax: number;
  private readonly kept = new Map<string, StateSet>();
  private keptTransitions = 0;

  /**
   * Matches where any of the expressions does.
   * @throws Error saying what cannot be understood, and at which character
   */
  constructor(...sources: readonly [string, ...string[]]) {
    const parts = sources.map((source) => parseExtendedRegex(source));
    this.statesMax = sources.length * AUTOMATON_STATES_MAX;
    const match = this.add({ kind: 'match' });
    this.entry = this.build({ kind: 'choice', parts }, match);
  }

  /** Before any text. */
  begin(): RegexPosition {
    return this.stateSet([this.entry], true);
  }

  /** A match that was found stays found, whatever follows. */
  read(position: RegexPosition, codePoint: number): RegexPosition {
    const current = position as StateSet;
    return current.matches ? current : this.advance(current, codePoint);
  }

  /** Whether the text that was read matches, if it ends here. */
  matches(position: RegexPosition): boolean {
    return (position as StateSet).matchesAtEnd;
  }

  /** Whether the expression matches anywhere in `text`. */
  test(text: string): boolean {
    const search = this.search(text);
    for (;;) {
      const { done, value } = search.next();
      if (done === true) return value;
    }
  }

  /** The same for a long text that somebody else has written: whatever it is, other work of this thread goes on meanwhile. */
  async testInTurns(text: string): Promise<boolean> {
    const search = this.search(text);
    for (;;) {
      const { done, value } = search.next();
      if (done === true) return value;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private *search(text: string): Generator<undefined, boolean, undefined> {
    let current = this.stateSet([this.entry], true);
    let [read, unknown, offset] = [0, 0, 0];
    for (const character of text) {
      if (current.matches) return true;
      const codePoint = character.codePointAt(0) ?? 0;
      if (!current.transitions.has(codePoint)) unknown += 1;
      if (unknown > UNKNOWN_MAX) return yield* this.simulate(current.members, text.slice(offset));
      current = this.advance(current, codePoint);
      offset += character.length;
      read += 1;
      if (read % TURN_CHARACTERS === 0) yield undefined;
    }
    return current.matches || current.matchesAtEnd;
  }

  /** From these states on, of which each is visited once for a character. */
  private *simulate(from: readonly number[], text: string): Generator<undefined, boolean, undefined> {
    const { states } = this;
    const reachedAt = new Float64Array(states.length).fill(-1);
    const pending: number[] = [];
    let [members, next]: [number[], number[]] = [[...from], []];
    let read = 0;
    for (const character of text) {
      const codePoint = character.codePointAt(0) ?? 0;
      next.length = 0;
      pending.push(this.entry);
      for (const member of members) {
        const state = states[member];
        if (state?.kind === 'character' && state.test(codePoint)) pending.push(state.next);
      }
      for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
        if (reachedAt[index] === read) continue;
        reachedAt[index] = read;
        const state = states[index];
        if (state?.kind === 'match') return true;
        if (state?.kind === 'branch') for (const following of state.next) pending.push(following);
        else next.push(index);
      }
      [members, next] = [next, members];
      read += 1;
      if (read % TURN_CHARACTERS === 0) yield undefined;
    }
    return this.reachesMatch(members, false);
  }

  private advance(current: StateSet, codePoint: number): StateSet {
    const known = current.transitions.get(codePoint);
    if (known !== undefined) return known;
    const targets = [this.entry];
    for (const member of current.members) {
      const state = this.states[member];
      if (state?.kind === 'character' && state.test(codePoint)) targets.push(state.next);
    }
    if (this.keptTransitions >= KEPT_TRANSITIONS_MAX) {
      this.kept.clear();
      this.keptTransitions = 0;
    }
    const next = this.stateSet(targets, false);
    current.transitions.set(codePoint, next);
    this.keptTransitions += 1;
    return next;
  }

  private stateSet(targets: readonly number[], atStart: boolean): StateSet {
    const members = this.closure(targets, atStart, false);
    const key = `${atStart ? '^' : ''}${members.join()}`;
    const known = this.kept.get(key);
    if (known !== undefined) return known;
    const matches = members.some((member) => this.states[member]?.kind === 'match');
    const matchesAtEnd = matches || this.reachesMatch(members, atStart);
    // Once found, nothing that follows matters: one key for all such sets.
    const set = { key: matches ? 'found' : key, members, matches, matchesAtEnd, transitions: new Map<number, StateSet>() };
    this.kept.set(key, set);
    return set;
  }

  private reachesMatch(members: readonly number[], atStart: boolean): boolean {
    return this.closure(members, atStart, true).some((member) => this.states[member]?.kind === 'match');
  }

  /** All states reachable without reading a character; an anchor that does not hold here stays in the set unpassed. */
  private closure(targets: readonly number[], atStart: boolean, atEnd: boolean): readonly number[] {
    const reached = new Set<number>();
    const pending = [...targets];
    for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
      if (reached.has(index)) continue;
      reached.add(index);
      const state = this.states[index];
      if (state?.kind === 'branch') pending.push(...state.next);
      else if ((state?.kind === 'start' && atStart) || (state?.kind === 'end' && atEnd)) pending.push(state.next);
    }
    return [...reached].filter((index) => this.states[index]?.kind !== 'branch').sort((a, b) => a - b);
  }

  private add(state: State): number {
    if (this.states.length >= this.statesMax) throw new ExtendedRegexError('its repetitions multiply beyond what is allowed', 0);
    this.states.push(state);
    return this.states.length - 1;
  }

  /** Builds the automaton of `node` backwards, from the state that follows it. @returns the state to enter by */
  private build(node: Node, next: number): number {
    switch (node.kind) {
      case 'character':
        return this.add({ kind: 'character', test: node.test, next });
      case 'start':
      case 'end':
        return this.add({ kind: node.kind, next });
      case 'sequence':
        return node.parts.reduceRight((following, part) => this.build(part, following), next);
      case 'choice':
        return this.add({ kind: 'branch', next: node.parts.map((part) => this.build(part, next)) });
      case 'repeat':
        return this.buildRepeat(node.part, node.min, node.max, next);
    }
  }

  private buildRepeat(part: Node, min: number, max: number | undefined, next: number): number {
    let entry = next;
    if (max === undefined) {
      const branch: State = { kind: 'branch', next: [next] };
      entry = this.add(branch);
      branch.next.push(this.build(part, entry));
    } else {
      for (let optional = min; optional < max; optional += 1) {
        entry = this.add({ kind: 'branch', next: [this.build(part, entry), next] });
      }
    }
    for (let required = 0; required < min; required += 1) entry = this.build(part, entry);
    return entry;
  }
}
