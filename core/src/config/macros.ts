/**
 * %NAME% in attribute values becomes the value of a <macro>, else of an environment variable. What a macro expands to is not expanded
 * again; a macro's own value may use macros that come before it. So expansion ends, and its size is bounded.
 */
import { suggestion } from './nearest.js';
import { type Position, type ProblemList, quoted } from './problems.js';
import { XML_BYTES_MAX, type XmlAttribute, type XmlElement, refuseText } from './xml.js';

export const MACRO_CHARS_MAX = 64 * 1024;

const NAME = /^[A-Za-z_]\w*$/;
const USE = /%([A-Za-z_]\w*)%/g;

/** The tree with every macro used, and without the <macro> elements directly below the root. */
export function expandMacros(root: XmlElement, environment: Readonly<Record<string, string>>, problems: ProblemList): XmlElement {
  const expansion = new Expansion(environment, problems);
  for (const child of root.children) if (child.name === 'macro') expansion.define(child);
  return expansion.element({ ...root, children: root.children.filter((child) => child.name !== 'macro') });
}

class Expansion {
  readonly #environment: Readonly<Record<string, string>>;
  readonly #problems: ProblemList;
  readonly #macros = new Map<string, { value: string; broken: boolean } & Position>();
  #chars = 0;

  constructor(environment: Readonly<Record<string, string>>, problems: ProblemList) {
    this.#environment = environment;
    this.#problems = problems;
  }

  define(macro: XmlElement): void {
    refuseText(macro, this.#problems);
    for (const attribute of macro.attributes.values()) {
      if (attribute.name === 'name' || attribute.name === 'value') continue;
      const message = `<macro> has no attribute ${quoted(attribute.name)}${suggestion(attribute.name, ['name', 'value'])}`;
      this.#problems.add('HF_CONFIG_ATTRIBUTE_UNKNOWN', attribute, message);
    }
    for (const child of macro.children)
      this.#problems.add('HF_CONFIG_ELEMENT_UNKNOWN', child, `<macro> contains no elements, but <${child.name}>`);
    const name = macro.attributes.get('name');
    const value = macro.attributes.get('value');
    for (const [missing, attribute] of [
      ['name', name],
      ['value', value],
    ] as const) {
      if (attribute === undefined) this.#problems.add('HF_CONFIG_ATTRIBUTE_MISSING', macro, `<macro> needs the attribute ${missing}`);
    }
    if (name === undefined || name.broken) return;
    if (!NAME.test(name.value)) {
      this.#problems.add(
        'HF_CONFIG_VALUE',
        name,
        `macro name ${quoted(name.value)} must be letters, digits and _, not starting with a digit`,
      );
      return;
    }
    const first = this.#macros.get(name.value);
    if (first !== undefined) {
      const message = `macro ${quoted(name.value)} is defined again; first defined in line ${first.line}`;
      this.#problems.add('HF_CONFIG_NAME_DUPLICATE', name, message);
      return;
    }
    const expanded = value === undefined ? { value: '', broken: true } : this.#attribute(value);
    this.#macros.set(name.value, { value: expanded.value, broken: expanded.broken, line: macro.line, column: macro.column });
  }

  element(element: XmlElement): XmlElement {
    const attributes = new Map<string, XmlAttribute>();
    for (const [name, attribute] of element.attributes) attributes.set(name, this.#attribute(attribute));
    return { ...element, attributes, children: element.children.map((child) => this.element(child)) };
  }

  #attribute(attribute: XmlAttribute): XmlAttribute {
    if (attribute.broken || !attribute.value.includes('%')) return attribute;
    let broken = false;
    let chars = attribute.value.length;
    const value = attribute.value.replaceAll(USE, (whole, name: string) => {
      const found = this.#lookUp(name, attribute);
      broken ||= found === undefined;
      chars += found?.length ?? 0;
      return chars > MACRO_CHARS_MAX ? '' : (found ?? whole);
    });
    if (chars > MACRO_CHARS_MAX) {
      const message = `attribute ${attribute.name} expands to more than ${MACRO_CHARS_MAX} characters`;
      this.#problems.add('HF_CONFIG_MACRO_TOO_LARGE', attribute, message);
      return { ...attribute, broken: true };
    }
    this.#chars += value.length;
    if (this.#chars > XML_BYTES_MAX) {
      this.#problems.fail(
        'HF_CONFIG_MACRO_TOO_LARGE',
        attribute,
        `the macros of this file expand to more than ${XML_BYTES_MAX} characters`,
      );
    }
    return { ...attribute, value, broken };
  }

  /** undefined after the problem was reported, or when the macro itself is broken. */
  #lookUp(name: string, at: XmlAttribute): string | undefined {
    const macro = this.#macros.get(name);
    if (macro !== undefined) return macro.broken ? undefined : macro.value;
    if (Object.hasOwn(this.#environment, name)) return this.#environment[name];
    const hint = suggestion(name, [...this.#macros.keys()]);
    const message = `%${name}% in attribute ${at.name} is neither a macro defined before it nor an environment variable${hint}`;
    this.#problems.add('HF_CONFIG_MACRO_UNKNOWN', at, message);
    return undefined;
  }
}
