/**
 * JSON schemas of configuration elements, ours and the plug-ins': draft 2020-12 with four words of our own.
 * - `x-unit` (ms, s): the attribute is a duration and is delivered as a number of that unit;
 * - `x-bare-unit` (d h m s ms us): the unit of a number written without one, by default `x-unit`;
 * - `x-not-supported` (a sentence): known, but not carried out; refused when present, a boolean only when it is on;
 * - `x-no-effect` (a sentence, of an attribute or a child): known, and nothing has to be carried out; left out with a warning.
 * This file compiles them and answers what an attribute or child of a schema is; reading the values is element-reader.ts.
 */
import { ExtendedRegex, HoldfastError, messageOf } from '@holdfast/sdk';
import type { ErrorObject } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { isIP, isIPv4, isIPv6 } from 'node:net';
import type { ConfigErrorCode } from './errors.js';
import { DURATION_UNITS } from './duration.js';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** What ajv generates: true, or false with `errors`. Fills defaults into the value. */
export interface ElementValidator {
  (value: unknown): boolean;
  errors?: ErrorObject[] | null;
}

const REFERENCE_HOPS_MAX = 16;
const compiled = new WeakMap<object, ElementValidator>();
const schemaError: ConfigErrorCode = 'HF_CONFIG_SCHEMA';

/** @throws HoldfastError HF_CONFIG_SCHEMA when the schema is not one, uses an unknown word, or does not describe an object. */
export function compileElementSchema(schema: JsonSchema): ElementValidator {
  const known = compiled.get(schema);
  if (known !== undefined) return known;
  if (schema['type'] !== 'object') throw new HoldfastError(schemaError, 'the schema of an element must have "type": "object" at its root');
  // One instance per schema: two plug-ins may use the same $id, and must not see each other's definitions.
  const ajv = new Ajv2020({
    strict: true,
    strictRequired: false,
    allowUnionTypes: true,
    allErrors: true,
    useDefaults: true,
    coerceTypes: false,
    verbose: true,
    logger: false,
  });
  ajv.addKeyword({ keyword: 'x-unit', schemaType: 'string', metaSchema: { enum: ['ms', 's'] } });
  ajv.addKeyword({ keyword: 'x-bare-unit', schemaType: 'string', metaSchema: { enum: DURATION_UNITS } });
  ajv.addKeyword({ keyword: 'x-not-supported', schemaType: 'string' });
  ajv.addKeyword({ keyword: 'x-no-effect', schemaType: 'string' });
  ajv.addFormat('ipv4', isIPv4);
  ajv.addFormat('ipv6', isIPv6);
  ajv.addFormat('ip', (text) => isIP(text) !== 0);
  ajv.addFormat(
    'ip-list',
    (text) =>
      text.trim() !== '' &&
      text
        .trim()
        .split(/\s+/)
        .every((word) => isIP(word) !== 0),
  );
  ajv.addFormat('hostname', /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}))*$/);
  ajv.addFormat('host', (text) => isIP(text) !== 0 || /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/.test(text));
  ajv.addFormat('abs-path', (text) => text.startsWith('/') && !text.includes('\0') && !text.split('/').includes('..'));
  // The only expressions: no text that they are matched with can stop the node. JSON Schema's own `regex` is unknown here, and so refused.
  ajv.addFormat('extended-regex', (text) => extendedRegexProblem(text, false) === undefined);
  ajv.addFormat('extended-regex-or-not', (text) => extendedRegexProblem(text) === undefined);
  try {
    const validate = ajv.compile(schema) as ElementValidator;
    compiled.set(schema, validate);
    return validate;
  } catch (error) {
    throw new HoldfastError(schemaError, messageOf(error), {}, { cause: error });
  }
}

/**
 * What is wrong with a POSIX extended regular expression, and at which character.
 * @param negatable a `!` in front means "what does not match"
 */
export function extendedRegexProblem(text: string, negatable = true): string | undefined {
  try {
    new ExtendedRegex(negatable ? text.replace(/^!/, '') : text);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Follows `$ref` inside the document; the target's words are overlaid by the words beside the reference. */
function resolve(schema: JsonSchema, document: JsonSchema): JsonSchema {
  let current = schema;
  for (let hop = 0; hop < REFERENCE_HOPS_MAX; hop += 1) {
    const reference = current['$ref'];
    if (typeof reference !== 'string' || !reference.startsWith('#')) return current;
    let target: unknown = document;
    for (const part of reference.slice(1).split('/').slice(1)) {
      const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      target = isObject(target) && Object.hasOwn(target, key) ? target[key] : undefined;
    }
    const { $ref: _, ...beside } = current;
    current = isObject(target) ? { ...target, ...beside } : beside;
  }
  return current;
}

/** One object schema in its document: the attributes and children that it names. */
export class ElementShape {
  readonly attributes = new Map<string, JsonSchema>();
  readonly children = new Map<string, ElementShape>();
  /** Children that are left out, and why. */
  readonly childrenWithoutEffect = new Map<string, string>();

  readonly #document: JsonSchema;

  constructor(schema: JsonSchema, document: JsonSchema = schema, depth = 0) {
    this.#document = document;
    this.#collect(resolve(schema, document), depth);
  }

  #collect(schema: JsonSchema, depth: number): void {
    const properties = schema['properties'];
    for (const [name, property] of isObject(properties) ? Object.entries(properties) : []) {
      if (!isObject(property)) continue;
      const resolved = resolve(property, this.#document);
      const withoutEffect = resolved['x-no-effect'];
      if (resolved['type'] !== 'array') this.attributes.set(name, resolved);
      else if (typeof withoutEffect === 'string') this.childrenWithoutEffect.set(name, withoutEffect);
      else if (depth < REFERENCE_HOPS_MAX && isObject(resolved['items'])) {
        this.children.set(name, new ElementShape(resolved['items'], this.#document, depth + 1));
      }
    }
    const parts = schema['allOf'];
    for (const part of Array.isArray(parts) ? parts : []) if (isObject(part)) this.#collect(resolve(part, this.#document), depth + 1);
  }
}

/** Types that an attribute may have, most specific first, so that "1" is a number where a number is allowed. */
export function attributeTypes(schema: JsonSchema): readonly string[] {
  const written = schema['type'];
  const types = Array.isArray(written) ? written : [written];
  const ordered = ['boolean', 'integer', 'number', 'string'].filter((type) => types.includes(type));
  return ordered.length === 0 ? ['string'] : ordered;
}
