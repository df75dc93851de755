/** What the routes have in common. */
import type { JsonSchema } from './json-schema.js';
import { errorBody } from './schemas.js';

/** Outcomes of a route: what it answers, and that anything else is an error body. */
export const answers = (status: number, schema: JsonSchema): Record<string, JsonSchema> => ({ [status]: schema, default: errorBody });
export const nothing: JsonSchema = { type: 'null', description: 'No body' };
