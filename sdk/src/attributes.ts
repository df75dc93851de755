/**
 * Reads the attributes of an element that its schema has validated. The host fills in the schema's defaults, so whatever is required or has
 * a default is there; what is not there, or of another kind, was not validated, and is refused by name.
 */
import type { CheckAction, CheckPhase, Repeats } from './checker.js';
import { HoldfastError } from './errors.js';
import type { ElementValue } from './plugin.js';

const PHASES: readonly CheckPhase[] = ['prim', 'both', 'pre', 'second', 'sec'];
const ACTIONS: readonly CheckAction[] = ['restart', 'stopstart', 'stop', 'wait', 'noaction'];

export class Attributes {
  readonly element: string;
  readonly #value: ElementValue;
  /** As in `details.pointer` of a refusal. */
  readonly #pointer: string;

  constructor(element: string, value: ElementValue, pointer = '') {
    this.element = element;
    this.#value = value;
    this.#pointer = pointer;
  }

  has(name: string): boolean {
    return this.#value[name] !== undefined;
  }

  text(name: string): string {
    const value = this.#value[name];
    return typeof value === 'string' ? value : this.#unvalidated(name);
  }

  number(name: string): number {
    const value = this.#value[name];
    return typeof value === 'number' ? value : this.#unvalidated(name);
  }

  flag(name: string): boolean {
    const value = this.#value[name];
    return typeof value === 'boolean' ? value : this.#unvalidated(name);
  }

  /** One of `words`. */
  word<Word extends string>(name: string, words: readonly Word[]): Word {
    return words.find((word) => word === this.#value[name]) ?? this.#unvalidated(name);
  }

  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined;
  }

  optionalNumber(name: string): number | undefined {
    return this.has(name) ? this.number(name) : undefined;
  }

  children(name: string): readonly Attributes[] {
    const value = this.#value[name] ?? [];
    if (typeof value !== 'object') return this.#unvalidated(name);
    return value.map((child, index) => new Attributes(name, child, `${this.#pointer}/${name}/${index}`));
  }

  /** The child that the schema requires. */
  child(name: string): Attributes {
    return this.children(name)[0] ?? this.#unvalidated(name);
  }

  /** The error for a value that the schema cannot refuse. */
  refusal(code: string, message: string, attribute?: string, cause?: unknown): HoldfastError {
    const details = { pointer: this.#pointer, ...(attribute === undefined ? {} : { attribute }) };
    return new HoldfastError(code, message, details, { cause });
  }

  #unvalidated(name: string): never {
    throw this.refusal('HF_ELEMENT_NOT_VALIDATED', `<${this.element}> has no valid "${name}": was it checked by its schema?`, name);
  }
}

/** What the elements below `check` have in common: `ident`, `when`, `action`, `fall` and `rise`. */
export interface CheckHead {
  readonly resource: string;
  readonly phase: CheckPhase;
  readonly action: CheckAction;
  readonly repeats: Repeats;
}

/** Resource `<element>.<ident>`. */
export function readCheckHead(attributes: Attributes): CheckHead {
  return {
    resource: `${attributes.element}.${attributes.text('ident')}`,
    phase: attributes.word('when', PHASES),
    action: attributes.word('action', ACTIONS),
    repeats: { down: attributes.number('fall'), up: attributes.number('rise') },
  };
}
