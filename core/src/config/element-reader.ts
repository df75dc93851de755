/**
 * One XML element to the value that its schema describes: attributes are coerced to boolean, number or duration, children become arrays
 * under their name, and ajv checks the result and fills defaults. The reader remembers where every value was written, so that each
 * problem, also one that ajv finds, points at a line and column.
 */
import type { ElementValue } from '@holdfast/sdk';
import { type JsonSchema, ElementShape, attributeTypes, compileElementSchema } from './element-schema.js';
import { formatDuration, isDurationUnit, parseDuration } from './duration.js';
import { suggestion } from './nearest.js';
import { type Position, type ProblemList, quoted } from './problems.js';
import { explainSchemaErrors } from './schema-problems.js';
import { type XmlAttribute, type XmlElement, refuseText } from './xml.js';

type Scalar = string | number | boolean;
interface MutableValue {
  [name: string]: Scalar | MutableValue[];
}

/** Where the values of one element come from, by JSON pointer. */
export interface Origins {
  readonly elements: ReadonlyMap<string, XmlElement>;
  readonly attributes: ReadonlyMap<string, { readonly attribute: XmlAttribute; readonly element: XmlElement; readonly schema: JsonSchema }>;
  /** Pointers whose problem has been reported already. */
  readonly reported: ReadonlySet<string>;
  readonly shapes: ReadonlyMap<string, ElementShape>;
}

export interface ReadElement {
  /** Checked and completed with defaults, when `valid`. */
  readonly value: ElementValue;
  readonly valid: boolean;
  /** Position of an attribute, or of the element when the attribute was not written. `pointer` is '' for the element itself. */
  at(pointer: string, attribute?: string): Position;
}

/** How the children of an element are read: described by the schema, or read by the caller. */
export type Children = 'by-schema' | 'by-caller';

export function readElement(element: XmlElement, schema: JsonSchema, problems: ProblemList, children: Children = 'by-schema'): ReadElement {
  const before = problems.count;
  const reader = new Reader(problems);
  const value = reader.read(element, new ElementShape(schema), '', children);
  const validate = compileElementSchema(schema);
  if (!validate(value)) explainSchemaErrors(validate.errors ?? [], reader, problems);
  return {
    value,
    // A broken attribute was reported when the file was read, before this element's count began.
    valid: problems.count === before && reader.reported.size === 0,
    at: (pointer, attribute) => {
      const written = attribute === undefined ? undefined : reader.attributes.get(`${pointer}/${attribute}`);
      return written?.attribute ?? reader.elements.get(pointer) ?? element;
    },
  };
}

class Reader implements Origins {
  readonly elements = new Map<string, XmlElement>();
  readonly attributes = new Map<string, { attribute: XmlAttribute; element: XmlElement; schema: JsonSchema }>();
  readonly reported = new Set<string>();
  readonly shapes = new Map<string, ElementShape>();
  readonly #problems: ProblemList;

  constructor(problems: ProblemList) {
    this.#problems = problems;
  }

