/**
 * JSON schemas tied to TypeScript types. A schema that is written beside an interface drifts from it; here the compiler refuses a property
 * that is missing, unknown, or wrongly optional, so the OpenAPI document says what the code does.
 */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  /** Never present: tells a schema from the mark of an optional property. */
  readonly optional?: never;
  readonly [keyword: string]: unknown;
}

interface OptionalProperty {
  readonly optional: JsonSchema;
}

type PropertySchemas<T> = { readonly [K in keyof T]-?: object extends Pick<T, K> ? OptionalProperty : JsonSchema };

/** Marks a property that may be absent. */
export function optional(schema: JsonSchema): OptionalProperty {
  return { optional: schema };
}

/** A closed object with exactly the properties of T. */
export function objectOf<T>(properties: PropertySchemas<T>, description?: string): JsonSchema {
  const entries = Object.entries<JsonSchema | OptionalProperty>(properties);
  const schemas = entries.map(([name, property]) => [name, isOptional(property) ? property.optional : property] as const);
  return {
    type: 'object',
    ...(description === undefined ? {} : { description }),
    additionalProperties: false,
    required: entries.filter(([, property]) => !isOptional(property)).map(([name]) => name),
    properties: Object.fromEntries(schemas),
  };
}

export function arrayOf(items: JsonSchema, description?: string): JsonSchema {
  return { type: 'array', items, ...(description === undefined ? {} : { description }) };
}

export function text(description?: string): JsonSchema {
  return { type: 'string', ...(description === undefined ? {} : { description }) };
}

export function integer(description?: string): JsonSchema {
  return { type: 'integer', ...(description === undefined ? {} : { description }) };
}

export function quantity(description?: string): JsonSchema {
  return { type: 'number', ...(description === undefined ? {} : { description }) };
}

export function flag(description?: string): JsonSchema {
  return { type: 'boolean', ...(description === undefined ? {} : { description }) };
}

/** One of the words of a union type: every word of T must be given. */
export function oneOf<T extends string>(words: Readonly<Record<T, true>>, description?: string): JsonSchema {
  return { type: 'string', enum: Object.keys(words), ...(description === undefined ? {} : { description }) };
}

function isOptional(property: JsonSchema | OptionalProperty): property is OptionalProperty {
  return property.optional !== undefined;
}