  read(element: XmlElement, shape: ElementShape, pointer: string, children: Children): MutableValue {
    this.elements.set(pointer, element);
    this.shapes.set(pointer, shape);
    const value: MutableValue = {};
    refuseText(element, this.#problems);
    for (const attribute of element.attributes.values()) {
      const schema = shape.attributes.get(attribute.name);
      if (schema === undefined) {
        const hint = suggestion(attribute.name, [...shape.attributes.keys()]);
        this.#problems.add('HF_CONFIG_ATTRIBUTE_UNKNOWN', attribute, `<${element.name}> has no attribute ${quoted(attribute.name)}${hint}`);
        continue;
      }
      const withoutEffect = schema['x-no-effect'];
      if (typeof withoutEffect === 'string') {
        this.#problems.warn(attribute, `attribute ${attribute.name} of <${element.name}> has no effect here: ${withoutEffect}`);
        continue;
      }
      const place = `${pointer}/${attribute.name}`;
      this.attributes.set(place, { attribute, element, schema });
      const scalar = attribute.broken ? undefined : this.#scalar(attribute, element, schema);
      if (scalar === undefined) this.reported.add(place);
      else if (schema['x-not-supported'] === undefined) value[attribute.name] = scalar;
    }
    if (children === 'by-schema') this.#readChildren(element, shape, pointer, value);
    return value;
  }

  #readChildren(element: XmlElement, shape: ElementShape, pointer: string, value: MutableValue): void {
    for (const child of element.children) {
      const withoutEffect = shape.childrenWithoutEffect.get(child.name);
      if (withoutEffect !== undefined) {
        this.#problems.warn(child, `<${child.name}> inside <${element.name}> has no effect here: ${withoutEffect}`);
        continue;
      }
      const childShape = shape.children.get(child.name);
      if (childShape === undefined) {
        const hint = suggestion(child.name, [...shape.children.keys()]);
        const what = shape.children.size === 0 ? 'contains no elements' : 'does not contain that element';
        this.#problems.add('HF_CONFIG_ELEMENT_UNKNOWN', child, `<${child.name}> inside <${element.name}>, which ${what}${hint}`);
        continue;
      }
      const existing = value[child.name];
      const list = Array.isArray(existing) ? existing : [];
      value[child.name] = list;
      list.push(this.read(child, childShape, `${pointer}/${child.name}/${list.length}`, 'by-schema'));
    }
  }

  /** undefined after the problem was reported. */
  #scalar(attribute: XmlAttribute, element: XmlElement, schema: JsonSchema): Scalar | undefined {
    const scalar = this.#coerced(attribute, element, schema);
    const unsupported = schema['x-not-supported'];
    if (scalar === undefined || typeof unsupported !== 'string' || scalar === false) return scalar;
    const message = `attribute ${attribute.name} of <${element.name}> is not supported yet: ${unsupported}`;
    this.#problems.add('HF_CONFIG_NOT_SUPPORTED', attribute, message);
    return undefined;
  }

  #coerced(attribute: XmlAttribute, element: XmlElement, schema: JsonSchema): Scalar | undefined {
    const text = attribute.value;
    const unit = schema['x-unit'];
    if (isDurationUnit(unit)) {
      const bareUnit = isDurationUnit(schema['x-bare-unit']) ? schema['x-bare-unit'] : unit;
      const duration = parseDuration(text.trim(), bareUnit, unit);
      if ('problem' in duration) {
        this.#problems.add('HF_CONFIG_DURATION', attribute, `${place(attribute, element)} ${duration.problem}`);
        return undefined;
      }
      const rounded = formatDuration(duration.value, unit);
      if (!duration.exact) this.#problems.warn(attribute, `${place(attribute, element)} is rounded to ${rounded}`);
      return duration.value;
    }
    const types = attributeTypes(schema);
    for (const type of types) {
      const scalar = asType(text, type);
      if (scalar !== undefined) return scalar;
    }
    const expected = types.map((type) => EXPECTED[type] ?? type).join(' or ');
    this.#problems.add('HF_CONFIG_VALUE', attribute, `${place(attribute, element)} must be ${expected}`);
    return undefined;
  }
}

function place(attribute: XmlAttribute, element: XmlElement): string {
  return `${attribute.name}=${quoted(attribute.value)} of <${element.name}>`;
}

const EXPECTED: Readonly<Record<string, string>> = { boolean: 'on or off', integer: 'a whole number', number: 'a number' };
const BOOLEANS: Readonly<Record<string, boolean>> = { on: true, yes: true, true: true, off: false, no: false, false: false };

function asType(text: string, type: string): Scalar | undefined {
  const trimmed = text.trim();
  switch (type) {
    case 'boolean':
      return Object.hasOwn(BOOLEANS, trimmed) ? BOOLEANS[trimmed] : undefined;
    case 'integer':
      return /^[+-]?\d{1,15}$/.test(trimmed) ? Number(trimmed) : undefined;
    case 'number':
      return /^[+-]?\d{1,15}(\.\d{1,15})?$/.test(trimmed) ? Number(trimmed) : undefined;
    default:
      return text;
  }
}
